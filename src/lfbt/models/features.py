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
from lfbt.models.encoder import LeadEncoders
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

    Returns
    -------
    Tensor
        ``[records, leads × features]`` of float32, on the device.
    """
    encoder.eval()
    batches = sequential_batches(rows)
    signals_of = prefetch_batches(dataset, batches, encoder.config.normalisation, device, workers)
    shown = signals_of if what is None else track(signals_of, len(batches), what)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        parts = [encoder(signals).flatten(1) for signals in itertools.takewhile(lambda _: not give_up(), shown)]
    return torch.cat(parts) if parts else torch.empty(0, device=device)
