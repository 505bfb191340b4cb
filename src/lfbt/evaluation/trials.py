"""Trials of a classifier, one a fraction, seed and lead subset: their folders, their results, and a table of all."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import lfbt
from lfbt.audit.leakage import write_fingerprints
from lfbt.evaluation.bootstrap import intervals
from lfbt.evaluation.classification import ClassifySettings, Rows, Task
from lfbt.evaluation.metrics import choose_thresholds, evaluate
from lfbt.models.encoder import LeadEncoders
from lfbt.models.heads import HEAD, Head, save_head
from lfbt.models.pretrained import load_history, save_encoder, weights_hash
from lfbt.runs.history import HISTORY
from lfbt.runs.run_folder import ENCODER_FOLDER, PREDICTIONS, RESULTS, TABLE, acquire_run_folder
from lfbt.runs.settings import RunSettings
from lfbt.sources.listing import SPLITS
from lfbt.utils.files import PARTIAL, atomic_file, atomic_folder, check_unoccupied
from lfbt.utils.json_files import read_json, write_json

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


#: What a run folder with several trials has besides their folders.
CURVE = "curve.png"


@dataclasses.dataclass(frozen=True)
class Subset:
    """Some of the encoder's leads, and what they are called together."""

    name: str
    leads: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training of a classifier. subset: None for all of the encoder's leads, without being asked for them."""

    folder: Path
    fraction: float
    seed: int
    subset: Subset | None = None


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A trained classifier of one fold, and how it came to be.

    probabilities: ``[records, classes]`` of the rows of validation, if there are any, and of the test; chosen: what was
    chosen on validation; head: None where the classifier is not linear.
    """

    rows: Rows
    probabilities: dict[str, NDArray[np.floating[Any]]]
    history: list[dict[str, float]]
    chosen: dict[str, float]
    val_loss: float | None
    head: Head | None = None


def list_trials(settings: ClassifySettings, subsets: Sequence[Subset] = ()) -> list[Trial]:
    """All trials that `settings` ask for: one has the run folder itself, several have folders in it.

    Raises LfbtError when the run folder holds other results.
    """
    found = []
    for subset in subsets or (None,):
        for fraction in settings.fraction:
            for seed in settings.seeds:
                name = f"fraction-{np.format_float_positional(fraction, trim='-')}-seed-{seed}"
                if subset is not None:
                    name = f"leads-{subset.name.replace(',', '-')}-{name}"
                found.append(Trial(settings.run_dir / name, fraction, seed, subset))
    if len(found) == 1:
        check_unoccupied(settings.run_dir)
        found = [dataclasses.replace(found[0], folder=settings.run_dir)]
    return found


@contextlib.contextmanager
def series_folder(kind: str, settings: ClassifySettings, task: Task, trials: Sequence[Trial]) -> Iterator[None]:
    """Hold the run folder while several trials write into it. A single one writes all of it at once, at its end.

    Raises LfbtError as `run_folder` does.
    """
    if len(trials) == 1:
        yield
        return
    content = dataclasses.asdict(settings)
    del content["resume"]
    encoder = None if task.loaded is None else weights_hash(task.loaded)
    known = RunSettings(lfbt.__version__, content, kind, data_hash=task.dataset.hash, encoder=encoder)
    free = frozenset({"data_dir", "run_dir", "checkpoint", "device", "workers", "allow_test_records"})
    with acquire_run_folder(settings.run_dir, known, free, settings.resume):
        # A trial that a kill interrupted while it was written.
        for half in settings.run_dir.glob(PARTIAL):
            shutil.rmtree(half)
        yield


def finished(trial: Trial) -> bool:
    """Whether the trial's folder is there: it is written whole or not at all."""
    return (trial.folder / RESULTS).is_file()


def results_of(trial: Trial) -> dict[str, Any]:
    """The results of a finished trial."""
    return read_json(trial.folder / RESULTS)


