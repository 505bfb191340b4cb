"""MiniRocket: proportions of positive values of many fixed convolutions, a rival of learned features."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError
from lfbt.signal import Signal

#: Where the three weights of 2 are among the nine of a kernel; the others are −1.
KERNELS = np.array(list(itertools.combinations(range(9), 3)), dtype=np.int64)
_LENGTH = 9
#: Of each kernel; 84 × 119 are the published 9,996.
FEATURES_PER_KERNEL = 119
_MAX_DILATIONS = 32
_GOLDEN = (np.sqrt(5) + 1) / 2


@dataclasses.dataclass(frozen=True)
class MiniRocket:
    """The transform of Dempster, Schmidt and Webb (KDD 2021), for signals of several leads.

    Each of 84 kernels is taken with each dilation. Such a pair convolves the sum of a few random leads, with zeros
    beyond the ends for every other pair, and its features are the shares of the output above some biases.

    Parameters
    ----------
    dilations
        ``[dilations]``.
    leads
        Which leads each pair sums, the first of them by their number ``[dilations, 84, most]``.
    n_leads
        How many ``[dilations, 84]``.
    biases
        Of the features of each pair, NaN where a dilation has fewer ``[dilations, 84, most]``.
    """

    dilations: NDArray[np.int64]
    leads: NDArray[np.int64]
    n_leads: NDArray[np.int64]
    biases: NDArray[np.float32]

    @classmethod
    def fit(cls, signals: Signal, seed: int = 0) -> MiniRocket:
        """Draw the leads of every pair, and biases from what it makes of a random record.

        Biases are quantiles of that output, in the low-discrepancy order of multiples of the golden ratio.

        Parameters
        ----------
        signals
            Training records ``[records, leads, samples]``, without their labels.
        seed
            Of the leads and records drawn.

        Raises
        ------
        LfbtError
            For fewer samples than a kernel has, and without Numba.
        """
        n_records, n_all_leads, n_samples = signals.shape
        if n_samples < _LENGTH:
            raise LfbtError(f"minirocket: {n_samples} samples; a kernel has {_LENGTH}")
        dilations, n_biases = spread_dilations(n_samples)
        shape = len(dilations), len(KERNELS)
        rng = np.random.default_rng(seed)
        most = min(n_all_leads, _LENGTH)
        n_leads = (2 ** rng.uniform(0, np.log2(most + 1), shape)).astype(np.int64)
        leads = np.argsort(rng.random((*shape, n_all_leads)), axis=2)[..., :most]
        records = rng.integers(n_records, size=shape)
        quantiles = np.arange(1, n_biases.sum() * len(KERNELS) + 1) * _GOLDEN % 1
        biases = np.full((*shape, n_biases.max()), np.nan, dtype=np.float32)
        order = iter(quantiles)
        output = np.empty(n_samples, dtype=np.float32)
        for d, k in np.ndindex(*shape):
            summed = leads[d, k, : n_leads[d, k]]
            _loops().convolve(signals[records[d, k]], summed, dilations[d], KERNELS[k], output)
            n = int(n_biases[d])
            biases[d, k, :n] = np.quantile(output, list(itertools.islice(order, n)))
        return cls(dilations, leads, n_leads, biases)

    def transform(self, signals: Signal) -> NDArray[np.float32]:
        """Compute the features ``[records, 9996]`` of signals ``[records, leads, samples]``."""
        out = np.empty((len(signals), *self.biases.shape), dtype=np.float32)
        _loops().transform(signals, self.leads, self.n_leads, self.dilations, KERNELS, self.biases, out)
        return out[:, ~np.isnan(self.biases)]


def spread_dilations(n_samples: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the dilations of every kernel, and how many features each has.

    Their exponents are evenly spaced, from a kernel of neighbours to one as long as the signal.

    >>> [values.tolist() for values in spread_dilations(33)]
    [[1, 2, 3, 4], [60, 33, 23, 3]]
    """
    exponents = np.linspace(0, np.log2((n_samples - 1) / (_LENGTH - 1)), _MAX_DILATIONS)
    dilations = np.floor(2**exponents + 1e-9).astype(np.int64)
    of_features = dilations[np.arange(FEATURES_PER_KERNEL) * _MAX_DILATIONS // FEATURES_PER_KERNEL]
    values, counts = np.unique(of_features, return_counts=True)
    return values, counts.astype(np.int64)


@dataclasses.dataclass(frozen=True)
class _Loops:
    """Compiled on first use."""

    convolve: Callable[..., None]
    transform: Callable[..., None]


@functools.cache
def _loops() -> _Loops:
    try:
        import numba
    except ImportError as error:
        raise LfbtError("minirocket: needs numba, which is not installed: pip install numba") from error
    compiled: Callable[..., Any] = numba.njit(nogil=True)

    @compiled
    def add(output, signal, shift, weight):  # type: ignore[no-untyped-def]
        # By views of equal length, which vectorises; beyond the ends are zeros.
        n = len(signal)
        source = signal[max(0, shift) : n + min(0, shift)]
        target = output[max(0, -shift) : n - max(0, shift)]
        for t in range(len(source)):
            target[t] += weight * source[t]

    @compiled
    def convolve(signals, leads, dilation, kernel, output):  # type: ignore[no-untyped-def]
        summed = np.zeros(signals.shape[1], dtype=np.float32)
        for lead in leads:
            add(summed, signals[lead], 0, np.float32(1))
        output[:] = 0
        for j in range(9):
            add(output, summed, (j - 4) * dilation, np.float32(-1))
        for j in kernel:
            add(output, summed, (j - 4) * dilation, np.float32(3))

    @compiled
    def transform(signals, leads, n_leads, dilations, kernels, biases, out):  # type: ignore[no-untyped-def]
        n = signals.shape[2]
        output = np.empty(n, dtype=np.float32)
        for record in range(len(signals)):
            for d in range(len(dilations)):
                for k in range(len(kernels)):
                    convolve(signals[record], leads[d, k, : n_leads[d, k]], dilations[d], kernels[k], output)
                    # Every other pair counts only where the kernel is within the signal.
                    ends = 4 * dilations[d] * ((d + k) % 2)
                    inside = output[ends : n - ends]
                    for b in range(biases.shape[2]):
                        bias = biases[d, k, b]
                        above = np.int32(0)
                        for t in range(len(inside)):
                            above += np.int32(inside[t] > bias)
                        out[record, d, k, b] = above / len(inside)

    return _Loops(convolve, transform)
