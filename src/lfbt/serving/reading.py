"""Files read in a process of their own, which is ended when it takes too long or too much memory."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import tempfile
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from lfbt.errors import LfbtError
from lfbt.inference.recordings import FileSettings, list_recordings
from lfbt.io import read_here
from lfbt.recording import Recording
from lfbt.serving.settings import LimitSettings
from lfbt.sources.listing import Entry

# Address space of the process, where the system enforces it: the libraries take about a gigabyte of it.
_MEMORY_BYTES = 4 << 30
_START_SECONDS = 120.0
_READY = "ready"


class TooLargeError(LfbtError):
    """A recording that is longer than the server allows."""


class Reader:
    """A process that reads files; a new one takes its place after it was ended.

    For one thread at a time.
    """

    def __init__(self, limits: LimitSettings) -> None:
        self._limits = limits
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self.restarts = -1
        self._begin()

    def read(self, path: Path, files: FileSettings) -> Recording:
        """Read the recording in a file.

        Raises
        ------
        TooLargeError
            For a recording that is longer than the limits.
        LfbtError
            For a file that cannot be read, or not in time, or that has several recordings.
        """
        connection = self._running()
        seconds = self._limits.read_seconds
        try:
            connection.send((path, files))
            if not connection.poll(seconds):
                self.close()
                raise LfbtError(f"file {path}: took longer than {seconds:g} s to read; send it in another format")
            outcome = connection.recv()
        except (EOFError, OSError):
            self.close()
            raise LfbtError(f"file {path}: the process that read it has ended; it may need too much memory") from None
        if isinstance(outcome, Recording):
            return outcome
        kind, message = outcome
        raise (TooLargeError if kind == TooLargeError.__name__ else LfbtError)(message)

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_read_files, args=(theirs, self._limits), daemon=True)
        self._process.start()
        # Only the process holds its end, so that the other end tells when it is gone.
        theirs.close()
        self.restarts += 1

    def _running(self) -> Connection:
        """The connection to a process that is ready: a new one where the last has ended."""
        for _ in range(2):
            if self._connection is None:
                self._begin()
            connection = self._connection
            with contextlib.suppress(EOFError, OSError):
                if connection is not None and connection.poll(_START_SECONDS) and connection.recv() == _READY:
                    return connection
            self.close()
        raise RuntimeError("the process that reads files does not start")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


def _read_files(connection: Connection, limits: LimitSettings) -> None:
    """Answer each file that arrives by its recording, or the kind and the words of an error, until nobody asks."""
    # Ctrl-C on a terminal reaches every process; the server ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    read_here()
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(_READY)
            path, files = connection.recv()
            # What a reader writes there is removed with the upload, even if this process is killed.
            tempfile.tempdir = str(path.parent)
            try:
                connection.send(read_recording(path, files, limits))
            except MemoryError:
                connection.send(("MemoryError", f"file {path}: needs more memory than the server gives"))
            except (LfbtError, OSError) as error:
                connection.send((type(error).__name__, " ".join(str(error).split())))


def read_recording(path: Path, files: FileSettings, limits: LimitSettings) -> Recording:
    """Read the one recording of a file, within limits. Raises LfbtError as `Reader.read`."""
    found = list_recordings([path], files)
    if len(found) != 1:
        raise LfbtError(f"file {path}: has {len(found)} recordings; send one at a time")
    (entry,) = found
    if not isinstance(entry, Entry):
        raise LfbtError(getattr(entry, "reason", f"file {path}: is no recording"))
    recording = entry.reader(entry.file)
    n_leads, n_samples = recording.signal.shape
    seconds = n_samples / recording.sampling_rate
    if n_leads * n_samples > limits.recording_values or seconds > limits.recording_seconds:
        raise TooLargeError(
            f"file {path}: {n_leads} leads, {n_samples} samples, {seconds:.4g} s are more than the server takes: "
            f"{limits.recording_seconds:g} s, {limits.recording_values} values; cut it"
        )
    return recording
