"""Checks of values that a user gave."""

from __future__ import annotations

from lfbt.errors import LfbtError
from lfbt.recording import is_number


def check_range(name: str, value: float, allowed: str, hint: str = "") -> None:
    """Check that a number is in an interval.

    Parameters
    ----------
    name : str
        What the number is called in the message, such as ``batch-size``.
    value : float
        The number; NaN is in no interval.
    allowed : str
        The interval, such as ``[0, 1)`` or ``(0, inf)``.
    hint : str
        What to add to the message.

    Raises
    ------
    LfbtError
        If `value` is outside `allowed`, or not a number.

    Examples
    --------
    >>> check_range("gamma", 0.8, "[0, 1]")
    >>> check_range("gamma", 1.5, "[0, 1]")
    Traceback (most recent call last):
    lfbt.errors.LfbtError: gamma: 1.5 is outside [0, 1]
    """
    if not is_number(value):
        raise LfbtError(f"{name}: {value!r} is not a number")
    low, high = (float(end) for end in allowed[1:-1].split(","))
    above = value >= low if allowed[0] == "[" else value > low
    below = value <= high if allowed[-1] == "]" else value < high
    if not (above and below):
        raise LfbtError(f"{name}: {value} is outside {allowed}" + (f"; {hint}" if hint else ""))
