"""How the threads of PyTorch share the cores with other processes, and with a thread that reads."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

# The share of the cores that is in use by others in the last minute.
_BUSY = 0.75
# Some tens of microseconds; the default of GNU's OpenMP is several milliseconds.
_SPINS = "10000"


def find_load() -> float | None:
    """Return how many processes wanted a core in the last minute, if they leave a process no core of its own."""
    # Windows has none, and some containers forbid it.
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):
        return None
    return load if load >= _BUSY * (os.cpu_count() or 1) else None


def wait_briefly_if_busy() -> None:
    """Where other processes hold the cores, let threads that wait give up theirs after microseconds.

    PyTorch's threads meet many times in a step. Where the one that is waited for has no core, those that wait keep it
    from having one, and steps take several times as long. Where the cores are free, to wait so briefly costs a tenth.
    Read by GNU's OpenMP when PyTorch is imported, so to be called before; what the environment says is left alone.
    """
    if find_load() is not None and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


@contextlib.contextmanager
def leaving_a_core() -> Iterator[None]:
    """Where PyTorch is loaded, have it use a thread less, so that a thread that reads meanwhile has a core.

    Otherwise PyTorch's threads wait for the one whose core is taken, at every operation.
    """
    torch = sys.modules.get("torch")
    n_threads: int = torch.get_num_threads() if torch else 1
    if torch is None or n_threads == 1:
        yield
        return
    torch.set_num_threads(n_threads - 1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
