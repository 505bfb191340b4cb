"""The command `lfbt`: runs the module of the command that is named first."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import lfbt
from lfbt.cli.errors import reporting_errors
from lfbt.cli.overview import COMMANDS, overview, suggest
from lfbt.errors import LfbtError
from lfbt.utils.memory import keep_freed_memory

__all__ = ["COMMANDS", "main"]

# Commands that torchrun or accelerate may launch in several processes, which share the work.
_DISTRIBUTED = ("pretrain", "finetune")


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command.

    Parameters
    ----------
    argv
        The words after ``lfbt``; those of this process by default.

    Raises
    ------
    SystemExit
        As `reporting_errors` does, and with 1 where ``lfbt check`` found an error.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    with reporting_errors():
        if not words or words[0] in ("-h", "--help"):
            print(overview("lfbt COMMAND", COMMANDS))
        elif words[0] == "--version":
            print(f"lfbt {lfbt.__version__}")
        else:
            _check_command(words[0])
            keep_freed_memory()
            # Imported when it is run: PyTorch takes seconds, which the list of commands need not wait for.
            importlib.import_module(f"lfbt.cli.{words[0]}").run(words[1:])


def _check_command(command: str) -> None:
    if command not in COMMANDS:
        near = suggest(command, COMMANDS)
        hint = f"did you mean `{near}`?" if near else f"commands are {', '.join(COMMANDS)}"
        raise LfbtError(f"{command!r} is no command; {hint}")
    if command not in _DISTRIBUTED and os.environ.get("WORLD_SIZE", "1") not in ("0", "1"):
        raise LfbtError(f"{command} runs in one process; start it without torchrun or accelerate launch")
