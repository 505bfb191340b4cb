"""Runs as tables, plots and one HTML file that needs nothing else: ``lfbt report``."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import numpy as np

import lfbt
from lfbt.errors import LfbtError
from lfbt.runs.loading import ClassifierRun, PretrainingRun, load_runs
from lfbt.runs.results import Interval, Results, describe_rare
from lfbt.utils.figures import ABSENT, format_count, format_figure, format_interval
from lfbt.utils.files import Outputs, atomic_folder, check_distinct, check_target, write_json
from lfbt.utils.settings import Affects, validate

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


RunT = TypeVar("RunT", bound=PretrainingRun | ClassifierRun)

REPORT = "report.html"
TABLE = "results.csv"
PICTURE = "overview.png"
MANIFEST = "report.json"
OUTPUTS = Outputs(MANIFEST, (REPORT, TABLE, PICTURE))

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { border: 1px solid #d0d7de; padding: .3rem .7rem; }
td { text-align: right; } td:first-child { text-align: left; } img { max-width: 100%; } .note { color: #57606a; }
.synthetic { background: #fff1c2; border: 1px solid #d4a72c; padding: .5rem 1rem; }
"""


# Names in run folders are others'. Were one not escaped, no browser would run it, or load anything for it.
_POLICY = (
    "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; style-src 'unsafe-inline'; img-src "
    "data:; base-uri 'none'; form-action 'none'\">"
)


@dataclasses.dataclass(frozen=True)
class ReportSettings:
    """What is reported, and where."""

    runs: tuple[Path, ...]
    """Run folders of pretrain, probe and finetune."""
    out: Path = Path("report")
    """New folder for report.html, results.csv, overview.png and report.json."""
    overwrite: Annotated[bool, Affects.RUNTIME] = False
    """Replace what the same command has written into that folder before, once all is complete; never other files."""

    def check(self) -> None:
        """Raise LfbtError unless there are runs, each once."""
        if not self.runs:
            raise LfbtError("runs: none given; name run folders of pretrain, probe or finetune")
        check_distinct("runs", self.runs)


def report(settings: ReportSettings) -> tuple[Path, pd.DataFrame]:
    """Write the report of runs as one HTML file, with its table and its overview beside it.

    Returns
    -------
    Path
        The HTML file.
    pandas.DataFrame
        The table of all classifiers.

    Raises
    ------
    LfbtError
        For a folder that is not a run or has a corrupt file, for real and synthetic results together, and for
        classifiers that were not tested on the same records.
    """
    validate(settings)
    check_target(settings.out, OUTPUTS, settings.overwrite)
    runs = [run for folder in settings.runs for run in load_runs(folder)]
    classifiers = [run for run in runs if isinstance(run, ClassifierRun)]
    pretrainings = [run for run in runs if isinstance(run, PretrainingRun)]
    _check_belong_together(runs, classifiers)
    table, overview = results_table(classifiers), _plot_overview(classifiers, pretrainings)
    sections = [_heading(runs), "<h2>Overview</h2>"]
    sections.append(_image(overview, "Test figures of all runs and the loss of pretraining"))
    if classifiers:
        sections += ["<h2>Test split</h2>", _html_table(table), _PROTOCOL, _multiplicity(len(classifiers))]
    for classifier in classifiers:
        sections += [_run_heading(classifier), _class_table(classifier)]
        sections += [_confusion_matrix(classifier)] if classifier.results.exclusive else []
    for pretraining in pretrainings:
        sections += [_run_heading(pretraining), _describe_pretraining(pretraining)]
    body = "\n".join(sections)
    page = f"<!doctype html><meta charset='utf-8'>{_POLICY}<title>lfbt report</title><style>{_STYLE}</style>\n{body}\n"
    with atomic_folder(settings.out, replaces=OUTPUTS if settings.overwrite else None) as folder:
        write_json(folder / MANIFEST, {"lfbt_version": lfbt.__version__, "runs": [run.name for run in runs]})
        (folder / REPORT).write_text(page, encoding="utf-8")
        table.to_csv(folder / TABLE, index=False)
        overview.savefig(folder / PICTURE, dpi=110)
    return settings.out / REPORT, table


def _check_belong_together(
    runs: Sequence[PretrainingRun | ClassifierRun], classifiers: Sequence[ClassifierRun]
) -> None:
    unlike = _find_unlike(runs, lambda run: run.synthetic)
    if unlike:
        of = [f"{run.folder} is of {'synthetic' if run.synthetic else 'real'} data" for run in unlike]
        raise LfbtError(f"runs: {' and '.join(of)}; report them apart")
    tested = _find_unlike(classifiers, lambda run: run.results.data.hash)
    if tested:
        on = [f"{run.folder} on {run.results.data.folder} ({run.results.data.hash[:8]})" for run in tested]
        raise LfbtError(f"runs: they were tested on different data sets: {', '.join(on)}; report them apart")
    tested = _find_unlike(classifiers, lambda run: run.results.folds)
    if tested:
        how = [f"{run.folder} {_split(run.results)}" for run in tested]
        raise LfbtError(
            f"runs: some were tested on the test split and others in folds: {', '.join(how)}; report them apart"
        )


