"""Charts as data in the pixels of an SVG: lines with bands, dots, whiskers; and small pictures in tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfbt.utils.figures import format_figure

#: How many colours the style has.
N_COLOURS = 8

_WIDTH, _HEIGHT = 380, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 368, 24, 216
# Of a picture in a table.
_STRIP_WIDTH, _STRIP_MIDDLE, _STRIP_MARGIN = 176, 9.5, 5

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Line:
    """What is drawn of a series: points ``x`` and ``y``, and perhaps a band or whiskers from `low` to `high`.

    kind: line, faint, dashed, dots (many), point (few, with whiskers) or rule (a help line, without a colour).
    """

    x: ArrayLike
    y: ArrayLike
    name: str = ""
    kind: Literal["line", "faint", "dashed", "dots", "point", "rule"] = "line"
    colour: int = 0
    low: ArrayLike | None = None
    high: ArrayLike | None = None


@dataclasses.dataclass(frozen=True)
class Mark:
    """A path of the SVG."""

    kind: str
    colour: int | None
    d: str


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart in pixels: its axes' ticks, its paths and its legend; alt: what a reader is told who sees no pictures."""

    title: str
    alt: str
    x_label: str
    y_label: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    grid: str
    marks: tuple[Mark, ...]
    legend: tuple[tuple[Mark, str], ...] = ()
    width: int = _WIDTH
    height: int = _HEIGHT
    left: int = _LEFT
    right: int = _RIGHT
    top: int = _TOP
    bottom: int = _BOTTOM


@dataclasses.dataclass(frozen=True)
class Strip:
    """A picture in a cell: a point with its whiskers, or a bar."""

    alt: str
    paths: tuple[tuple[str, str], ...]


def make_chart(
    title: str,
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    alt: str = "",
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    x_log: bool = False,
    x_whole: bool = False,
) -> Chart:
    """Lay out lines on common axes.

    Parameters
    ----------
    title, x_label, y_label, alt
        Words; without an `alt` the title and the labels.
    lines
        Points that are not finite are gaps.
    x_range, y_range
        Of the axes; by default that of all points, with a margin.
    x_log
        Whether x is on a logarithmic axis; its ticks are then the values of the lines.
    x_whole
        Whether x are whole numbers, such as epochs, and its ticks so, too.
    """
    xs = [_floats(line.x) for line in lines]
    if x_log:
        xs = [np.log10(np.where(x > 0, x, np.nan)) for x in xs]
    bounds = [values for line in lines for values in (line.y, line.low, line.high) if values is not None]
    x_low, x_high = x_range or _extent(xs, 0.0 if not x_log else 0.06)
    if x_whole and x_high - x_low < 1:
        x_low, x_high = round((x_low + x_high) / 2) - 1.0, round((x_low + x_high) / 2) + 1.0
    y_low, y_high = y_range or _extent([_floats(values) for values in bounds], 0.05)

    def to_x(values: ArrayLike) -> Floats:
        return _LEFT + (_floats(values) - x_low) / (x_high - x_low) * (_RIGHT - _LEFT)

    def to_y(values: ArrayLike) -> Floats:
        return _BOTTOM - (_floats(values) - y_low) / (y_high - y_low) * (_BOTTOM - _TOP)

    if x_log:
        known = sorted({float(value) for x in xs for value in x[np.isfinite(x)]})
        x_ticks = [(float(to_x(value)), f"{10**value:g}") for value in known[:8]]
    else:
        x_ticks = [(float(to_x(value)), _label(value)) for value in nice_ticks(x_low, x_high)]
        x_ticks = [tick for tick in x_ticks if not x_whole or tick[1].isdecimal()]
    y_ticks = [(float(to_y(value)), _label(value)) for value in nice_ticks(y_low, y_high)]
    marks: list[Mark] = []
    legend: list[tuple[Mark, str]] = []
    for line, x in zip(lines, xs, strict=True):
        colour = None if line.kind == "rule" else line.colour % N_COLOURS
        at_x, at_y = to_x(x), to_y(line.y)
        if line.low is not None and line.high is not None:
            low, high = to_y(line.low), to_y(line.high)
            if line.kind == "point":
                marks.append(Mark("whisker", colour, _whiskers(at_x, low, high)))
            else:
                marks.append(Mark("band", colour, _band(at_x, low, high)))
        is_dotted = line.kind in ("dots", "point")
        mark = Mark(line.kind, colour, _dots(at_x, at_y) if is_dotted else _line(at_x, at_y))
        marks.append(mark)
        if line.name and colour is not None:
            legend.append((dataclasses.replace(mark, d=""), line.name))
    grid = "".join(f"M{_LEFT} {_n(y)}H{_RIGHT}" for y, _ in y_ticks)
    grid += f"M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}"
    return Chart(
        title,
        alt or f"{title}: {y_label} over {x_label}",
        x_label,
        y_label,
        tuple((round(x, 1), text) for x, text in x_ticks),
        tuple((round(y, 1), text) for y, text in y_ticks),
        grid,
        tuple(mark for mark in marks if mark.d),
        tuple(legend),
    )


