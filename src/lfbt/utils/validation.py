"""Checks of values that a user gave."""

from __future__ import annotations

from lfbt.errors import LfbtError


def check_range(name: str, value: float, allowed: str, hint: str = "") -> None:
    """Raise LfbtError unless `value` is in the interval `allowed`, written as ``[0, 1)`` or ``(0, inf)``."""
    low, high = (float(end) for end in allowed[1:-1].split(","))
    above = value >= low if allowed[0] == "[" else value > low
    below = value <= high if allowed[-1] == "]" else value < high
    if not (above and below):
        raise LfbtError(f"{name}: {value} is outside {allowed}" + (f"; {hint}" if hint else ""))
