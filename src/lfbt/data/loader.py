"""Which records make a batch, and reading batches ahead of their use."""

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

#: Records that pass an encoder at once where no gradient is needed.
INFERENCE_BATCH = 128


def epoch_batches(rows: NDArray[np.int64], batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """`rows` in an order drawn from (seed, epoch), in as few batches as `batch_size` allows, alike to one record.

    Batches of one size instead of a small last one: its batch statistics would be poor, and one record has none.
    """
    order = np.random.default_rng((seed, epoch, 1)).permutation(rows)
    return np.array_split(order, -(-len(order) // batch_size))


def sequential_batches(rows: NDArray[np.int64], batch_size: int = INFERENCE_BATCH) -> list[NDArray[np.int64]]:
    """`rows` as they are, in batches alike to one record."""
    return np.array_split(rows, -(-len(rows) // batch_size)) if len(rows) else []


def prefetch_batches(
    dataset: Dataset,
    batches: Sequence[NDArray[np.int64]],
    normalisation: Normalisation,
    device: torch.device,
    workers: int = 1,
) -> Iterator[Tensor]:
    """The normalised signals of each batch on `device`, read by `workers` threads while the one before is in use."""

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
