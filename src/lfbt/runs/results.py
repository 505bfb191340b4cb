"""The results of training a classifier: ``results.json``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from lfbt.errors import LfbtError
from lfbt.utils.figures import format_count, format_figure, format_interval, format_names
from lfbt.utils.files import FORMAT, load_json, write_json
from lfbt.utils.settings import check_range

#: The file of a trial's folder that is written last: with it the trial is finished.
RESULTS = "results.json"
#: The table over the trials of a series, written once all of them are finished.
SERIES_TABLE = "results.csv"
_FORMAT = 1
_MAX_RECORDS = 10**12

#: A mean over classes is shown without those of fewer test records, too.
FEW_RECORDS = 10

#: ``(low, high)``; None where no draw has the metric.
Interval = tuple[float, float] | None


def are_rare(records: Sequence[int], scored: Sequence[bool]) -> list[bool]:
    """Return which scored classes have fewer than `FEW_RECORDS` records; none where fewer than two others are left.

    Parameters
    ----------
    records
        Number of records of each class.
    scored
        Whether there are records on either side of each, so that a mean over classes has it.

    Examples
    --------
    >>> are_rare([6, 290, 31, 0], [True, True, True, False])
    [True, False, False, False]
    >>> are_rare([6, 290, 0], [True, True, False])
    [False, False, False]
    """
    rare = [has_score and n < FEW_RECORDS for n, has_score in zip(records, scored, strict=True)]
    # The mean over one class is no mean, and of two classes each has the AUROC of the other.
    return rare if sum(scored) - sum(rare) >= 2 else [False] * len(rare)


def describe_rare(names: Sequence[str]) -> str:
    """Name the classes that a mean is shown without.

    >>> describe_rare(["HYP"]), describe_rare(["A", "B", "C", "D"])
    ('without HYP', 'without A, B, C and 1 more')
    """
    return f"without {format_names(names, 3)}"


@dataclasses.dataclass(frozen=True)
class ClassScores:
    """Metrics of one class against the rest; None where the class has no records on either side, or no threshold.

    Parameters
    ----------
    records
        Number of records of the class.
    prior
        Their share, which is the AUPRC of guessing.
    threshold
        The class is predicted from this probability on.
    """

    records: int
    prior: float
    auroc: float | None
    auprc: float | None
    threshold: float | None
    sensitivity: float | None
    specificity: float | None
    f1: float | None

    def __repr__(self) -> str:
        figures = f"AUROC {format_figure(self.auroc)}, AUPRC {format_figure(self.auprc)}, F1 {format_figure(self.f1)}"
        return f"ClassScores({self.records} records, {figures})"


@dataclasses.dataclass(frozen=True)
class ClassIntervals:
    """Intervals of one class's metrics; counted: number of draws in which these exist."""

    auroc: Interval
    auprc: Interval
    counted: int


