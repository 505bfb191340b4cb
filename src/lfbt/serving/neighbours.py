"""The training records that are nearest to a recording, by their embeddings."""

from __future__ import annotations

import csv
import dataclasses
import functools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lfbt.data.layouts import open_dataset
from lfbt.errors import LfbtError
from lfbt.inference.prediction import Model, iterate_answers
from lfbt.inference.recordings import FileSettings, iterate_pieces
from lfbt.io import map_npy
from lfbt.utils.opening import open_text

# What a probe keeps of its training records.
_EMBEDDINGS, _TARGETS, _SPLITS = "X_train.npy", "y_train.npy", "splits.csv"


class Neighbour(NamedTuple):
    """A training record, its labels, and its distance."""

    record: str
    labels: tuple[str, ...]
    distance: float


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingRecords:
    """Records with their embeddings ``[records, leads × features]``.

    Examples
    --------
    >>> records = TrainingRecords(("a", "b"), (("AF",), ("SR",)), np.array([[0.0, 1.0], [2.0, 1.0]], np.float32))
    >>> records.nearest(np.array([2.0, 1.0]), 1)
    [Neighbour(record='b', labels=('SR',), distance=0.0)]
    """

    ids: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    embeddings: NDArray[np.float32]

    @functools.cached_property
    def _deviation(self) -> NDArray[np.float32]:
        """The standard deviation of each feature."""
        deviation: NDArray[np.float32] = self.embeddings.std(axis=0)
        return deviation

    def nearest(self, embedding: NDArray[Any], n: int) -> list[Neighbour]:
        """Return the `n` nearest records.

        The distance is the root mean square, over the features, of the difference in standard deviations of the
        training records: 0 for the same embedding, and on average √2 between two records that have nothing in common.
        Features that are the same in all training records are left out.
        """
        deviation = self._deviation
        varies = deviation > 0
        differences = (self.embeddings[:, varies] - embedding[varies]) / deviation[varies]
        distances = np.sqrt(np.mean(differences**2, axis=1)) if varies.any() else np.zeros(len(self.ids))
        order = np.argsort(distances, kind="stable")[:n]
        return [Neighbour(self.ids[row], self.labels[row], float(distances[row])) for row in order]


def kept_by_run(run: Path, model: Model) -> TrainingRecords | None:
    """Load the training records that a probe's run folder keeps; None where it keeps none.

    Raises
    ------
    LfbtError
        For files that do not fit each other or the model.
    """
    if not all((run / name).is_file() for name in (_EMBEDDINGS, _TARGETS, _SPLITS)):
        return None
    embeddings, targets = (map_npy(run / name) for name in (_EMBEDDINGS, _TARGETS))
    with open_text(run / _SPLITS, newline="") as file:
        ids = tuple(row["id"] for row in csv.DictReader(file) if row["split"] == "train")
    n_features = len(model.config.leads) * model.features_per_lead
    if embeddings.shape != (len(ids), n_features) or len(targets) != len(ids):
        raise LfbtError(
            f"classifier: {run / _EMBEDDINGS} is {list(embeddings.shape)}, not [{len(ids)}, {n_features}] as its "
            f"{_SPLITS} and encoder have it; restore the files"
        )
    # Of exclusive classes their numbers, else a column of truth values each.
    columns = targets.astype(bool) if targets.ndim == 2 else targets[:, None] == np.arange(len(model.classes))
    labels = [tuple(name for name, has in zip(model.classes, row, strict=True) if has) for row in columns]
    return TrainingRecords(ids, tuple(labels), embeddings)


def embedded(folder: Path, model: Model) -> TrainingRecords:
    """Compute the embeddings of the training records of a prepared data set.

    Raises
    ------
    LfbtError
        For a data set that does not fit the model or has no training records.
    """
    try:
        dataset = open_dataset(folder)
    except LfbtError as error:
        raise LfbtError(f"neighbours: {str(error).removeprefix('data_dir: ')}") from error
    rows = dataset.rows("train")
    if not len(rows):
        raise LfbtError(f"neighbours: {folder} has no training records")
    answers = iterate_answers(iterate_pieces([dataset], model.config, FileSettings()), model)
    is_train = set(rows.tolist())
    embeddings = [answer.embeddings[0] for row, answer in enumerate(answers) if row in is_train]
    return TrainingRecords(
        tuple(dataset.ids[row] for row in rows), tuple(dataset.labels[row] for row in rows), np.stack(embeddings)
    )
