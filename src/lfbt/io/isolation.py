"""A process of its own that reads files, so that one which crashes its reader, or never ends, costs itself only.

It is started at the first such file, used for all that follow, and replaced after its end. Memory and seconds are
limited by the size of the file: a small one cannot take much of either.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import json
import multiprocessing.spawn
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lfbt.errors import LfbtError, UnreadableError
from lfbt.utils.limits import MAX_READ_MEMORY, MAX_READ_SECONDS, most_memory, most_seconds

_START_SECONDS = 120.0
_STDERR = 2
_READY = "ready"
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from lfbt.io.isolation import answer; answer(int(sys.argv[2]))"
)

_lock = threading.Lock()
_reader: _Reader | None = None
_is_reader = False


def in_own_process(function: Callable[..., Any], path: Path, size: int, *args: Any, **options: Any) -> Any:
    """Return ``function(path, *args, **options)``, computed by the process that reads files.

    Parameters
    ----------
    function : callable
        A function of a module, whose arguments and result can be sent.
    path : Path
        The file that it reads.
    size : int
        The bytes of all that it reads, by which memory and seconds are limited.
    *args, **options
        What else it takes.

    Raises
    ------
    UnreadableError
        Where the process crashed, took too much memory, or too long.
    LfbtError
        As `function` does; for a variable of `lfbt.utils.limits` that is no number.
    """
    seconds, memory = most_seconds(size), most_memory(size)
    # Paths may be relative, to a folder that was changed since the process began, or is no longer there.
    folder = "/"
    with contextlib.suppress(FileNotFoundError):
        folder = os.getcwd()  # noqa: PTH109
    with _lock:
        try:
            result, error = _ask((folder, function, path, args, options), seconds, memory)
        except TimeoutError as ended:
            raise _too_long(path, seconds) from ended
        except EOFError:
            # Once more: what ended the process may have been another one.
            try:
                result, error = _ask((folder, function, path, args, options), seconds, memory)
            except TimeoutError as ended:
                raise _too_long(path, seconds) from ended
            except EOFError as ended:
                raise UnreadableError(
                    f"file {path}: ended the process that read it ({ended}); it is damaged, or not what it seems to be"
                ) from None
    if error is not None:
        raise error
    return result


def _too_long(path: Path, seconds: float) -> UnreadableError:
    return UnreadableError(
        f"file {path}: took longer than {seconds:.0f} s to read; it is damaged, or not what it seems to be; if it is "
        f"sound, set the environment variable {MAX_READ_SECONDS}"
    )


def _ask(request: object, seconds: float, memory: int) -> tuple[Any, LfbtError | None]:
    """Ask the process, which is started where there is none, and ended where it does not answer.

    Raises TimeoutError, and EOFError with how it ended.
    """
    global _reader
    if _reader is None or not _reader.is_running():
        _end_with_this_process()
        _reader = _Reader()
    try:
        return _reader.ask(request, seconds, memory)
    except BaseException as ended:
        reader, _reader = _reader, None
        status = reader.end()
        if isinstance(ended, (EOFError, OSError)) and not isinstance(ended, TimeoutError):
            raise EOFError(signal.Signals(-status).name if status < 0 else f"status {status}") from None
        raise


def is_reader() -> bool:
    """Whether this process reads files itself."""
    return _is_reader


def read_here() -> None:
    """Have files read by this process itself, because it is one that is limited and may end."""
    global _is_reader
    _is_reader = True


class _Reader:
    """The process, from outside."""

    def __init__(self) -> None:
        ours, theirs = (_above_standard(one) for one in socket.socketpair())
        with theirs:
            places = json.dumps([os.fsdecode(place) for place in sys.path])
            # As few threads as files at a time; and what libraries print is no line of lfbt's.
            self._process = subprocess.Popen(
                [
                    os.fsdecode(multiprocessing.spawn.get_executable()),
                    *("-c", _PROGRAM, places, str(theirs.fileno())),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        self._connection = Connection(ours.detach())
        self._is_ready = False

    def is_running(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: object, seconds: float, memory: int) -> tuple[Any, LfbtError | None]:
        """Send a request and wait for its answer. Raises TimeoutError; EOFError or OSError where the process ends."""
        if not self._is_ready:
            try:
                self._is_ready = self._connection.poll(_START_SECONDS) and self._connection.recv() == _READY
            except (EOFError, OSError):
                self._is_ready = False
            if not self._is_ready:
                raise LfbtError(
                    "the process that reads files does not start; raise the limits of memory and of open files, or "
                    "look for what else ends it"
                )
        self._connection.send((seconds, memory, request))
        if not self._connection.poll(seconds):
            raise TimeoutError
        answer: tuple[Any, LfbtError | None] = self._connection.recv()
        return answer

    def end(self) -> int:
        """End the process, and return how it ended."""
        self._connection.close()
        # What crashed has its own status by now, or in an instant.
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(0.2)
        self._process.kill()
        return self._process.wait()

    def forget(self) -> None:
        """Leave the process to the one that started it, in a copy of that."""
        self._connection.close()
        self._process.returncode = 0


def _above_standard(one: socket.socket) -> socket.socket:
    """The socket under a number above those of the standard streams, which may be free where these are closed."""
    if one.fileno() > _STDERR:
        return one
    with one:
        return socket.socket(fileno=fcntl.fcntl(one.fileno(), fcntl.F_DUPFD_CLOEXEC, _STDERR + 1))


@functools.cache
def _end_with_this_process() -> None:
    """Have the process ended with this one, and left alone by copies of this one; once."""
    atexit.register(_end)
    os.register_at_fork(after_in_child=_forget)


def _end() -> None:
    if _reader is not None:
        _reader.end()


def _forget() -> None:
    global _reader, _lock
    if _reader is not None:
        _reader.forget()
    _reader, _lock = None, threading.Lock()


def answer(descriptor: int) -> None:
    """Read the files that are asked for, in the process of its own, until nobody asks any more."""
    read_here()
    # Those of a terminal reach every process; the one that asks decides.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    with Connection(descriptor) as connection, contextlib.suppress(EOFError, OSError):
        connection.send(_READY)
        while True:
            seconds, memory, (folder, function, path, args, options) = connection.recv()
            # It began in the same folder, which it may not be allowed to enter again.
            with contextlib.suppress(OSError):
                os.chdir(folder)
            # Where the parent is gone, and its thread below does not come to run.
            signal.alarm(int(seconds) + 10)
            _limit_memory(memory)
            found: tuple[Any, LfbtError | None]
            try:
                found = function(path, *args, **options), None
            except LfbtError as error:
                found = None, error
                if isinstance(error.__cause__, MemoryError):
                    advice = f"if it is sound, set the environment variable {MAX_READ_MEMORY}"
                    found = None, UnreadableError(f"{error}; {advice}")
            _limit_memory(None)
            signal.alarm(0)
            connection.send(found)


def _limit_memory(memory: int | None) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (most if memory is None else memory, most))


def _end_with_parent(parent: int) -> None:
    """End this process when its parent does, also by SIGKILL and while a file is read."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
