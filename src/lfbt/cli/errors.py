"""How a command ends: its exit status, and one line on stderr."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar

from lfbt.errors import LfbtError
from lfbt.utils.interrupts import STOPPED_STATUS, StoppedError, TerminatedError, raising_terminated
from lfbt.utils.opening import shown_name
from lfbt.utils.printing import printable

_USER_ERROR_STATUS = 2
# As a shell reports a process that a signal ended: this, and the signal's number.
_SIGNALLED_STATUS = 128


# The flags of the options of the command that runs, by the names that messages have for them.
_flags: ContextVar[Mapping[str, str]] = ContextVar("flags")


def set_flags(flags: Mapping[str, str]) -> None:
    """Have errors name settings as they are typed on the command line: ``batch_size`` is ``--batch-size``."""
    _flags.set(flags)


@contextlib.contextmanager
def reporting_errors() -> Iterator[None]:
    """Turn errors into one line on stderr and an exit status.

    Raises
    ------
    SystemExit
        2 for an error that the user can mend, 75 for a run that saved and stopped on a signal, 130 for Ctrl-C, 143 for
        SIGTERM, 129 for SIGHUP. 141 without a line where the reader of stdout has closed it, as ``head`` does. Errors
        of any other kind pass through, with their traceback.
    """
    set_flags({})
    try:
        with raising_terminated(), _flushing_stdout():
            yield
    except BrokenPipeError:
        _discard_stdout()
        raise SystemExit(_SIGNALLED_STATUS + signal.SIGPIPE) from None
    except StoppedError as stopped:
        if is_main():
            _print(str(stopped))
        raise SystemExit(STOPPED_STATUS) from None
    except (LfbtError, OSError) as error:
        _print(f"error: {as_typed(' '.join(str(error).split()))}")
        raise SystemExit(_USER_ERROR_STATUS) from None
    except UnicodeEncodeError as error:
        name = next(filter(_is_not_utf_8, error.object.split()), "a name")
        _print(f"error: {shown_name(name)}: is not UTF-8, and cannot be written into a file; rename it")
        raise SystemExit(_USER_ERROR_STATUS) from None
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        _print(
            "error: PyTorch is not installed, which all needs but .onnx files in predict and embed: pip install torch"
        )
        raise SystemExit(_USER_ERROR_STATUS) from None
    except (MemoryError, RuntimeError) as error:
        # PyTorch raises RuntimeError for many causes; only a lack of memory is the user's to mend.
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        _print("error: out of memory; take a smaller --batch-size, or fewer --workers")
        raise SystemExit(_USER_ERROR_STATUS) from None
    except KeyboardInterrupt as stop:
        what, number = "interrupted", int(signal.SIGINT)
        if isinstance(stop, TerminatedError):
            what, number = str(stop), stop.number
        if is_main():
            _print("; ".join([what, *getattr(stop, "__notes__", ())]))
        raise SystemExit(_SIGNALLED_STATUS + number) from None


def _is_not_utf_8(name: str) -> bool:
    """Whether a name has bytes that are no UTF-8, for which Python has halves of characters."""
    return any("\ud800" <= character <= "\udfff" for character in name)


def is_main() -> bool:
    """Whether this process is the one that prints, of those that torchrun or accelerate launched together."""
    return os.environ.get("RANK", "0") == "0"


@contextlib.contextmanager
def _flushing_stdout() -> Iterator[None]:
    """Flush stdout after a block that ends normally, or with a status, so that a closed pipe shows here."""
    try:
        yield
    except SystemExit:
        _flush_stdout()
        raise
    _flush_stdout()


def _flush_stdout() -> None:
    # There is none where a daemon was started with it closed.
    if sys.stdout is not None:
        sys.stdout.flush()


def _discard_stdout() -> None:
    """Let stdout lead nowhere: Python flushes it once more on exit."""
    # Where stdout has no descriptor, as in a notebook, nothing fails on exit.
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def as_typed(message: str) -> str:
    """Put flags in place of the names of settings."""

    def flag(name: re.Match[str]) -> str:
        return _flags.get().get(name[0], name[0])

    # A name of one word means the setting only where something is said of it.
    message = re.sub(r"(?:^|(?<=; ))[a-z]+(?=: )", flag, message)
    message = re.sub(r"(?:(?<=\()|(?<=[,:] ))[a-z]+(?= is [^;]* but was )", flag, message)
    return re.sub(r"(?<![\w./\-])[a-z]+(?:_[a-z]+)+(?![\w./\-])", flag, message)


def _print(line: str) -> None:
    print(f"lfbt: {printable(line)}", file=sys.stderr)
