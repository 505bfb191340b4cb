"""Completion of commands, sources and flags for bash, zsh and fish: a script that the shell reads."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
from collections.abc import Mapping

from lfbt.cli.overview import COMMANDS
from lfbt.errors import LfbtError
from lfbt.sources import SOURCES

SHELLS = ("bash", "zsh", "fish")

_BASH = """_lfbt() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} words=
  if [ "$COMP_CWORD" -eq 1 ]; then
    words={commands}
  elif [ "$COMP_CWORD" -eq 2 ] && [ "${{COMP_WORDS[1]}}" = prepare ]; then
    words={sources}
  else
    case "${{COMP_WORDS[1]}}" in
{flags}
    esac
    case "$word" in
      -*) ;;
      *) COMPREPLY=($(compgen -f -- "$word")); return ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o filenames -F _lfbt lfbt"""


def completion_script(shell: str) -> str:
    """Return the script for a shell; flags are those that the help of each command lists.

    Raises LfbtError for a shell that is none of bash, zsh and fish.
    """
    if shell not in SHELLS:
        raise LfbtError(f"--print-completion: {shell!r} is not one of {', '.join(SHELLS)}")
    flags = {command: list_flags(command) for command in COMMANDS}
    if shell == "fish":
        return _fish(flags)
    script = _bash(flags)
    return script if shell == "bash" else f"autoload -Uz compinit bashcompinit && compinit && bashcompinit\n{script}"


def list_flags(command: str) -> dict[str, str]:
    """The flags of a command, with the beginning of what each means; of `prepare` those of all sources."""
    run = importlib.import_module(f"lfbt.cli.{command}").run
    flags: dict[str, str] = {}
    for words in [[source] for source in SOURCES] if command == "prepare" else [[]]:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            run([*words, "--help"])
        flags |= dict(
            re.findall(r"^  (--[a-z0-9-]+)(?: .*?(?:  |\n) *| +|\n +)(.+)$", printed.getvalue(), re.MULTILINE)
        )
    return flags


def _bash(flags: Mapping[str, Mapping[str, str]]) -> str:
    cases = [f"      {command}) words={shlex.quote(' '.join(names))} ;;" for command, names in flags.items()]
    return _BASH.format(
        commands=shlex.quote(" ".join(COMMANDS)), sources=shlex.quote(" ".join(SOURCES)), flags="\n".join(cases)
    )


def _fish(flags: Mapping[str, Mapping[str, str]]) -> str:
    lines = [
        f"complete -c lfbt -f -n __fish_use_subcommand -a {command} -d {_fish_quote(meaning)}"
        for command, meaning in COMMANDS.items()
    ]
    is_source = f"not __fish_seen_subcommand_from {' '.join(SOURCES)}"
    lines.append(
        f"complete -c lfbt -f -n '__fish_seen_subcommand_from prepare; and {is_source}' -a '{' '.join(SOURCES)}'"
    )
    for command, names in flags.items():
        given = f"'__fish_seen_subcommand_from {command}'"
        lines += [
            f"complete -c lfbt -n {given} -l {flag.removeprefix('--')} -d {_fish_quote(meaning)}"
            for flag, meaning in names.items()
        ]
    return "\n".join(lines)


def _fish_quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
