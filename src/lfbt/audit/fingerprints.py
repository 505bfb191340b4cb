"""Fingerprints of records that survive preparation: their file, and the search for copies by them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from lfbt.data.dataset import Dataset
from lfbt.errors import LfbtError
from lfbt.recording import missing_leads
from lfbt.signal import Signal
from lfbt.utils.files import atomic_file
from lfbt.utils.opening import check_regular
from lfbt.utils.progress import progress_bar

#: Hz: baseline filters act below, smoothing and shifts by milliseconds above.
FREQUENCIES: NDArray[np.float64] = np.arange(20, 148, 2) / 10
# A Hann window of this length does not resolve frequencies closer than those above, so they lose no information.
_SECONDS = 10.0
# Two or three beats are too similar: different recordings cut to 2 s matched, none cut to 5 s did.
_MIN_SECONDS = 5.0

#: Copies have at least this correlation in the band of FREQUENCIES, in either sign: the mean over the best three
#: quarters of the leads, so that one bad or swapped lead does not hide a copy.
MIN_CORRELATION = 0.95
# They have at least this share of equal bits; few leads agree by chance more easily (measured, see docs/check.md).
_MIN_SHARE = 0.9
_MIN_SHARE_OF_FEW_LEADS = 0.95
_FEW_LEADS = 2
# Fewer bits agree by chance: slow sampling leaves out most frequencies.
_MIN_BITS = 64

# What a lead has in the band is rounding error where it is less than this part of the lead's size.
_ROUNDING = 1e-4
_BLOCK_RECORDS = 256
_BLOCK_ROWS = 2048

#: The file of an encoder folder with the fingerprints of the records that the encoder has learned from.
FINGERPRINTS = "records.safetensors"

_BITS = "bits."
_N_FREQUENCIES = "n_frequencies"
_BYTES = len(FREQUENCIES) // 4


@dataclasses.dataclass(frozen=True)
class Fingerprints:
    """Fingerprints of records: enough to recognise them, signs but no voltages.

    Attributes
    ----------
    leads
        Names of the leads.
    n_frequencies
        How many of FREQUENCIES lie below half the sampling rate; the bits of the others are 0. None of records that
        are too short to be compared.
    bits
        ``[records, leads, 16]`` bytes: the signs of the Fourier sums at FREQUENCIES, real and imaginary part in turn.
        All zero for a lead that has nothing in the band.
    """

    leads: tuple[str, ...]
    n_frequencies: int
    bits: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.bits)


@dataclasses.dataclass(frozen=True)
class Matches:
    """Pairs of records with matching fingerprints, one per element.

    Attributes
    ----------
    first, second
        Rows ``[pairs]`` among the first and the second records.
    share
        Share ``[pairs]`` of bits that are equal; near 0 for a copy with its sign changed.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    share: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.first)


@functools.lru_cache(maxsize=8)
def _waves(n_samples: int, sampling_rate: float) -> Signal:
    """Windowed cosines and sines in turn ``[samples, 128]``; signals times these are their spectra."""
    time = np.arange(n_samples) / sampling_rate
    waves = np.exp(-2j * np.pi * np.outer(time, FREQUENCIES)) * np.sin(np.pi * time / _SECONDS)[:, None] ** 2
    waves[:, count_frequencies(sampling_rate) :] = 0
    pairs: NDArray[np.float64] = waves.view(np.float64)
    return pairs.astype(np.float32)


def count_frequencies(sampling_rate: float) -> int:
    """Count those of FREQUENCIES that lie below half of `sampling_rate` (Hz)."""
    return int(np.searchsorted(FREQUENCIES, sampling_rate / 2))


def count_comparable_frequencies(n_samples: int, sampling_rate: float) -> int:
    """Count the frequencies that records can be compared by; none where they are too short to differ in these."""
    return count_frequencies(sampling_rate) if n_samples >= _MIN_SECONDS * sampling_rate else 0


def compute_spectra(signals: Signal, sampling_rate: float) -> Signal:
    """Compute Fourier sums of the first ten seconds, less their mean, under a Hann window.

    They are the same, to rounding, whatever rate the signals were resampled to; an offset does not change them, a gain
    scales them.

    Parameters
    ----------
    signals
        ``[..., samples]`` in any unit.
    sampling_rate
        In Hz.

    Returns
    -------
    NDArray[float32]
        ``[..., 128]``: real and imaginary parts in turn at FREQUENCIES. Zero for a signal that is not finite or has
        nothing in the band, and at half the sampling rate and beyond.
    """
    signals = signals[..., : round(_SECONDS * sampling_rate)]
    with np.errstate(all="ignore"):
        centred = signals - signals.mean(axis=-1, keepdims=True)
        waves = _waves(centred.shape[-1], sampling_rate)
        sums: Signal = (centred.reshape(-1, len(waves)) @ waves).reshape(*centred.shape[:-1], waves.shape[1])
        size = np.linalg.norm(centred, axis=-1, keepdims=True) * np.linalg.norm(waves, axis=0).max()
        present = np.abs(sums).max(axis=-1, keepdims=True) > _ROUNDING * size
    return np.where(present, sums, np.float32(0))


