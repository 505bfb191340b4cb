"""Fingerprints of records that survive preparation, and which records are copies of each other by them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lfbt.data.dataset import Dataset
from lfbt.recording import missing_leads
from lfbt.signal import Signal
from lfbt.utils.progress import progress_bar

#: What a fingerprint is taken of, in Hz: baseline filters act below, smoothing and shifts by milliseconds above.
FREQUENCIES: NDArray[np.float64] = np.arange(20, 148, 2) / 10
# The Hann window of so many seconds cannot tell closer frequencies apart, so none of its information is left out.
_SECONDS = 10.0
# Two or three beats are too alike: different recordings cut to 2 s matched, of those of 5 s none did.
_LEAST_SECONDS = 5.0

#: Copies have at least this correlation in the band of FREQUENCIES, whatever its sign: the mean over the best three
#: quarters of the leads, so that one bad or swapped lead does not hide a copy.
LEAST_CORRELATION = 0.95
# They have at least this share of equal bits; few leads are alike by chance sooner (measured, see docs/check.md).
_LEAST_SHARE = 0.9
_LEAST_SHARE_OF_FEW = 0.95
_FEW_LEADS = 2
# Fewer bits say nothing: slow sampling leaves out most frequencies.
_LEAST_BITS = 64

# A lead with less than this part of its size in the band has rounding errors there.
_NOTHING = 1e-4
_RECORDS_AT_ONCE = 256
_ROWS_OF_A_PRODUCT = 2048


@dataclasses.dataclass(frozen=True)
class Fingerprints:
    """What is kept of records to know them again: signs, no voltages.

    bits: ``[records, leads, 16]``, the signs of the Fourier sums at FREQUENCIES (real, imaginary in turn), all zero
    for a lead that has nothing there; n_frequencies: how many lie below half the sampling rate, the others' bits are 0.
    """

    leads: tuple[str, ...]
    n_frequencies: int
    bits: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.bits)


@dataclasses.dataclass(frozen=True)
class Matches:
    """Pairs of records alike, one an element: row among the first records, row among the others, share of equal bits.

    A share near 0 is a copy with its sign changed.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    share: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.first)


@functools.lru_cache(maxsize=8)
def _waves(n_samples: int, sampling_rate: float) -> Signal:
    """What signals are multiplied by to get their spectra ``[samples, 128]``: windowed cosines and sines in turn."""
    time = np.arange(n_samples) / sampling_rate
    waves = np.exp(-2j * np.pi * np.outer(time, FREQUENCIES)) * np.sin(np.pi * time / _SECONDS)[:, None] ** 2
    waves[:, n_frequencies(sampling_rate) :] = 0
    pairs: NDArray[np.float64] = waves.view(np.float64)
    return pairs.astype(np.float32)


def n_frequencies(sampling_rate: float) -> int:
    """How many of FREQUENCIES lie below half of `sampling_rate` (Hz)."""
    return int(np.searchsorted(FREQUENCIES, sampling_rate / 2))


def n_known(n_samples: int, sampling_rate: float) -> int:
    """How many frequencies records can be known by: none of records that are too short to differ in these."""
    return n_frequencies(sampling_rate) if n_samples >= _LEAST_SECONDS * sampling_rate else 0


def spectra(signals: Signal, sampling_rate: float) -> Signal:
    """Fourier sums ``[..., 128]`` of signals ``[..., samples]`` at FREQUENCIES: real and imaginary parts in turn.

    Of the first ten seconds, less their mean, under a Hann window. They are the same, to rounding, whatever the rate
    that the signals were resampled to; an offset does not change them, a gain scales them. Zero for a signal that is
    not finite or has nothing there, and at half the sampling rate and beyond.
    """
    signals = signals[..., : round(_SECONDS * sampling_rate)]
    with np.errstate(all="ignore"):
        centred = signals - signals.mean(axis=-1, keepdims=True)
        waves = _waves(centred.shape[-1], sampling_rate)
        sums: Signal = (centred.reshape(-1, len(waves)) @ waves).reshape(*centred.shape[:-1], waves.shape[1])
        size = np.linalg.norm(centred, axis=-1, keepdims=True) * np.linalg.norm(waves, axis=0).max()
        something = np.abs(sums).max(axis=-1, keepdims=True) > _NOTHING * size
    return np.where(something, sums, np.float32(0))


def bits_of(signals: Signal, sampling_rate: float) -> NDArray[np.uint8]:
    """The bits ``[records, leads, 16]`` of signals ``[records, leads, samples]``."""
    return np.packbits(spectra(signals, sampling_rate) > 0, axis=-1)


def signals_of(dataset: Dataset, rows: NDArray[np.int64]) -> Signal:
    """The signals ``[records, leads, samples]`` as they are in the data set, float32."""
    return np.asarray(dataset.signals[rows], dtype=np.float32)[:, dataset.lead_rows]


def signal_blocks(dataset: Dataset, rows: NDArray[np.int64], what: str) -> Iterator[tuple[NDArray[np.int64], Signal]]:
    """`rows` and their signals, few at a time, with a progress bar for many."""
    with progress_bar(len(rows), what, shown=len(rows) > 8 * _RECORDS_AT_ONCE) as bar:
        for start in range(0, len(rows), _RECORDS_AT_ONCE):
            some = rows[start : start + _RECORDS_AT_ONCE]
            yield some, signals_of(dataset, some)
            bar.advance(len(some))


