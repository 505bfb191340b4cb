"""The views of a run's batches: of which records they are, and what is done to them."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfbt.errors import LfbtError
from lfbt.training.augmentation import draw_views, random_view
from lfbt.training.distortions import Distortions
from lfbt.training.records import TrainingRecords
from lfbt.training.settings import AugmentationSettings, DistortionSettings

# Of a stream of random numbers beside those of views, of the order of records, of leads and of distortions.
_STREAM = 4


class Views:
    """How a run draws its views.

    Parameters
    ----------
    records : TrainingRecords
        What is learned from.
    augmentation, distortion : AugmentationSettings and DistortionSettings
        What is done to views.

    Raises
    ------
    LfbtError
        For records that are too short, distortions that the leads do not allow, and patients with one record each.
    """

    def __init__(
        self, records: TrainingRecords, augmentation: AugmentationSettings, distortion: DistortionSettings
    ) -> None:
        dataset = records.dataset
        augmentation.check_samples(dataset.n_samples)
        self._records, self._augmentation = records, augmentation
        self._distortions = Distortions(distortion, dataset.leads, dataset.sampling_rate)
        self._patients: NDArray[np.int64] | None = None
        if augmentation.positives == "patient":
            if not count_paired(records):
                raise LfbtError(
                    f"positives: patient has no effect on {len(records)} records of as many patients; leave it out"
                )
            _, self._patients = np.unique([dataset.patients[row] for row in records.rows], return_inverse=True)

    def draw(self, epoch: int) -> EpochViews:
        """Draw all that chance decides in an epoch, from (seed, epoch, record)."""
        seed, n_views, n_records = self._records.seed, self._augmentation.views, len(self._records.dataset)
        partners = None
        if self._patients is not None:
            rows, partners = self._records.rows, np.arange(n_records)
            numbers = np.random.default_rng((seed, epoch, _STREAM)).random(n_records)[rows]
            partners[rows] = rows[draw_partners(self._patients, numbers)]
        return EpochViews(
            self._augmentation,
            draw_views(seed, epoch, n_records, n_views),
            self._distortions,
            self._distortions.draw(seed, epoch, n_records, n_views),
            partners,
        )


@dataclasses.dataclass(frozen=True)
class EpochViews:
    """The views of an epoch: draws of each record of the data set, and whose records are drawn for which."""

    augmentation: AugmentationSettings
    draws: NDArray[np.float64]
    distortions: Distortions
    of_distortions: Mapping[str, NDArray[np.float64]]
    partners: NDArray[np.int64] | None = None

    def rows(self, batch: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows that are read for a batch: itself, and its partners behind it where there are any."""
        return batch if self.partners is None else np.concatenate([batch, self.partners[batch]])

    def make(self, signals: Tensor, batch: NDArray[np.int64]) -> Tensor:
        """Make views ``[V, B, leads, samples]`` of a batch from the signals of its `rows`."""
        first, others = (signals, signals) if self.partners is None else signals.chunk(2)
        of_views = [first, *[others] * (self.augmentation.views - 1)]
        draws = self.draws[batch].swapaxes(0, 1)
        parts = self.augmentation.parts
        views = torch.stack([random_view(x, own, *parts) for x, own in zip(of_views, draws, strict=True)])
        return self.distortions.apply(views, of_views, {name: of[batch] for name, of in self.of_distortions.items()})


def count_paired(records: TrainingRecords) -> int:
    """Count the records whose patient has another one."""
    of_patients = collections.Counter(records.dataset.patients[row] for row in records.rows)
    return sum(n for n in of_patients.values() if n > 1)


def draw_partners(patients: NDArray[np.int64], numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw another record of the same patient for each; a record that is alone is its own partner.

    Parameters
    ----------
    patients : ndarray of int, ``[records]``
        The number of each record's patient.
    numbers : ndarray, ``[records]``
        Uniform in [0, 1): they choose among the patient's other records.

    Returns
    -------
    ndarray of int, ``[records]``
        The positions of the partners.

    Examples
    --------
    >>> draw_partners(np.array([0, 1, 0, 0]), np.array([0.2, 0.2, 0.9, 0.1])).tolist()
    [2, 1, 0, 0]
    """
    order = np.argsort(patients, kind="stable")
    _, numbered, sizes = np.unique(patients, return_inverse=True, return_counts=True)
    size, start = sizes[numbered], (np.cumsum(sizes) - sizes)[numbered]
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    further = 1 + (numbers * (size - 1)).astype(np.int64)
    partners: NDArray[np.int64] = order[start + (place - start + further) % size]
    return partners
