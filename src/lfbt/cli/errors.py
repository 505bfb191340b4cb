"""How a command ends: its exit status, and one line on stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from lfbt.errors import LfbtError
from lfbt.utils.interrupts import STOPPED_STATUS, StoppedError

_USER_ERROR_STATUS = 2
_INTERRUPTED_STATUS = 130


@contextlib.contextmanager
def reporting_errors() -> Iterator[None]:
    """Turn errors into one line on stderr and an exit status.

    Raises
    ------
    SystemExit
        2 for an error that the user can mend, 75 for a run that saved and stopped on a signal, 130 for Ctrl-C. Errors
        of any other kind pass through, with their traceback.
    """
    try:
        yield
    except StoppedError as stopped:
        if is_main():
            _print(str(stopped))
        raise SystemExit(STOPPED_STATUS) from None
    except (LfbtError, OSError) as error:
        _print(f"error: {' '.join(str(error).split())}")
        raise SystemExit(_USER_ERROR_STATUS) from None
    except (MemoryError, RuntimeError) as error:
        # PyTorch raises RuntimeError for many causes; only a lack of memory is the user's to mend.
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        _print("error: out of memory; take a smaller --batch-size, or fewer --workers")
        raise SystemExit(_USER_ERROR_STATUS) from None
    except KeyboardInterrupt:
        _print("interrupted")
        raise SystemExit(_INTERRUPTED_STATUS) from None


def is_main() -> bool:
    """Whether this process is the one that prints, of those that torchrun or accelerate launched together."""
    return os.environ.get("RANK", "0") == "0"


def _print(line: str) -> None:
    print(f"lfbt: {line}", file=sys.stderr)
