"""Format figures for tables, reports and the terminal alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: In place of a figure that does not exist.
ABSENT = "-"


def format_figure(value: float | None, form: str = ".4f") -> str:
    """Format a figure; ``-`` for None and NaN.

    >>> format_figure(0.91234), format_figure(None)
    ('0.9123', '-')
    """
    return ABSENT if value is None or math.isnan(value) else format(value, form)


def format_count(n: int, noun: str, plural: str = "") -> str:
    """Format a number of things.

    >>> format_count(1, "record"), format_count(12_000, "patient"), format_count(0, "class", "classes")
    ('1 record', '12000 patients', '0 classes')
    """
    return f"{n} {noun if n == 1 else plural or f'{noun}s'}"


def format_names(names: Sequence[str], most: int) -> str:
    """List names, the first of them where there are more than `most`.

    >>> format_names(["a", "b", "c"], 3), format_names(["a", "b", "c", "d"], 2)
    ('a, b, c', 'a, b and 2 more')
    """
    left = len(names) - most
    return ", ".join(names[:most]) + (f" and {left} more" if left > 0 else "")


def format_interval(bounds: Sequence[float] | None, form: str = ".3f") -> str:
    """Format an interval ``[low, high]``; empty for None.

    >>> format_interval((0.9, 0.95))
    '[0.900, 0.950]'
    """
    return "" if bounds is None else f"[{bounds[0]:{form}}, {bounds[1]:{form}}]"


def format_mean(mean: float | None, sd: float | None, form: str = ".4f") -> str:
    """Format a mean over seeds with its standard deviation, where there is one.

    >>> format_mean(0.9, 0.01), format_mean(0.9, None)
    ('0.9000 ± 0.0100', '0.9000')
    """
    figure, spread = format_figure(mean, form), format_figure(sd, form.lstrip("+"))
    return figure if ABSENT in (figure, spread) else f"{figure} ± {spread}"


def format_estimate(
    mean: float | None,
    sd: float | None = None,
    interval: Sequence[float] | None = None,
    form: str = ".4f",
    interval_form: str = ".3f",
) -> str:
    """Format a figure with its standard deviation over seeds and its interval, where there are such.

    >>> format_estimate(0.9, 0.01, (0.85, 0.94)), format_estimate(0.9, None, (0.85, 0.94))
    ('0.9000 ± 0.0100 [0.850, 0.940]', '0.9000 [0.850, 0.940]')
    """
    return f"{format_mean(mean, sd, form)} {format_interval(interval, interval_form)}".rstrip()
