"""The command `lfbt`: runs the module of the command that is named first."""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
import os
import sys
from collections.abc import Sequence

import lfbt
from lfbt.cli.errors import reporting_errors
from lfbt.cli.output import SWITCHES, Output, printing_text
from lfbt.cli.overview import COMMANDS, overview, suggest
from lfbt.errors import FinishedError, LfbtError
from lfbt.utils.limits import check_limits
from lfbt.utils.memory import keep_freed_memory
from lfbt.utils.printing import printable
from lfbt.utils.progress import quiet
from lfbt.utils.threads import wait_briefly_if_busy

__all__ = ["COMMANDS", "main"]

# Commands that torchrun or accelerate may launch in several processes, which share the work.
_RUNS = ("pretrain", "probe", "finetune")
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
            print("`lfbt --version` and `lfbt --print-completion bash`, zsh or fish, stand without a command.")
        elif words[0] == "--version":
            print(f"lfbt {lfbt.__version__}")
        elif words[0] == "--print-completion":
            from lfbt.cli.completion import completion_script

            print(completion_script("".join(words[1:2])))
        else:
            _check_command(words[0])
            check_limits()
            keep_freed_memory()
            wait_briefly_if_busy()
            _run(words[0], words[1:])


def _run(command: str, words: Sequence[str]) -> None:
    """Run a command and print its result, unless this is a process of several that has none."""
    own = list(itertools.takewhile(lambda word: word != "--", words))
    given = SWITCHES.keys() & set(own)
    words = [word for word in own if word not in SWITCHES] + list(words[len(own) :])
    is_quiet, has_help = "--quiet" in given, bool({"-h", "--help"} & set(own))
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet(is_quiet))
        stack.enter_context(printing_text(not given))
        # What else is printed must not come between.
        if is_quiet and not has_help:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        elif given and not has_help:
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        # Imported when it is run: PyTorch takes seconds, which the list of commands need not wait for.
        output: Output | None
        try:
            output = importlib.import_module(f"lfbt.cli.{command}").run(words)
        except FinishedError as finished:
            if command in _RUNS:
                importlib.import_module("lfbt.cli.finished").add_missing_report(finished.place)
            output = Output(str(finished), {"finished": finished.place})
    if output is None:
        return
    if "--json" in given:
        print(output.to_json())
    elif not is_quiet and output.text:
        print(printable(output.text))
    if output.status:
        raise SystemExit(output.status)


def _check_command(command: str) -> None:
    try:
        os.getcwd()  # noqa: PTH109 - what every relative path begins with
    except FileNotFoundError as error:
        raise LfbtError("the current folder was removed; change to one that is there") from error
    if command not in COMMANDS:
        near = suggest(command, COMMANDS)
        hint = f"did you mean `{near}`?" if near else f"commands are {', '.join(COMMANDS)}"
        raise LfbtError(f"{command!r} is no command; {hint}")
    if command not in _DISTRIBUTED and os.environ.get("WORLD_SIZE", "1") not in ("0", "1"):
        raise LfbtError(f"{command} runs in one process; start it without torchrun or accelerate launch")
