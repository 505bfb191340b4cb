"""Runs side by side: means over seeds, intervals over test patients, paired differences from a baseline."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lfbt
from lfbt.errors import LfbtError
from lfbt.evaluation.bootstrap import METRICS, Array, Metric, bootstrap_metrics, bootstrap_weights, interval, n_counted
from lfbt.evaluation.significance import holm, paired_p
from lfbt.runs.predictions import PREDICTIONS
from lfbt.runs.results import RESULTS, Interval
from lfbt.utils.files import atomic_folder, check_unoccupied
from lfbt.utils.json_files import read_json, write_json
from lfbt.utils.tables import as_latex, as_markdown, as_text, markdown
from lfbt.utils.validation import check_range

_LEVEL = 0.95
_TITLES = {"auroc": "AUROC", "auprc": "AUPRC", "f1": "F1", "balanced_accuracy": "balanced accuracy"}
_KINDS = {"finetune": "fine-tuned", "scratch": "from scratch"}
# Of the trials of one row all but the seed is the same.
_SAME_IN_A_ROW = ("kind", "classifier", "folds", "leads")
# But for where it was made and of what else the same command made trials.
_FREE_IN_A_ROW = {
    "data_dir", "run_dir", "checkpoint", "fraction", "seeds", "lead_subsets", "device", "workers", "resume",
    "allow_test_records",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class CompareSettings:
    """What is compared, and how."""

    runs: tuple[Path, ...]
    """Run folders of probe and finetune: of one trial, or of several (seeds, fractions, lead subsets)."""
    out: Path | None = None
    """New folder for compare.csv, .md, .tex, .txt and .json."""
    draws: int = 1000
    """Draws of test patients that intervals and p-values come from."""
    seed: int = 0
    """Seed of the draws."""
    metrics: tuple[Metric, ...] = ("auroc", "auprc")
    """Which figures of the test split."""
    baseline: Path | None = None
    """The run that the others are compared with; the first by default."""


@dataclasses.dataclass(frozen=True)
class ScoredTrial:
    """A trial's test records and what it made of them.

    run: the name of the run it is part of; results: those of ``results.json``; ids, patients: one a record; targets:
    which classes every record has ``[records, classes]``; thresholds ``[classes]``: NaN for a class without one, None
    where no class has any.
    """

    run: str
    folder: Path
    results: dict[str, Any]
    ids: tuple[str, ...]
    patients: tuple[str, ...]
    targets: NDArray[np.bool_]
    probabilities: Array
    thresholds: Array | None

    @property
    def exclusive(self) -> bool:
        """Whether each record has exactly one class."""
        return bool(self.results["task"] == "single-label")

    @property
    def row(self) -> tuple[str, float, str | None]:
        """What the trials of one row have in common."""
        return self.run, self.results["fraction"], self.results["lead_subset"]


@dataclasses.dataclass(frozen=True)
class Figure:
    """One metric of a row; None where there is none.

    mean, sd: over seeds, the latter with n − 1; interval: of the mean, over draws of test patients, of which it exists
    in `counted`; difference: from the baseline's row, with its interval, its two-sided p-value, and that by Holm over
    the rows, where there are several.
    """

    mean: float | None
    sd: float | None
    interval: Interval
    counted: int
    difference: float | None = None
    difference_interval: Interval = None
    p: float | None = None
    p_holm: float | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """The trials of a run that differ in their seed only.

    leads: the subset's name, or the leads; training_records: one a seed; against: the row compared with, in words.
    """

    run: str
    kind: str
    encoder: str
    leads: str
    fraction: float
    seeds: tuple[int, ...]
    training_records: tuple[int, ...]
    synthetic: bool
    test_records: int
    test_patients: int
    against: str | None
    figures: dict[str, Figure]


def compare(settings: CompareSettings) -> tuple[str, list[Row]]:
    """Compare runs; returns the table as text and its rows, and writes all forms of it where there is an `out`.

    Raises LfbtError for settings out of range, a folder that holds no trials, and runs that do not compare.
    """
    check_range("draws", settings.draws, "[1, 100000]")
    check_range("seed", settings.seed, "[0, inf)")
    unknown = [name for name in settings.metrics if name not in METRICS]
    if unknown or not settings.metrics or len(set(settings.metrics)) < len(settings.metrics):
        given = " ".join(settings.metrics) or "none given"
        raise LfbtError(f"metrics: {given}; give one or more, each once, of {', '.join(METRICS)}")
    if settings.out is not None:
        check_unoccupied(settings.out)
    names = _run_names(settings.runs)
    baseline = None
    if settings.baseline is not None:
        baseline = names.get(settings.baseline.resolve())
        if baseline is None:
            raise LfbtError(f"baseline: {settings.baseline} is not one of the runs compared; name it among them, too")
    trials = [trial for folder, name in names.items() for trial in open_trials(folder, name)]
    rows = table_rows(trials, settings.metrics, settings.draws, settings.seed, baseline)
    note = table_note(rows, settings.draws, settings.seed)
    cells = table_cells(rows)
    text = f"{as_text(cells)}\n\n{note}"
    if settings.out is not None:
        content = {
            "lfbt_version": lfbt.__version__,
            "note": note,
            "n_draws": settings.draws,
            "seed": settings.seed,
            "level": _LEVEL,
            "trials": [f"{trial.run}: {trial.folder.resolve().name}" for trial in trials],
            "rows": [dataclasses.asdict(row) for row in rows],
        }
        with atomic_folder(settings.out) as folder:
            for suffix, form in (("txt", text), ("md", f"{as_markdown(cells)}\n\n{markdown(note)}")):
                (folder / f"compare.{suffix}").write_text(form + "\n", encoding="utf-8")
            (folder / "compare.tex").write_text(f"% {note}\n{as_latex(cells)}\n", encoding="utf-8")
            (folder / "compare.csv").write_text(as_csv(rows), encoding="utf-8")
            write_json(folder / "compare.json", content)
    return text, rows


def _run_names(runs: Sequence[Path]) -> dict[Path, str]:
    """Each run's folder and what it is called: the folder's name, or all that was given where names are not unique."""
    if not runs:
        raise LfbtError("runs: none given; name run folders of probe or finetune")
    folders = [run.resolve() for run in runs]
    twice = [run for run, folder in zip(runs, folders, strict=True) if folders.count(folder) > 1]
    if twice:
        raise LfbtError(f"runs: {twice[0]} is named twice; name each run once")
    names = [folder.name for folder in folders]
    if len(set(names)) < len(names):
        names = [run.as_posix() for run in runs]
    return dict(zip(folders, names, strict=True))


# --- reading ---


def open_trials(folder: Path, run: str | None = None) -> list[ScoredTrial]:
    """The trials of a run folder: itself, or the folders directly below it. `run`: its name, if not the folder's.

    Raises LfbtError for a folder that holds none, and for one that is not whole.
    """
    places = [folder]
    if not (folder / RESULTS).is_file():
        # What begins with a dot is not whole yet.
        places = sorted(path.parent for path in folder.glob(f"*/{RESULTS}") if not path.parent.name.startswith("."))
    if not places:
        raise LfbtError(
            f"run: {folder} holds no trial of a classifier (neither it nor a folder in it has {RESULTS}); give run "
            "folders of probe or finetune"
        )
    return [_open_trial(place, run or folder.resolve().name) for place in places]


def _open_trial(folder: Path, run: str) -> ScoredTrial:
    import pandas as pd

    results = read_json(folder / RESULTS)
    try:
        classes, _ = results["data"]["classes"], results["data"]["training_records"]
        for name in ("synthetic", "task", "encoder", "fraction", "seed", "lead_subset", *_SAME_IN_A_ROW):
            results[name]
        text = pd.read_csv(folder / PREDICTIONS, dtype=str, keep_default_na=False)
        ids, patients, labels = (tuple(text[name]) for name in ("id", "patient", "label"))
        probabilities = text[[f"p_{name}" for name in classes]].to_numpy(dtype=np.float64)
        per_class = results["test"]["per_class"]
        thresholds = np.array([per_class[name]["threshold"] for name in classes], dtype=np.float64)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise LfbtError(
            f"run: {folder} is no whole result of this lfbt ({type(error).__name__}: {error}); run it again"
        ) from error
    number = {name: k for k, name in enumerate(classes)}
    targets = np.zeros((len(ids), len(classes)), dtype=bool)
    for row, label in enumerate(labels):
        for name in filter(None, label.split(";")):
            if name not in number:
                raise LfbtError(f"run: {folder}: label {name} of {PREDICTIONS} is no class of {RESULTS}; run it again")
            targets[row, number[name]] = True
    if not ids or len(set(ids)) < len(ids) or not np.isfinite(probabilities).all():
        raise LfbtError(f"run: {folder}: {PREDICTIONS} has no records, one twice, or no number somewhere; run it again")
    if results["task"] == "single-label" and not (targets.sum(axis=1) == 1).all():
        raise LfbtError(f"run: {folder}: {PREDICTIONS} has records without exactly one label; run it again")
    # In a multi-label task no threshold at all would mean 0.5; a class whose threshold is NaN is never called.
    known = None if results["task"] == "single-label" and np.isnan(thresholds).all() else thresholds
    return ScoredTrial(run, folder, results, ids, patients, targets, probabilities, known)


# --- rows ---


def table_rows(
    trials: Sequence[ScoredTrial],
    metrics: Sequence[str] = ("auroc", "auprc"),
    n_draws: int = 1000,
    seed: int = 0,
    baseline: str | None = None,
) -> list[Row]:
    """A row for each run, fraction and lead subset: runs in their order, then larger fractions and more leads first.

    All trials see the same draws of patients. A row is compared with that of the `baseline` run (the first by default)
    of the same fraction and lead subset, or else with the first of that run; the rows of a single run are compared
    with its first.

    Raises LfbtError for trials that do not compare: other test records, real and synthetic, two of one seed.
    """
    trials = _aligned(trials)
    groups = _grouped(trials)
    weights = bootstrap_weights(trials[0].patients, n_draws, seed)
    whole = np.ones((1, weights.shape[1]), dtype=np.int32)
    figures = [[_figures(trial, whole, metrics)[:, 0] for trial in group] for group in groups]
    # Trials of a row are averaged draw by draw.
    drawn = [np.mean([_figures(trial, weights, metrics) for trial in group], axis=0) for group in groups]
    against = _against([group[0].row for group in groups], baseline)
    table = [
        [_figure(np.array(figures[i])[:, m], drawn[i][m]) for m in range(len(metrics))] for i in range(len(groups))
    ]
    for m in range(len(metrics)):
        pairs = [(i, j) for i, j in enumerate(against) if i != j]
        compared = [_compared(table[i][m], table[j][m], drawn[i][m] - drawn[j][m]) for i, j in pairs]
        adjusted = holm([figure.p for figure in compared])
        for (i, _), figure, p_holm in zip(pairs, compared, adjusted, strict=True):
            table[i][m] = dataclasses.replace(figure, p_holm=p_holm if len(pairs) > 1 else None)
    return [
        _row(group, None if i == j else _words(groups[j][0], group[0]), dict(zip(metrics, table[i], strict=True)))
        for i, (group, j) in enumerate(zip(groups, against, strict=True))
    ]


def _aligned(trials: Sequence[ScoredTrial]) -> list[ScoredTrial]:
    """The trials with their records in the order of the ids. Raises LfbtError unless these are the same for all."""
    if not trials:
        raise LfbtError("runs: no trials to compare; name run folders of probe or finetune")
    aligned = []
    for trial in trials:
        order = sorted(range(len(trial.ids)), key=trial.ids.__getitem__)
        ids, patients = (tuple(values[i] for i in order) for values in (trial.ids, trial.patients))
        targets, probabilities = trial.targets[order], trial.probabilities[order]
        aligned.append(
            dataclasses.replace(trial, ids=ids, patients=patients, targets=targets, probabilities=probabilities)
        )
    first = aligned[0]
    for trial in aligned[1:]:
        _check_comparable(first, trial)
    return aligned


def _check_comparable(one: ScoredTrial, other: ScoredTrial) -> None:
    both = f"runs: {one.folder} and {other.folder}"
    if one.results["synthetic"] != other.results["synthetic"]:
        raise LfbtError(f"{both}: one is of synthetic data, the other of real data; compare them apart")
    for what, mine, theirs in (
        ("classes", one.results["data"]["classes"], other.results["data"]["classes"]),
        ("tasks", [one.results["task"]], [other.results["task"]]),
    ):
        if mine != theirs:
            raise LfbtError(f"{both} have different {what}: {', '.join(mine)}; {', '.join(theirs)}; compare them apart")
    apart = len(set(one.ids) ^ set(other.ids))
    if apart:
        raise LfbtError(
            f"{both} were not tested on the same records: {apart} are in one of them only ({len(one.ids)} and "
            f"{len(other.ids)} records); compare runs of one data set and its splits"
        )
    labelled = int((one.targets != other.targets).any(axis=1).sum())
    owned = sum(a != b for a, b in zip(one.patients, other.patients, strict=True))
    for differ, what in ((labelled, "labels"), (owned, "patients")):
        if differ:
            raise LfbtError(
                f"{both} were tested on records with other {what}: {differ} of {len(one.ids)} differ; compare runs of "
                "one data set"
            )


def _grouped(trials: Sequence[ScoredTrial]) -> list[list[ScoredTrial]]:
    """The trials of each row, by seed. Raises LfbtError where they differ in more than that, or not even in that."""
    runs = list(dict.fromkeys(trial.run for trial in trials))
    groups: dict[tuple[str, float, str | None], list[ScoredTrial]] = {}
    for trial in trials:
        groups.setdefault(trial.row, []).append(trial)
    for group in groups.values():
        group.sort(key=lambda trial: trial.results["seed"])
        for one, other in itertools.pairwise(group):
            both = f"run {one.run}: {one.folder.name} and {other.folder.name}"
            for name in _SAME_IN_A_ROW:
                if one.results[name] != other.results[name]:
                    raise LfbtError(f"{both} differ in {name}, not in their seed only; name them as runs of their own")
            _check_alike(one.results, other.results, both)
            if one.results["seed"] == other.results["seed"]:
                raise LfbtError(f"{both} are of the same seed, {one.results['seed']}; name them as runs of their own")

    def place(group: list[ScoredTrial]) -> tuple[Any, ...]:
        first = group[0]
        return runs.index(first.run), -first.results["fraction"], -len(first.results["leads"]), first.row[2] or ""

    return sorted(groups.values(), key=place)


def _check_alike(one: dict[str, Any], other: dict[str, Any], both: str) -> None:
    """Raise LfbtError unless the encoders learned by one method and the settings are the same."""
    methods = [results["encoder"].get("history", {}).get("method") for results in (one, other)]
    if methods[0] != methods[1]:
        raise LfbtError(f"{both} have encoders of {methods[0]} and of {methods[1]}; name them as runs of their own")
    settings, others = one.get("settings", {}), other.get("settings", {})
    for name in sorted(settings.keys() & others.keys() - _FREE_IN_A_ROW):
        if settings[name] != others[name]:
            raise LfbtError(f"{both} differ in {name}, not in their seed only; name them as runs of their own")


def _figures(trial: ScoredTrial, weights: NDArray[np.int32], metrics: Sequence[str]) -> Array:
    """The `metrics` of a trial under `weights` ``[draws, records]``: ``[metrics, draws]``."""
    of_draws, _ = bootstrap_metrics(trial.probabilities, trial.targets, weights, trial.exclusive, trial.thresholds)
    return np.stack([of_draws[name] for name in metrics])


def _against(rows: Sequence[tuple[str, float, str | None]], baseline: str | None) -> list[int]:
    """Which row each is compared with; a row that is compared with none has its own number."""
    of_baseline = [i for i, row in enumerate(rows) if row[0] == (baseline or rows[0][0])]
    if not of_baseline:
        raise LfbtError(f"baseline: {baseline} is not one of the runs compared")
    if len({run for run, *_ in rows}) == 1:
        return [of_baseline[0]] * len(rows)
    alike = {rows[i][1:]: i for i in of_baseline}
    return [alike.get(row[1:], of_baseline[0]) for row in rows]


def _figure(of_seeds: Array, of_draws: Array) -> Figure:
    if np.isnan(of_seeds).any():
        return Figure(None, None, None, 0)
    sd = float(of_seeds.std(ddof=1)) if len(of_seeds) > 1 else None
    return Figure(float(of_seeds.mean()), sd, interval(of_draws, _LEVEL), n_counted(of_draws))


def _compared(figure: Figure, baseline: Figure, differences: Array) -> Figure:
    if figure.mean is None or baseline.mean is None:
        return figure
    # What is left of equal figures after rounding is no difference.
    differences, difference = np.round(differences, 12), round(figure.mean - baseline.mean, 12)
    return dataclasses.replace(
        figure,
        difference=difference,
        difference_interval=interval(differences, _LEVEL),
        p=paired_p(differences),
    )


def _row(group: Sequence[ScoredTrial], against: str | None, figures: dict[str, Figure]) -> Row:
    first = group[0].results
    kind = _KINDS.get(first["kind"], first["kind"]) + (f" ({first['classifier']})" if first["classifier"] else "")
    encoder = first["encoder"]
    return Row(
        run=group[0].run,
        kind=kind,
        encoder=str(encoder["history"].get("method") or encoder["checkpoint"]),
        leads=_leads(group[0]),
        fraction=first["fraction"],
        seeds=tuple(trial.results["seed"] for trial in group),
        training_records=tuple(trial.results["data"]["training_records"] for trial in group),
        synthetic=first["synthetic"],
        test_records=len(group[0].ids),
        test_patients=len(set(group[0].patients)),
        against=against,
        figures=figures,
    )


def _leads(trial: ScoredTrial) -> str:
    leads = trial.results["leads"]
    return trial.results["lead_subset"] or (",".join(leads) if len(leads) < 4 else f"{len(leads)} leads")


def _words(baseline: ScoredTrial, row: ScoredTrial) -> str:
    """The baseline's row in words: its run, and what else sets it apart from `row`."""
    apart = []
    if baseline.results["fraction"] != row.results["fraction"]:
        apart.append(f"fraction {baseline.results['fraction']:g}")
    if baseline.results["lead_subset"] != row.results["lead_subset"]:
        apart.append(_leads(baseline))
    return baseline.run + (f" ({', '.join(apart)})" if apart else "")


