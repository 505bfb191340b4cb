"""Figures as they are shown: in tables, reports and on the terminal alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: What stands where there is no figure.
ABSENT = "-"


def format_figure(value: float | None, form: str = ".4f") -> str:
    """Format a figure; ``-`` for None and NaN.

    >>> format_figure(0.91234), format_figure(None)
    ('0.9123', '-')
    """
    return ABSENT if value is None or math.isnan(value) else format(value, form)


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
    spread = "" if mean is None or sd is None or math.isnan(sd) else f" ± {sd:{form}}"
    return format_figure(mean, form) + spread
