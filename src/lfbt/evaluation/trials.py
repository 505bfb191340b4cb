"""Trials of a classifier, one a fraction, seed and lead subset: their folders and their results."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lfbt
from lfbt.audit.fingerprints import FINGERPRINTS
from lfbt.audit.leakage import write_fingerprints
from lfbt.errors import LfbtError
from lfbt.evaluation.bootstrap import intervals
from lfbt.evaluation.classification import Task, describe_origin, rival_of, stated_settings
from lfbt.evaluation.classifiers import Fitted
from lfbt.evaluation.metrics import choose_thresholds, evaluate
from lfbt.evaluation.series import CURVE
from lfbt.evaluation.settings import ClassifySettings, ProbeSettings, TrialSettings
from lfbt.models.config import LeadDropout
from lfbt.models.encoder import LeadEncoders
from lfbt.models.heads import HEAD, save_head
from lfbt.models.pretrained import save_encoder
from lfbt.recording import STANDARD_LEADS
from lfbt.runs.history import HISTORY, FittingStep, write_history
from lfbt.runs.predictions import PREDICTIONS, Predictions
from lfbt.runs.results import (
    RESULTS,
    SERIES_TABLE,
    LabelledData,
    Results,
    Scores,
    SubsetScores,
)
from lfbt.runs.run_folder import ENCODER_FOLDER, REPORT, SETTINGS, RunSettings, acquire_run_folder, began_with
from lfbt.sources.listing import SPLITS
from lfbt.utils.files import PARTIAL, Outputs, atomic_folder
from lfbt.utils.finished import holding_target
from lfbt.utils.progress import progress_bar
from lfbt.utils.settings import Affects, names_affecting, to_dict

#: Names for several leads; a subset has those of them that the encoder has. There are "all" and "each", too.
NAMED_SUBSETS = {"limb": STANDARD_LEADS[:6], "chest": STANDARD_LEADS[6:]}

_SPLITS = "splits.csv"
_OUTPUTS = Outputs(
    RESULTS,
    (
        *(PREDICTIONS, HISTORY, REPORT, _SPLITS, "X_*.npy", "y_*.npy"),
        *(f"{ENCODER_FOLDER}/{name}" for name in ("config.json", "model.safetensors", FINGERPRINTS)),
        *(f"{HEAD}/{name}" for name in ("config.json", "model.safetensors")),
    ),
    needed=(PREDICTIONS,),
)

# What a trial cannot be without.
_WEIGHTS = ("config.json", "model.safetensors")
_WITHOUT_HEAD = ("knn", "boosting")
_REMEDY = "remove this folder, and the same command makes it anew"

_SERIES_OUTPUTS = Outputs(
    SETTINGS,
    (SERIES_TABLE, CURVE, REPORT, *(f"*fraction-*-seed-*/{name}" for name in (*_OUTPUTS.files, _OUTPUTS.manifest))),
)


@dataclasses.dataclass(frozen=True)
class Subset:
    """Some of the encoder's leads, and the name of these."""

    name: str
    leads: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training of a classifier. subset: None for all of the encoder's leads where no subset was asked for."""

    folder: Path
    fraction: float
    seed: int
    subset: Subset | None = None


def list_trials(
    settings: TrialSettings, lead_subsets: Sequence[Sequence[str]] = (), leads: Sequence[str] = ()
) -> list[Trial]:
    """List the trials of `settings`, of each subset of `leads` that `lead_subsets` names.

    A single trial has the run folder itself, several have folders in it. Raises LfbtError for leads that are not there.
    """
    trials = []
    for subset in _subsets(lead_subsets, leads) or (None,):
        for fraction in settings.fraction:
            for seed in settings.seeds:
                name = f"fraction-{np.format_float_positional(fraction, trim='-')}-seed-{seed}"
                if subset is not None:
                    name = f"leads-{subset.name.replace(',', '-')}-{name}"
                trials.append(Trial(settings.run_dir / name, fraction, seed, subset))
    if len(trials) == 1:
        trials = [dataclasses.replace(trials[0], folder=settings.run_dir)]
    return trials


