"""The tasks of a benchmark: which records have which classes, all from the labels of one prepared data set."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from lfbt.data.dataset import Dataset
from lfbt.protocols.settings import PROTOCOLS, BenchmarkSettings, TaskName
from lfbt.sources.listing import SPLITS
from lfbt.sources.ptbxl import read_classes


@dataclasses.dataclass(frozen=True)
class LabelledTask:
    """Records with classes.

    Parameters
    ----------
    name
        The task.
    classes
        Names of the classes.
    targets
        Which of them each record of the data set has ``[records, classes]``.
    rows
        The rows of each split that take part.
    exclusive
        Whether a record has exactly one class.
    """

    name: TaskName
    classes: tuple[str, ...]
    targets: NDArray[np.bool_]
    rows: dict[str, NDArray[np.int64]]
    exclusive: bool = False

    def has_both_sides(self, split: str) -> NDArray[np.bool_]:
        """Tell of which classes ``[classes]`` a split has records with the class and without."""
        targets = self.targets[self.rows[split]]
        return np.asarray(targets.any(axis=0) & ~targets.all(axis=0))

    @property
    def fault(self) -> str:
        """Why it cannot be scored; empty where it can."""
        absent = [split for split in SPLITS if not self.has_both_sides(split).any()]
        return f"no class has {absent[0]} records with it and without" if absent else ""


def label_tasks(dataset: Dataset, settings: BenchmarkSettings) -> list[LabelledTask]:
    """Label the records of a data set for every task that is asked for.

    Parameters
    ----------
    dataset
        Prepared with the labels that `lfbt.protocols.settings.LABELS` names.
    settings
        The tasks and the protocol; of PTB-XL the download says what a statement is.

    Raises
    ------
    LfbtError
        Where the download of PTB-XL has no table of statements.
    """
    return [_label(dataset, settings, task) for task in settings.list_tasks()]


def _label(dataset: Dataset, settings: BenchmarkSettings, task: TaskName) -> LabelledTask:
    class_of, classes = {name: name for name in dataset.classes}, dataset.classes
    if settings.data == "ptbxl":
        class_of, classes = read_classes(settings.download, "superclass" if task == "single" else task)  # type: ignore[arg-type]
    number = {name: k for k, name in enumerate(classes)}
    targets = np.zeros((len(dataset), len(classes)), dtype=bool)
    for row, labels in enumerate(dataset.labels):
        targets[row, [number[name] for name in map(class_of.__getitem__, labels) if name]] = True
    n_classes = targets.sum(axis=1)
    if task == "single":
        taking_part = n_classes == 1
    else:
        taking_part = (n_classes > 0) | PROTOCOLS[settings.protocol].keeps_unlabelled
    rows = {split: dataset.rows(split)[taking_part[dataset.rows(split)]] for split in SPLITS}
    return LabelledTask(task, classes, targets, rows, exclusive=task == "single")
