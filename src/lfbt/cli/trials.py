"""The summary of a probe or a fine-tuning, as it is printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lfbt.evaluation.series import series_table
from lfbt.runs.results import Interval, Results, Scores, describe_rare
from lfbt.utils.figures import ABSENT, format_count, format_figure, format_interval, format_names
from lfbt.utils.tables import terminal_width

# As wide as a figure, so that columns of figures stay aligned.
_ABSENT = "   -  "


def summary(trials: Sequence[Results], run_dir: Path) -> str:
    """Summarise the trials of one run: the scores of a single one, the means over seeds of several."""
    first = trials[0]
    if len(trials) > 1:
        table = series_table(trials)
        text = table.to_string(index=False, float_format=format_figure, na_rep=ABSENT, line_width=terminal_width())
        records = format_count(first.test.records, "test record")
        head = f"{run_dir}: {_kind(first)}, {len(trials)} trials, {_data(first)}, {records}"
        return f"{head}\n{text}"
    lines = [f"{run_dir}: {_kind(first)}{_chosen(first)}", *_scores(first.test, _data(first))]
    for name, subset in first.by_lead_subset.items():
        leads = ",".join(subset.leads)
        lines.append(
            f"  the same classifier with lead{'s' if len(subset.leads) > 1 else ''} {leads} only"
            f"{'' if name == leads else f' ({name})'}: {_macro(subset.test)}"
        )
        lines += _without_rare(subset.test)
    lines += _notes(first)
    return "\n".join(lines)


def _kind(results: Results) -> str:
    """The kind of run, and its features where these are not the paper's."""
    return ", ".join(filter(None, (results.kind, results.other_features)))


def _data(results: Results) -> str:
    if results.folds:
        return f"{results.folds} folds" + (" of SYNTHETIC data" if results.synthetic else "")
    return "SYNTHETIC data" if results.synthetic else "test split"


def _chosen(results: Results) -> str:
    """What validation chose; each fold has its own choice, so that there is none to show of several."""
    if not isinstance(results.chosen, dict):
        return ""
    values = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in results.chosen.items())
    return f", {values} kept (validation loss {results.val_loss:.4f})"


def _scores(test: Scores, data: str) -> Iterator[str]:
    yield f"  {data}, {format_count(test.records, 'test record')}: {_macro(test)}"
    yield from _without_rare(test)
    yield (
        f"  accuracy {_figure(test.accuracy)}, balanced {_figure(test.balanced_accuracy)}, F1 {_figure(test.f1)}, "
        f"calibration error {_figure(test.ece)}"
    )
    for name, scores in test.per_class.items():
        yield (
            f"  {name:<8} {scores.records:>6} records  AUROC {_figure(scores.auroc)}  AUPRC {_figure(scores.auprc)} "
            f"(by chance {scores.prior:.4f})"
        )


def _notes(results: Results) -> Iterator[str]:
    """What a reader should know of the data: assumed leads, and classes without records."""
    if results.data.names_assumed:
        yield f"  the files name no leads and no rate; assumed: {', '.join(results.leads)} in this order, 10 s"
    for split, counts in results.data.counts.items():
        absent = [name for name, count in counts.items() if not count]
        if absent:
            left_out = ": left out of the means" if split == "test" else ""
            yield f"  no {split} record of {format_names(absent, 10)}{left_out}"


def _macro(test: Scores) -> str:
    bounds = test.intervals
    auroc, auprc = (None, None) if bounds is None else (bounds.auroc, bounds.auprc)
    return f"macro AUROC {_figure(test.auroc)}{_interval(auroc)}, macro AUPRC {_figure(test.auprc)}{_interval(auprc)}"


def _without_rare(test: Scores) -> Iterator[str]:
    """The means without the classes of few records, where there are such."""
    rare, bounds = test.rare_classes, None if test.intervals is None else test.intervals.without_rare
    if rare:
        auroc, auprc = (None, None) if bounds is None else (bounds.auroc, bounds.auprc)
        n = max(test.per_class[name].records for name in rare)
        few = format_count(n, "record") if len(rare) == 1 else f"{n} records each at most"
        yield (
            f"  {describe_rare(rare)} ({few}): macro AUROC {_figure(test.without_rare('auroc'))}{_interval(auroc)}, "
            f"macro AUPRC {_figure(test.without_rare('auprc'))}{_interval(auprc)}"
        )


def _interval(bounds: Interval) -> str:
    return f" {format_interval(bounds)}" if bounds else ""


def _figure(value: float | None) -> str:
    figure = format_figure(value)
    return _ABSENT if figure == ABSENT else figure
