"""The text of `lfbt COMMAND --help`: plain, as wide as the terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

from lfbt.cli.options import Option, split_choices
from lfbt.cli.output import SWITCHES
from lfbt.utils.settings import as_choice

_COLUMN = 26
_WIDTHS = (60, 120)
_HARD_SPACE = "\N{NO-BREAK SPACE}"


def format_help(command: str, description: str, options: Sequence[Option], examples: Sequence[str]) -> str:
    """Format the help of a command: usage, what it does, its options by group, and examples."""
    narrowest, widest = _WIDTHS
    width = min(max(shutil.get_terminal_size().columns, narrowest), widest)
    blocks = [_wrap(_usage(command, options), width, "", "  "), _wrap(description, width)]
    groups: dict[str, list[str]] = {}
    for option in options:
        title = "Arguments" if option.positional else option.group.replace("_", " ").capitalize() or "Options"
        groups.setdefault(title, []).append(_format_option(option, width))
    entries = SWITCHES | {"-h, --help": "Show this help and exit."}
    groups.setdefault("Options", []).extend(_join_columns(f"  {flag}", text, width) for flag, text in entries.items())
    blocks += ["\n".join([f"{title}:", *entries]) for title, entries in groups.items()]
    blocks.append("\n".join(["Examples:", *(textwrap.indent(example, "  ") for example in examples)]))
    return "\n\n".join(blocks)


def _usage(command: str, options: Sequence[Option]) -> str:
    """What must be given, and what may be."""
    words = [f"usage: lfbt {command}"]
    words += [o.metavar if o.required else f"[{o.metavar}]" for o in options if o.positional]
    words += [f"{o.flag} {o.metavar}" for o in options if o.required and not o.positional]
    return " ".join([*words, "[OPTIONS]"])


def _format_option(option: Option, width: int) -> str:
    flag = [] if option.positional else [option.flag]
    words = flag if option.is_switch else [*flag, option.metavar]
    meaning, choices = split_choices(option.meaning, option.choices)
    text = [meaning.strip()]
    if option.choices and not option.shows_choices and not choices:
        text.append(f"One of {', '.join(map(as_choice, option.choices))}.")
    text.append(_facts(option))
    entry = _join_columns("  " + " ".join(words), " ".join(filter(None, text)), width)
    longest = max((len(name) for name, _ in choices), default=0)
    first, below = " " * (_COLUMN + 2), " " * (_COLUMN + 2 + longest + 2)
    return "\n".join([entry, *(_wrap(f"{name:<{longest}}  {what}", width, first, below) for name, what in choices)])


def _facts(option: Option) -> str:
    """Whether it is required, its default and its range, in brackets, which are not broken over lines."""
    default = option.shown_default
    facts = ["required" if option.required else "", f"default: {default}" if default else "", option.range]
    text = "; ".join(filter(None, facts))
    return f"({text})".replace(" ", _HARD_SPACE) if text else ""


def _join_columns(head: str, text: str, width: int) -> str:
    margin = " " * _COLUMN
    if len(head) < _COLUMN - 1:
        return _wrap(text, width, f"{head:<{_COLUMN}}", margin)
    return f"{head}\n{_wrap(text, width, margin, margin)}"


def _wrap(text: str, width: int, first: str = "", below: str = "") -> str:
    filled = textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=below, break_on_hyphens=False, break_long_words=False
    )
    return filled.replace(_HARD_SPACE, " ")