def compute_fingerprints(dataset: Dataset, rows: NDArray[np.int64]) -> Fingerprints:
    """The fingerprints of `rows`. Memory for signals does not grow with their number."""
    blocks = [bits_of(signals, dataset.sampling_rate) for _, signals in signal_blocks(dataset, rows, "look for copies")]
    nothing = np.zeros((0, len(dataset.leads), len(FREQUENCIES) // 4), dtype=np.uint8)
    known = n_known(dataset.n_samples, dataset.sampling_rate)
    return Fingerprints(dataset.leads, known, np.concatenate([nothing, *blocks]))


def find_matches(first: Fingerprints, second: Fingerprints | None = None) -> Matches:
    """The pairs of records alike on the leads that both have, by name; without `second` those within `first`.

    Alike are those with at least 90 % of the bits equal, or at most 10 % (95 and 5 % of one or two leads); 64 bits at
    least are compared. Time grows with the product of the numbers of records, memory does not.
    """
    within, second = second is None, first if second is None else second
    leads = [lead for lead in first.leads if not missing_leads([lead], second.leads)]
    n_bits = 2 * min(first.n_frequencies, second.n_frequencies)
    of_first, of_second = ([of.leads.index(lead) for lead in leads] for of in (first, second))
    found: list[tuple[NDArray[np.int64], ...]] = []
    shares: list[NDArray[np.float64]] = []
    for i in range(0, len(first) if leads else 0, _ROWS_OF_A_PRODUCT):
        mine, has = _signs(first.bits[i : i + _ROWS_OF_A_PRODUCT, of_first], n_bits)
        for j in range(i if within else 0, len(second), _ROWS_OF_A_PRODUCT):
            other, other_has = _signs(second.bits[j : j + _ROWS_OF_A_PRODUCT, of_second], n_bits)
            # Equal bits less different ones, exact in float32.
            agreement = mine @ other.T
            n_leads = np.float32(len(leads)) if has.all() and other_has.all() else has @ other_has.T
            compared = n_leads * n_bits
            least = np.where(n_leads > _FEW_LEADS, 2 * _LEAST_SHARE - 1, 2 * _LEAST_SHARE_OF_FEW - 1)
            least = np.where(compared >= _LEAST_BITS, least * compared, np.inf).astype(np.float32)
            rows, columns = np.nonzero(np.abs(agreement) >= least)
            if within and i == j:
                rows, columns = rows[rows < columns], columns[rows < columns]
            found.append((rows + i, columns + j))
            bits = np.broadcast_to(compared, agreement.shape)[rows, columns]
            shares.append((1 + agreement[rows, columns] / bits.astype(float)) / 2)
    none = np.zeros(0, dtype=np.int64)
    rows, columns = (np.concatenate([none, *part]) for part in zip(*found, strict=True)) if found else (none, none)
    return Matches(rows, columns, np.concatenate([np.zeros(0), *shares]))


def _signs(bits: NDArray[np.uint8], n_bits: int) -> tuple[Signal, Signal]:
    """Bits as −1 and 1 ``[records, leads × bits]``, 0 for a lead that has nothing, and which leads have something."""
    has = np.asarray(bits.any(axis=2, keepdims=True), dtype=np.float32)
    signs: Signal = (np.unpackbits(bits, axis=2, count=n_bits).astype(np.float32) * 2 - 1) * has
    return signs.reshape(len(bits), -1), has[:, :, 0]


def correlations(first: Signal, second: Signal) -> NDArray[np.float64]:
    """How alike each pair of spectra ``[pairs, leads, numbers]`` is: the mean size of its leads' correlations.

    Of the leads that both have, the best three quarters count, rounded up. The sign is that of most.
    """
    products = np.einsum("pln,pln->pl", first, second, dtype=np.float64)
    sizes = [np.sqrt(np.einsum("pln,pln->pl", spectrum, spectrum, dtype=np.float64)) for spectrum in (first, second)]
    both = (sizes[0] > 0) & (sizes[1] > 0)
    each = np.divide(products, sizes[0] * sizes[1], out=np.zeros_like(products), where=both)
    best = -np.sort(-np.abs(each), axis=1)
    counted = np.ceil(0.75 * both.sum(axis=1))
    best[np.arange(best.shape[1]) >= counted[:, None]] = 0
    mean: NDArray[np.float64] = best.sum(axis=1) / np.maximum(counted, 1)
    signed: NDArray[np.float64] = np.copysign(mean, each.sum(axis=1))
    return signed


def pair_correlations(
    first: Dataset, first_rows: NDArray[np.int64], second: Dataset, second_rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The correlation of record ``first_rows[k]`` with ``second_rows[k]`` in the band, on the leads that both have."""
    common = [lead for lead in first.leads if lead in second.leads]
    sides = [(dataset.select_leads(common), rows) for dataset, rows in ((first, first_rows), (second, second_rows))]
    n = 2 * min(n_frequencies(dataset.sampling_rate) for dataset, _ in sides)
    out = np.zeros(len(first_rows))
    for start in range(0, len(out), _RECORDS_AT_ONCE):
        part = slice(start, start + _RECORDS_AT_ONCE)
        both = [spectra(signals_of(dataset, rows[part]), dataset.sampling_rate)[..., :n] for dataset, rows in sides]
        out[part] = correlations(both[0], both[1])
    return out
