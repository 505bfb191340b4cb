"""The process's use of freed memory."""

from __future__ import annotations

import ctypes

# The names that malloc.h gives these settings of the GNU C library.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_NEVER = -1
# Older versions refuse more than 32 MiB.
_LARGE, _LARGE_OF_OLD = 1 << 30, 1 << 25


def keep_freed_memory() -> None:
    """Keep freed memory for the next allocation instead of returning it to the system.

    For a process that runs one command: a training step frees gigabytes that the next one needs again, and getting
    them from the system, zeroed page by page, takes as long as the arithmetic. Does nothing without the GNU C library.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    if set_option(_M_MMAP_THRESHOLD, _LARGE) or set_option(_M_MMAP_THRESHOLD, _LARGE_OF_OLD):
        set_option(_M_TRIM_THRESHOLD, _NEVER)
        set_option(_M_ARENA_MAX, 1)
