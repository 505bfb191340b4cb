"""How the threads of PyTorch share the cores with other processes, and are divided among those of a pool."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

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


# While a pool starts, new threads of the process would inherit its number of PyTorch threads: one start at a time.
_POOL_START_LOCK = threading.Lock()


def start_pool(most: int) -> ThreadPoolExecutor | None:
    """Start at most `most` threads among which PyTorch's are divided; none where it has one, or where one is enough.

    Outside of the pool PyTorch has as many threads as before.
    """
    import torch

    with _POOL_START_LOCK:
        n_threads = torch.get_num_threads()
        workers = min(most, n_threads)
        if workers <= 1:
            return None
        started = threading.Barrier(workers + 1)

        def start() -> None:
            try:
                torch.get_num_threads()  # a thread's first call sets its number to the common one
                torch.set_num_threads(n_threads // workers)  # of this thread only
                started.wait()
            except BaseException:
                started.abort()
                raise

        pool = ThreadPoolExecutor(workers)
        try:
            for _ in range(workers):
                pool.submit(start)
            started.wait()
        except BaseException:
            started.abort()
            pool.shutdown()
            raise
        finally:
            torch.set_num_threads(n_threads)  # the common number stays as it was
        return pool
