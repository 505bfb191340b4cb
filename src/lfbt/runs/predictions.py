"""The probabilities of a trial's test records: ``predictions.csv``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError
from lfbt.utils.opening import open_regular

PREDICTIONS = "predictions.csv"


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Test records and the probabilities that a classifier gave them.

    Parameters
    ----------
    ids, patients
        One a record.
    labels
        The classes of each record.
    classes
        The columns of `probabilities`, by name.
    probabilities
        ``[records, classes]``.
    """

    ids: tuple[str, ...]
    patients: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    classes: tuple[str, ...]
    probabilities: NDArray[np.floating[Any]]

    def targets(self) -> NDArray[np.bool_]:
        """Return which classes every record has ``[records, classes]``."""
        number = {name: k for k, name in enumerate(self.classes)}
        targets = np.zeros((len(self.ids), len(self.classes)), dtype=bool)
        for row, labels in enumerate(self.labels):
            targets[row, [number[label] for label in labels]] = True
        return targets

    def save(self, folder: Path) -> None:
        """Write ``predictions.csv`` in `folder`: id, patient, label (several separated by ``;``), ``p_CLASS`` …."""
        import pandas as pd

        table = pd.DataFrame(self.probabilities, columns=[f"p_{name}" for name in self.classes])
        table.insert(0, "id", list(self.ids))
        table.insert(1, "patient", list(self.patients))
        table.insert(2, "label", [";".join(labels) for labels in self.labels])
        table.to_csv(folder / PREDICTIONS, index=False)

    @classmethod
    def load(cls, folder: Path, classes: Sequence[str]) -> Predictions:
        """Read ``predictions.csv`` in `folder`.

        Parameters
        ----------
        folder
            The folder of a trial.
        classes
            The classes of its ``results.json``, in order.

        Raises
        ------
        LfbtError
            For a missing column, a label that is not a class, a duplicate record, no records, and a probability that
            is not a finite number; the message names the file.
        """
        import pandas as pd

        path, remedy = folder / PREDICTIONS, "run it again with this lfbt"
        try:
            with open_regular(path) as file:
                text = pd.read_csv(file, dtype=str, keep_default_na=False)
            ids, patients, label = (tuple(text[name]) for name in ("id", "patient", "label"))
            probabilities = text[[f"p_{name}" for name in classes]].to_numpy(dtype=np.float64)
        except LfbtError:
            raise
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise LfbtError(f"{path}: is not a complete table of predictions ({error}); {remedy}") from error
        labels = tuple(tuple(filter(None, names.split(";"))) for names in label)
        for name in sorted({name for names in labels for name in names} - set(classes)):
            raise LfbtError(f"{path}: label {name} is not a class of results.json; {remedy}")
        if not ids or len(set(ids)) < len(ids) or not np.isfinite(probabilities).all():
            raise LfbtError(f"{path}: has no records, a duplicate record, or a value that is not a number; {remedy}")
        return cls(ids, patients, labels, tuple(classes), probabilities)