def plan_dropout(settings: ClassifySettings, leads: Sequence[str]) -> LeadDropout | None:
    """The subsets of `leads` that one classifier is trained to serve, too; None without dropout.

    Raises LfbtError for leads that are not there, and where there is no subset but all leads.
    """
    if not settings.leads_dropout:
        return None
    subsets: dict[str, tuple[str, ...]] = {}
    for subset in _subsets(settings.lead_subsets, leads):
        ordered = tuple(lead for lead in leads if lead in subset.leads)
        if len(ordered) < len(leads) and ordered not in subsets.values():
            subsets[subset.name] = ordered
    if not subsets:
        raise LfbtError(
            f"lead_subsets: {' '.join(map(','.join, settings.lead_subsets))} is all of the encoder's "
            f"{','.join(leads)}, which are served anyway; name fewer leads"
        )
    return LeadDropout(settings.leads_dropout, subsets)


def _subsets(wanted: Sequence[Sequence[str]], leads: Sequence[str]) -> list[Subset]:
    """The subsets of `leads` that are `wanted` by name. Raises LfbtError for leads that the encoder does not have."""
    found: dict[str, Subset] = {}
    named = NAMED_SUBSETS | {"all": tuple(leads)}
    for names in wanted:
        if tuple(names) == ("each",):
            found |= {lead: Subset(lead, (lead,)) for lead in leads}
            continue
        word = ",".join(names)
        chosen = [lead for lead in leads if lead in named[word]] if word in named else names
        absent = [lead for lead in chosen if lead not in leads]
        if absent or not chosen:
            raise LfbtError(
                f"lead_subsets: {word}: the encoder has {','.join(leads)}; name some of these, or each, limb, chest, "
                "all"
            )
        found[word] = Subset(word, tuple(chosen))
    return list(found.values())


@contextlib.contextmanager
def series_folder(settings: ClassifySettings, task: Task, trials: Sequence[Trial]) -> Iterator[None]:
    """Hold the run folder while several trials are written into it. A single one writes its folder at its end.

    Raises FinishedError where nothing is left to do, LfbtError for a folder that holds other results, and as
    `acquire_run_folder` does.
    """
    if len(trials) == 1:
        folder = trials[0].folder
        stated = functools.partial(stated_settings, settings, task)
        with holding_target(folder, _OUTPUTS, settings.trials.overwrite, stated, lambda: _check_complete(folder)):
            yield
        return
    checkpoint = settings.task.checkpoint
    is_inside = checkpoint is not None and checkpoint.resolve().is_relative_to(settings.trials.run_dir.resolve())
    if settings.trials.overwrite and is_inside:
        raise LfbtError(f"overwrite: {settings.trials.run_dir} holds the checkpoint {checkpoint}; name a new folder")
    values = to_dict(settings)
    del values["resume"], values["overwrite"]
    run_dir = settings.trials.run_dir
    if rival_of(settings) is None:
        values.pop("rival", None)
    # What earlier versions did not have is left out at its default: a series of theirs goes on.
    for name, default in (("leads_dropout", 0.0), ("features", "paper")):
        if name not in values or began_with(run_dir, name):
            continue
        if values[name] == default:
            del values[name]
        elif settings.trials.resume and began_with(run_dir, name) is False:
            raise LfbtError(
                f"resume: {name} is {values[name]} but was {default} in {run_dir}; give the run's own settings"
            )
    if "leads_dropout" not in values and not isinstance(settings, ProbeSettings):
        del values["lead_subsets"]
    run_settings = RunSettings(
        lfbt_version=lfbt.__version__,
        settings=values,
        kind=settings.kind,
        data_hash=task.dataset.hash,
        encoder=task.weights_hash,
        synthetic=task.dataset.synthetic,
        names_assumed=task.dataset.names_assumed,
    )
    free = names_affecting(type(settings), Affects.RUNTIME, Affects.PROCESS, Affects.LOCATION)
    replaces = _SERIES_OUTPUTS if settings.trials.overwrite else None

    def is_complete() -> bool:
        return all(map(is_finished, trials)) and (run_dir / SERIES_TABLE).is_file() and (run_dir / CURVE).is_file()

    with acquire_run_folder(run_dir, run_settings, free, settings.trials.resume, replaces, is_complete):
        # Trials that were being written when the run was killed.
        for partial in run_dir.glob(PARTIAL):
            shutil.rmtree(partial)
        if all(map(is_finished, trials)):
            with progress_bar(len(trials), settings.kind) as bar:
                bar.write(
                    f"{run_dir} is finished: all {len(trials)} trials were done before; for others begin a new run"
                )
        try:
            yield
        except KeyboardInterrupt as stop:
            stop.add_note("finished trials are kept; the same command goes on")
            raise