def _split(results: Results) -> str:
    return f"in {results.folds} folds" if results.folds else "on the test split"


def _find_unlike(runs: Sequence[RunT], value: Callable[[RunT], object]) -> list[RunT]:
    """The first run and one that differs from it in a value; empty where all agree."""
    other = next((run for run in runs if value(run) != value(runs[0])), None)
    return [] if other is None else [runs[0], other]


def results_table(runs: Sequence[ClassifierRun]) -> pd.DataFrame:
    """Tabulate classifiers, one a row: what each is, its training records, and its figures on the test split."""
    import pandas as pd

    rows = []
    for run in runs:
        test, intervals = run.results.test, run.results.test.intervals
        row = {
            "run": run.name,
            "kind": run.title,
            "leads": " ".join(run.results.leads),
            "training records": run.results.data.training_records,
            "AUROC": test.auroc,
            "AUROC interval": _interval(None if intervals is None else intervals.auroc),
            "AUPRC": test.auprc,
            "AUPRC interval": _interval(None if intervals is None else intervals.auprc),
            "chance": test.prior,
            "F1": test.f1,
            "balanced accuracy": test.balanced_accuracy,
            "accuracy": test.accuracy,
            "ECE": test.ece,
            "test records": test.records,
        }
        if test.rare_classes:
            few, bounds = describe_rare(test.rare_classes), None if intervals is None else intervals.without_rare
            row |= {
                f"AUROC {few}": test.without_rare("auroc"),
                f"AUROC {few} interval": _interval(None if bounds is None else bounds.auroc),
                f"AUPRC {few}": test.without_rare("auprc"),
                f"AUPRC {few} interval": _interval(None if bounds is None else bounds.auprc),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def _interval(bounds: Interval) -> str:
    return format_interval(bounds) or ABSENT


# --- HTML ---


def _html(template: str, **values: object) -> str:
    """Fill `template`; every value is escaped, as names in a run folder may hold markup."""
    return template.format(**{name: html.escape(str(value)) for name, value in values.items()})


_PROTOCOL = (
    "<p class='note'>The classifier with the lowest validation loss was kept and scored once on the test split. AUROC "
    "is one class against the rest, AUPRC average precision, both means over the classes in the test split; in "
    "brackets the 95 % intervals of a bootstrap over patients. Chance is the AUPRC of guessing. F1 and balanced "
    "accuracy are means over classes; ECE is the expected calibration error.</p>"
)


def _multiplicity(n_classifiers: int) -> str:
    return (
        f"<p class='note'>{format_count(n_classifiers, 'classifier')} in the table. Intervals are of each by itself, "
        "not adjusted for their number: the best of several is too good by chance. <code>lfbt compare</code> tests "
        "differences, adjusted.</p>"
    )


def _heading(runs: Sequence[PretrainingRun | ClassifierRun]) -> str:
    lines = ["<h1>lfbt report</h1>"]
    lines.append(
        _html("<p class='note'>lfbt {version}, {n}</p>", version=lfbt.__version__, n=format_count(len(runs), "run"))
    )
    if runs[0].synthetic:
        lines.append("<p class='synthetic'>SYNTHETIC data: these figures say nothing about real ECG.</p>")
    return "\n".join(lines)


def _run_heading(run: PretrainingRun | ClassifierRun) -> str:
    return _html("<h2>{name}: {title}</h2>", name=run.name, title=run.title)


def _class_table(run: ClassifierRun) -> str:
    import pandas as pd

    test, checkpoint = run.results.test, run.results.encoder.checkpoint
    rows = [{"class": name, **dataclasses.asdict(scores)} for name, scores in test.per_class.items()]
    table = pd.DataFrame(rows)
    # A column without any figure is one of numbers, too.
    table = table.astype(dict.fromkeys(table.columns.difference(["class", "records"]), float))
    columns = {"records": "test records", "prior": "chance", "auroc": "AUROC", "auprc": "AUPRC", "f1": "F1"}
    start = f"encoder {checkpoint}" if checkpoint else "random encoder"
    start = str(run.results.encoder.history.get("method")) if run.results.settings.get("rival") else start
    lines = [
        _html("<p>From {start}, {kept}.</p>", start=start, kept=_describe_choice(run.results)),
        _html_table(table.rename(columns=columns)),
    ]
    if test.absent_classes:
        note = "<p class='note'>No test record of {classes}: left out of the means.</p>"
        lines.append(_html(note, classes=", ".join(test.absent_classes)))
    return "\n".join(lines)


def _describe_choice(results: Results) -> str:
    """What was chosen on validation, as text."""
    if isinstance(results.chosen, list) or results.folds:
        return f"{results.folds} patient-disjoint folds, all test records scored together"
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in results.chosen.items()) + " kept"


