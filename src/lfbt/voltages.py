"""Voltages that no ECG has: leads in another unit, codes for invalid samples, counts with an offset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError
from lfbt.recording import unit_in_mv, zero_count
from lfbt.signal import Signal

# No lead of an ECG spans more in most of its seconds; when electrodes move, it spans up to 170 mV in single ones. The
# middle lead of a data set spans 0.5 to 3 mV.
MAX_SPAN_MV = 30.0
# From one sample to the next and back: a code for an invalid sample, such as -32.768 mV, and no electrode.
_JUMP_MV = 15.0
MEDIAN_SPAN_MV = (0.05, 10.0)


def measure_spans(signals: Signal) -> Signal:
    """Measure from the lowest to the highest value of each lead: ``[..., leads, samples]`` → ``[..., leads]``."""
    spans: Signal = signals.max(axis=-1) - signals.min(axis=-1)
    return spans


def find_implausible_leads(signal: Signal, leads: Sequence[str], sampling_rate: float) -> str | None:
    """Name the leads that no ECG has, with how much they span; None without one.

    Such a lead spans more than 30 mV in most of the seconds in which it moves, or it spans as much in all, and jumps to
    a value and back, each time by more than 15 mV between two samples. A lead that is displaced for a while, as by an
    electrode that moves, is none.

    Parameters
    ----------
    signal : ndarray of float32, ``[leads, samples]``
        Voltages in mV.
    leads : sequence of str
        The name of each row.
    sampling_rate : float
        In Hz.

    Returns
    -------
    str or None
        Names and spans.

    Examples
    --------
    >>> signal = np.sin(np.arange(1000, dtype=np.float32)) * np.array([[1], [240]])
    >>> find_implausible_leads(signal, ("II", "V1"), 100.0)
    'V1 spans 480 mV'
    """
    spans = measure_spans(signal)
    found = [
        f"{leads[row]} spans {spans[row]:.3g} mV"
        for row in map(int, np.flatnonzero((spans > MAX_SPAN_MV) & (spans < np.inf)))
        if _span_of_seconds(signal[row], sampling_rate) > MAX_SPAN_MV or _jumps_and_returns(signal[row])
    ]
    return ", ".join(found) or None


def implausible_record(place: str, record: str, leads: str) -> LfbtError:
    """Make the error for a record with leads that `find_implausible_leads` names."""
    return LfbtError(
        f"{place}: record {record}: {leads}, more than any ECG; correct its unit, leave it out, or insist with "
        "allow_implausible"
    )


def _span_of_seconds(lead: Signal, sampling_rate: float) -> float:
    """The median of the spans of the seconds in which a lead moves; what is left after the last is left out."""
    n = min(len(lead), max(2, round(sampling_rate)))
    spans = measure_spans(lead[: len(lead) // n * n].reshape(-1, n))
    return float(np.median(spans[spans > 0])) if spans.any() else 0.0


def _jumps_and_returns(lead: Signal) -> bool:
    """Whether a lead jumps to one value, stays there for a sample or more, and jumps back; or begins or ends so."""
    steps = np.diff(lead)
    jumps = np.flatnonzero(np.abs(steps) > _JUMP_MV)
    ends = np.r_[0, jumps + 1, len(lead)]
    signs = np.r_[0, np.sign(steps[jumps]), 0]
    return any(
        start < end and before * after <= 0 and before != after and (lead[start:end] == lead[start]).all()
        for start, end, before, after in zip(ends[:-1], ends[1:], signs[:-1], signs[1:], strict=True)
    )


def implausible_span(spans: Sequence[float] | Signal) -> str | None:
    """Say why signals cannot be ECG in mV, with the likely unit: their median lead spans 0.05 to 10 mV.

    Parameters
    ----------
    spans : sequence of float
        Spans of leads in mV, of one record or many.

    Returns
    -------
    str or None
        None for plausible spans, and for none at all.

    Examples
    --------
    >>> implausible_span([1.2, 0.8, 2.5])
    >>> implausible_span([1200.0, 800.0, 2500.0])
    'the median lead spans 1.2e+03 mV, which is outside [0.05, 10]; the values are likely in µV, or raw counts'
    """
    if not len(spans):
        return None
    span, (low, high) = float(np.median(spans)), MEDIAN_SPAN_MV
    if low <= span <= high:
        return None
    units = [unit for unit, in_mv in (("µV", 1e-3), ("V", 1e3), ("nV", 1e-6)) if low <= span * in_mv <= high]
    if span < low:
        likely = f"in {units[0]}" if units else "not an ECG"
    else:
        likely = f"in {units[0]}, or raw counts" if units else "raw counts, or z-scores"
    return f"the median lead spans {span:.2g} mV, which is outside [{low:g}, {high:g}]; the values are likely {likely}"


# Electrodes give a lead less; so few samples tell no offset.
_MAX_OFFSET_MV = 5.0
_N_FOR_OFFSET = 100


def find_offset(values: NDArray[Any], unit: str, leads: Sequence[str]) -> str | None:
    """Say which lead lies where only counts of a converter do whose 0 V is another count than 0.

    Counts of 12 bit without a sign lie around 2048, those of 16 bit around 32768.

    Parameters
    ----------
    values : ndarray, ``[leads, samples]``
        As they are stored.
    unit : str
        What they are taken for; one that states the count of 0 V is believed, also 0.
    leads : sequence of str
        The name of each row.

    Returns
    -------
    str or None
        None where the middle value of each lead is within 5 mV, or not whole; whole values that are all around the same
        power of two must be within 1 mV.

    Examples
    --------
    >>> counts = 2048 + np.arange(200).reshape(1, 200) % 60
    >>> find_offset(counts, "200/mV", ("II",))
    'lead II lies at 2074, which is 10.4 mV, as of counts with an offset; give the unit 200(2048)/mV, or 200(0)/mV'
    >>> find_offset(counts, "200(2048)/mV", ("II",))
    """
    if zero_count(unit) is not None or values.ndim != 2 or not 0 < len(values) == len(leads):
        return None
    in_mv = unit_in_mv(unit)
    # A few hundred samples of each lead are enough for its middle, which is within 1 mV where most of them are.
    some = values[:, :: max(1, values.shape[1] // 500)].astype(np.float64)
    if len(some[0]) < _N_FOR_OFFSET or (np.count_nonzero(np.abs(some) * in_mv <= 1, axis=1) > len(some[0]) / 2).all():
        return None
    middles = np.median(some, axis=1)
    if not np.isfinite(middles).all():
        middles = np.array([np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else 0.0 for row in some])
    row = int(np.argmax(np.abs(middles)))
    offset, moved = float(middles[row]), abs(float(middles[row])) * in_mv
    finite = some[np.isfinite(some)]
    if moved <= 1 or (finite % 1 > 0).any() or len(np.unique(finite)) == 1:
        return None
    # The power of two nearest to it, to one part in eight.
    power = 2 ** round(float(np.log2(abs(offset))))
    is_unsigned = not (values < 0).any() and bool((np.abs(middles - power) <= power / 8).all())
    if moved <= _MAX_OFFSET_MV and not is_unsigned:
        return None
    gain = f"{1 / in_mv:.10g}"
    likely = power if is_unsigned else round(offset)
    # Without a gain the values may as well be µV.
    micro = in_mv == 1 and "/" not in unit and moved <= 1000 * _MAX_OFFSET_MV
    what, units = ("in µV, or as of", "uV, or of counts ") if micro else ("as of", "")
    return (
        f"lead {leads[row]} lies at {offset:g}, which is {moved:.3g} mV, {what} counts with an offset; give the unit "
        f"{units}{gain}({likely})/mV, or {gain}(0)/mV"
    )


def check_offset(what: str, values: NDArray[Any], unit: str, leads: Sequence[str]) -> None:
    """Raise LfbtError, which calls them `what`, where `find_offset` says something of `values`."""
    if fault := find_offset(values, unit, leads):
        raise LfbtError(f"{what}: {fault}")


#: Why a recording has no amplitudes.
Z_SCORES = (
    "the signal is a z-score (mean 0, standard deviation 1), but the amplitudes of voltages in mV count here; give the "
    "signal before its z-score"
)
# By how much mean and deviation of z-scores differ from 0 and 1: they are rounded, and divided by std + 1e-5.
_STANDARD = 3e-4
# A mean of squares further from 1 belongs to no such signal.
_NEARLY_STANDARD = 0.01


def is_standardised(signal: Signal) -> bool:
    """Whether a signal ``[leads, samples]`` is a z-score, over the record or of each lead that is not flat, and not mV.

    >>> signal = np.array([[0.1, 0.3, 0.2], [0.5, 0.1, 0.9]], np.float32)
    >>> is_standardised(signal), is_standardised((signal - signal.mean()) / signal.std())
    (False, True)
    """
    with np.errstate(all="ignore"):  # what is not finite is refused elsewhere
        moving = np.ptp(signal, axis=1) != 0
        # The mean of squares rules out nearly all voltages in a fifth of the time.
        squares = np.einsum("ij,ij->i", signal, signal, dtype=np.float64) / signal.shape[1]
        candidates = []
        if abs(squares.mean() - 1) < _NEARLY_STANDARD:
            candidates.append(signal.reshape(1, -1))
        if moving.any() and (abs(squares[moving] - 1) < _NEARLY_STANDARD).all():
            candidates.append(signal[moving])
        return any(_is_standard(rows.astype(np.float64)) for rows in candidates)


def _is_standard(rows: NDArray[np.float64]) -> bool:
    """Whether each row has mean 0 and standard deviation 1."""
    means, deviations = rows.mean(axis=1), rows.std(axis=1)
    return bool((np.abs(means) < _STANDARD).all() and (np.abs(deviations - 1) < _STANDARD).all())
