"""What a classifier's answer rests on: leads left out, parts of the time left out, and whether that explains it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lfbt.evaluation.bootstrap import interval
from lfbt.runs.results import Interval
from lfbt.signal import Signal

Array = NDArray[np.float64]
#: Probabilities ``[records, classes]`` of normalised signals ``[records, leads, samples]``.
Compute = Callable[[Signal], Array]
#: Probabilities ``[records, classes]`` of embeddings ``[records, columns]``.
Classify = Callable[[NDArray[np.float32]], Array]

_N_DRAWS = 1000


@dataclasses.dataclass(frozen=True)
class DeletionTest:
    """How far the probability falls without the windows that matter most, and without as many by chance.

    Parameters
    ----------
    salient, random
        Mean fall over records.
    difference
        Their difference, and its 95 % interval over draws of records.
    records, windows, deleted
        How many records, windows of each, and windows that are deleted together.
    """

    salient: float
    random: float
    difference: float
    interval: Interval
    records: int
    windows: int
    deleted: int

    @property
    def explains(self) -> bool:
        """Whether the windows that matter most do so more than others: the whole interval is above 0."""
        return self.interval is not None and self.interval[0] > 0


def probabilities_without_leads(embeddings: NDArray[np.float32], n_leads: int, classify: Classify) -> list[Array]:
    """Compute what a classifier says where one lead tells nothing: its columns are their means over the records.

    Parameters
    ----------
    embeddings
        ``[records, leads × features]``, lead by lead.
    n_leads
        Number of leads.
    classify
        The classifier on the embeddings.

    Returns
    -------
    list of ndarray
        Of each lead left out, probabilities ``[records, classes]``.
    """
    by_lead = embeddings.reshape(len(embeddings), n_leads, -1)
    found = []
    for lead in range(n_leads):
        without = by_lead.copy()
        without[:, lead] = by_lead[:, lead].mean(axis=0)
        found.append(classify(without.reshape(embeddings.shape)))
    return found


def split_time(n_samples: int, n_windows: int) -> list[tuple[int, int]]:
    """Divide samples into windows that are as equal as can be, as ``(start, stop)``.

    >>> split_time(10, 3)
    [(0, 3), (3, 7), (7, 10)]
    """
    edges = np.rint(np.linspace(0, n_samples, n_windows + 1)).astype(int).tolist()
    return list(itertools.pairwise(edges))


def occlude(signals: Signal, windows: Sequence[tuple[int, int]]) -> Signal:
    """Return a copy of signals ``[..., leads, samples]`` in which each lead is its mean in all `windows`."""
    hidden = signals.copy()
    means = signals.mean(axis=-1, keepdims=True)
    for start, stop in windows:
        hidden[..., start:stop] = means
    return hidden


def falls_by_window(signals: Signal, numbers: NDArray[np.int64], compute: Compute, n_windows: int) -> Array:
    """Compute how far the probability of a class falls when a window of time is hidden in all leads.

    Parameters
    ----------
    signals
        Normalised ``[records, leads, samples]``.
    numbers
        Of the class that counts in each record ``[records]``.
    compute
        The classifier.
    n_windows
        Number of windows.

    Returns
    -------
    ndarray
        ``[records, windows]``; negative where it rises.
    """
    windows = split_time(signals.shape[-1], n_windows)
    falls = np.empty((len(signals), n_windows))
    for row, (signal, number) in enumerate(zip(signals, numbers.tolist(), strict=True)):
        variants = np.stack([signal, *(occlude(signal, [window]) for window in windows)])
        whole, *hidden = compute(variants)[:, number]
        falls[row] = whole - np.array(hidden)
    return falls


def deletion_test(
    signals: Signal,
    numbers: NDArray[np.int64],
    falls: Array,
    compute: Compute,
    n_deleted: int = 5,
    n_random: int = 5,
    seed: int = 0,
) -> DeletionTest:
    """Test whether the windows whose hiding lowers a probability most are those that it rests on.

    All `n_deleted` of them are hidden together, which hiding one by one does not foresee, and so are as many others by
    chance, several times. A saliency that explains nothing is no better than chance here.

    Parameters
    ----------
    signals
        Normalised ``[records, leads, samples]``.
    numbers
        Of the class that counts in each record ``[records]``.
    falls
        As of `falls_by_window` ``[records, windows]``.
    compute
        The classifier.
    n_deleted, n_random
        Windows that are hidden together, and draws of others.
    seed
        Of the draws.
    """
    rng = np.random.default_rng(seed)
    salient, by_chance = [], []
    n_windows = falls.shape[1]
    windows = split_time(signals.shape[-1], n_windows)
    for signal, number, of_record in zip(signals, numbers.tolist(), falls, strict=True):
        chosen = [np.argsort(-of_record, kind="stable")[:n_deleted]]
        chosen += [rng.choice(n_windows, n_deleted, replace=False) for _ in range(n_random)]
        variants = np.stack([signal, *(occlude(signal, [windows[i] for i in some]) for some in chosen)])
        whole, of_salient, *of_random = compute(variants)[:, number]
        salient.append(whole - of_salient)
        by_chance.append(whole - np.mean(of_random))
    differences = np.array(salient) - np.array(by_chance)
    drawn = rng.integers(len(differences), size=(_N_DRAWS, len(differences)))
    return DeletionTest(
        salient=float(np.mean(salient)),
        random=float(np.mean(by_chance)),
        difference=float(differences.mean()),
        interval=interval(differences[drawn].mean(axis=1)),
        records=len(signals),
        windows=n_windows,
        deleted=n_deleted,
    )
