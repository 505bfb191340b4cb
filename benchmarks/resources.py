"""What a process and all that it has started hold: memory, threads and open files, at intervals."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time

import psutil


@dataclasses.dataclass(frozen=True)
class Usage:
    """Resident memory in MB, threads, and open files and sockets, of a process and its children together."""

    memory: float = 0.0
    threads: int = 0
    handles: int = 0

    def most(self, other: Usage) -> Usage:
        """The larger one of each."""
        return Usage(*map(max, dataclasses.astuple(self), dataclasses.astuple(other)))


def usage(process: psutil.Process) -> Usage:
    """What `process` and its children hold now; nothing once it has ended."""
    found = Usage()
    with contextlib.suppress(psutil.Error):
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error), each.oneshot():
                memory, threads, handles = each.memory_info().rss / 1e6, each.num_threads(), each.num_fds()
                found = Usage(found.memory + memory, found.threads + threads, found.handles + handles)
    return found


class Watch:
    """Looks every `every` seconds at what a process holds, while it is entered.

    intervals: the most of each `seconds`, with the seconds since the beginning; the last one may be shorter.
    """

    def __init__(self, pid: int, seconds: float = float("inf"), every: float = 0.2) -> None:
        self.intervals: list[tuple[float, Usage]] = []
        self._process, self._seconds, self._every = psutil.Process(pid), seconds, every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def most(self) -> Usage:
        """The most over all intervals."""
        found = Usage()
        for _, each in self.intervals:
            found = found.most(each)
        return found

    def _look(self) -> None:
        began = time.monotonic()
        most, ends = Usage(), self._seconds
        while not self._over.wait(self._every):
            most = most.most(usage(self._process))
            if (elapsed := time.monotonic() - began) >= ends:
                self.intervals.append((elapsed, most))
                most, ends = Usage(), ends + self._seconds
        self.intervals.append((time.monotonic() - began, most))
