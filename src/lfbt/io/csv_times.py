"""Times of a CSV file: whether they are regular, and the sampling rate that they state."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import UnreadableError
from lfbt.io.csv_clocks import read_clocks
from lfbt.io.csv_columns import Column, time_unit

# How much the rate of a column of times may differ from the one that is given: such times are rounded.
_SAME_RATE = 0.01
# So many equal steps are exact.
_N_EXACT = 100
# What times without a unit may be in, in s.
_ANY_UNIT = (1.0, 1e-3, 1e-6, 1e-9, 60.0, 3600.0)
# What clock times such as 10:00 may be: minutes and seconds, or hours and minutes.
_SHORT_CLOCK = {1.0: "minutes and seconds", 60.0: "hours and minutes"}
# So many rows that are missing would not show in the rate that coarse times tell.
_N_MISSING = 3
# Whole numbers above are not exact as floats: nanoseconds since 1970.
_N_FLOAT = 2**53


def stated_rate(path: Path, column: Column, cells: Any, first_line: int) -> float:
    """Return the sampling rate in Hz that the times of a column tell: the one with the fewest decimals.

    Raises UnreadableError if they have no unit, or are too few or too coarse to tell just one.
    """
    times, units = _times(path, column, cells, first_line)
    of = f"file {path}: no sampling rate is given, and its column {column.name}"
    if units == tuple(_SHORT_CLOCK):
        raise UnreadableError(
            f"{of} has times such as {cells.iloc[0]}, which may be {' or '.join(_SHORT_CLOCK.values())}; give the rate "
            "in Hz, or mm:ss or hh:mm in a row of units"
        )
    if len(units) > 1:
        raise UnreadableError(f"{of} has no unit; give the rate in Hz, or the unit in the header, as time (s)")
    unit = units[0]
    span, rounding = float(np.ptp(times)) if len(times) else 0.0, _rounding(times)
    if len(times) >= _N_EXACT and span > 0 and np.allclose(np.diff(times), span / (len(times) - 1), rtol=1e-6, atol=0):
        # Were they rounded, some step would differ.
        return float(round((len(times) - 1) / (unit * span), 4))
    if len(times) >= 2 and span > rounding:
        rate = _simplest(*_rates(len(times) - 1, unit * span, unit * rounding))
        if rate is not None:
            _check_whole(of, rate, len(times) - 1, unit * span, unit * rounding)
            return rate
    raise UnreadableError(f"{of} has times that are too few or too coarse to tell it; give it in Hz")


def _rates(n_steps: int, span: float, rounding: float) -> tuple[float, float]:
    """The lowest and the highest rate of so many steps in a span that is rounded."""
    # Floats of times and of their unit are not exact.
    return n_steps / (span + rounding) * (1 - 1e-9), n_steps / (span - rounding) * (1 + 1e-9)


def _simplest(low: float, high: float) -> float | None:
    """The number in a range with the fewest decimals, at most four; None if there are several, or none."""
    for power in range(5):
        scale = 10**power
        first, last = math.ceil(low * scale), math.floor(high * scale)
        if first <= last:
            return float(first / scale) if first == last else None
    return None


def _check_whole(of: str, rate: float, n_steps: int, span: float, rounding: float) -> None:
    """Raise UnreadableError if coarse times tell a `rate` that a whole one would be but for a few missing rows."""
    if rate % 1 == 0 or rounding * rate <= 0.5:
        return
    for n_missing in range(1, _N_MISSING + 1):
        whole = _simplest(*_rates(n_steps + n_missing, span, rounding))
        if whole is not None and whole % 1 == 0:
            raise UnreadableError(
                f"{of} has times of {rate:g} Hz, or of {whole:g} Hz with {n_missing} missing; give the rate in Hz"
            )


def check_times(path: Path, column: Column, cells: Any, sampling_rate: float, first_line: int) -> list[str]:
    """Raise UnreadableError unless the times of a column are regular and those of the sampling rate.

    Returns notes: which of two readings of the times is taken.
    """
    times, units = _times(path, column, cells, first_line)
    if len(times) < 2:
        return []
    of = f"file {path}: its column {column.name}"
    span = times[-1] - times[0]
    if not span > 0:
        raise UnreadableError(f"{of} does not rise from {times[0]:g} to {times[-1]:g}")
    if (np.diff(times) < 0).any():
        row = int(np.argmax(np.diff(times) < 0))
        at = f"line {first_line + row + 1}"
        raise UnreadableError(f"{of} does not rise from {times[row]:g} to {times[row + 1]:g} ({at})")
    rounding = _rounding(times)
    rates: list[str] = []
    too_coarse = False
    for scale in units:
        step = 1 / (scale * sampling_rate)
        is_shared = step < (1 - _SAME_RATE) * rounding
        found, tolerance = span / (len(times) - 1), _SAME_RATE + rounding / span
        is_exact = True
        if is_shared:
            found, tolerance, is_exact = coarse_step(times, rounding)
        rates.append(f"{1 / (found * scale):g} Hz")
        if abs(found / step - 1) > tolerance:
            continue
        if not is_exact:
            too_coarse = True
            continue
        off = find_shift(times, step, rounding) if is_shared else _find_off(times, step, rounding)
        if off is not None:
            raise UnreadableError(
                f"{of} is not regular: {times[off]:g}, then {times[off + 1]:g} (line {first_line + off + 1}); "
                "samples are missing or repeated, or the times are too coarse"
                + (f", or the rate is not exactly {sampling_rate:g} Hz" if is_shared else "")
            )
        notes = [f"times such as {cells.iloc[0]} read as {_SHORT_CLOCK[scale]}"] if units == tuple(_SHORT_CLOCK) else []
        return notes + (_check_ends(of, times, rounding / step, first_line) if is_shared else [])
    if too_coarse:
        raise UnreadableError(f"{of} has times that are too coarse to check the rate; leave the column out")
    raise UnreadableError(f"{of} is one of {' or '.join(rates)}, not of {sampling_rate:g} Hz")


def _check_ends(of: str, times: NDArray[np.float64], n_shared: float, first_line: int) -> list[str]:
    """Compare how many rows share the first and the last time with the `n_shared` of all others.

    Raises UnreadableError where some are missing after a first time of 0, and returns notes where it may be that the
    recording begins or ends between two of these times.
    """
    changes = np.flatnonzero(np.diff(times) > 0) + 1
    last_line = first_line + len(times) - 1
    ends = (
        ("first", times[0], int(changes[0]), first_line, first_line + int(changes[0]) - 1),
        ("last", times[-1], len(times) - int(changes[-1]), first_line + int(changes[-1]), last_line),
    )
    notes = []
    for which, time, n_rows, low, high in ends:
        # All of them, or half of them where times are rounded to the nearest.
        missing = n_shared - n_rows
        if missing < 2 or abs(n_shared / 2 - n_rows) <= 1.5:
            continue
        what = f"the {which} time, {time:g}, is that of {n_rows} rows (lines {low} to {high}), not of {n_shared:g}"
        if which == "first" and time == 0:
            raise UnreadableError(f"{of}: {what}; samples are missing; leave the column out if none is")
        notes.append(f"{what}, as of a recording that {'begins' if which == 'first' else 'ends'} there")
    return notes


def _rounding(times: NDArray[np.float64]) -> float:
    """Return the decimal step to which times are rounded, from 1 down; 0 if there is none."""
    if not len(times):
        return 0.0
    # Floats of large times are not exact.
    exact = max(1e-9, 2 * float(np.spacing(np.abs(times).max())))
    decimal = next((10.0**-n for n in range(10) if (np.abs(times - np.round(times, n)) <= exact).all()), 0.0)
    return max(decimal, _float32_step(times))


def _float32_step(times: NDArray[np.float64]) -> float:
    """Return the step of 32-bit floats at the largest time, if all times are such floats; 0 otherwise."""
    with np.errstate(over="ignore"):
        short = times.astype(np.float32)
    if not np.isfinite(short).all():
        return 0.0
    steps = np.spacing(np.abs(short)).astype(np.float64)
    is_short = (np.abs(times - short) <= 1e-2 * steps.max()).all() and (
        (np.diff(short) > 0) == (np.diff(times) > 0)
    ).all()
    return float(steps.max()) if is_short else 0.0


def _find_off(times: NDArray[np.float64], step: float, rounding: float) -> int | None:
    """Return the first row whose time and the next are not `step` apart; None if all are."""
    steps = np.diff(times)
    if rounding <= 0.5 * step or step <= (1 + _SAME_RATE) * rounding:
        off = np.abs(steps - step) >= 0.5 * step
        return int(np.argmax(off)) if off.any() else None
    # Steps of one or two roundings are honest: a sample that is missing or repeated shows in all times after it.
    rows = np.arange(len(times))
    lag = times - np.polynomial.Polynomial.fit(rows, times, 1)(rows)
    return max(int(np.argmax(lag)) - 1, 0) if np.ptp(lag) > 1.25 * rounding else None


def _times(path: Path, column: Column, cells: Any, first_line: int) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    """Return the times of a column, and what they may be in, in s. Raises UnreadableError if one is empty."""
    import pandas as pd

    unit = time_unit(column)
    parsed = cells
    if cells.dtype.kind not in "iuf":
        texts = [str(cell).strip() for cell in cells]
        try:
            parsed = pd.to_datetime(pd.Series(texts), format="ISO8601")
        except (ValueError, TypeError, OverflowError) as error:
            if clocks := read_clocks(texts):
                if clocks.fault:
                    line = first_line + clocks.row
                    raise UnreadableError(
                        f"file {path}: its column {column.name}: {clocks.fault} (line {line})"
                    ) from None
                is_stated = column.unit.lower() in ("mm:ss", "hh:mm", "mm:ss.mmm")
                if clocks.is_short and not is_stated:
                    return clocks.seconds, tuple(_SHORT_CLOCK)
                return clocks.seconds, (unit if is_stated and clocks.is_short and unit else 1.0,)
            numbers = pd.to_numeric(cells, errors="coerce")
            dates = pd.to_datetime(cells.astype(str), format="ISO8601", errors="coerce", utc=True)
            row = int(np.argmax((numbers if numbers.notna().any() else dates).isna()))
            raise UnreadableError(
                f"file {path}: line {first_line + row} holds {str(cells.iloc[row])!r}; "
                f"expected numbers or dates in its column {column.name}"
            ) from error
    empty = parsed.isna().to_numpy() if parsed is not cells else ~np.isfinite(cells.to_numpy())
    if empty.any():
        line = first_line + int(np.argmax(empty))
        raise UnreadableError(f"file {path}: line {line} has no time in its column {column.name}")
    if parsed is cells:
        if cells.dtype.kind in "iu" and cells.abs().max() > _N_FLOAT:
            cells = cells - cells.iloc[0]
        return cells.to_numpy(dtype=np.float64), _ANY_UNIT if unit is None else (unit,)
    return (parsed - parsed.iloc[0]).dt.total_seconds().to_numpy(), (1.0,)


def coarse_step(times: NDArray[np.float64], rounding: float) -> tuple[float, float, bool]:
    """Return the step of times that several rows share, how far it may be off, and whether it is known so well.

    The rows between the first and the last change of the time tell the step to one row.
    """
    jumps = np.diff(times)
    changes = np.flatnonzero(jumps > 0.01 * rounding)
    n_rows = int(changes[-1] - changes[0])
    if n_rows * _SAME_RATE < 1:
        # All that is known is that the first and the last time are rounded.
        span = times[-1] - times[0]
        return span / len(jumps), rounding / (span - rounding) if span > rounding else np.inf, False
    return float(times[changes[-1] + 1] - times[changes[0] + 1]) / n_rows, _SAME_RATE, True


def find_shift(times: NDArray[np.float64], step: float, rounding: float) -> int | None:
    """Return the row at which rounded times no longer are those of rows that are `step` apart; None if all are.

    However rows begin between two roundings, and whether these are down or to the nearest, the true times are ahead of
    the rounded ones by less than one rounding more here than there.
    """
    ahead = np.arange(len(times)) * step - times
    exact = 1e-6 * rounding + 4 * float(np.spacing(np.abs(times).max()))
    high, low = np.maximum.accumulate(ahead), np.minimum.accumulate(ahead)
    too_far = high - low >= rounding - exact
    if not too_far.any():
        return None
    row = max(int(np.argmax(too_far)) - 1, 0)
    if high[-1] - low[-1] > rounding + exact:
        return row
    # True times halfway between two roundings go either way, time and again, from a first time that is a rounding; a
    # sample that is missing or repeated moves all that follow.
    is_up, is_down = ahead <= low[-1] + exact, ahead >= high[-1] - exact
    halves = np.flatnonzero(is_up | is_down)
    n_turns = int(np.count_nonzero(np.diff(is_up[halves].astype(int))))
    is_even = (np.abs(times[halves] / rounding % 2 - 1) > 0.5).all()
    is_nearest = abs(0.5 * (high[-1] + low[-1]) - ahead[0]) <= exact and (n_turns > 1 or bool(is_even))
    # Floats just below a rounding are rounded down to the one before it, now and then.
    downs = is_down[halves]
    is_float_error = ahead[0] <= low[-1] + exact and not (downs[1:] & downs[:-1]).any()
    return None if is_nearest or is_float_error else row
