"""Settings as frozen dataclasses: what a field allows and affects stands on the field, and is checked in one place.

A field is annotated with its `Range` and with what it `Affects`; settings of one concern are a dataclass of their own,
nested in those of a stage. Names are unique among all the fields of a stage, so that files, the command line and
keyword arguments have them side by side.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import functools
import numbers
import os
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

import numpy as np

from lfbt.errors import LfbtError
from lfbt.recording import is_number, parse_leads

S = TypeVar("S")
F = TypeVar("F", bound=Callable[..., Any])

#: The type of a field that names leads.
LeadNames = tuple[str, ...]


class Affects(enum.Enum):
    """What a setting affects, and so where it may differ. A field that does not say so affects the result."""

    RESULT = enum.auto()
    """What is learned or scored."""
    TRIAL = enum.auto()
    """Which of the trials of one command it is: these differ between the trials of a run, which are otherwise alike."""
    RUNTIME = enum.auto()
    """Speed, memory, what is printed and saved: it may differ when a run is resumed."""
    PROCESS = enum.auto()
    """The same, of each process by itself: it may differ between processes, too."""
    LOCATION = enum.auto()
    """Where files are on this machine: may differ between processes and on resuming, as their content is compared."""


@dataclasses.dataclass(frozen=True)
class Range:
    """The interval that a number must be in, such as ``[0, 1)`` or ``(0, inf)``, and a hint for those outside."""

    interval: str
    hint: str = ""


@dataclasses.dataclass(frozen=True)
class Form:
    """What a value must be, in words, for the message about one of another type."""

    words: str


@dataclasses.dataclass(frozen=True)
class With:
    """The setting on which another depends, and the values with which that has an effect."""

    name: str
    values: tuple[Any, ...]


def check_range(name: str, value: float, allowed: str, hint: str = "") -> None:
    """Check that a number is in an interval.

    Parameters
    ----------
    name : str
        What the number is called in the message, such as ``batch_size``.
    value : float
        The number; NaN is in no interval.
    allowed : str
        The interval, such as ``[0, 1)`` or ``(0, inf)``.
    hint : str
        What to add to the message.

    Raises
    ------
    LfbtError
        If `value` is outside `allowed`, or not a number.

    Examples
    --------
    >>> check_range("gamma", 0.8, "[0, 1]")
    >>> check_range("gamma", 1.5, "[0, 1]")
    Traceback (most recent call last):
    lfbt.errors.LfbtError: gamma: 1.5 is outside [0, 1]
    """
    if not is_number(value):
        raise LfbtError(f"{name}: {value!r} is not a number")
    low, high = (float(end) for end in allowed[1:-1].split(","))
    above = value >= low if allowed[0] == "[" else value > low
    below = value <= high if allowed[-1] == "]" else value < high
    if not (above and below):
        raise LfbtError(f"{name}: {value} is outside {allowed}" + (f"; {hint}" if hint else ""))


Seed = Annotated[int, Range("[0, 4294967295]")]


@dataclasses.dataclass(frozen=True)
class Field:
    """One setting. type: without what it is annotated with; metadata: that; called: its name in messages, if other."""

    name: str
    type: Any
    metadata: tuple[Any, ...]
    called: str = ""

    @property
    def flag(self) -> str:
        """Its name on the command line, without the dashes before it."""
        return self.name.replace("_", "-")

    @property
    def shown(self) -> str:
        """What messages call it; a command puts its flag in place of that."""
        return self.called or self.name

    @property
    def affects(self) -> Affects:
        """What it affects."""
        return next((item for item in self.metadata if isinstance(item, Affects)), Affects.RESULT)


def _once_a_class(function: F) -> F:
    """Keep what a function returns for a class: its types are texts, which are compiled to be read."""
    return typing.cast(F, functools.cache(function))


@_once_a_class
def list_fields(kind: type[Any]) -> tuple[Field, ...]:
    """The settings of a dataclass, those of nested ones in their place."""
    found: list[Field] = []
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint, metadata = hints[field.name], ()
        if typing.get_origin(hint) is Annotated:
            hint, *rest = typing.get_args(hint)
            metadata = tuple(rest)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            found += list_fields(hint)
        else:
            found.append(Field(field.name, hint, metadata))
    return tuple(found)


@_once_a_class
def _types(kind: type[Any]) -> dict[str, Any]:
    """The types of a dataclass's own fields."""
    return typing.get_type_hints(kind)


def names_affecting(kind: type, *effects: Affects) -> frozenset[str]:
    """The names of the settings that affect one of `effects`."""
    return frozenset(field.name for field in list_fields(kind) if field.affects in effects)


def names_without_effect(kind: type, values: Mapping[str, Any]) -> frozenset[str]:
    """The names of the settings that have no effect together with the others in `values`."""
    depending = [(field.name, item) for field in list_fields(kind) for item in field.metadata if isinstance(item, With)]
    return frozenset(name for name, on in depending if on.name in values and values[on.name] not in on.values)


