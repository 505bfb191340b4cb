"""Leads that are left out in training, so that one classifier serves recordings that lack some."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfbt.signal import Normalisation


@dataclasses.dataclass(frozen=True)
class SubsetInputs:
    """Embeddings of recordings that have some leads only.

    Parameters
    ----------
    columns
        Where the leads' features are in an embedding of all leads ``[some]``.
    inputs
        Of each split ``[records, some]``.
    """

    columns: Tensor
    inputs: dict[str, Tensor]

    def spread(self, split: str, records: Tensor | slice, n_columns: int) -> Tensor:
        """Return the embeddings of some records as of all leads ``[records, n_columns]``, absent ones NaN."""
        values = self.inputs[split][records]
        whole = values.new_full((len(values), n_columns), torch.nan)
        whole[:, self.columns] = values
        return whole


def draw_subsets(n_records: int, n_subsets: int, probability: float, seed: int, epoch: int) -> NDArray[np.int64]:
    """Draw the leads that each record has in an epoch: 0 for all, else the number of a subset, from 1.

    Parameters
    ----------
    n_records, n_subsets
        Numbers of records and of subsets.
    probability
        Of a subset; each is as likely as the others.
    seed, epoch
        They determine the draws, so that a run repeats, whatever came before in its process.

    Examples
    --------
    >>> draw_subsets(4, 2, 0.0, seed=0, epoch=0).tolist()
    [0, 0, 0, 0]
    """
    rng = np.random.default_rng((seed, epoch, 2))
    numbers = rng.integers(1, n_subsets + 1, n_records)
    return np.where(rng.random(n_records) < probability, numbers, 0)


def normalise_by(signals: Tensor, present: Tensor, how: Normalisation) -> Tensor:
    """Normalise as `lfbt.signal.normalise` does recordings that have the leads in `present` only.

    Of ``record``, mean and standard deviation are over these leads, and are applied to the others, too: those are not
    classified, but count in the batch statistics of their encoders.

    Parameters
    ----------
    signals
        ``[records, leads, samples]``; in mV for ``record``, else normalised already.
    present
        ``[records, leads]`` of booleans.
    how
        The encoder's normalisation.
    """
    if how != "record":
        return signals
    weights = present[:, :, None] / (present.sum(dim=1)[:, None, None] * signals.shape[2])
    mean = (signals.double() * weights).sum(dim=(1, 2), keepdim=True)
    centred = signals - mean.to(signals.dtype)
    std = (centred.square() * weights).sum(dim=(1, 2), keepdim=True).sqrt()
    return centred / (std + 1e-5)