def compute_bits(signals: Signal, sampling_rate: float) -> NDArray[np.uint8]:
    """Compute the fingerprint bits ``[records, leads, 16]`` of signals ``[records, leads, samples]``."""
    return np.packbits(compute_spectra(signals, sampling_rate) > 0, axis=-1)


def read_signals(dataset: Dataset, rows: NDArray[np.int64]) -> Signal:
    """Read signals ``[records, leads, samples]`` as they are in the data set, float32."""
    return np.asarray(dataset.signals[rows], dtype=np.float32)[:, dataset.lead_rows]


def iterate_signals(
    dataset: Dataset, rows: NDArray[np.int64], label: str
) -> Iterator[tuple[NDArray[np.int64], Signal]]:
    """Yield blocks of `rows` with their signals, with a progress bar called `label` where there are many."""
    with progress_bar(len(rows), label, shown=len(rows) > 8 * _BLOCK_RECORDS) as bar:
        for start in range(0, len(rows), _BLOCK_RECORDS):
            block = rows[start : start + _BLOCK_RECORDS]
            yield block, read_signals(dataset, block)
            bar.advance(len(block))


def compute_fingerprints(dataset: Dataset, rows: NDArray[np.int64]) -> Fingerprints:
    """Compute the fingerprints of records; memory for signals does not grow with their number.

    Parameters
    ----------
    dataset
        The data set.
    rows
        Rows of the records in it.

    Returns
    -------
    Fingerprints
        Of all leads of the data set, in the order of `rows`.

    Examples
    --------
    >>> from lfbt.data.dataset import from_arrays
    >>> signals = np.random.default_rng(0).standard_normal((3, 2, 5000)).astype(np.float32)
    >>> fingerprints = compute_fingerprints(from_arrays(signals, ("II", "V1"), 500.0), np.arange(3))
    >>> fingerprints.bits.shape
    (3, 2, 16)
    >>> other = from_arrays(signals[[2], ::-1], ("V1", "II"), 500.0)
    >>> find_matches(fingerprints, compute_fingerprints(other, np.arange(1))).first
    array([2])
    """
    blocks = [
        compute_bits(signals, dataset.sampling_rate) for _, signals in iterate_signals(dataset, rows, "look for copies")
    ]
    empty = np.zeros((0, len(dataset.leads), len(FREQUENCIES) // 4), dtype=np.uint8)
    n_frequencies = count_comparable_frequencies(dataset.n_samples, dataset.sampling_rate)
    return Fingerprints(dataset.leads, n_frequencies, np.concatenate([empty, *blocks]))


def find_matches(first: Fingerprints, second: Fingerprints | None = None) -> Matches:
    """Find pairs of records whose fingerprints match on the leads that both have, by name.

    A pair matches with at least 90 % of the bits equal, or at most 10 % where the sign was changed (95 and 5 % of one
    or two common leads); with fewer than 64 common bits nothing does. Time grows with the product of the numbers of
    records, memory does not.

    Parameters
    ----------
    first
        Fingerprints of records.
    second
        Those of other records; None finds pairs within `first`.

    Returns
    -------
    Matches
        Each pair once.
    """
    within, second = second is None, first if second is None else second
    leads = [lead for lead in first.leads if not missing_leads([lead], second.leads)]
    n_bits = 2 * min(first.n_frequencies, second.n_frequencies)
    of_first, of_second = ([of.leads.index(lead) for lead in leads] for of in (first, second))
    found: list[tuple[NDArray[np.int64], ...]] = []
    shares: list[NDArray[np.float64]] = []
    for i in range(0, len(first) if leads else 0, _BLOCK_ROWS):
        signs, has = _unpack_signs(first.bits[i : i + _BLOCK_ROWS, of_first], n_bits)
        for j in range(i if within else 0, len(second), _BLOCK_ROWS):
            other_signs, other_has = _unpack_signs(second.bits[j : j + _BLOCK_ROWS, of_second], n_bits)
            # Equal bits less different ones, exact in float32.
            agreement = signs @ other_signs.T
            n_leads = np.float32(len(leads)) if has.all() and other_has.all() else has @ other_has.T
            compared = n_leads * n_bits
            threshold = np.where(n_leads > _FEW_LEADS, 2 * _MIN_SHARE - 1, 2 * _MIN_SHARE_OF_FEW_LEADS - 1)
            threshold = np.where(compared >= _MIN_BITS, threshold * compared, np.inf).astype(np.float32)
            rows, columns = np.nonzero(np.abs(agreement) >= threshold)
            if within and i == j:
                rows, columns = rows[rows < columns], columns[rows < columns]
            found.append((rows + i, columns + j))
            bits = np.broadcast_to(compared, agreement.shape)[rows, columns]
            shares.append((1 + agreement[rows, columns] / bits.astype(float)) / 2)
    empty = np.zeros(0, dtype=np.int64)
    rows, columns = (np.concatenate([empty, *part]) for part in zip(*found, strict=True)) if found else (empty, empty)
    return Matches(rows, columns, np.concatenate([np.zeros(0), *shares]))


def _unpack_signs(bits: NDArray[np.uint8], n_bits: int) -> tuple[Signal, Signal]:
    """Bits as −1 and 1 ``[records, leads × bits]``, 0 for a lead that has nothing, and which leads have something."""
    has = np.asarray(bits.any(axis=2, keepdims=True), dtype=np.float32)
    signs: Signal = (np.unpackbits(bits, axis=2, count=n_bits).astype(np.float32) * 2 - 1) * has
    return signs.reshape(len(bits), -1), has[:, :, 0]


def compute_correlations(first: Signal, second: Signal) -> NDArray[np.float64]:
    """Compute the correlation of each pair of spectra ``[pairs, leads, numbers]``: the mean size over leads.

    The best three quarters of the leads that both have count, rounded up. The sign is that of the leads' sum.
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


def compute_pair_correlations(
    first: Dataset, first_rows: NDArray[np.int64], second: Dataset, second_rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Compute correlations in the band of FREQUENCIES, on the leads that both data sets have.

    Parameters
    ----------
    first, second
        Data sets with at least one common lead.
    first_rows, second_rows
        Rows ``[pairs]``: record ``first_rows[k]`` is compared with ``second_rows[k]``.

    Returns
    -------
    NDArray[float64]
        ``[pairs]``, between −1 and 1; negative where the sign was changed.
    """
    common = [lead for lead in first.leads if lead in second.leads]
    sides = ((first.select_leads(common), first_rows), (second.select_leads(common), second_rows))
    n = 2 * min(count_frequencies(dataset.sampling_rate) for dataset, _ in sides)
    out = np.zeros(len(first_rows))
    for start in range(0, len(out), _BLOCK_RECORDS):
        part = slice(start, start + _BLOCK_RECORDS)
        spectra = [
            compute_spectra(read_signals(dataset, rows[part]), dataset.sampling_rate)[..., :n]
            for dataset, rows in sides
        ]
        out[part] = compute_correlations(*spectra)
    return out


def save_fingerprints(folder: Path, seen: Fingerprints) -> None:
    """Write the fingerprints of the records that the encoder in `folder` has learned from.

    The file is written completely or not at all; one that is there already stays.

    Parameters
    ----------
    folder
        Encoder folder; made where it is absent.
    seen
        The fingerprints.
    """
    if (folder / FINGERPRINTS).is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {f"{_BITS}{lead}": np.ascontiguousarray(seen.bits[:, i]) for i, lead in enumerate(seen.leads)}
    arrays[_N_FREQUENCIES] = np.array(seen.n_frequencies, dtype=np.int64)
    with atomic_file(folder / FINGERPRINTS) as partial:
        partial.write_bytes(safetensors.numpy.save(arrays))


def load_fingerprints(file: Path) -> Fingerprints:
    """Read what `save_fingerprints` wrote.

    Parameters
    ----------
    file
        ``records.safetensors`` of an encoder folder.

    Returns
    -------
    Fingerprints
        With the leads in the order of their names.

    Raises
    ------
    LfbtError
        For a file that is not complete, or holds something else.
    """
    try:
        check_regular(file)
        arrays = safetensors.numpy.load_file(file)
    except (SafetensorError, OSError) as error:
        raise LfbtError(
            f"{file}: is not a complete safetensors file ({error}); it was cut short, or is a file of another kind"
        ) from error
    except (TypeError, KeyError):  # a number format that NumPy does not have
        arrays = {}
    leads = tuple(name.removeprefix(_BITS) for name in arrays if name.startswith(_BITS))
    bits = [arrays[f"{_BITS}{lead}"] for lead in leads]
    if (
        len({of_lead.shape for of_lead in bits}) != 1
        or any(of_lead.dtype != np.uint8 or of_lead.shape[1:] != (_BYTES,) for of_lead in bits)
        or _N_FREQUENCIES not in arrays
    ):
        raise LfbtError(f"{file}: holds no fingerprints of records; remove it to use the encoder without this guard")
    return Fingerprints(leads, int(arrays[_N_FREQUENCIES]), np.stack(bits, axis=1))


def concatenate(parts: Sequence[Fingerprints]) -> Fingerprints:
    """The fingerprints of all parts, with empty bits for leads that a part does not have."""
    leads = tuple(dict.fromkeys(lead for part in parts for lead in part.leads))
    blocks = []
    for part in parts:
        bits = np.zeros((len(part), len(leads), _BYTES), dtype=np.uint8)
        bits[:, [leads.index(lead) for lead in part.leads]] = part.bits
        blocks.append(bits)
    # Records that are too short to be compared have no frequencies, and must not take away those of the others.
    n_frequencies = min((part.n_frequencies for part in parts if part.n_frequencies), default=0)
    return Fingerprints(leads, n_frequencies, np.concatenate(blocks))
