"""Windows of records, and what a frozen encoder makes of each."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfbt.data.dataset import Dataset, Signals
from lfbt.data.loader import prefetch_batches, sequential_batches
from lfbt.errors import LfbtError
from lfbt.models.config import MIN_SAMPLES
from lfbt.models.encoder import LeadEncoders
from lfbt.models.feature_maps import FeatureMap
from lfbt.models.features import compute_embeddings
from lfbt.signal import Signal
from lfbt.utils.progress import track

# Threads that read batches ahead.
_READERS = 2


@dataclasses.dataclass(frozen=True)
class _Windows:
    """The windows of the records of `signals`, one record after the other."""

    signals: Signals
    starts: NDArray[np.int64]
    n_samples: int

    @property
    def shape(self) -> tuple[int, ...]:
        n_records, n_leads, _ = self.signals.shape
        return n_records * len(self.starts), n_leads, self.n_samples

    def __getitem__(self, rows: NDArray[np.int64], /) -> Signal:
        records, numbers = np.divmod(rows, len(self.starts))
        read, back = np.unique(records, return_inverse=True)
        columns = self.starts[numbers][:, None, None] + np.arange(self.n_samples)
        windows: Signal = np.take_along_axis(np.asarray(self.signals[read])[back], columns, axis=2)
        return windows


def window_samples(seconds: float, sampling_rate: float, n_samples: int) -> int:
    """Return the samples of a window of records of `n_samples`.

    Raises LfbtError for a window that is too short for an encoder, or longer than the records.
    """
    length = round(seconds * sampling_rate)
    if not MIN_SAMPLES <= length <= n_samples:
        raise LfbtError(
            f"window: {seconds:g} s are {length} samples at {sampling_rate:g} Hz; a window takes {MIN_SAMPLES} to "
            f"{n_samples}, which are {MIN_SAMPLES / sampling_rate:.3g} to {n_samples / sampling_rate:.3g} s"
        )
    return length


def cut_windows(dataset: Dataset, seconds: float, stride: float) -> tuple[Dataset, int]:
    """Cut every record of a data set into windows, from its beginning on; what is left at its end is not used.

    Parameters
    ----------
    dataset : Dataset
        The records.
    seconds : float
        Length of a window.
    stride : float
        From one window to the next, in parts of a window.

    Returns
    -------
    Dataset
        Each window a record: those of the first record, then those of the second, and so on.
    int
        Windows of a record.

    Raises
    ------
    LfbtError
        As `window_samples` does.

    Examples
    --------
    >>> from lfbt.data.dataset import from_arrays
    >>> signals = np.arange(128, dtype=np.float32).reshape(1, 1, 128)
    >>> windows, n = cut_windows(from_arrays(signals, leads=("II",), sampling_rate=12.8), seconds=5, stride=0.5)
    >>> n, windows.n_samples, windows.signals[np.arange(3)][:, 0, 0].tolist()
    (3, 64, [0.0, 32.0, 64.0])
    """
    length = window_samples(seconds, dataset.sampling_rate, dataset.n_samples)
    starts = np.arange(0, dataset.n_samples - length + 1, max(1, round(stride * length)))
    n = len(starts)
    windows = dataclasses.replace(
        dataset,
        ids=tuple(f"{name}/{number}" for name in dataset.ids for number in range(n)),
        patients=tuple(name for name in dataset.patients for _ in range(n)),
        labels=tuple(labels for labels in dataset.labels for _ in range(n)),
        split=np.repeat(dataset.split, n),
        signals=_Windows(dataset.signals, starts, length),
    )
    return windows, n


def embed_windows(
    encoder: LeadEncoders, windows: Dataset, n: int, features: FeatureMap, device: torch.device
) -> Tensor:
    """Compute the features of windows ``[records, n windows, columns]``; each is normalised by itself."""
    rows = np.arange(len(windows))
    embeddings = compute_embeddings(encoder, windows, rows, device, _READERS, what="features", features=features)
    return embeddings.view(-1, n, embeddings.shape[1])


def map_windows(encoder: LeadEncoders, windows: Dataset, n: int, device: torch.device) -> Tensor:
    """Compute the feature maps of windows ``[records, n windows, leads × steps, features]``, before the mean over time.

    A token is what one lead's encoder has for one step, of 32 samples. Each window is normalised by itself.
    """
    encoder.eval()
    batches = sequential_batches(np.arange(len(windows)))
    signals_of = prefetch_batches(windows, batches, encoder.config.normalisation, device, _READERS)
    parts = [encoder.activations(signals).flatten(1, 2) for signals in track(signals_of, len(batches), "feature maps")]
    tokens = torch.cat(parts)
    return tokens.view(-1, n, *tokens.shape[1:])
