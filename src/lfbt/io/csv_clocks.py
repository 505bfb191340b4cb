"""Dates and clock times in CSV files, as people and devices write them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_DAY = 86400.0
# 0:01.250, or 00:00:01.250, perhaps with a decimal comma and AM or PM.
_CLOCK = re.compile(
    r"""["']?(?:(?P<h>\d+):)?(?P<m>\d+):(?P<s>\d\d(?:[.,]\d+)?)(?:\s*(?P<half>[ap])\.?m\.?)?["']?""", re.IGNORECASE
)
_DATE = re.compile(r"""["']?(\d{1,4})[./-](\d{1,2})[./-](\d{1,4})\.?["']?""")
_DATE_AND_CLOCK = re.compile(r"""["']?(?P<date>\d{1,4}[./-]\d{1,2}[./-]\d{1,4})(?:\.?,?\s+|T)(?P<clock>\d+:.+)""")


class Clocks(NamedTuple):
    """Clock times in seconds that rise over midnight.

    `is_short` if each may be minutes and seconds, or hours and minutes.

    `fault` says what is wrong with the dates, in the row `row`; empty if nothing is.
    """

    seconds: NDArray[np.float64]
    is_short: bool
    fault: str = ""
    row: int = 0


def read_clocks(cells: Sequence[str]) -> Clocks | None:
    """Read clock times, with or without dates; None if a cell is none.

    Where there are no dates, a fall of more than half a day is midnight; otherwise the date changes there, by a day.

    Parameters
    ----------
    cells : sequence of str
        Such as ``0:01.250``, ``23:59:59,998`` or ``03.04.2021 10:00:00``.

    Examples
    --------
    >>> read_clocks(["23:59:59.5", "0:00:00,0"]).seconds.tolist()
    [86399.5, 86400.0]
    >>> read_clocks(["10:00", "10:01"]).is_short
    True
    """
    dated = [_DATE_AND_CLOCK.fullmatch(cell) for cell in cells]
    dates = [match["date"] for match in dated if match]
    if len(dates) not in (0, len(cells)):
        return None
    clocks = [_CLOCK.fullmatch(match["clock"] if match else cell) for match, cell in zip(dated, cells, strict=True)]
    if not clocks or not all(clocks):
        return None
    found = [clock for clock in clocks if clock]
    parts = np.array([[float((clock[name] or "0").replace(",", ".")) for name in "hms"] for clock in found])
    if halves := [(clock["half"] or "").lower() for clock in found if clock["half"]]:
        if len(halves) < len(found):
            return None
        parts[:, 0] = parts[:, 0] % 12 + 12 * np.array([half == "p" for half in halves])
    seconds: NDArray[np.float64] = np.sum(parts * [3600.0, 60.0, 1.0], axis=1)
    is_short = not any(clock["h"] or "." in clock["s"] or "," in clock["s"] for clock in found)
    if dates:
        return _with_dates(seconds, is_short, dates)
    is_of_day = all(clock["h"] for clock in found) and bool((seconds < _DAY).all())
    days = np.cumsum(np.diff(seconds) < -_DAY / 2) if is_of_day else np.zeros(max(len(seconds) - 1, 0))
    if days.any():
        seconds[1:] += _DAY * days
    return Clocks(seconds, is_short)


def is_date(cell: str) -> bool:
    """Whether a cell holds a date and no clock time."""
    return _DATE.fullmatch(cell.strip()) is not None


def is_clock(cell: str) -> bool:
    """Whether a cell holds a clock time and no date."""
    return _CLOCK.fullmatch(cell.strip()) is not None


def _with_dates(seconds: NDArray[np.float64], is_short: bool, dates: Sequence[str]) -> Clocks:
    """Add a day to the times of each date after the first."""
    changes = [row for row in range(1, len(dates)) if dates[row] != dates[row - 1]]
    for row in changes:
        if not _is_next_day(dates[row - 1], dates[row]):
            return Clocks(seconds, is_short, f"the date {dates[row]} does not follow {dates[row - 1]}", row)
        seconds[row:] += _DAY
    return Clocks(seconds, is_short)


def _is_next_day(before: str, after: str) -> bool:
    """Whether a date follows another in some order of day, month and year."""
    numbers = [[int(part) for part in match.groups()] for match in map(_DATE.fullmatch, (before, after)) if match]
    for order in ((0, 1, 2), (2, 1, 0), (2, 0, 1)):
        try:
            first, second = (datetime.date(*(parts[place] for place in order)) for parts in numbers)
        except ValueError:
            continue
        if second - first == datetime.timedelta(days=1):
            return True
    return False
