"""What the training of a classifier came to: ``results.json``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from lfbt.utils import json_files

#: The file of a trial's folder that is written last: with it the trial is finished.
RESULTS = "results.json"
_FORMAT = 1

#: ``(low, high)``; None where no draw has the figure.
Interval = tuple[float, float] | None


@dataclasses.dataclass(frozen=True)
class ClassScores:
    """Figures of one class against the rest; None where the class has no records on either side, or no threshold.

    prior: share of positives, the AUPRC of guessing; threshold: above it the class is predicted.
    """

    records: int
    prior: float
    auroc: float | None
    auprc: float | None
    threshold: float | None
    sensitivity: float | None
    specificity: float | None
    f1: float | None


@dataclasses.dataclass(frozen=True)
class ClassIntervals:
    """Intervals of one class's figures, and in how many of the draws these exist."""

    auroc: Interval
    auprc: Interval
    counted: int


@dataclasses.dataclass(frozen=True)
class Intervals:
    """Percentile intervals of `level` over `n_draws` bootstrap draws of patients.

    counted: in how many of the draws each figure exists.
    """

    level: float
    n_draws: int
    seed: int
    patients: int
    auroc: Interval
    auprc: Interval
    accuracy: Interval
    f1: Interval
    balanced_accuracy: Interval
    sensitivity: Interval
    specificity: Interval
    counted: dict[str, int]
    per_class: dict[str, ClassIntervals]


@dataclasses.dataclass(frozen=True)
class Scores:
    """Figures of a split: means over classes, each class by itself, and intervals where they were computed."""

    records: int
    auroc: float | None
    auprc: float | None
    prior: float | None
    f1: float | None
    accuracy: float
    balanced_accuracy: float | None
    sensitivity: float | None
    specificity: float | None
    ece: float
    absent_classes: list[str]
    per_class: dict[str, ClassScores]
    confusion_matrix: list[Any]
    intervals: Intervals | None = None


@dataclasses.dataclass(frozen=True)
class LabelledData:
    """The data set that a classifier was trained and tested on.

    training_records: used for training, the mean over folds; counts: records of each class by split.
    """

    folder: str
    hash: str
    names_assumed: bool
    classes: list[str]
    training_records: int
    counts: dict[str, dict[str, int]]


@dataclasses.dataclass(frozen=True)
class EncoderOrigin:
    """Where an encoder came from. checkpoint: its name, None for random weights; history: as its folder tells it."""

    checkpoint: str | None
    history: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Results:
    """One trial of a classifier.

    kind: probe, finetune or scratch; task: single-label or multi-label; lead_subset: its name, None for all leads;
    settings: by name; chosen: what validation chose, of each fold where there are several; test, val: scores.
    """

    kind: str
    lfbt_version: str
    synthetic: bool
    data: LabelledData
    task: str
    leads: list[str]
    lead_subset: str | None
    encoder: EncoderOrigin
    classifier: str | None
    fraction: float
    seed: int
    folds: int | None
    settings: dict[str, Any]
    chosen: dict[str, float] | list[dict[str, float]]
    val_loss: float | None
    test: Scores
    val: Scores | None

    @property
    def exclusive(self) -> bool:
        """Whether every record has exactly one class."""
        return self.task == "single-label"

    def save(self, folder: Path) -> None:
        """Write ``results.json`` in `folder`, whole or not at all."""
        json_files.save(folder / RESULTS, self, _FORMAT)

    @classmethod
    def load(cls, folder: Path) -> Results:
        """Read ``results.json`` in `folder`. Raises LfbtError that names the file and the field."""
        return json_files.load(folder / RESULTS, cls, "run it again with this lfbt", _FORMAT)
