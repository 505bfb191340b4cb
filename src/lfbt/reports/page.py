"""Run folders become tables, plots and one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import lfbt
from lfbt.errors import LfbtError
from lfbt.runs.history import HISTORY
from lfbt.runs.results import RESULTS
from lfbt.runs.settings import SETTINGS
from lfbt.utils.files import atomic_folder, check_unoccupied
from lfbt.utils.json_files import read_json

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


REPORT = "report.html"
TABLE = "results.csv"
PICTURE = "overview.png"

_KINDS = {
    "pretrain": "pretraining",
    "probe": "linear probe",
    "finetune": "fine-tuned",
    "scratch": "trained from scratch",
}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { border: 1px solid #d0d7de; padding: .3rem .7rem; }
td { text-align: right; } td:first-child { text-align: left; } img { max-width: 100%; } .note { color: #57606a; }
.synthetic { background: #fff1c2; border: 1px solid #d4a72c; padding: .5rem 1rem; }
"""


@dataclasses.dataclass(frozen=True)
class ReportSettings:
    """What is reported, and where."""

    runs: tuple[Path, ...]
    """Run folders of pretrain, probe and finetune."""
    out: Path = Path("report")
    """New folder for report.html, results.csv and overview.png."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder as it was found: `kind` is pretrain, probe, finetune or scratch."""

    folder: Path
    kind: str
    content: dict[str, Any]
    history: list[dict[str, float]]
    synthetic: bool

    @property
    def what(self) -> str:
        """What kind of run it is, in words."""
        if self.kind != "probe":
            return _KINDS[self.kind]
        kind = "nearest neighbours" if self.content["classifier"] == "knn" else _KINDS[self.kind]
        return kind + (" of a random encoder" if self.content["encoder"]["checkpoint"] is None else "")

    @property
    def name(self) -> str:
        """The folder's name; of one of several trials with that of the folder they are in."""
        is_trial = (self.folder.parent / SETTINGS).is_file() and self.kind != "pretrain"
        return f"{self.folder.parent.name}/{self.folder.name}" if is_trial else self.folder.name


def open_runs(folder: Path) -> list[Run]:
    """The run in `folder`, or its trials where it holds several. Raises LfbtError as `open_run` does."""
    trials = sorted(path.parent for path in folder.glob(f"[!.]*/{RESULTS}"))
    is_series = (folder / SETTINGS).is_file() and not (folder / HISTORY).is_file() and trials
    return [open_run(place) for place in (trials if is_series else [folder])]


def open_run(folder: Path) -> Run:
    """The run in `folder`. Raises LfbtError when it is no run folder, or one that has not ended an epoch."""
    history_file = folder / HISTORY
    if not history_file.is_file() and (folder / SETTINGS).is_file():
        raise LfbtError(f"run: {folder} has neither an epoch nor a finished trial yet; let it go on first")
    if not history_file.is_file():
        raise LfbtError(
            f"run: {folder} is no run folder (it has no {HISTORY}); give those of pretrain, probe or finetune"
        )
    try:
        history = [json.loads(line) for line in history_file.read_text(encoding="utf-8").splitlines()]
        if (folder / RESULTS).is_file():
            content = read_json(folder / RESULTS)
            for name in ("folds", "task", "classifier", "encoder", "chosen", "leads"):
                content[name]
            _ = content["data"]["hash"], content["data"]["training_records"], content["test"]["intervals"]
            return Run(folder, content["kind"], content, history, content["synthetic"])
        content = read_json(folder / SETTINGS)
        run = Run(folder, "pretrain", content, history, content["synthetic"])
    except (ValueError, KeyError) as error:
        raise LfbtError(f"run: {folder} is not whole ({error}); run it again, or go on with --resume") from error
    if not history:
        raise LfbtError(f"run: {folder} has no epoch yet; let it go on first")
    return run