# --- forms of the table ---


def table_cells(rows: Sequence[Row]) -> list[list[str]]:
    """The table as text, its header first: mean ± SD over seeds and the interval, then the difference."""
    some, shown = any(row.against for row in rows), list(rows[0].figures)
    adjusted = any(figure.p_holm is not None for row in rows for figure in row.figures.values())
    run = "run (SYNTHETIC data)" if rows[0].synthetic else "run"
    header = [run, "kind", "encoder", "leads", "fraction", "training records", "seeds"]
    for name in shown:
        header += [metric_title(name), *(["difference", "p"] if some else []), *(["p (Holm)"] if adjusted else [])]
    cells = [header + (["against"] if some else [])]
    for row in rows:
        trained = sorted(set(row.training_records))
        records = f"{trained[0]} to {trained[-1]}" if len(trained) > 1 else str(trained[0])
        line = [row.run, row.kind, row.encoder, row.leads, f"{row.fraction:g}", records, str(len(row.seeds))]
        for name in shown:
            figure = row.figures[name]
            spread = "" if figure.sd is None else f" ± {figure.sd:.4f}"
            line.append(_number(figure.mean, ".4f") + spread + _range(figure.interval, ".4f"))
            if some:
                line.append(_number(figure.difference, "+.4f") + _range(figure.difference_interval, "+.4f"))
                line.append(_number(figure.p, ".3g"))
            if adjusted:
                line.append(_number(figure.p_holm, ".3g"))
        cells.append(line + ([row.against or "-"] if some else []))
    return cells


