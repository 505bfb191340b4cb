"""The list of runs as text: pretraining apart from classifiers, and trials that differ in their seed as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lfbt.evaluation.aggregation import mean_over_seeds
from lfbt.reports.run_list import UNREADABLE, RunSummary
from lfbt.utils.figures import ABSENT, format_count, format_figure, format_mean
from lfbt.utils.tables import Style, as_text, text_width

_STATES: dict[str, Style] = {"finished": "green", "running": "bold", "stopped": "yellow", UNREADABLE: "red"}
_DIFFERING = "settings that differ"
# The loss of pretraining and that of classifiers are different things.
_PRETRAINING = ("pretraining", "state", "epoch", "loss", "quality", _DIFFERING)
_CLASSIFIERS = (
    "classifier", "kind", "state", "epoch", "val loss", "val AUROC", "test AUROC", "test AUPRC", _DIFFERING,
)  # fmt: skip


def runs_table(runs: Sequence[RunSummary], below: Path, width: int | None = None) -> str:
    """Format runs as tables: of pretraining, of classifiers, and of what cannot be read.

    Parameters
    ----------
    runs
        As `lfbt.reports.run_list.list_runs` finds them.
    below
        Folder that their names are relative to.
    width
        Of the terminal; None for a pipe or a file.
    """
    pretrained = [run for run in runs if run.kind == "pretrain"]
    unreadable = [run for run in runs if run.state == UNREADABLE]
    groups = _group_by_seed([run for run in runs if run not in pretrained and run not in unreadable])
    tables = (
        (_PRETRAINING, [_pretraining_row(run, below) for run in pretrained]),
        (_CLASSIFIERS, [_classifier_row(group, below) for group in groups]),
        (("unreadable", "reason"), [[_name(run.folder, below), run.differs] for run in unreadable]),
    )
    return "\n\n".join(_table(header, rows, width) for header, rows in tables if rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> str:
    cells = [header, *rows]
    if width is not None and header[-1] == _DIFFERING and text_width(cells) > width:
        # What differs is long: below the table, a line a run.
        names = [[header[0], _DIFFERING], *([row[0], row[-1]] for row in rows if row[-1])]
        short = [[cell for j, cell in enumerate(row[:-1]) if header[j] != "kind"] for row in cells]
        return (
            f"{_table(short[0], short[1:], width)}\n\n{as_text(names, None)}"
            if len(names) > 1
            else _table(short[0], short[1:], width)
        )
    styles: dict[tuple[int, int], Style] = {(0, j): "bold" for j in range(len(header))}
    if "state" in header:
        column = header.index("state")
        styles |= {(i, column): _STATES[row[column]] for i, row in enumerate(rows, start=1) if row[column] in _STATES}
    return as_text(cells, width, styles)


def _group_by_seed(runs: Sequence[RunSummary]) -> list[list[RunSummary]]:
    """Trials of a series with the same fraction and lead subset, together; every other run by itself."""
    groups: dict[tuple[object, ...], list[RunSummary]] = {}
    for run in runs:
        key = (run.series, run.settings["fraction"], run.settings["lead_subsets"]) if run.series else (run.folder,)
        groups.setdefault(key, []).append(run)
    return list(groups.values())


def _pretraining_row(run: RunSummary, below: Path) -> list[str]:
    name, loss = _name(run.folder, below), format_figure(run.loss, ".4g")
    return [name, run.state, run.epoch, loss, run.quality, run.differs]


def _classifier_row(group: Sequence[RunSummary], below: Path) -> list[str]:
    first = group[0]
    if len(group) == 1 or first.series is None:
        name, epoch, differs = _name(first.folder, below), first.epoch, first.differs
    else:
        name, epoch = f"{_name(first.series, below)} ({format_count(len(group), 'seed')})", ABSENT
        shown = [run.differs.split(" ") for run in group]
        differs = " ".join(word for word in shown[0] if all(word in words for words in shown))
    return [
        name,
        first.kind,
        first.state,
        epoch,
        _mean(group, "loss", ".4g"),
        first.quality.removeprefix("val AUROC ") if len(group) == 1 else _mean(group, "val_auroc"),
        _mean(group, "test_auroc"),
        _mean(group, "test_auprc"),
        differs,
    ]


def _mean(group: Sequence[RunSummary], name: str, form: str = ".4f") -> str:
    over_seeds = mean_over_seeds([getattr(run, name) for run in group])
    return format_mean(over_seeds.mean, over_seeds.sd, form)


def _name(folder: Path, below: Path) -> str:
    return folder.relative_to(below).as_posix() if folder != below else folder.resolve().name