def report(settings: ReportSettings) -> tuple[Path, pd.DataFrame]:
    """Write the report of the runs; returns the HTML file and the table of all classifiers.

    Raises LfbtError for a folder that is no run, for real and synthetic results together, and for classifiers that
    were not tested on the same records.
    """
    check_unoccupied(settings.out)
    runs = [run for folder in settings.runs for run in open_runs(folder)]
    if not runs:
        raise LfbtError("runs: none given; name run folders of pretrain, probe or finetune")
    if len({run.synthetic for run in runs}) > 1:
        made = next(run.folder for run in runs if run.synthetic)
        raise LfbtError(f"runs: {made} is of synthetic data and others are of real data; report them apart")
    classifiers = [run for run in runs if run.kind != "pretrain"]
    tested_on = {(run.content["data"]["hash"], run.content["folds"]) for run in classifiers}
    if len({data for data, _ in tested_on}) > 1:
        raise LfbtError("runs: they were tested on different data sets; report them apart")
    if len(tested_on) > 1:
        raise LfbtError("runs: some were tested on the test split and others in folds; report them apart")
    pretrainings = [run for run in runs if run.kind == "pretrain"]
    table = results_table(classifiers)
    sections = [_heading(runs)]
    overview = _overview(classifiers, pretrainings)
    sections += ["<h2>Overview</h2>", _image(overview, "Test figures of all runs and the loss of pretraining")]
    if classifiers:
        sections += ["<h2>Test split</h2>", _html_table(table), _PROTOCOL]
    for run in classifiers:
        sections += [f"<h2>{html.escape(run.name)}: {run.what}</h2>", _class_table(run)]
        sections += [_confusion(run)] if run.content["task"] == "single-label" else []
    for run in pretrainings:
        sections += [f"<h2>{html.escape(run.name)}: {run.what}</h2>", _pretraining(run)]
    body = "\n".join(sections)
    page = f"<!doctype html><meta charset='utf-8'><title>lfbt report</title><style>{_STYLE}</style>\n{body}\n"
    with atomic_folder(settings.out) as folder:
        (folder / REPORT).write_text(page, encoding="utf-8")
        table.to_csv(folder / TABLE, index=False)
        overview.savefig(folder / PICTURE, dpi=110)
    return settings.out / REPORT, table


_PROTOCOL = (
    "<p class='note'>What had the lowest validation loss was kept and the test split scored once, with it. AUROC is "
    "one class against the rest, AUPRC average precision, both means over the classes in the test split; in brackets "
    "the 95 % intervals of a bootstrap over patients. Chance is the AUPRC of guessing. F1 and balanced accuracy are "
    "means over classes; ECE is the expected calibration error.</p>"
)


