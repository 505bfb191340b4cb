"""Settings from the words of a command line, by tyro; errors are one line each, and help is our own text."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lfbt.cli.errors import set_flags
from lfbt.cli.help import format_help
from lfbt.cli.options import Option, list_options
from lfbt.cli.overview import COMMANDS, suggest
from lfbt.errors import LfbtError
from lfbt.recording import parse_leads
from lfbt.utils.settings import LeadNames, check_effect, typed_path

if TYPE_CHECKING:
    import tyro

S = TypeVar("S")


def parse_settings(
    kind: type[S],
    command: str,
    words: Sequence[str],
    examples: Sequence[str],
    *,
    description: str | None = None,
    default: S | None = None,
    positional: Mapping[str, str] = types.MappingProxyType({}),
    inputs: str = "",
) -> S:
    """Parse the words after a command into its settings.

    Parameters
    ----------
    kind
        The settings: a dataclass, whose fields may be dataclasses in turn.
    command
        The command's name, for messages.
    words
        The words after it.
    examples
        Commands that stand at the end of the help.
    description
        What the command does, for the help; that of the list of commands by default.
    default
        Settings whose values replace the defaults of the fields; ``tyro.MISSING`` for those without one.
    positional
        Settings without a default that are given by position, with their placeholders.
    inputs
        The setting of several words that has those without a flag.

    Raises
    ------
    SystemExit
        With 0 after the help was printed.
    LfbtError
        For a word that is refused: its message names the option, the value and what is allowed.
    """
    import tyro

    options = list_options(kind, default, {**positional, inputs: "INPUT"} if inputs else positional)
    set_flags({option.field.name: option.flag for option in options if not option.positional})
    if {"-h", "--help"} & set(words):
        print(format_help(command, description or COMMANDS[command], options, examples))
        raise SystemExit(0)
    hint = f"`lfbt {command} --help` lists the options"
    _check_flags(words, options, command, hint)
    if inputs:
        words = _with_flag(inputs, words, options)
    config: list[Any] = [tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes]
    if positional:
        config.append(tyro.conf.PositionalRequiredArgs)
    defaults: dict[str, Any] = {} if default is None else {"default": default}
    printed = io.StringIO()
    try:
        with _own_forms(), contextlib.redirect_stderr(printed):
            settings: S = tyro.cli(kind, prog=f"lfbt {command}", args=list(words), config=config, **defaults)
    except SystemExit:
        raise LfbtError(f"{_refusal(printed.getvalue(), words, options)}; {hint}") from None
    except _RefusedError as error:
        named = [o.field.name for o in options if o.item == error.kind and error.word in _values_of(o.flag, words)]
        # Lead names are refused as those of `leads`, whichever option has them.
        what = str(error).removeprefix("leads: ")
        raise LfbtError(f"{named[0] if named else error.name}: {what}") from error
    given = _given_flags(words)
    check_effect(settings, [option.field.name for option in options if option.flag in given])
    return settings


def value_of(flag: str, words: Sequence[str], default: str) -> str:
    """Return the value of `flag` in `words`, the last one, before all options are parsed."""
    values = _values_of(flag, words)
    return values[0] if values else default


def _values_of(flag: str, words: Sequence[str]) -> list[str]:
    """The words after the last `flag`, up to the next one."""
    values: list[str] = []
    inside = False
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            inside = _as_flag(name) == flag
            if inside:
                values = [value] if equals else []
        elif inside:
            values.append(word)
    return values


def _with_flag(name: str, words: Sequence[str], options: Sequence[Option]) -> list[str]:
    """Put the words that belong to no flag behind the flag of the setting `name`."""
    by_flag = {option.flag: option for option in options}
    rest: list[str] = []
    free: list[str] = []
    room: float = 0
    for place, word in enumerate(words):
        if word == "--":
            # Paths, which would be taken for flags.
            free += [f"./{path}" if path.startswith("-") else path for path in words[place + 1 :]]
            break
        if word.startswith("--"):
            rest.append(word)
            option = by_flag[_as_flag(word)]
            room = 0 if option.is_switch or "=" in word else len(words) if option.takes_several else 1
        elif room > 0:
            rest.append(word)
            room -= 1
        else:
            free.append(word)
    return [*rest, f"--{name}", *free] if free else rest


def _as_flag(word: str) -> str:
    """A flag as it is listed; tyro takes underscores for dashes, too."""
    return "--" + word.partition("=")[0].removeprefix("--").replace("_", "-")


def _given_flags(words: Sequence[str]) -> list[str]:
    """The flags among `words`; what follows a lone -- is positional."""
    before = itertools.takewhile(lambda word: word != "--", words)
    return [_as_flag(word) for word in before if word.startswith("--")]


def _check_flags(words: Sequence[str], options: Sequence[Option], command: str, hint: str) -> None:
    """Raise LfbtError for a flag that is unknown, and for one that is required but absent."""
    flags = [option.flag for option in options if not option.positional]
    given = _given_flags(words)
    for flag in given:
        if flag not in flags:
            near = suggest(flag, [*flags, "--help"])
            meant = f"did you mean {near}? " if near else ""
            raise LfbtError(f"{flag}: is not an option of `lfbt {command}`; {meant}{hint}")
    absent = [f"{o.flag} {o.metavar}" for o in options if o.required and not o.positional and o.flag not in given]
    if absent:
        raise LfbtError(f"{', '.join(absent)}: required, but not given; {hint}")


def _refusal(printed: str, words: Sequence[str], options: Sequence[Option]) -> str:
    """What tyro refused, in our words. Of its message no more is relied upon than the flag that it names."""
    # A box, with or without a frame: a title, the message and a footer, with rules between them.
    _, message, *_ = [*re.split("[─-]{5,}", printed), ""]
    text = " ".join(re.sub("[│╭╮╰╯]", " ", message).split())
    by_flag = {option.flag: option for option in options if not option.positional}
    named = [flag for flag in re.findall(r"--[a-z0-9-]+", text) if flag in by_flag]
    if named:
        option = by_flag[named[0]]
        values = _values_of(option.flag, words)
        if not values:
            return f"{option.flag}: has no value; give {option.flag} {option.metavar}"
        refused = [value for value in values if not option.accepts(value)] or [" ".join(values)]
        return f"{option.flag}: {refused[0]!r} is not {option.allowed}"
    if "nrecognized" in text:
        return f"{text.partition(': ')[2]!r} is neither an option nor the value of one"
    by_position = [option for option in options if option.positional and option.required]
    given = itertools.takewhile(lambda word: not word.startswith("--"), words)
    for option, word in zip(by_position, given, strict=False):
        if not option.accepts(word):
            return f"{option.metavar}: {word!r} is not {option.allowed}"
    absent = [option.metavar for option in by_position]
    return f"{' '.join(absent)}: required, but not given" if absent else text


class _RefusedError(Exception):
    """Passes through tyro, which takes an LfbtError, a ValueError, for a word of the wrong form."""

    def __init__(self, message: str, word: str, kind: Any, name: str) -> None:
        super().__init__(message)
        self.word, self.kind, self.name = word, kind, name


def _own_forms() -> tyro.constructors.ConstructorRegistry:
    """The rules that lead names are one comma-separated word, and that an empty word is no path."""
    import tyro

    def parse(given: list[str]) -> LeadNames:
        try:
            return parse_leads(given[0])
        except LfbtError as error:
            raise _RefusedError(str(error), given[0], LeadNames, "leads") from error

    def parse_path(given: list[str]) -> Path:
        if not given[0]:
            # It would be the current folder.
            raise _RefusedError("'' is not a path; is a variable empty?", "", Path, "path")
        return typed_path(given[0])

    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def _rule(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
        if info.type is Path:
            return tyro.constructors.PrimitiveConstructorSpec(
                nargs=1,
                metavar="PATH",
                instance_from_str=parse_path,
                is_instance=lambda value: isinstance(value, Path),
                str_from_instance=lambda path: [str(path)],
            )
        if info.type != LeadNames:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="LEAD,LEAD",
            instance_from_str=parse,
            is_instance=lambda value: isinstance(value, tuple),
            str_from_instance=lambda leads: [",".join(leads)],
        )

    return registry
