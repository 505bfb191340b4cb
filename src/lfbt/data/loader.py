"""Batches of records: their composition, and reading them ahead of their use."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfbt.data.dataset import Dataset
from lfbt.signal import Normalisation, Signal

#: Records of a batch where no gradient is needed.
INFERENCE_BATCH = 128


def epoch_batches(rows: NDArray[np.int64], batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Shuffle rows and divide them into batches of an epoch.

    The sizes of batches differ by at most one record: the statistics of a small last batch would be poor, and one
    record has none.

    Parameters
    ----------
    rows : ndarray of int, ``[records]``
        Which records.
    batch_size : int
        Records of a batch, at most.
    seed, epoch : int
        They determine the order.

    Returns
    -------
    list of ndarray of int
        The rows of each batch.
    """
    order = np.random.default_rng((seed, epoch, 1)).permutation(rows)
    return np.array_split(order, -(-len(order) // batch_size))


def sequential_batches(rows: NDArray[np.int64], batch_size: int = INFERENCE_BATCH) -> list[NDArray[np.int64]]:
    """Divide `rows`, in their order, into batches whose sizes differ by at most one record."""
    return np.array_split(rows, -(-len(rows) // batch_size)) if len(rows) else []


def prefetch_batches(
    dataset: Dataset,
    batches: Sequence[NDArray[np.int64]],
    normalisation: Normalisation,
    device: torch.device,
    workers: int = 1,
) -> Iterator[Tensor]:
    """Read batches ahead of their use.

    Parameters
    ----------
    dataset : Dataset
        The records.
    batches : sequence of ndarray of int
        The rows of each batch.
    normalisation : {"record", "lead", "none"}
        As of `Dataset.batch`.
    device : torch.device
        Where the tensors go.
    workers : int
        Threads that read; with 0 the caller's thread reads each batch when it is asked for.

    Yields
    ------
    Tensor of float32, ``[records, leads, samples]``
        The normalised signals of each batch, in order.
    """

    def read(rows: NDArray[np.int64]) -> Signal:
        return dataset.batch(rows, normalisation)

    if workers < 1:
        yield from (torch.from_numpy(read(rows)).to(device) for rows in batches)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: collections.deque[Future[Signal]] = collections.deque()
        for rows in batches:
            waiting.append(pool.submit(read, rows))
            if len(waiting) > workers:
                yield torch.from_numpy(waiting.popleft().result()).to(device, non_blocking=True)
        while waiting:
            yield torch.from_numpy(waiting.popleft().result()).to(device, non_blocking=True)
