"""Features that need no pretraining, in place of an encoder's or beside them: does the encoder earn its keep?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lfbt.data.dataset import Dataset
from lfbt.evaluation.ecg_statistics import compute_statistics, find_median_beats
from lfbt.evaluation.minirocket import MiniRocket
from lfbt.evaluation.settings import Rival
from lfbt.signal import Signal

#: Principal components of median beats, at most.
N_COMPONENTS = 100
# Training records that biases are drawn from, at most: kept in memory at once.
_MAX_FITTED = 1024
_BLOCK = 256


def compute_rival_features(rival: Rival, dataset: Dataset, train: NDArray[np.int64], seed: int) -> NDArray[np.float32]:
    """Compute the features of all records by a rival of learned ones.

    Parameters
    ----------
    rival
        ``minirocket``: shares of positive values of 9,996 convolutions. ``statistics``: of every lead, and the rhythm.
        ``beats``: principal components of the median beat of all leads.
    dataset
        The records; their signals are taken as they are stored, in mV where the data set is.
    train
        The rows of training records, which biases and components are fitted to without labels.
    seed
        Of what is drawn; only ``minirocket`` draws anything.

    Returns
    -------
    ndarray
        ``[records, columns]``.
    """
    rate = dataset.sampling_rate
    if rival == "statistics":
        return _of_all(dataset, lambda signals: compute_statistics(signals, rate))
    if rival == "minirocket":
        drawn = np.random.default_rng(seed).permutation(train)[:_MAX_FITTED]
        return _of_all(dataset, MiniRocket.fit(dataset.batch(drawn, "none"), seed).transform)
    beats = _of_all(dataset, lambda signals: find_median_beats(signals, rate))
    return project_on_components(beats, train, N_COMPONENTS)


def project_on_components(columns: NDArray[np.float32], train: NDArray[np.int64], n: int) -> NDArray[np.float32]:
    """Project on the first `n` principal components of the training rows, or as many as there are.

    >>> line = np.array([[3, 4], [6, 8], [0, 0]], dtype=np.float32)
    >>> np.abs(project_on_components(line, np.array([0, 1]), 5)).round(3).tolist()
    [[2.5], [2.5], [7.5]]
    """
    mean = columns[train].mean(axis=0, dtype=np.float64)
    _, values, directions = np.linalg.svd(columns[train] - mean, full_matrices=False)
    kept = directions[:n][values[:n] > 1e-6 * max(values[0], 1e-12)]
    projected: NDArray[np.float32] = ((columns - mean) @ kept.T).astype(np.float32)
    return projected


def _of_all(dataset: Dataset, features: Callable[[Signal], NDArray[np.float32]]) -> NDArray[np.float32]:
    """The features of all records, block by block."""
    blocks = np.array_split(np.arange(len(dataset)), -(-len(dataset) // _BLOCK))
    return np.concatenate([features(dataset.batch(block, "none")) for block in blocks])