def is_finished(trial: Trial) -> bool:
    """Whether the trial's folder is there: it is written completely or not at all.

    Raises LfbtError where a part of it is lost.
    """
    if (trial.folder / RESULTS).is_file():
        _check_complete(trial.folder)
        return True
    if trial.folder.is_dir() and any(trial.folder.iterdir()):
        raise LfbtError(f"{trial.folder}: has no {RESULTS}; {_REMEDY}")
    return False


def _check_complete(folder: Path) -> None:
    """Raise LfbtError where a finished trial lacks what it was written with."""
    results = Results.load(folder)
    names = [PREDICTIONS, HISTORY, _SPLITS]
    if not (results.folds or results.lead_subset or results.settings.get("rival")):
        names += [f"{ENCODER_FOLDER}/{name}" for name in _WEIGHTS]
        names += [f"{HEAD}/{name}" for name in _WEIGHTS if results.classifier not in _WITHOUT_HEAD]
    if lost := [name for name in names if not (folder / name).is_file()]:
        raise LfbtError(f"{folder}: has {RESULTS}, but no {', '.join(lost)} any more; {_REMEDY}")
    n_records = len(Predictions.load(folder, results.data.classes).ids)
    if n_records != results.test.records:
        raise LfbtError(f"{folder / PREDICTIONS}: has {n_records} of {results.test.records} records; {_REMEDY}")


def unfinished(settings: TrialSettings, trials: Sequence[Trial]) -> list[Trial]:
    """Those of `trials` that are left to do: one that is to be overwritten is, too."""
    return [trial for trial in trials if settings.overwrite or not is_finished(trial)]


def load_results(trials: Sequence[Trial]) -> list[Results]:
    """Read the results of finished trials."""
    return [Results.load(trial.folder) for trial in trials]


