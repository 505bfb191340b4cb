"""How this process treats memory that it has done with."""

from __future__ import annotations

import ctypes

# The names that malloc.h gives these settings of the GNU C library.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_NEVER = -1
# Older versions refuse more than 32 MiB.
_LARGE, _LARGE_OF_OLD = 1 << 30, 1 << 25


def keep_freed_memory() -> None:
    """Use freed memory again instead of giving it back to the system.

    For a process that runs one command: a step of training frees gigabytes that the next one needs again, and the
    system takes as long to hand them out, zeroed page by page, as the arithmetic. Without the GNU C library it does
    nothing.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    if set_option(_M_MMAP_THRESHOLD, _LARGE) or set_option(_M_MMAP_THRESHOLD, _LARGE_OF_OLD):
        set_option(_M_TRIM_THRESHOLD, _NEVER)
        set_option(_M_ARENA_MAX, 1)
