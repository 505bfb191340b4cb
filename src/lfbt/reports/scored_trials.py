"""Trials of classifiers with their test predictions: read from run folders, checked to compare, grouped by seed."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError
from lfbt.evaluation.bootstrap import Array
from lfbt.evaluation.settings import FinetuneSettings, ProbeSettings
from lfbt.runs.predictions import PREDICTIONS, Predictions
from lfbt.runs.results import RESULTS, Results
from lfbt.utils.figures import format_count, format_names
from lfbt.utils.settings import Affects, names_affecting, names_without_effect

# All trials of one row agree in these.
_SAME_IN_A_ROW = ("kind", "classifier", "folds", "leads")
_CLASSIFIERS_OWN = (Affects.TRIAL, Affects.RUNTIME, Affects.PROCESS, Affects.LOCATION)


@dataclasses.dataclass(frozen=True)
class ScoredTrial:
    """A trial of a classifier and the predictions on its test records, sorted by id.

    Parameters
    ----------
    run
        Name of the run that it is part of.
    folder
        Its own folder.
    results
        Its settings and scores.
    predictions
        Ids, patients, labels and probabilities of its test records.
    thresholds
        Of each class ``[classes]``, NaN for a class without one; None where no class has one.
    """

    run: str
    folder: Path
    results: Results
    predictions: Predictions
    thresholds: Array | None

    @functools.cached_property
    def targets(self) -> NDArray[np.bool_]:
        """Which classes every record has ``[records, classes]``."""
        return self.predictions.targets()

    @property
    def row(self) -> tuple[str, float, str | None]:
        """What the trials of one row have in common: run, fraction and lead subset."""
        return self.run, self.results.fraction, self.results.lead_subset


def open_trials(folder: Path, run: str | None = None) -> list[ScoredTrial]:
    """Read the trials of a run folder: itself, or the folders directly below it.

    Parameters
    ----------
    folder
        Run folder of ``lfbt probe`` or ``lfbt finetune``.
    run
        Name of the run; by default the folder's.

    Raises
    ------
    LfbtError
        For a folder without trials, and for a trial with a missing or corrupt file, which is named.
    """
    places = [folder]
    if not (folder / RESULTS).is_file():
        # A folder whose name begins with a dot is still being written.
        places = sorted(path.parent for path in folder.glob(f"*/{RESULTS}") if not path.parent.name.startswith("."))
    if not folder.exists():
        raise LfbtError(f"run: {folder} does not exist; give run folders of probe or finetune")
    if not places:
        raise LfbtError(
            f"run: {folder} holds no trial of a classifier (neither it nor a folder in it has {RESULTS}); give run "
            "folders of probe or finetune"
        )
    return [_open_trial(place, run or folder.resolve().name) for place in places]


def _open_trial(folder: Path, run: str) -> ScoredTrial:
    results = Results.load(folder)
    classes, per_class = results.data.classes, results.test.per_class
    unscored = [name for name in classes if name not in per_class]
    if unscored:
        raise LfbtError(f"{folder / RESULTS}: field test.per_class: no class {unscored[0]}; run it again")
    predictions = _sorted_by_id(Predictions.load(folder, classes))
    if results.exclusive and any(len(labels) != 1 for labels in predictions.labels):
        raise LfbtError(f"{folder / PREDICTIONS}: has records without exactly one label; run it again")
    thresholds = np.array([per_class[name].threshold for name in classes], dtype=np.float64)
    # In a multi-label task None would stand for thresholds of 0.5; a class whose threshold is NaN is never predicted.
    known = None if results.exclusive and np.isnan(thresholds).all() else thresholds
    return ScoredTrial(run, folder, results, predictions, known)


def _sorted_by_id(predictions: Predictions) -> Predictions:
    order = sorted(range(len(predictions.ids)), key=predictions.ids.__getitem__)
    return dataclasses.replace(
        predictions,
        ids=tuple(predictions.ids[i] for i in order),
        patients=tuple(predictions.patients[i] for i in order),
        labels=tuple(predictions.labels[i] for i in order),
        probabilities=predictions.probabilities[order],
    )


def check_comparable(trials: Sequence[ScoredTrial]) -> None:
    """Raise LfbtError unless all `trials` were tested on the same records with the same labels, real or synthetic."""
    if not trials:
        raise LfbtError("runs: no trials to compare; name run folders of probe or finetune")
    for other in trials[1:]:
        _check_pair(trials[0], other)


def _check_pair(one: ScoredTrial, other: ScoredTrial) -> None:
    data = one.results.data.folder, other.results.data.folder
    both = f"runs: {one.folder} and {other.folder}" + (f" (of {data[0]} and {data[1]})" if data[0] != data[1] else "")
    if one.results.synthetic != other.results.synthetic:
        raise LfbtError(f"{both}: one is of synthetic data, the other of real data; compare them apart")
    for what, mine, theirs in (
        ("classes", one.results.data.classes, other.results.data.classes),
        ("tasks", [one.results.task], [other.results.task]),
    ):
        if mine != theirs:
            raise LfbtError(
                f"{both} have different {what}: {format_names(mine, 10)}; {format_names(theirs, 10)}; compare them "
                "apart"
            )
    ids, others = one.predictions.ids, other.predictions.ids
    n_apart = len(set(ids) ^ set(others))
    if n_apart:
        raise LfbtError(
            f"{both} were not tested on the same records: {n_apart} are in one of them only ({len(ids)} and "
            f"{format_count(len(others), 'record')}); compare runs of one data set and its splits"
        )
    n_labels = int((one.targets != other.targets).any(axis=1).sum())
    n_patients = sum(a != b for a, b in zip(one.predictions.patients, other.predictions.patients, strict=True))
    for n_differing, what in ((n_labels, "labels"), (n_patients, "patients")):
        if n_differing:
            raise LfbtError(
                f"{both} were tested on records with other {what}: {n_differing} of {len(ids)} differ; compare runs of "
                "one data set"
            )


def group_trials(trials: Sequence[ScoredTrial]) -> list[list[ScoredTrial]]:
    """Group trials of one run, fraction and lead subset, by seed in each group.

    Groups stand in the order of their runs, then larger fractions and more leads first.

    Raises
    ------
    LfbtError
        For trials of a group that differ in more than their seed, or are of the same seed.
    """
    groups: dict[tuple[str, float, str | None], list[ScoredTrial]] = {}
    for trial in trials:
        groups.setdefault(trial.row, []).append(trial)
    for group in groups.values():
        group.sort(key=lambda trial: trial.results.seed)
        for one, other in itertools.pairwise(group):
            _check_seeds_of_one_row(one, other)
    runs = list(dict.fromkeys(trial.run for trial in trials))

    def place(group: list[ScoredTrial]) -> tuple[Any, ...]:
        first = group[0].results
        return runs.index(group[0].run), -first.fraction, -len(first.leads), first.lead_subset or ""

    return sorted(groups.values(), key=place)


def _check_seeds_of_one_row(one: ScoredTrial, other: ScoredTrial) -> None:
    both, mine, theirs = f"run {one.run}: {one.folder.name} and {other.folder.name}", one.results, other.results
    apart = "name them as runs of their own"
    for name in _SAME_IN_A_ROW:
        if getattr(mine, name) != getattr(theirs, name):
            raise LfbtError(f"{both} differ in {name}, not in their seed only; {apart}")
    methods = [results.encoder.history.get("method") for results in (mine, theirs)]
    if methods[0] != methods[1]:
        raise LfbtError(f"{both} have encoders of {methods[0]} and of {methods[1]}; {apart}")
    free = free_in_a_row() | names_without_effect(ProbeSettings, mine.settings)
    for name in sorted(mine.settings.keys() & theirs.settings.keys() - free):
        if mine.settings[name] != theirs.settings[name]:
            raise LfbtError(f"{both} differ in {name}, not in their seed only; {apart}")
    if mine.seed == theirs.seed:
        raise LfbtError(f"{both} are of the same seed, {mine.seed}; {apart}")


def free_in_a_row() -> frozenset[str]:
    """Names of the settings that may differ between trials of one row: which trial it is, where and how it ran.

    And how patients were dealt to folds: chance as a seed is. Trials of other test records are never compared.
    """
    return (
        frozenset({"split_seed"})
        | names_affecting(ProbeSettings, *_CLASSIFIERS_OWN)
        | names_affecting(FinetuneSettings, *_CLASSIFIERS_OWN)
    )