def metric_title(name: str) -> str:
    """What a metric is called in tables."""
    return _TITLES.get(name, name)


def table_note(rows: Sequence[Row], n_draws: int, seed: int) -> str:
    """What the figures of the table are, in one line."""
    first, figures = rows[0], [figure for row in rows for figure in row.figures.values()]
    lines = ["SYNTHETIC data."] if first.synthetic else []
    seeds = "Mean ± SD over training seeds" if any(len(row.seeds) > 1 for row in rows) else "One training seed"
    lines.append(
        f"{first.test_records} test records of {first.test_patients} patients. {seeds}; in brackets the {_LEVEL:.0%} "
        f"interval over {n_draws} draws of test patients (seed {seed})."
    )
    if any(row.against for row in rows):
        lines.append(
            "p: two-sided, of the paired difference over the same draws; it covers the choice of test patients, not of "
            "training seeds."
        )
    if any(figure.p_holm is not None for figure in figures):
        lines.append("p (Holm): adjusted for the rows compared, each metric by itself.")
    return " ".join(lines)


def as_csv(rows: Iterable[Row]) -> str:
    """Every number in full, a row a line: of each metric mean, SD, interval, difference, its interval and p-values."""
    lines = []
    for row in rows:
        line = dataclasses.asdict(row)
        figures = line.pop("figures")
        line |= {name: " ".join(map(str, line[name])) for name in ("seeds", "training_records")}
        for name, figure in figures.items():
            low, high = figure["interval"] or (None, None)
            difference_low, difference_high = figure["difference_interval"] or (None, None)
            line |= {
                name: figure["mean"],
                f"{name}_sd": figure["sd"],
                f"{name}_low": low,
                f"{name}_high": high,
                f"{name}_counted": figure["counted"],
                f"{name}_difference": figure["difference"],
                f"{name}_difference_low": difference_low,
                f"{name}_difference_high": difference_high,
                f"{name}_p": figure["p"],
                f"{name}_p_holm": figure["p_holm"],
            }
        lines.append(line)
    out = io.StringIO()
    writer = csv.DictWriter(out, lines[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _range(ends: Sequence[float] | None, form: str) -> str:
    return "" if ends is None else f" [{ends[0]:{form}}, {ends[1]:{form}}]"