def make_strip(
    value: float | None, bounds: Sequence[float] | None, axis: tuple[float, float], zero: float | None = None
) -> Strip:
    """Draw an estimate and its interval, as a row of a forest plot, on an `axis`; `zero`: where a help line stands."""
    paths = [("axis", f"M0 {_STRIP_MIDDLE}H{_STRIP_WIDTH}")]
    if zero is not None and axis[0] <= zero <= axis[1]:
        paths.append(("zero", f"M{_n(_on(zero, axis))} 0v19"))
    if bounds is not None:
        low, high = (_on(float(bound), axis) for bound in bounds)
        paths.append(("whisker", f"M{_n(low)} {_STRIP_MIDDLE}H{_n(high)}M{_n(low)} 5v9M{_n(high)} 5v9"))
    if value is not None:
        paths.append(("point", f"M{_n(_on(value, axis))} {_STRIP_MIDDLE}h0"))
    among = "" if bounds is None else f", interval {format_figure(bounds[0])} to {format_figure(bounds[1])}"
    return Strip(f"{format_figure(value)}{among}", tuple(paths))


def make_bar(value: float, axis: tuple[float, float]) -> Strip:
    """Draw a bar from zero on, or as far as the `axis` reaches."""
    zero, end = _on(0.0, axis), _on(value, axis)
    paths = (("zero", f"M{_n(zero)} 0v19"), ("bar", f"M{_n(zero)} {_STRIP_MIDDLE}H{_n(end)}"))
    return Strip(format_figure(value), paths)


def common_axis(values: Sequence[float | None]) -> tuple[float, float]:
    """Return the extent of all numbers, with a margin; 0 to 1 without any.

    >>> common_axis([0.5, None, 0.7, 0.9])
    (0.48, 0.92)
    """
    low, high = _extent([np.array([value for value in values if value is not None], dtype=np.float64)], 0.05)
    return round(low, 6), round(high, 6)


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers from `low` to `high`, `most` at most.

    >>> nice_ticks(0, 1), nice_ticks(0.62, 0.9)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.7, 0.8, 0.9])
    """
    raw = (high - low) / (most - 1)
    if not (math.isfinite(raw) and raw > 0):
        return []
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10, 20) if factor * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    ticks = [round((first + i) * step, 12) for i in range(most + 1)]
    return [tick + 0.0 for tick in ticks if tick <= high + 1e-9 * (high - low)]


def _label(value: float) -> str:
    return f"{value:.4g}"


def _floats(values: ArrayLike) -> Floats:
    """Numbers that fit an axis: what is not finite, or beyond all axes, is NaN."""
    found = np.asarray(values, dtype=np.float64)
    return np.where(np.abs(found) < 1e100, found, np.nan)


def _extent(arrays: Sequence[Floats], margin: float) -> tuple[float, float]:
    known = np.concatenate([array[np.isfinite(array)].ravel() for array in arrays] or [np.empty(0)])
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-9):
        around = 0.05 * abs(low) or 0.5
        return low - around, high + around
    return low - margin * (high - low), high + margin * (high - low)


def _on(value: float, axis: tuple[float, float]) -> float:
    share = min(1.0, max(0.0, (value - axis[0]) / ((axis[1] - axis[0]) or 1.0)))
    return _STRIP_MARGIN + share * (_STRIP_WIDTH - 2 * _STRIP_MARGIN)


def _n(value: Any) -> str:
    return f"{float(value):.1f}".removesuffix(".0")


def _line(x: Floats, y: Floats) -> str:
    """A path through points, with gaps where one is not finite."""
    known = np.isfinite(x) & np.isfinite(y)
    path, pen = [], "M"
    for at_x, at_y, is_known in zip(x.tolist(), y.tolist(), known.tolist(), strict=True):
        if is_known:
            path.append(f"{pen}{_n(at_x)} {_n(at_y)}")
        pen = "L" if is_known else "M"
    return "".join(path)


def _band(x: Floats, low: Floats, high: Floats) -> str:
    known = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
    if known.sum() < 2:
        return ""
    up = _line(x[known], high[known])
    return f"{up}L{_line(x[known][::-1], low[known][::-1])[1:]}Z"


def _dots(x: Floats, y: Floats) -> str:
    known = np.isfinite(x) & np.isfinite(y)
    return "".join(f"M{_n(a)} {_n(b)}h0" for a, b in zip(x[known].tolist(), y[known].tolist(), strict=True))


def _whiskers(x: Floats, low: Floats, high: Floats) -> str:
    known = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
    bounds = zip(x[known].tolist(), low[known].tolist(), high[known].tolist(), strict=True)
    return "".join(f"M{_n(a)} {_n(b)}V{_n(c)}" for a, b, c in bounds)
