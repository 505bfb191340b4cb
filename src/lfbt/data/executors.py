"""What reads and resamples: this process, several local ones, or the workers of a Dask cluster."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import math
import multiprocessing
import os
import socket
import threading
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

# A Dask worker may have several threads, but the warnings that clinical files are judged by are caught for a process.
_ONE_AT_A_TIME = threading.Lock()


def prepare_entries(
    entries: list[Entry], settings: PrepareSettings, folder: Path, cluster: Cluster | None
) -> Iterator[Prepared]:
    """What became of every entry, in order, with few of them held at a time; `folder` is for files meanwhile."""
    if cluster is not None:
        there = functools.partial(_prepare_there, settings=settings)
        for done in cluster.map(there, entries, name_of=lambda entry: f"recording {entry.id}"):
            yield from done
        return
    if settings.workers <= 1:
        for entry in entries:
            yield prepare_entry(entry, settings)
        return
    # A forked child of a process with threads can hang; a spawned one cannot.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(settings.workers, mp_context=context, initializer=keep_freed_memory) as pool:
        waiting: collections.deque[tuple[Future[list[Prepared]], Path]] = collections.deque()
        try:
            for number, chunk in enumerate(in_chunks(entries, settings.workers)):
                file = folder / f"chunk-{number}"
                waiting.append((pool.submit(_prepare_chunk, chunk, settings, file), file))
                if len(waiting) > 2 * settings.workers:
                    yield from _received(*waiting.popleft(), settings)
            while waiting:
                yield from _received(*waiting.popleft(), settings)
        except BrokenProcessPool as error:
            raise LfbtError(
                f"workers: one of {settings.workers} processes ended early, perhaps killed for want of memory; "
                "take fewer --workers"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _prepare_chunk(entries: Sequence[Entry], settings: PrepareSettings, file: Path) -> list[Prepared]:
    """What became of `entries`, their signals one after the other in `file`: through a pipe they take much longer."""
    done = []
    with file.open("wb") as signals:
        for entry in entries:
            prepared = prepare_entry(entry, settings)
            for piece in prepared.pieces:
                signals.write(piece.signal.data)
            done.append(_with_signals(prepared, itertools.repeat(np.empty((0, 0), np.float32))))
    return done


def _received(result: Future[list[Prepared]], file: Path, settings: PrepareSettings) -> Iterator[Prepared]:
    """What `_prepare_chunk` returned, with the signals, whose file is removed."""
    done, shape = result.result(), (len(settings.leads), settings.n_samples)
    with file.open("rb") as signals:
        size = 4 * math.prod(shape)
        of_pieces = (np.frombuffer(signals.read(size), np.float32).reshape(shape) for _ in itertools.count())
        for prepared in done:
            yield _with_signals(prepared, of_pieces)
    file.unlink()


def _with_signals(prepared: Prepared, signals: Iterator[Signal]) -> Prepared:
    pieces = [dataclasses.replace(piece, signal=next(signals)) for piece in prepared.pieces]
    return dataclasses.replace(prepared, pieces=pieces)


def _prepare_there(entries: Sequence[Entry], settings: PrepareSettings) -> list[Prepared]:
    """What became of `entries`, in a Dask worker. Raises LfbtError where their files are out of sight."""
    for entry in entries:
        # The listing saw it: it is not one of those that may be skipped as unreadable.
        if not os.access(entry.file, os.F_OK):
            raise LfbtError(
                f"dask-scheduler: its worker on {socket.gethostname()} does not see {entry.file}; "
                "every worker must see FROM under the same path"
            )
    with _ONE_AT_A_TIME:
        return [prepare_entry(entry, settings) for entry in entries]
