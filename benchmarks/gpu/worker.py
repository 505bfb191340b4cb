"""A process that runs items one after the other, and is replaced where one hangs, crashes or breaks the device."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.gpu.results import Check, Figure, Found, Place
from benchmarks.gpu.sizes import GpuSizes

#: The function that a process calls for an item's name and its place.
Run = Callable[[str, Place], Found]
# Of a start with its imports, on a slow disk.
_START = 120.0


class Worker:
    """Runs items in a process of its own; `close` ends it."""

    def __init__(self, run: Run, device: str, sizes: GpuSizes) -> None:
        self._arguments = (run, device, sizes)
        self._process: Any = None
        self._connection: Any = None

    def find(self, name: str, limit: float) -> dict[str, Any]:
        """Run an item for at most `limit` seconds: what it finds, or one failed check, as plain values."""
        if self._process is None and not self._start():
            return _failed(name, "the process did not start")
        self._connection.send(name)
        try:
            answer = self._connection.recv() if self._connection.poll(limit) else None
        except (EOFError, OSError):
            self._process.join(5)
            code = self._process.exitcode
            self.close()
            return _failed(name, f"the process ended with status {code}")
        if answer is None:
            self.close()
            return _failed(name, f"not done after {limit:.0f} s")
        if answer.pop("broken"):
            # After some errors a GPU refuses everything else in the process.
            self.close()
        return answer  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the process, and those that it started."""
        if self._process is None:
            return
        # It may still be starting, in the group of this process.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(self._process.pid) == self._process.pid:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._process = self._connection = None

    def _start(self) -> bool:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, *self._arguments))
        self._process.start()
        theirs.close()
        with contextlib.suppress(EOFError, OSError):
            if self._connection.poll(_START) and self._connection.recv() == "ready":
                return True
        self.close()
        return False


def _failed(name: str, why: str) -> dict[str, Any]:
    return {"checks": [dataclasses.asdict(Check(name, "failed", note=why))], "figures": []}


def _serve(connection: Connection, run: Run, device: str, sizes: GpuSizes) -> None:
    """Answer names with what their items find, until the other side is gone."""
    import torch

    from lfbt.models.cpu import layer_ops

    os.setsid()
    if device == "cpu":
        # What is tried there is tiny, and other processes may hold the cores.
        torch.set_num_threads(1)
        vars(layer_ops)["has_numba"] = lambda: False  # compiling would take longer than all else
    connection.send("ready")
    while True:
        try:
            name = connection.recv()
        except EOFError:
            return
        with _folder() as folder:
            answer = answer_of(run, name, Place(torch.device(device), sizes, folder))
        connection.send(answer)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        yield Path(name)


def answer_of(run: Run, name: str, place: Place) -> dict[str, Any]:
    """What an item finds as plain values; what it raises is a failed check, or one not available without a package."""
    try:
        found, broken = run(name, place), False
    except ModuleNotFoundError as error:
        found, broken = [Check(name, "not available", note=f"the package {error.name} is not installed")], False
    except Exception as error:  # noqa: BLE001 - the next item has to run whatever happens in this one
        traceback.print_exc()
        lines = str(error).strip().splitlines() or [""]
        found, broken = [Check(name, "failed", note=f"{type(error).__name__}: {lines[0][:300]}")], True
    return {
        "checks": [dataclasses.asdict(one) for one in found if isinstance(one, Check)],
        "figures": [dataclasses.asdict(one) for one in found if isinstance(one, Figure)],
        "broken": broken,
    }
