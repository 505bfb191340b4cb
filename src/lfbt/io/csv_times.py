"""Times of a CSV file: whether they are regular, and the sampling rate that they state."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import UnreadableError
from lfbt.io.csv_layout import Column, time_unit
from lfbt.io.recordings import READ_ERRORS

# How much the rate of a column of times may differ from the one that is given: such times are rounded.
_SAME_RATE = 0.01
# So many equal steps are exact.
_N_EXACT = 100
# 0:01.250, or 00:00:01.250.
_CLOCK = re.compile(r"'?(?:(?P<h>\d+):)?(?P<m>\d+):(?P<s>\d\d(?:\.\d+)?)'?")


def stated_rate(path: Path, column: Column, cells: Any, first_line: int) -> float:
    """Return the sampling rate in Hz that the times of a column tell: the one with the fewest decimals.

    Raises UnreadableError if they have no unit, or are too few or too coarse to tell just one.
    """
    times, unit = _times(path, column, cells, first_line)
    of = f"file {path}: no sampling rate is given, and its column {column.name}"
    if unit is None:
        raise UnreadableError(f"{of} has no unit; give the rate in Hz, or the unit in the header, as time (s)")
    span, rounding = float(np.ptp(times)) if len(times) else 0.0, _rounding(times)
    if len(times) >= _N_EXACT and span > 0 and np.allclose(np.diff(times), span / (len(times) - 1), rtol=1e-6, atol=0):
        # Were they rounded, some step would differ.
        return float(round((len(times) - 1) / (unit * span), 4))
    if len(times) >= 2 and span > rounding:
        low, high = ((len(times) - 1) / (unit * (span + off)) for off in (rounding, -rounding))
        for power in range(5):
            scale = 10**power
            # Floats of times and of their unit are not exact.
            first, last = math.ceil(low * scale * (1 - 1e-9)), math.floor(high * scale * (1 + 1e-9))
            if first == last:
                return float(first / scale)
            if first < last:
                break
    raise UnreadableError(f"{of} has times that are too few or too coarse to tell it; give it in Hz")


def check_times(path: Path, column: Column, cells: Any, sampling_rate: float, first_line: int) -> None:
    """Raise UnreadableError unless the times of a column are regular and those of the sampling rate."""
    times, unit = _times(path, column, cells, first_line)
    if len(times) < 2:
        return
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
    off: NDArray[np.bool_] | None
    for scale in [unit] if unit else (1.0, 1e-3, 1e-6, 1e-9):
        step = 1 / (scale * sampling_rate)
        if step >= (1 - _SAME_RATE) * rounding:
            found, tolerance = span / (len(times) - 1), _SAME_RATE + rounding / span
            off = _off(times, step, rounding)
        else:
            found, tolerance, off = _coarse_step(times, rounding)
        rates.append(f"{1 / (found * scale):g} Hz")
        if abs(found / step - 1) > tolerance:
            continue
        if off is None:
            too_coarse = True
            continue
        if off.any():
            row = int(np.argmax(off))
            raise UnreadableError(
                f"{of} is not regular: {times[row]:g}, then {times[row + 1]:g} (line {first_line + row + 1}); "
                "samples are missing or repeated, or the times are too coarse"
            )
        return
    if too_coarse:
        raise UnreadableError(f"{of} has times that are too coarse to check the rate; leave the column out")
    raise UnreadableError(f"{of} is one of {' or '.join(rates)}, not of {sampling_rate:g} Hz")


def _rounding(times: NDArray[np.float64]) -> float:
    """Return the decimal step to which times are rounded, from 1 down; 0 if there is none."""
    if not len(times):
        return 0.0
    # Floats of large times are not exact.
    exact = max(1e-9, 2 * float(np.spacing(np.abs(times).max())))
    return next((10.0**-n for n in range(10) if np.allclose(times, np.round(times, n), rtol=0, atol=exact)), 0.0)


def _off(times: NDArray[np.float64], step: float, rounding: float) -> NDArray[np.bool_]:
    """Tell which steps of times are not `step`."""
    steps = np.diff(times)
    if rounding <= 0.5 * step or step <= (1 + _SAME_RATE) * rounding:
        off: NDArray[np.bool_] = np.abs(steps - step) >= 0.5 * step
        return off
    # Steps of one or two roundings are honest: a sample that is missing or repeated shows in all times after it.
    rows = np.arange(len(times))
    lag = times - np.polynomial.Polynomial.fit(rows, times, 1)(rows)
    off = np.zeros(len(steps), dtype=np.bool_)
    off[max(int(np.argmax(lag)) - 1, 0)] = np.ptp(lag) > 1.25 * rounding
    return off


def _times(path: Path, column: Column, cells: Any, first_line: int) -> tuple[NDArray[np.float64], float | None]:
    """Return the times of a column, and their unit in s if it is known. Raises UnreadableError if one is empty."""
    import pandas as pd

    unit = time_unit(column)
    parsed = cells
    if cells.dtype.kind not in "iuf":
        clocks = [_CLOCK.fullmatch(str(cell).strip()) for cell in cells]
        if clocks and all(clocks):
            parts = np.array([[float(clock[name] or 0) for name in "hms"] for clock in clocks if clock])
            seconds: NDArray[np.float64] = np.sum(parts * [3600.0, 60.0, 1.0], axis=1)
            return seconds, 1.0
        try:
            parsed = pd.to_datetime(cells.astype(str), format="ISO8601")
        except READ_ERRORS as error:
            numbers = pd.to_numeric(cells, errors="coerce")
            dates = pd.to_datetime(cells.astype(str), format="ISO8601", errors="coerce", utc=True)
            row = int(np.argmax((numbers if numbers.notna().any() else dates).isna()))
            raise UnreadableError(
                f"file {path}: line {first_line + row} holds {str(cells.iloc[row])!r}; "
                f"expected numbers or dates in its column {column.name}"
            ) from error
    empty = (parsed.isna() | parsed.isin([np.inf, -np.inf])).to_numpy()
    if empty.any():
        line = first_line + int(np.argmax(empty))
        raise UnreadableError(f"file {path}: line {line} has no time in its column {column.name}")
    if parsed is cells:
        return cells.to_numpy(dtype=np.float64), unit
    return (parsed - parsed.iloc[0]).dt.total_seconds().to_numpy(), 1.0


def _coarse_step(times: NDArray[np.float64], rounding: float) -> tuple[float, float, NDArray[np.bool_] | None]:
    """Return the step of times that several rows share, how exact it is, and which jumps do not fit it, if it is exact.

    The rows between the first and the last change of the time tell the step to one row.
    """
    jumps = np.diff(times)
    changes = np.flatnonzero(jumps > 0.01 * rounding)
    n_rows = int(changes[-1] - changes[0])
    if n_rows * _SAME_RATE < 1:
        # All that is known is that the first and the last time are rounded.
        span = times[-1] - times[0]
        return span / len(jumps), rounding / (span - rounding) if span > rounding else np.inf, None
    step = float(times[changes[-1] + 1] - times[changes[0] + 1]) / n_rows
    off = jumps > 1.01 * rounding
    # As many rows share each time, but for one; fewer share the first and the last.
    excess = np.diff([-1, *changes, len(jumps)]) - rounding / step
    off[changes] |= excess[:-1] > 1.5
    off[changes] |= excess[1:] > 1.5
    off[changes[1:]] |= excess[1:-1] < -1.5
    return step, _SAME_RATE, off