_LOSSES_COMPARE = {
    True: "The loss is a sum over the projector's dimensions: values in the hundreds are normal, and only runs with",
    False: "Only losses of the same objective, and of runs with",
}


def _describe_pretraining(run: PretrainingRun) -> str:
    first, last, settings = run.history[0], run.history[-1], run.settings.settings
    objective = str(settings.get("objective", "lfbt"))
    is_lfbt = objective == "lfbt"
    if is_lfbt:
        objective += f", γ {settings.get('gamma', ABSENT)}"
        terms = f"intra {format_figure(last.intra, '.1f')}, inter {format_figure(last.inter, '.1f')}"
        loss = f"{first.loss:.1f} → {last.loss:.1f} ({terms})"
    else:
        loss = f"{first.loss:.3f} → {last.loss:.3f}"
    return _html(
        "<p>{records} records, preset {preset}, objective {objective}, batch {batch_size}, projector {projector}: "
        "{epochs} epochs in {seconds} s, loss {loss}.</p><p class='note'>"
        + _LOSSES_COMPARE[is_lfbt]
        + " the same projector and batch compare.</p>",
        records=ABSENT if run.settings.records is None else run.settings.records,
        preset=settings.get("preset", ABSENT),
        objective=objective,
        batch_size=settings.get("batch_size", ABSENT),
        projector=settings.get("projector", ABSENT),
        epochs=len(run.history),
        seconds=f"{sum(line.seconds for line in run.history):.0f}",
        loss=loss,
    )


def _html_table(table: pd.DataFrame) -> str:
    number = "{:.4f}".format
    return str(table.to_html(index=False, border=0, na_rep=ABSENT, float_format=number, escape=True))


def _image(figure: Figure, alt: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    data = base64.b64encode(buffer.getvalue()).decode()
    return _html("<p><img alt='{alt}' src='data:image/png;base64,{data}'></p>", alt=alt, data=data)


# --- plots ---


def _plot_overview(classifiers: Sequence[ClassifierRun], pretrainings: Sequence[PretrainingRun]) -> Figure:
    """Bars of test AUROC and AUPRC, and the loss of pretraining, side by side."""
    from matplotlib.figure import Figure

    n_panels = bool(classifiers) + bool(pretrainings)
    figure = Figure(figsize=(5.5 * n_panels, 3.6), layout="constrained")
    panels = list(np.ravel(figure.subplots(1, n_panels)))
    if pretrainings:
        axes = panels.pop(0)
        for run in pretrainings:
            epochs, losses = [line.epoch for line in run.history], [line.loss for line in run.history]
            axes.plot(epochs, losses, label=_plain(run.name))
        axes.set(xlabel="epoch", ylabel="loss", title="Pretraining, without labels")
        axes.legend(frameon=False)
    if classifiers:
        axes = panels.pop(0)
        places = np.arange(len(classifiers))
        tests = [run.results.test for run in classifiers]
        for shift, name, values, colour in (
            (-0.2, "AUROC", [test.auroc for test in tests], "#1f6feb"),
            (0.2, "AUPRC", [test.auprc for test in tests], "#d29922"),
        ):
            bars = axes.barh(places + shift, np.array(values, dtype=float), height=0.38, label=name, color=colour)
            axes.bar_label(bars, fmt="%.3f", padding=3)
        axes.set_yticks(places, [_plain(f"{run.name}\n{run.title}") for run in classifiers])
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.12), title="Test split" + (", SYNTHETIC data" if classifiers[0].synthetic else ""))
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)
    return figure


def _plain(text: str) -> str:
    """Escape the dollar signs of `text`, between which matplotlib would see mathematics."""
    return text.replace("$", r"\$")


def _confusion_matrix(run: ClassifierRun) -> str:
    from matplotlib.figure import Figure

    classes, counts = run.results.data.classes, np.array(run.results.test.confusion_matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.45 * len(classes)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), list(map(_plain, classes)), rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), list(map(_plain, classes)))
    axes.set(xlabel="predicted", ylabel="true", title="Test records")
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    return _image(figure, f"Confusion matrix of {run.name}")
