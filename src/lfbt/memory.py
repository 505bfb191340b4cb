"""How this process treats memory that it has done with."""

from __future__ import annotations

import ctypes

# The names that malloc.h gives these settings of the GNU C library.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def keep_freed_memory() -> None:
    """Use freed memory again instead of giving it back to the system after each step.

    For a process that does nothing but train: a step frees gigabytes that the next one needs again, and the system
    takes as long to hand them out, zeroed page by page, as the arithmetic. Does nothing without the GNU C library.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for name, value in ((_M_MMAP_THRESHOLD, 1 << 30), (_M_TRIM_THRESHOLD, (1 << 31) - 1), (_M_ARENA_MAX, 1)):
        set_option(name, value)
