"""Where recordings are read and resampled: in this process, in several local ones, or on a Dask cluster."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import itertools
import math
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import types
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from lfbt.data.dask_cluster import Cluster, in_chunks
from lfbt.data.records import Prepared, PrepareSettings, prepare_entry
from lfbt.errors import LfbtError
from lfbt.signal import Signal
from lfbt.sources.listing import Entry
from lfbt.utils.memory import keep_freed_memory

# A Dask worker may have several threads, but `read_clinical` catches warnings, which is not thread-safe.
_ONE_AT_A_TIME = threading.Lock()
_CHUNKS = "chunks-"


def check_processes(workers: int) -> None:
    """Raise LfbtError for several `workers` in a process that may start no others."""
    if workers > 1 and multiprocessing.current_process().daemon:
        raise LfbtError(f"workers: {workers}, but this process is a daemon, which may start no others; give 1")


def prepare_entries(
    entries: list[Entry], settings: PrepareSettings, folder: Path, cluster: Cluster | None
) -> Iterator[Prepared]:
    """Prepare recordings in order, with few of them in memory at a time.

    Parameters
    ----------
    entries : list of Entry
        The recordings.
    settings : PrepareSettings
        How to make records of them, and in how many processes.
    folder : Path
        For temporary files.
    cluster : Cluster or None
        The Dask cluster that does it; None for this machine.

    Yields
    ------
    Prepared
        The records of each recording.
    """
    if cluster is not None:
        function = functools.partial(_prepare_on_worker, settings=settings)
        chunks = cluster.map(function, entries, name_of=lambda entry: f"recording {entry.id}")
        return itertools.chain.from_iterable(chunks)
    if settings.workers > 1:
        return _prepare_in_processes(entries, settings, folder)
    return (prepare_entry(entry, settings) for entry in entries)


def _prepare_in_processes(entries: list[Entry], settings: PrepareSettings, folder: Path) -> Iterator[Prepared]:
    shape = (len(settings.leads), settings.n_samples)
    for left_by_a_kill in folder.glob(f"{_CHUNKS}*"):
        shutil.rmtree(left_by_a_kill)
    # A folder of its own: workers of a killed process may still be writing to theirs.
    chunks = Path(tempfile.mkdtemp(prefix=_CHUNKS, dir=folder))
    # A forked child of a process with threads can hang; a spawned one cannot.
    context = multiprocessing.get_context("spawn")
    with _blocked_signals():
        pool = ProcessPoolExecutor(settings.workers, mp_context=context, initializer=_begin_worker)
    with pool:
        waiting: collections.deque[tuple[Future[list[Prepared]], Path]] = collections.deque()
        try:
            for number, chunk in enumerate(in_chunks(entries, settings.workers)):
                file = chunks / str(number)
                with _hidden_main_module(), _blocked_signals():
                    waiting.append((pool.submit(_prepare_chunk, chunk, settings, file), file))
                if len(waiting) > 2 * settings.workers:
                    yield from _receive(*waiting.popleft(), shape)
            while waiting:
                yield from _receive(*waiting.popleft(), shape)
        except BrokenProcessPool as error:
            raise LfbtError(
                f"workers: one of {settings.workers} processes ended early, perhaps killed for lack of memory; "
                "take fewer --workers"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
    shutil.rmtree(chunks)


def _begin_worker() -> None:
    keep_freed_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent does, also by SIGKILL; the pool's queue would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def _hidden_main_module() -> Iterator[None]:
    """Hide the caller's script from processes that are started: they need none of it, and would run it again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    """Have processes that are started not see Ctrl-C and SIGHUP, which a terminal sends to all: this one ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare_chunk(entries: Sequence[Entry], settings: PrepareSettings, file: Path) -> list[Prepared]:
    """Prepare `entries`, with their signals one after the other in `file`: through a pipe they take much longer."""
    done = []
    with file.open("wb") as signals:
        for entry in entries:
            prepared = prepare_entry(entry, settings)
            for piece in prepared.pieces:
                signals.write(piece.signal.data)
            done.append(_with_signals(prepared, itertools.repeat(np.empty((0, 0), np.float32))))
    return done


def _receive(result: Future[list[Prepared]], file: Path, shape: tuple[int, int]) -> Iterator[Prepared]:
    """Put the signals in `file`, of `shape` each, back into the result of `_prepare_chunk`, and remove the file."""
    done = result.result()
    with file.open("rb") as signals:
        size = 4 * math.prod(shape)
        of_pieces = (np.frombuffer(signals.read(size), np.float32).reshape(shape) for _ in itertools.count())
        for prepared in done:
            yield _with_signals(prepared, of_pieces)
    file.unlink()


def _with_signals(prepared: Prepared, signals: Iterator[Signal]) -> Prepared:
    pieces = [dataclasses.replace(piece, signal=next(signals)) for piece in prepared.pieces]
    return dataclasses.replace(prepared, pieces=pieces)


def _prepare_on_worker(entries: Sequence[Entry], settings: PrepareSettings) -> list[Prepared]:
    """Prepare `entries` in a Dask worker. Raises LfbtError if the worker does not see their files."""
    for entry in entries:
        # The listing saw the file, so it is not one of those that may be skipped as unreadable.
        if not os.access(entry.file, os.F_OK):
            raise LfbtError(
                f"dask_scheduler: its worker on {socket.gethostname()} does not see {entry.file}; "
                "every worker must see FROM under the same path"
            )
    with _ONE_AT_A_TIME:
        return [prepare_entry(entry, settings) for entry in entries]