def to_dict(settings: Any) -> dict[str, Any]:
    """Every setting by its name, those of nested dataclasses in their place."""
    return dict(_items(settings))


def _items(settings: Any) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from _items(value)
        else:
            yield field.name, value


def describe_changes(settings: Any, defaults: Any) -> str:
    """Name the settings that affect a result and are not as in `defaults`, in plain words; empty for none."""
    names = names_affecting(type(settings), Affects.RESULT, Affects.TRIAL)
    usual = to_dict(defaults)
    changed = {name: value for name, value in _items(settings) if name in names and value != usual[name]}
    return ", ".join(f"{name.replace('_', ' ')} {_in_words(value)}" for name, value in changed.items())


def _in_words(value: Any) -> str:
    if isinstance(value, tuple):
        several = any(isinstance(item, tuple) for item in value)
        return (" " if several else ",").join(map(_in_words, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def replace(settings: S, **changes: Any) -> S:
    """Replace settings by name, wherever they are nested. Raises LfbtError for a name that is none of them."""
    own: dict[str, Any] = {}
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        if field.name in changes:
            own[field.name] = changes.pop(field.name)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = {inner.name for inner in list_fields(type(value))}
            inside = {name: changes.pop(name) for name in names & changes.keys()}
            if inside:
                own[field.name] = replace(value, **inside)
    if changes:
        raise _unknown(type(settings), min(changes))
    changed: S = dataclasses.replace(settings, **own)  # type: ignore[type-var]
    return changed


def create(kind: type[S], values: Mapping[str, Any]) -> S:
    """Create settings from keyword arguments, as a caller in Python gives them.

    A text stands for a path and, where leads are named, for ``II,V1``; one value stands for a tuple of one. Raises
    LfbtError for a name that is no setting, with the nearest that is one, for a value of another type, and as
    `check_effect` does.
    """
    fields = {field.name: field for field in list_fields(kind)}
    for name in values:
        if name not in fields:
            raise _unknown(kind, name)
    converted = {name: _converted(fields[name], value, fields[name].type) for name, value in values.items()}
    settings = _create(kind, converted)
    check_effect(settings, values)
    return settings


def convert(name: str, value: Any, kind: Any) -> Any:
    """Convert one value to `kind`, which may be annotated, as `create` does. Raises LfbtError that calls it `name`.

    >>> convert("path", "data/ptbxl", Path).name, convert("seeds", range(2), tuple[int, ...])
    ('ptbxl', (0, 1))
    """
    return _converted(Field(name, kind, (), name), value, kind)


def typed_path(text: str | os.PathLike[str]) -> Path:
    """Return the path of a text; absolute of ``./owner/name`` that is not there.

    `Path` would drop what tells it from ``owner/name``, a repository of the hub.

    >>> typed_path("./data/ptbxl-of-tomorrow").is_absolute(), typed_path("./data").is_absolute()
    (True, False)
    """
    path = Path(text)
    is_dotted = isinstance(text, str) and text.startswith("./") and len(path.parts) == 2
    return path.absolute() if is_dotted and not path.exists() else path


def as_path(name: str, value: Any, form: str = "a path") -> Path:
    """Take a text or a path as a path. Raises LfbtError for anything else, which is not `form`.

    >>> as_path("data_dir", None)
    Traceback (most recent call last):
    lfbt.errors.LfbtError: data_dir: None is not a path
    """
    convert(name, value, Annotated[Path, Form(form)])
    return Path(value)


def add_named(own: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Join a function's own arguments with its other settings. Raises LfbtError for one that is in both."""
    for name in own.keys() & settings.keys():
        raise LfbtError(f"{name}: {settings[name]!r} is given by name, but {own[name]!r} by position; give one of them")
    return {**own, **settings}


def check_effect(settings: Any, given: Iterable[str]) -> None:
    """Raise LfbtError where a setting that was given by name has no effect together with the others.

    Not on resuming: the settings of a run that was begun with such a one must be given again.
    """
    values, names = to_dict(settings), set(given)
    if values.get("resume"):
        return
    for field in list_fields(type(settings)):
        for item in field.metadata:
            if isinstance(item, With) and field.name in names and values[item.name] not in item.values:
                raise LfbtError(
                    f"{field.shown}: has no effect with {item.name} {values[item.name]}, only with "
                    f"{' or '.join(map(str, item.values))}; leave it out"
                )


def _create(kind: type[S], values: Mapping[str, Any]) -> S:
    own: dict[str, Any] = {}
    hints = _types(kind)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        hint = hints[field.name]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            names = {inner.name for inner in list_fields(hint)}
            own[field.name] = _create(hint, {name: value for name, value in values.items() if name in names})
        elif field.name in values:
            own[field.name] = values[field.name]
    return kind(**own)


def _unknown(kind: type, name: str) -> LfbtError:
    names = [field.name for field in list_fields(kind)]
    near = difflib.get_close_matches(name, names, n=1)
    meant = f"did you mean {near[0]}?" if near else f"settings are {', '.join(names)}"
    return LfbtError(f"{name}: is no setting; {meant}")


def validate(settings: Any) -> None:
    """Check the type, choice and range of every setting, then what a dataclass's own ``check`` method says.

    Raises LfbtError with the setting's name, the value, and what is allowed.
    """
    _check_groups(settings)
    values = to_dict(settings)
    for field in list_fields(type(settings)):
        _check(field, values[field.name], field.type)
    _check_nested(settings)


def _check_groups(settings: Any) -> None:
    """Raise LfbtError unless what is nested is of the class that it should be of."""
    hints = _types(type(settings))
    for field in dataclasses.fields(settings):
        value, kind = getattr(settings, field.name), hints[field.name]
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            if not isinstance(value, kind):
                raise LfbtError(f"{field.name}: {_shorten(value)} is not {kind.__name__}, as its settings are")
            _check_groups(value)


def _check_nested(settings: Any) -> None:
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            _check_nested(value)
    check = getattr(settings, "check", None)
    if check is not None:
        check()


_KINDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text", Path: "a path"}


def _check(field: Field, value: Any, kind: Any) -> None:
    kind = _without_none(kind, value)
    if kind is None:
        return
    if typing.get_origin(kind) is Annotated:
        inner, *metadata = typing.get_args(kind)
        _check(dataclasses.replace(field, metadata=(*field.metadata, *metadata)), value, inner)
    elif typing.get_origin(kind) is Literal:
        allowed = typing.get_args(kind)
        if not any(isinstance(value, type(option)) and value == option for option in allowed):
            raise LfbtError(f"{field.shown}: {_shorten(value)} is not one of {', '.join(map(as_choice, allowed))}")
    elif typing.get_origin(kind) is tuple:
        if not isinstance(value, tuple):
            raise LfbtError(f"{field.shown}: {_shorten(value)} is not a tuple of values")
        for item in value:
            _check(field, item, typing.get_args(kind)[0])
    else:
        if not _is_a(value, kind):
            form = next((item.words for item in field.metadata if isinstance(item, Form)), "")
            raise LfbtError(f"{field.shown}: {_shorten(value)} is not {form or _KINDS.get(kind, kind.__name__)}")
        for item in field.metadata:
            if isinstance(item, Range):
                check_range(field.shown, value, item.interval, item.hint)


def as_choice(value: Any) -> str:
    """Write one of several choices: between quotes where it is no word.

    >>> print(as_choice("auto"), as_choice(","))
    auto ','
    """
    return str(value) if re.fullmatch(r"[\w.-]*\w[\w.-]*", str(value)) else f"'{value}'"


def _shorten(value: Any) -> str:
    received = " ".join(repr(value).split())
    return received if len(received) <= 80 else f"a {type(value).__name__}"


def _is_a(value: Any, kind: type) -> bool:
    if kind in (int, float):
        return is_number(value) and (kind is float or isinstance(value, numbers.Integral))
    return isinstance(value, kind)


def _without_none(kind: Any, value: Any) -> Any:
    """What of ``kind | None`` is meant; None where the value is None and may be."""
    if typing.get_origin(kind) not in (Union, types.UnionType):
        return kind
    if value is None:
        return None
    return next(option for option in typing.get_args(kind) if option is not type(None))


def _converted(field: Field, value: Any, kind: Any) -> Any:
    kind = _without_none(kind, value)
    if kind is None:
        return None
    if kind == LeadNames:
        names = value if isinstance(value, str) else _items_of(value)
        return parse_leads(names) if names else ()
    if typing.get_origin(kind) is Annotated:
        inner, *metadata = typing.get_args(kind)
        return _converted(dataclasses.replace(field, metadata=(*field.metadata, *metadata)), value, inner)
    if typing.get_origin(kind) is tuple:
        return tuple(_converted(field, item, typing.get_args(kind)[0]) for item in _items_of(value))
    # An empty text would be the current folder.
    if kind is Path and isinstance(value, (str, os.PathLike)) and value != "":
        return typed_path(value)
    if kind is bool and isinstance(value, np.bool_):
        return bool(value)
    _check(field, value, kind)
    return kind(value) if kind in (int, float) else value


def _items_of(value: Any) -> tuple[Any, ...]:
    """The items of a list, range or array, in order; one value stands for itself."""
    is_one = isinstance(value, (str, bytes, Mapping, Set)) or getattr(value, "ndim", 1) == 0
    return (value,) if is_one or not isinstance(value, Iterable) else tuple(value)
