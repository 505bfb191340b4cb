"""Embeddings of records by a frozen encoder."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfbt.data.dataset import Dataset
from lfbt.data.loader import prefetch_batches, sequential_batches
from lfbt.models.encoder import LeadEncoders
from lfbt.utils.progress import track


@torch.no_grad()
def compute_embeddings(
    encoder: LeadEncoders,
    dataset: Dataset,
    rows: NDArray[np.int64],
    device: torch.device,
    workers: int,
    what: str | None = None,
    give_up: Callable[[], bool] = lambda: False,
) -> Tensor:
    """Embeddings ``[records, leads × 64]`` of `rows`, the encoder in evaluation mode; `what` names a progress bar.

    Once `give_up` says so, no more are computed.
    """
    encoder.eval()
    batches = sequential_batches(rows)
    signals_of = prefetch_batches(dataset, batches, encoder.config.normalisation, device, workers)
    shown = signals_of if what is None else track(signals_of, len(batches), what)
    parts = [encoder(signals).flatten(1) for signals in itertools.takewhile(lambda _: not give_up(), shown)]
    return torch.cat(parts) if parts else torch.empty(0, device=device)