def series_table(all_results: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a lead subset and fraction: how many trials, and mean and standard deviation over their seeds.

    The deviation is that of a sample (n − 1), and missing with one seed.
    """
    import pandas as pd

    rows = [
        {
            "leads": results["lead_subset"] or ",".join(results["leads"]),
            "fraction": results["fraction"],
            "training records": results["data"]["training_records"],
            "AUROC": results["test"]["auroc"],
            "AUPRC": results["test"]["auprc"],
        }
        for results in all_results
    ]
    # Without a class to score there are no figures.
    scored = pd.DataFrame(rows).astype({"AUROC": float, "AUPRC": float})
    groups = scored.groupby(["leads", "fraction"], sort=False)
    table = groups.agg(
        **{
            "training records": ("training records", lambda counts: round(counts.mean())),
            "seeds": ("AUROC", "size"),
            "AUROC": ("AUROC", "mean"),
            "AUROC sd": ("AUROC", "std"),
            "AUPRC": ("AUPRC", "mean"),
            "AUPRC sd": ("AUPRC", "std"),
        }
    )
    return table.reset_index()


def write_series(run_dir: Path, trials: Sequence[Trial]) -> None:
    """Write what several trials came to: ``results.csv``, and ``curve.png`` over fractions or lead subsets."""
    if len(trials) == 1:
        return
    all_results = [results_of(trial) for trial in trials]
    table = series_table(all_results)
    with atomic_file(run_dir / TABLE) as partial:
        table.to_csv(partial, index=False)
    with atomic_file(run_dir / CURVE) as partial:
        _curve(table, all_results[0]).savefig(partial, format="png", dpi=110)


def _curve(table: pd.DataFrame, results: Mapping[str, Any]) -> Figure:
    """Test AUROC and AUPRC, with the standard deviation over seeds: over fractions, or of each lead subset."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    by_fraction = table["fraction"].nunique() > 1
    for axes, name in zip(panels, ("AUROC", "AUPRC"), strict=True):
        if by_fraction:
            for leads, rows in table.groupby("leads", sort=False):
                rows = rows.sort_values("fraction")
                axes.errorbar(rows["fraction"], rows[name], rows[f"{name} sd"].fillna(0), marker="o", label=leads)
            axes.set(xscale="log", xlabel="fraction of the training patients", ylabel=f"macro {name}")
            axes.set_xticks(sorted(table["fraction"].unique()), [f"{x:g}" for x in sorted(table["fraction"].unique())])
            axes.minorticks_off()
        else:
            axes.errorbar(table[name], table["leads"], xerr=table[f"{name} sd"].fillna(0), fmt="o")
            axes.invert_yaxis()
            axes.set(xlabel=f"macro {name}")
    if by_fraction and table["leads"].nunique() > 1:
        panels[0].legend(frameon=False)
    title = f"{results['kind']}, {results['test']['records']} test records"
    figure.suptitle(title + (", SYNTHETIC data" if results["synthetic"] else ""))
    return figure


def encoder_start(checkpoint: Path | None, seed: int) -> dict[str, Any]:
    """Where an encoder came from: the checkpoint's name and history, or the seed of random weights."""
    if checkpoint is None:
        return {"checkpoint": None, "history": {"method": "random", "seed": seed}}
    return {"checkpoint": checkpoint.resolve().name, "history": load_history(checkpoint)}


def write_results(
    kind: str,
    settings: ClassifySettings,
    task: Task,
    trial: Trial,
    folds: Sequence[Fitted],
    encoder: LeadEncoders,
    arrays: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Score validation and test once each and write the trial's folder, whole or not at all.

    Thresholds are chosen on validation. Of several folds the probabilities of all test records are pooled and scored
    together, without thresholds.

    The folder holds ``results.json``, ``predictions.csv`` (test records), ``history.jsonl``, ``splits.csv`` and each of
    `arrays` as ``.npy``; and the encoder and the head where there is one of each: not of folds or of lead subsets.
    """
    import pandas as pd

    dataset, classes, exclusive = task.dataset, task.dataset.classes, task.exclusive
    rows, pooled = _pooled(folds, "test")
    targets = task.targets[rows]
    val_rows, val = _pooled(folds, "val")
    thresholds = choose_thresholds(val, task.targets[val_rows]) if len(folds) == 1 and len(val_rows) else None
    scores: dict[str, Any] = {"test": evaluate(pooled, targets, classes, thresholds, exclusive), "val": None}
    if len(val_rows):
        scores["val"] = evaluate(val, task.targets[val_rows], classes, thresholds, exclusive)
    patients = [dataset.patients[row] for row in rows]
    scores["test"]["intervals"] = intervals(pooled, targets, patients, exclusive, thresholds, classes=classes)
    start = encoder_start(settings.checkpoint, trial.seed)
    subset = trial.subset
    results = {
        "kind": kind,
        "lfbt_version": lfbt.__version__,
        "synthetic": dataset.synthetic,
        "data": {
            "folder": dataset.folder.name,
            "hash": dataset.hash,
            "names_assumed": dataset.names_assumed,
            "classes": list(classes),
            "training_records": round(float(np.mean([len(fold.rows["train"]) for fold in folds]))),
            "counts": _counts(task, folds),
        },
        "task": "single-label" if exclusive else "multi-label",
        "leads": list(task.config.leads if subset is None else subset.leads),
        "lead_subset": None if subset is None else subset.name,
        "encoder": start,
        "classifier": getattr(settings, "classifier", None),
        "fraction": trial.fraction,
        "seed": trial.seed,
        "folds": settings.folds or None,
        "settings": dataclasses.asdict(settings),
        "chosen": folds[0].chosen if len(folds) == 1 else [fold.chosen for fold in folds],
        "val_loss": _mean_loss(folds),
        **scores,
    }
    predictions = pd.DataFrame(pooled, columns=[f"p_{name}" for name in classes])
    predictions.insert(0, "id", [dataset.ids[row] for row in rows])
    predictions.insert(1, "patient", patients)
    predictions.insert(2, "label", [";".join(dataset.labels[row]) for row in rows])
    with atomic_folder(trial.folder) as folder:
        for name, array in (arrays or {}).items():
            np.save(folder / f"{name}.npy", array)
        predictions.to_csv(folder / PREDICTIONS, index=False)
        _splits(dataset.ids, folds).to_csv(folder / "splits.csv", index=False)
        lines = [
            ({} if len(folds) == 1 else {"fold": i}) | line for i, fold in enumerate(folds) for line in fold.history
        ]
        (folder / HISTORY).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        if len(folds) == 1 and subset is None:
            save_encoder(folder / ENCODER_FOLDER, encoder, {"kind": kind, "start": start})
            learned = None if kind == "probe" else np.concatenate([folds[0].rows["train"], folds[0].rows["val"]])
            write_fingerprints(settings.checkpoint, folder / ENCODER_FOLDER, task.dataset, learned)
            if folds[0].head is not None:
                save_head(folder / HEAD, folds[0].head, classes)
        write_json(folder / RESULTS, results)


def _pooled(folds: Sequence[Fitted], split: str) -> tuple[NDArray[np.int64], NDArray[np.floating[Any]]]:
    """The rows of a split over all folds, in order, and their probabilities."""
    rows = np.concatenate([fold.rows[split] for fold in folds])
    order = np.argsort(rows, kind="stable")
    found = [fold.probabilities[split] for fold in folds if len(fold.rows[split])]
    return rows[order], np.concatenate(found)[order] if found else np.empty((0, 0))


def _mean_loss(folds: Sequence[Fitted]) -> float | None:
    losses = [fold.val_loss for fold in folds if fold.val_loss is not None]
    return float(np.mean(losses)) if losses else None


def _counts(task: Task, folds: Sequence[Fitted]) -> dict[str, dict[str, int]]:
    """Records of each class in each split; of several folds only of the test, which is all records."""
    splits = SPLITS if len(folds) == 1 else ("test",)
    counts = {split: task.targets[_pooled_rows(folds, split)].sum(axis=0) for split in splits}
    return {
        split: {name: int(n) for name, n in zip(task.dataset.classes, of_split, strict=True)}
        for split, of_split in counts.items()
    }


def _pooled_rows(folds: Sequence[Fitted], split: str) -> NDArray[np.int64]:
    return np.sort(np.concatenate([fold.rows[split] for fold in folds]))


def _splits(ids: Sequence[str], folds: Sequence[Fitted]) -> Any:
    """A table of which record was used for what, in each fold."""
    import pandas as pd

    used = [
        (ids[row], split, number)
        for number, fold in enumerate(folds)
        for split, rows in fold.rows.items()
        for row in rows
    ]
    table = pd.DataFrame(used, columns=["id", "split", "fold"])
    return table if len(folds) > 1 else table.drop(columns="fold")
