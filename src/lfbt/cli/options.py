"""The options of a settings class, read from its fields: what `--help` lists and errors of the parser name."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import itertools
import re
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from lfbt.utils.settings import Field, LeadNames, Range, as_choice, list_fields

# Placeholders of values: of folders, by the last word of the setting's name, and by type.
_FOLDERS = ("data", "dir", "out")
_METAVARS = {
    "device": "DEVICE", "duration": "SECONDS", "fraction": "FRACTION", "minutes": "MINUTES", "projector": "N-N-N",
    "rate": "RATE", "scheduler": "HOST:PORT", "unit": "UNIT",
}  # fmt: skip
_METAVARS_BY_TYPE: Mapping[Any, str] = {int: "N", float: "X", str: "TEXT", Path: "PATH", LeadNames: "LEAD,LEAD"}
_WORDS_BY_TYPE: Mapping[Any, str] = {int: "a whole number", float: "a number", LeadNames: "lead names such as II,V1"}
# Longer lists of choices are shown in the text instead.
_LONGEST_CHOICES = 40


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of a command.

    group: the field of the settings that it is nested in, empty for none; meaning: the docstring of its field;
    positional: its placeholder where it is given without a flag.
    """

    field: Field
    group: str
    meaning: str
    default: Any
    required: bool
    positional: str | None = None

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return f"--no-{self.field.flag}" if self.is_switch and self.default is True else f"--{self.field.flag}"

    @property
    def item(self) -> Any:
        """The type of one word of its value."""
        kind = self.field.type
        while kind != LeadNames and typing.get_origin(kind) in (Annotated, tuple, Union, types.UnionType):
            kind = next(part for part in typing.get_args(kind) if part is not types.NoneType)
        return kind

    @property
    def is_switch(self) -> bool:
        """Whether it takes no value."""
        return self.item is bool

    @property
    def takes_several(self) -> bool:
        """Whether its value may have several words."""
        return typing.get_origin(self.field.type) is tuple and self.field.type != LeadNames

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that it allows, where these are listed."""
        return typing.get_args(self.item) if typing.get_origin(self.item) is Literal else ()

    @property
    def shows_choices(self) -> bool:
        """Whether the placeholder lists the choices."""
        return bool(self.choices) and len("".join(self.choices)) < _LONGEST_CHOICES

    @property
    def metavar(self) -> str:
        """The placeholder of its value, such as ``RATE`` or ``DIR ...``."""
        word = self.field.name.rpartition("_")[2]
        if self.positional:
            one = self.positional
        elif self.choices:
            one = f"{{{','.join(map(as_choice, self.choices))}}}" if self.shows_choices else "NAME"
        elif self.item is Path and word in _FOLDERS:
            one = self._kind_of_output
        else:
            one = _METAVARS.get(word, _METAVARS_BY_TYPE.get(self.item, "VALUE"))
        return f"{one} ..." if self.takes_several else one

    @property
    def _kind_of_output(self) -> str:
        """Whether it is a folder, which goes without saying, a file, or either."""
        says_file, says_folder = (f"new {kind}" in self.meaning.lower() for kind in ("file", "folder"))
        return ("PATH" if says_folder else "FILE") if says_file else "DIR"

    @property
    def range(self) -> str:
        """The range of a number in words, such as ``1 or more`` or ``in (0, 1]``; empty for none."""
        found = _find_range((*self.field.metadata, self.field.type))
        if found is None:
            return ""
        low, high = found.interval[1:-1].split(", ")
        if high == "inf":
            return f"{low} or more" if found.interval.startswith("[") else f"above {low}"
        return f"in {found.interval}"

    @property
    def allowed(self) -> str:
        """What it allows, in words."""
        if self.choices:
            return f"one of {', '.join(map(as_choice, self.choices))}"
        return ", ".join(filter(None, (_WORDS_BY_TYPE.get(self.item, "allowed"), self.range)))

    def accepts(self, word: str) -> bool:
        """Whether one word of its value has the form that it should have; the range is not looked at."""
        if self.choices:
            return word in self.choices
        try:
            return self.item not in (int, float) or self.item(word) is not None
        except ValueError:
            return False

    @property
    def shown_default(self) -> str:
        """The default as it would be given; empty for none, and for a switch."""
        if self.required or self.is_switch or self.default is None:
            return ""
        return " ".join(map(_as_word, self.default)) if self.takes_several else _as_word(self.default)


def list_options(
    kind: type[Any], default: Any = None, positional: Mapping[str, str] = types.MappingProxyType({})
) -> tuple[Option, ...]:
    """List the options of the settings class `kind`, those of nested classes in their place.

    default: settings whose values are shown instead of the defaults of the fields.
    """
    fields = {field.name: field for field in list_fields(kind)}
    return tuple(
        Option(fields[name], group, meaning, value, required, positional.get(name))
        for name, group, meaning, value, required in _walk(kind, default, "")
    )


def _walk(kind: type[Any], settings: Any, group: str) -> Iterator[tuple[str, str, str, Any, bool]]:
    """Name, group, meaning, default and whether it is required, of each field."""
    hints = typing.get_type_hints(kind)
    meanings = _read_meanings(kind)  # type: ignore[arg-type]
    for field in dataclasses.fields(kind):
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        value = getattr(settings, field.name) if dataclasses.is_dataclass(settings) else default
        nested = hints[field.name]
        if isinstance(nested, type) and dataclasses.is_dataclass(nested):
            yield from _walk(nested, value, field.name)
        else:
            yield field.name, group, meanings.get(field.name, ""), value, default is dataclasses.MISSING


@functools.cache
def _read_meanings(kind: type[Any]) -> Mapping[str, str]:
    """The strings below the fields of a class, and of those that it is derived from."""
    meanings: dict[str, str] = {}
    for base in filter(dataclasses.is_dataclass, reversed(kind.__mro__)):
        try:
            source = inspect.getsource(base)
        except (OSError, TypeError):
            # A class that was created at run time has no source.
            continue
        (tree,) = ast.parse(textwrap.dedent(source)).body
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for above, below in itertools.pairwise(body):
            if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name) and isinstance(below, ast.Expr):
                meanings[above.target.id] = " ".join(str(ast.literal_eval(below.value)).split())
    return meanings


def split_choices(meaning: str, choices: tuple[str, ...]) -> tuple[str, list[tuple[str, str]]]:
    """Split what a docstring says into an introduction, and the meaning of each choice that it names.

    >>> split_choices("How fast. slow: with care. fast: without.", ("slow", "fast"))
    ('How fast. ', [('slow', 'with care.'), ('fast', 'without.')])
    """
    names = "|".join(map(re.escape, sorted(choices, key=len, reverse=True)))
    introduction, *parts = re.split(rf"(?:^|(?<=[.;] ))({names}): ", meaning)
    meanings = [(name, text.strip()) for name, text in zip(parts[::2], parts[1::2], strict=True)]
    return (introduction, meanings) if len(meanings) > 1 else (meaning, [])


def _find_range(parts: tuple[Any, ...]) -> Range | None:
    for part in parts:
        found = part if isinstance(part, Range) else _find_range(typing.get_args(part))
        if found is not None:
            return found
    return None


def _as_word(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)
