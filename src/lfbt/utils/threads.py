"""How the threads of PyTorch wait for one another."""

from __future__ import annotations

import os

# Some tens of microseconds; the default of GNU's OpenMP is several milliseconds.
_SPINS = "10000"


def wait_briefly() -> None:
    """Let threads that wait for others give up their core after microseconds, unless the environment says how to wait.

    PyTorch's threads meet many times in a step. Where other processes hold the cores, the one that is waited for has
    none, and those that wait keep it from having one: steps take several times as long. Read by GNU's OpenMP when
    PyTorch is imported, so to be called before.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
