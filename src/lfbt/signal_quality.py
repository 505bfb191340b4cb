"""Pure functions on the quality of leads: noise, mains hum, leads that are interrupted or far too large, and faults."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lfbt.signal import Signal

# A lead that moves by less than one step of a coarse recorder (5 µV) carries no ECG.
FLAT_MV = 0.005
# A QRS complex does not stay at a lead's extreme for this long; a clipped amplifier does.
_SATURATED_SECONDS = 0.2
# Voltages on the skin stay below this: a lead that rests above it is at the end of the amplifier's range.
_BEYOND_ECG_MV = 10.0
# Chosen so that few records are lost that people found acceptable: `python -m benchmarks.signal_quality`.
_MOST_HUM = 0.5
_LEAST_HUM_MV = 0.1
_MOST_FLATNESS = 0.88
_LEAST_KURTOSIS = 0.5
_LARGEST = 50.0
_REST_SECONDS = 3
# As many peaks that end at exactly one value are cut off; half a millisecond more than three samples at 500 Hz.
_CLIPPED_PEAKS = 5
# Over which the range of a lead extends; peaks of a smaller one are flat and alike, as the recorder has no finer steps.
_FEWEST_STEPS = 300
_LEAST_STEP_MV = 1e-4
_CLIPPED_SECONDS = 0.0055

# Hz. Of the ECG and of mains; below about 50 Hz of sampling rate there is too little left to tell noise by.
_BANDS = tuple(range(2, 40, 2))
_MAINS = (50, 60)
_FEWEST_BANDS = 10
# Of the power that white noise has there.
_LEAST_IN_BANDS = 0.1
_TINY = np.float32(1e-12)  # mV²


class LeadQuality(NamedTuple):
    """Figures of each lead, all of shape ``[..., leads]``.

    Parameters
    ----------
    noise : ndarray of bool
        White noise only: no peaks, by the kurtosis, and a flat spectrum from 2 to 40 Hz.
    hum : ndarray
        Share of the power of the seconds, each less its mean, that is at 50 or 60 Hz, from 0 to 1; 0 where the hum has
        an amplitude of less than 0.1 mV, as in a lead that is small for its direction.
    seconds_at_rest : ndarray of int
        Whole seconds in a row in which the lead moves by at most 5 µV while another one moves.
    size : ndarray
        The median span of a second over that of the median lead; 1 where there are fewer than three leads.
    """

    noise: NDArray[np.bool_]
    hum: Signal
    seconds_at_rest: NDArray[np.int64]
    size: Signal


def measure_quality(signals: Signal, sampling_rate: float) -> LeadQuality:
    """Measure the quality of leads second by second; what is left after the last whole second is left out.

    Parameters
    ----------
    signals : ndarray of float32, ``[..., leads, samples]``
        Finite voltages in mV.
    sampling_rate : float
        In Hz. At less than about 45 Hz no noise is found, and at less than about 111 Hz no hum of 50 Hz.

    Returns
    -------
    LeadQuality
        Of less than a second nothing is found.

    Examples
    --------
    >>> times, noise = np.arange(2000) / 200, np.random.default_rng(0).standard_normal(2000)
    >>> beats = np.exp(-(((times % 1) - 0.5) ** 2) / 1e-3)
    >>> leads = [beats, noise, beats + np.sin(2 * np.pi * 50 * times), np.where(times < 6, 0, beats), 70 * beats]
    >>> quality = measure_quality(np.array(leads, dtype=np.float32), 200.0)
    >>> quality.noise.tolist()
    [False, True, False, False, False]
    >>> quality.hum.astype(float).round(1).tolist()
    [0.0, 0.0, 0.9, 0.0, 0.0]
    >>> quality.seconds_at_rest.tolist(), int(quality.size.argmax())
    ([0, 0, 0, 6, 0], 4)
    """
    n = round(sampling_rate)
    n_seconds = signals.shape[-1] // max(n, 1)
    shape = signals.shape[:-1]
    noise, hum = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=np.float32)
    if n < 2 or n_seconds == 0:
        return LeadQuality(noise, hum, np.zeros(shape, dtype=np.int64), np.ones(shape, dtype=np.float32))
    seconds = signals[..., : n_seconds * n].reshape(*shape, n_seconds, n)
    spans = seconds.max(axis=-1) - seconds.min(axis=-1)
    centred = seconds - seconds.mean(axis=-1, keepdims=True)
    flat = centred.reshape(*shape, n_seconds * n)
    variance = np.maximum(_mean_square(flat), _TINY)
    bands, mains = _waves(sampling_rate)
    if mains.shape[1]:
        power = _power(centred, mains).max(axis=-1) * np.float32(2 / (n**2 * n_seconds))
        hum = np.where(power > _LEAST_HUM_MV**2 / 2, power / variance, np.float32(0))
    peakless = _mean_square(np.square(flat)) < (3 + _LEAST_KURTOSIS) * np.square(variance)
    # Few leads get here, and what follows takes as long as all before.
    if bands.shape[1] >= 2 * _FEWEST_BANDS and peakless.any():
        power = _power(centred[peakless], bands) + _TINY
        mean = power.mean(axis=-1)
        is_flat = np.exp(np.log(power).mean(axis=-1)) > _MOST_FLATNESS * mean
        # Of what lies elsewhere only rounding errors are in the bands. The window has 3/8 of the power.
        of_white_noise = variance[peakless] * (n * n_seconds * 3 / 8)
        noise[peakless] = is_flat & (mean > _LEAST_IN_BANDS * of_white_noise)
    return LeadQuality(noise, hum, _longest_rest(spans), _relative_size(_median(spans)))


def _mean_square(x: Signal) -> Signal:
    """The mean square of ``[..., samples]``, without an array of squares."""
    mean: Signal = (x[..., None, :] @ x[..., :, None])[..., 0, 0] / np.float32(x.shape[-1])
    return mean


def _median(x: Signal) -> Signal:
    """The median of ``[..., n]``, finite, in float32; `numpy.median` takes long to begin."""
    ordered, n = np.sort(x, axis=-1), x.shape[-1]
    median: Signal = (ordered[..., (n - 1) // 2] + ordered[..., n // 2]) / np.float32(2)
    return median


def _power(seconds: Signal, waves: Signal) -> Signal:
    """The power ``[..., frequencies]`` at frequencies, of ``[..., seconds, samples]``, summed over the seconds."""
    power: Signal = np.square(seconds @ waves).sum(axis=-2)
    return power[..., : waves.shape[1] // 2] + power[..., waves.shape[1] // 2 :]


@functools.lru_cache(maxsize=16)
def _waves(sampling_rate: float) -> tuple[Signal, Signal]:
    """Cosines and sines of a second in the bands of the ECG, under a window, and of mains: ``[samples, 2 · bands]``."""
    n = round(sampling_rate)
    times = np.arange(n) / sampling_rate

    def waves(frequencies: Sequence[int]) -> Signal:
        phases = 2 * np.pi * np.outer(times, [f for f in frequencies if f < 0.45 * sampling_rate])
        return np.concatenate([np.cos(phases), np.sin(phases)], axis=1).astype(np.float32)

    window = np.hanning(n)[:, None].astype(np.float32)
    return waves(_BANDS) * window, waves(_MAINS)


def _longest_rest(spans: Signal) -> NDArray[np.int64]:
    """The most seconds in a row ``[..., leads]`` in which a lead rests and another moves."""
    rests = spans <= FLAT_MV
    longest = current = np.zeros(rests.shape[:-1], dtype=np.int64)
    if not rests.any():
        return longest
    rests &= ~rests.all(axis=-2, keepdims=True)
    for second in range(rests.shape[-1]):
        current = np.where(rests[..., second], current + 1, 0)
        longest = np.maximum(longest, current)
    return longest


def _relative_size(spans: Signal) -> Signal:
    """Each of ``[..., leads]`` over their median."""
    if spans.shape[-1] < 3:
        return np.ones_like(spans)
    relative: Signal = (spans / np.maximum(_median(spans), FLAT_MV)[..., None]).astype(np.float32)
    return relative


def find_hum(quality: LeadQuality) -> NDArray[np.bool_]:
    """Find leads with more mains hum than everything else."""
    hum: NDArray[np.bool_] = quality.hum > _MOST_HUM
    return hum


def find_oversized(quality: LeadQuality) -> NDArray[np.bool_]:
    """Find leads that are far larger than the others."""
    oversized: NDArray[np.bool_] = quality.size > _LARGEST
    return oversized


def quality_fault(piece: Signal, leads: Sequence[str], sampling_rate: float) -> str | None:
    """Find the reason why a piece must not be used.

    ``not finite``: NaN or infinity in a lead. ``flat``: a lead whose range is at most 5 µV. ``saturated``: a lead that
    stays at its own maximum or minimum for 0.2 s or more while that value is further from its median than a quarter of
    its range, or beyond 10 mV. ``clipped``: five peaks or more of a lead, whose range is 300 steps of
    the recorder or more, end at exactly that value. ``interrupted``: a
    lead that rests for three seconds while another one moves. ``noise``, ``hum``: a lead of white noise, or with more
    mains hum than everything else. ``oversized``: a lead 50 times as large as the others.

    Parameters
    ----------
    piece : ndarray of float32, ``[leads, samples]``
        Voltages in mV.
    leads : sequence of str
        The name of each row.
    sampling_rate : float
        In Hz.

    Returns
    -------
    str or None
        The fault with the names of the leads, such as ``flat: V1,V2``; None without a fault.
    """
    # NaN is both the minimum and the maximum of a lead that has one.
    low, high = piece.min(axis=1), piece.max(axis=1)
    finite = np.isfinite(low) & np.isfinite(high)
    if not finite.all():
        return f"not finite: {_names(leads, ~finite)}"
    flat = high - low <= FLAT_MV
    if flat.any():
        return f"flat: {_names(leads, flat)}"
    saturated, clipped = _find_plateaus(piece, low, high, sampling_rate)
    quality = measure_quality(piece, sampling_rate)
    for fault, found in (
        ("saturated", saturated),
        ("clipped", clipped),
        ("interrupted", quality.seconds_at_rest >= _REST_SECONDS),
        ("noise", quality.noise),
        ("hum", find_hum(quality)),
        ("oversized", find_oversized(quality)),
    ):
        if found.any():
            return f"{fault}: {_names(leads, found)}"
    return None


def _find_plateaus(
    piece: Signal, low: Signal, high: Signal, sampling_rate: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Find leads that stay at their `low` or `high` for long, and those of which many peaks end there."""
    long, short = (max(2, round(seconds * sampling_rate)) for seconds in (_SATURATED_SECONDS, _CLIPPED_SECONDS))
    saturated, clipped = np.zeros(len(piece), dtype=bool), np.zeros(len(piece), dtype=bool)
    for extreme in (low, high):
        at_extreme = piece == extreme[:, None]
        for row, mask in enumerate(at_extreme):
            # Most leads end here, and what follows takes ten times as long.
            if np.count_nonzero(mask) < min(long, _CLIPPED_PEAKS * short):
                continue
            runs = _runs(mask)
            is_far = abs(extreme[row] - np.median(piece[row])) > (high[row] - low[row]) / 4
            saturated[row] |= (is_far or abs(extreme[row]) > _BEYOND_ECG_MV) and runs.max() >= long
            if is_far and np.count_nonzero(runs >= short) >= _CLIPPED_PEAKS:
                steps = np.diff(np.unique(piece[row]))
                step = steps[steps >= _LEAST_STEP_MV].min() if (steps >= _LEAST_STEP_MV).any() else _LEAST_STEP_MV
                clipped[row] |= high[row] - low[row] >= _FEWEST_STEPS * step
    return saturated, clipped


def _names(leads: Sequence[str], which: Any) -> str:
    return ",".join(lead for lead, chosen in zip(leads, which, strict=True) if chosen)


def _runs(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False]))
    lengths: NDArray[np.int64] = edges[1::2] - edges[::2]
    return lengths