def write_results(
    settings: ClassifySettings,
    task: Task,
    trial: Trial,
    folds: Sequence[Fitted],
    encoder: LeadEncoders,
    arrays: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Score validation and test once each and write the trial's folder, completely or not at all.

    Thresholds are chosen on validation. Of several folds the probabilities of all test records are pooled and scored
    together, without thresholds.

    The folder holds ``results.json``, ``predictions.csv`` (test records), ``history.jsonl``, ``splits.csv`` and each of
    `arrays` as ``.npy``; and the encoder and the head where there is one of each: not of folds, lead subsets or rivals.
    """
    results = _results(settings, task, trial, folds)
    replaces = _OUTPUTS if settings.trials.overwrite else None
    # The folder of a single trial is held since before it began.
    is_single = trial.folder == settings.trials.run_dir
    with atomic_folder(trial.folder, replaces=replaces, is_held=is_single) as folder:
        for name, array in (arrays or {}).items():
            np.save(folder / f"{name}.npy", array)
        _predictions(task, folds).save(folder)
        _splits(task.dataset.ids, folds).to_csv(folder / _SPLITS, index=False)
        write_history(folder, _history(folds))
        if len(folds) == 1 and trial.subset is None and rival_of(settings) is None:
            start = dataclasses.asdict(results.encoder)
            save_encoder(folder / ENCODER_FOLDER, encoder, {"kind": settings.kind, "start": start})
            rows = folds[0].rows
            trained_on = None if settings.kind == "probe" else np.concatenate([rows["train"], rows["val"]])
            write_fingerprints(settings.task.checkpoint, folder / ENCODER_FOLDER, task.dataset, trained_on)
            if folds[0].head is not None:
                save_head(folder / HEAD, folds[0].head, task.dataset.classes)
        results.save(folder)


def _results(settings: ClassifySettings, task: Task, trial: Trial, folds: Sequence[Fitted]) -> Results:
    dataset, subset, counts = task.dataset, trial.subset, _counts(task, folds)
    losses = [fold.val_loss for fold in folds if fold.val_loss is not None]
    test, val = _scores(task, folds)
    dropout = None if folds[0].head is None else folds[0].head.lead_dropout
    return Results(
        kind=settings.kind,
        lfbt_version=lfbt.__version__,
        synthetic=dataset.synthetic,
        data=LabelledData(
            folder=dataset.folder.name,
            hash=dataset.hash,
            names_assumed=dataset.names_assumed,
            classes=list(dataset.classes),
            training_records=round(float(np.mean([len(fold.rows["train"]) for fold in folds]))),
            counts=counts,
        ),
        task="single-label" if task.exclusive else "multi-label",
        leads=list(task.config.leads if subset is None else subset.leads),
        lead_subset=None if subset is None else subset.name,
        encoder=describe_origin(settings, task, trial.seed),
        classifier=settings.fitting.classifier if isinstance(settings, ProbeSettings) else None,
        fraction=trial.fraction,
        seed=trial.seed,
        folds=settings.trials.folds or None,
        settings=to_dict(settings),
        chosen=folds[0].chosen if len(folds) == 1 else [fold.chosen for fold in folds],
        val_loss=float(np.mean(losses)) if losses else None,
        test=test,
        val=val,
        weights_hash=task.weights_hash,
        by_lead_subset={
            name: SubsetScores(list(leads), *_scores(task, folds, name))
            for name, leads in (dropout.subsets if dropout else {}).items()
        },
    )


def _scores(task: Task, folds: Sequence[Fitted], subset: str | None = None) -> tuple[Scores, Scores | None]:
    """Scores of the test, with intervals, and of validation, if it has records; of all leads, or of a subset served."""
    classes, exclusive = task.dataset.classes, task.exclusive
    val_rows, val = _pooled(folds, "val", subset)
    rows, probabilities = _pooled(folds, "test", subset)
    targets, patients = task.targets[rows], [task.dataset.patients[row] for row in rows]
    thresholds = choose_thresholds(val, task.targets[val_rows]) if len(folds) == 1 and len(val_rows) else None
    val_scores = evaluate(val, task.targets[val_rows], classes, thresholds, exclusive) if len(val_rows) else None
    test_scores = evaluate(probabilities, targets, classes, thresholds, exclusive)
    bounds = intervals(probabilities, targets, patients, exclusive, thresholds, classes=classes)
    return dataclasses.replace(test_scores, intervals=bounds), val_scores


def _predictions(task: Task, folds: Sequence[Fitted]) -> Predictions:
    rows, probabilities = _pooled(folds, "test")
    dataset = task.dataset
    return Predictions(
        ids=tuple(dataset.ids[row] for row in rows),
        patients=tuple(dataset.patients[row] for row in rows),
        labels=tuple(dataset.labels[row] for row in rows),
        classes=dataset.classes,
        probabilities=probabilities,
    )


def _history(folds: Sequence[Fitted]) -> list[FittingStep]:
    """The steps of all folds; only of several do they have the fold's number."""
    if len(folds) == 1:
        return folds[0].history
    return [dataclasses.replace(step, fold=number) for number, fold in enumerate(folds) for step in fold.history]


def _pooled(
    folds: Sequence[Fitted], split: str, subset: str | None = None
) -> tuple[NDArray[np.int64], NDArray[np.floating[Any]]]:
    """The rows of a split over all folds, in order, and their probabilities."""
    rows = np.concatenate([fold.rows[split] for fold in folds])
    order = np.argsort(rows, kind="stable")
    of_folds = [fold.probabilities if subset is None else fold.by_subset[subset] for fold in folds]
    found = [known[split] for known, fold in zip(of_folds, folds, strict=True) if len(fold.rows[split])]
    return rows[order], np.concatenate(found)[order] if found else np.empty((0, 0))


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
