"""Embeddings of records by a frozen encoder."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfbt.data.dataset import Dataset
from lfbt.data.loader import prefetch_batches, sequential_batches
from lfbt.errors import LfbtError
from lfbt.models.encoder import LeadEncoders
from lfbt.models.feature_maps import PAPER, FeatureMap, measure_amplitudes
from lfbt.signal import Signal, normalise
from lfbt.utils.progress import track

#: Of the arithmetic; in bf16 sums and statistics stay in float32.
FeaturePrecision = Literal["fp32", "bf16"]


@torch.no_grad()
def compute_embeddings(
    encoder: LeadEncoders,
    dataset: Dataset,
    rows: NDArray[np.int64],
    device: torch.device,
    workers: int,
    what: str | None = None,
    give_up: Callable[[], bool] = lambda: False,
    precision: FeaturePrecision = "fp32",
    features: FeatureMap = PAPER,
) -> Tensor:
    """Compute embeddings, batch by batch.

    Parameters
    ----------
    encoder : LeadEncoders
        On the device; it is in evaluation mode afterwards.
    dataset : Dataset
        Of the encoder's leads; its records are normalised as the encoder expects.
    rows : ndarray of int
        Rows of the data set.
    device : torch.device
        Device to compute on.
    workers : int
        Threads that read batches ahead.
    what : str, optional
        Title of a progress bar; without it there is none.
    give_up : callable
        Asked before each batch; once it returns True, the embeddings computed so far are returned.
    precision : {"fp32", "bf16"}
        Of the convolutions.
    features : FeatureMap
        What an embedding consists of.

    Returns
    -------
    Tensor
        ``[records, leads × features]`` of float32, on the device.

    Raises
    ------
    LfbtError
        For amplitudes of a data set of z-scores.
    """
    check_voltages_known(dataset, features)
    encoder.eval()
    batches = sequential_batches(rows)
    if features.amplitudes:
        signals_of = prefetch_batches(dataset, batches, "none", torch.device("cpu"), workers)
    else:
        signals_of = prefetch_batches(dataset, batches, encoder.config.normalisation, device, workers)

    def embed(signals: Tensor) -> Tensor:
        if features.amplitudes:
            return embed_voltages(encoder, signals.numpy(), features)
        return (encoder(signals) if features == PAPER else encoder.pool(signals, features)).flatten(1)

    shown = signals_of if what is None else track(signals_of, len(batches), what)
    # Filled batch by batch: parts that are joined at the end would take twice the memory.
    embeddings, n = torch.empty(0, device=device), 0
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        for signals in itertools.takewhile(lambda _: not give_up(), shown):
            part = embed(signals)
            if n == 0:
                embeddings = part.new_empty(len(rows), part.shape[1])
            embeddings[n : n + len(part)] = part
            n += len(part)
    embeddings = embeddings[:n]
    if not embeddings.isfinite().all():
        row = int((~embeddings.isfinite()).any(dim=1).nonzero()[0])
        raise LfbtError(
            f"{dataset.folder}: the features of record {dataset.ids[rows[row]]} are NaN or infinite, as with weights "
            "of a run that diverged; take another encoder"
        )
    return embeddings


def check_voltages_known(dataset: Dataset, features: FeatureMap) -> None:
    """Raise LfbtError for features with amplitudes of a data set of z-scores, which has none."""
    if features.amplitudes and not dataset.in_mv:
        raise LfbtError(
            f"features: {features.name} has the leads' amplitudes in mV, but {dataset.folder} holds z-scores, as "
            "EchoNext and folders of .npy files do; prepare the recordings with --layout packed, or take paper"
        )


@torch.no_grad()
def embed_voltages(encoder: LeadEncoders, voltages: Signal, features: FeatureMap) -> Tensor:
    """Compute embeddings with amplitudes.

    Parameters
    ----------
    encoder : LeadEncoders
        In evaluation mode.
    voltages : ndarray of float32, ``[records, leads, samples]``
        In mV; a lead that is NaN is absent: the z-score is over the others, and its features are NaN.
    features : FeatureMap
        What an embedding consists of.

    Returns
    -------
    Tensor
        ``[records, leads × features]``, lead by lead, on the encoder's device.
    """
    device = next(encoder.parameters()).device
    absent = np.isnan(voltages[:, :, 0])
    signals = np.zeros_like(voltages)
    for pattern in np.unique(absent, axis=0):
        alike = np.ix_((absent == pattern).all(axis=1), ~pattern)
        signals[alike] = normalise(voltages[alike], encoder.config.normalisation)
    pooled = encoder.pool(torch.from_numpy(signals).to(device), features)
    pooled = torch.where(torch.from_numpy(absent).to(device)[:, :, None], torch.nan, pooled)
    amplitudes = torch.from_numpy(measure_amplitudes(voltages, features)).to(device)
    return torch.cat([pooled, amplitudes], dim=2).flatten(1)