@dataclasses.dataclass(frozen=True)
class Intervals:
    """Percentile intervals of metrics over bootstrap draws of patients.

    Parameters
    ----------
    level
        Share of the draws that an interval holds.
    n_draws, seed
        Number of draws, and their seed.
    patients
        Number of patients drawn from.
    counted
        Number of draws in which each metric exists.
    without_rare
        Of the means over classes without those of `Scores.rare_classes`; None where there are none.
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
    without_rare: ClassIntervals | None = None

    def __repr__(self) -> str:
        auroc, auprc = (format_interval(bounds) or "none" for bounds in (self.auroc, self.auprc))
        drawn = f"level {self.level:g}, {self.n_draws} draws of {self.patients} patients"
        return f"Intervals({drawn}, AUROC {auroc}, AUPRC {auprc})"


@dataclasses.dataclass(frozen=True)
class Scores:
    """Metrics of a split: means over classes, each class by itself, and intervals where they were computed.

    Of what each is, see `lfbt.evaluation.metrics.evaluate`.
    """

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

    def __repr__(self) -> str:
        named = {"AUROC": self.auroc, "AUPRC": self.auprc, "F1": self.f1, "accuracy": self.accuracy}
        figures = ", ".join(f"{name} {format_figure(value)}" for name, value in named.items())
        return f"Scores({self.records} records, {figures}, classes {','.join(self.per_class)})"

    @property
    def rare_classes(self) -> list[str]:
        """The classes of fewer than `FEW_RECORDS` records that the means are shown without, too."""
        rows = self.per_class.values()
        rare = are_rare([row.records for row in rows], [row.auroc is not None for row in rows])
        return [name for name, is_rare in zip(self.per_class, rare, strict=True) if is_rare]

    def without_rare(self, metric: Literal["auroc", "auprc"]) -> float | None:
        """Return the mean over the classes that are scored and not rare; None where there are no rare ones."""
        rare = self.rare_classes
        values = [getattr(row, metric) for name, row in self.per_class.items() if name not in rare]
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if rare else None


@dataclasses.dataclass(frozen=True)
class SubsetScores:
    """Scores of the same classifier where records have some leads only, at thresholds of their own."""

    leads: list[str]
    test: Scores
    val: Scores | None

    def __repr__(self) -> str:
        return f"SubsetScores({','.join(self.leads)}, {self.test!r})"


@dataclasses.dataclass(frozen=True)
class LabelledData:
    """The data set that a classifier was trained and tested on.

    Parameters
    ----------
    folder
        The name of its folder.
    training_records
        Number of records trained on, of folds their mean.
    counts
        Number of records of each class by split.
    """

    folder: str
    hash: str
    names_assumed: bool
    classes: list[str]
    training_records: int
    counts: dict[str, dict[str, int]]

    def __repr__(self) -> str:
        return f"LabelledData({self.folder!r}, {self.training_records} training records, {len(self.classes)} classes)"


@dataclasses.dataclass(frozen=True)
class EncoderOrigin:
    """Where an encoder came from. checkpoint: its name, None for random weights; history: as recorded beside it."""

    checkpoint: str | None
    history: dict[str, Any]

    def __repr__(self) -> str:
        return f"EncoderOrigin({'random' if self.checkpoint is None else repr(self.checkpoint)})"


@dataclasses.dataclass(frozen=True)
class Results:
    """One trial of a classifier.

    Parameters
    ----------
    kind
        ``probe``, ``finetune`` or ``scratch``.
    lfbt_version
        The version that wrote it.
    synthetic
        Whether the data set is synthetic.
    data
        The data set.
    task
        ``single-label`` or ``multi-label``.
    leads
        Leads used, in order.
    lead_subset
        Name of a subset of the encoder's leads; None for all of them.
    encoder
        Where the encoder came from.
    classifier
        The probe's classifier; None for fine-tuning.
    fraction, seed
        The trial's part of the training patients, and its seed.
    folds
        Number of folds of cross-validation; None for the data set's own splits.
    settings
        Every setting by its name.
    chosen
        What validation chose; with folds one of each.
    val_loss
        The lowest validation loss, of folds their mean; None where nothing is chosen on validation.
    test, val
        Scores of the test and validation records.
    by_lead_subset
        Of a classifier that serves subsets of the leads, too (``leads_dropout``): its scores by the subset's name.
    weights_hash
        Hash of the weights of the encoder that it started from; None for random ones.

    Examples
    --------
    >>> Results.load(Path("runs/probe")).test.auroc  # doctest: +SKIP
    0.9123
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
    chosen: dict[str, int | float] | list[dict[str, int | float]]
    val_loss: float | None
    test: Scores
    val: Scores | None
    by_lead_subset: dict[str, SubsetScores] = dataclasses.field(default_factory=dict)
    weights_hash: str | None = None

    def __repr__(self) -> str:
        auroc = "none" if self.test.auroc is None else f"{self.test.auroc:.4f}"
        folds = f", {self.folds} folds" if self.folds else ""
        trial = f"fraction {self.fraction:g}, seed {self.seed}"
        return f"Results({self.kind}, {trial}{folds}, AUROC {auroc}, {format_count(self.test.records, 'test record')})"

    @property
    def exclusive(self) -> bool:
        """Whether every record has exactly one class."""
        return self.task == "single-label"

    @property
    def other_features(self) -> str:
        """Its features in words where these are not the paper's, else empty."""
        features = self.settings.get("features", "paper")
        return "" if features == "paper" else f"{features} features"

    @property
    def method(self) -> str:
        """The probe's classifier, and its features where these are not the paper's; empty for fine-tuning."""
        return ", ".join(filter(None, (self.classifier, self.other_features)))

    def _check_matrix(self) -> None:
        n, matrix = len(self.data.classes), self.test.confusion_matrix
        if self.exclusive and not (
            len(matrix) == n
            and all(isinstance(row, list) and len(row) == n for row in matrix)
            and all(isinstance(count, int) and 0 <= count <= _MAX_RECORDS for row in matrix for count in row)
        ):
            raise LfbtError(f"field test.confusion_matrix: is not {n} rows of {n} numbers of records")

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, without what there is not: served lead subsets, rare classes, weights to start from."""
        content = dataclasses.asdict(self)
        tests = [content["test"], *(one["test"] for one in content["by_lead_subset"].values())]
        for bounds in [test["intervals"] for test in tests if test["intervals"]]:
            if bounds["without_rare"] is None:
                del bounds["without_rare"]
        if not self.by_lead_subset:
            del content["by_lead_subset"]
        if self.weights_hash is None:
            del content["weights_hash"]
        return content

    def save(self, folder: Path) -> None:
        """Write ``results.json`` in `folder`, complete or not at all."""
        write_json(folder / RESULTS, {FORMAT: _FORMAT, **self.to_dict()})

    @classmethod
    def load(cls, folder: Path) -> Results:
        """Read ``results.json`` in `folder`.

        Raises
        ------
        LfbtError
            For a file that cannot be read, lacks a field, or has a newer format; the message names file and field.
        """
        path, remedy = folder / RESULTS, "run it again with this lfbt"
        results = load_json(path, cls, remedy, _FORMAT)
        try:
            check_range("field seed", results.seed, "[0, 4294967295]")
            check_range("field fraction", results.fraction, "(0, 1]")
            results._check_matrix()
        except LfbtError as error:
            raise LfbtError(f"{path}: {error}; {remedy}") from error
        return results