def results_table(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a classifier: what it is, its training records, and its figures on the test split."""
    import pandas as pd

    rows = []
    for run in runs:
        test = run.content["test"]
        row = {
            "run": run.name,
            "kind": run.what,
            "leads": " ".join(run.content["leads"]),
            "training records": run.content["data"]["training_records"],
        }
        for name, key in (("AUROC", "auroc"), ("AUPRC", "auprc")):
            row |= {name: test[key], f"{name} interval": _interval(test["intervals"][key])}
        row |= {"chance": test["prior"], "F1": test["f1"], "balanced accuracy": test["balanced_accuracy"]}
        rows.append(row | {"accuracy": test["accuracy"], "ECE": test["ece"], "test records": test["records"]})
    return pd.DataFrame(rows)


def _interval(bounds: Sequence[float] | None) -> str:
    return "-" if bounds is None else f"[{bounds[0]:.3f}, {bounds[1]:.3f}]"


def _heading(runs: Sequence[Run]) -> str:
    lines = ["<h1>lfbt report</h1>", f"<p class='note'>lfbt {lfbt.__version__}, {len(runs)} runs</p>"]
    if runs[0].synthetic:
        lines.append("<p class='synthetic'>SYNTHETIC data: these figures say nothing about real ECG.</p>")
    return "\n".join(lines)


def _overview(classifiers: Sequence[Run], pretrainings: Sequence[Run]) -> Figure:
    """Bars of test AUROC and AUPRC, and the loss of pretraining, side by side."""
    from matplotlib.figure import Figure

    n_panels = bool(classifiers) + bool(pretrainings)
    figure = Figure(figsize=(5.5 * n_panels, 3.6), layout="constrained")
    panels = list(np.ravel(figure.subplots(1, n_panels)))
    if pretrainings:
        axes = panels.pop(0)
        for run in pretrainings:
            axes.plot(
                [line["epoch"] for line in run.history], [line["loss"] for line in run.history], label=_plain(run.name)
            )
        axes.set(xlabel="epoch", ylabel="loss", title="PretrainingModel, without labels")
        axes.legend(frameon=False)
    if classifiers:
        axes = panels.pop(0)
        places = np.arange(len(classifiers))
        for shift, key, name, colour in ((-0.2, "auroc", "AUROC", "#1f6feb"), (0.2, "auprc", "AUPRC", "#d29922")):
            values = [np.nan if run.content["test"][key] is None else run.content["test"][key] for run in classifiers]
            bars = axes.barh(places + shift, values, height=0.38, label=name, color=colour)
            axes.bar_label(bars, fmt="%.3f", padding=3)
        axes.set_yticks(places, [_plain(f"{run.name}\n{run.what}") for run in classifiers])
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.12), title="Test split" + (", SYNTHETIC data" if classifiers[0].synthetic else ""))
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)
    return figure


def _plain(text: str) -> str:
    """`text` as matplotlib shows it, which would take what is between two $ for mathematics."""
    return text.replace("$", r"\$")


def _confusion(run: Run) -> str:
    from matplotlib.figure import Figure

    classes = run.content["data"]["classes"]
    matrix = np.array(run.content["test"]["confusion_matrix"])
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.45 * len(classes)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), list(map(_plain, classes)), rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), list(map(_plain, classes)))
    axes.set(xlabel="predicted", ylabel="true", title="Test records")
    for (row, column), count in np.ndenumerate(matrix):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    return _image(figure, f"Confusion matrix of {run.name}")


def _class_table(run: Run) -> str:
    import pandas as pd

    rows = [{"class": name, **figures} for name, figures in run.content["test"]["per_class"].items()]
    columns = {"records": "test records", "prior": "chance", "auroc": "AUROC", "auprc": "AUPRC", "f1": "F1"}
    encoder = run.content["encoder"]
    start = f"encoder {encoder['checkpoint']}" if encoder["checkpoint"] else "random encoder"
    absent = run.content["test"]["absent_classes"]
    lines = [f"<p>From {html.escape(start)}, {_kept(run)}.</p>"]
    table = pd.DataFrame(rows)
    # A column without any figure is one of numbers, too.
    table = table.astype(dict.fromkeys(table.columns.difference(["class", "records"]), float))
    lines.append(_html_table(table.rename(columns=columns)))
    if absent:
        lines.append(f"<p class='note'>No test record of {html.escape(', '.join(absent))}: left out of the means.</p>")
    return "\n".join(lines)


def _kept(run: Run) -> str:
    """What was chosen on validation, in words."""
    if run.content["folds"]:
        return f"{run.content['folds']} patient-disjoint folds, all test records scored together"
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in run.content["chosen"].items()) + " kept"


def _pretraining(run: Run) -> str:
    last, content = run.history[-1], run.content
    seconds = sum(line["seconds"] for line in run.history)
    objective, first = str(content.get("objective", "lfbt")), run.history[0]["loss"]
    if objective == "lfbt":
        objective += f", γ {content['gamma']}"
        loss = f"{first:.1f} → {last['loss']:.1f} (intra {last['intra']:.1f}, inter {last['inter']:.1f})"
        note = "The loss is a sum over the projector's dimensions: values in the hundreds are normal, and only runs "
    else:
        loss, note = f"{first:.3f} → {last['loss']:.3f}", "Only losses of the same objective, and of runs "
    return (
        f"<p>{content['records']} records, preset {html.escape(str(content['preset']))}, objective "
        f"{html.escape(objective)}, batch "
        f"{content['batch_size']}, projector {html.escape(content['projector'])}: {len(run.history)} epochs in "
        f"{seconds:.0f} s, loss {loss}.</p><p class='note'>{note}with the same projector and batch compare.</p>"
    )


def _html_table(table: pd.DataFrame) -> str:
    return str(table.to_html(index=False, border=0, na_rep="-", float_format=lambda value: f"{value:.4f}"))


def _image(figure: Figure, alt: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"<p><img alt='{html.escape(alt, quote=True)}' src='data:image/png;base64,{data}'></p>"
