"""JSON files: written whole or not at all, read as typed dataclasses, with a format version."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lfbt.errors import LfbtError
from lfbt.utils.files import atomic_file

T = TypeVar("T")

#: The key of a file's format version. Files that were written before there was one have the first.
FORMAT = "format"
_FIRST_FORMAT = 1


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as indented JSON, whole or not at all."""
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read the JSON object in `path`. Raises LfbtError, naming the file, when it is absent or holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LfbtError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise LfbtError(f"{path}: is not JSON ({error}); it was cut short or edited") from error
    if not isinstance(content, dict):
        raise LfbtError(f"{path}: holds {type(content).__name__}, not a JSON object")
    return content


def parse(content: Any, kind: type[T], path: Path, remedy: str, format_version: int = _FIRST_FORMAT) -> T:
    """Convert the JSON `content` of `path` to the dataclass `kind`; keys that it does not have are passed over.

    Raises LfbtError that names the file, the field, what was wrong with it, and the `remedy`; also for a format that
    is newer than `format_version`.
    """
    version = content.get(FORMAT, _FIRST_FORMAT) if isinstance(content, dict) else _FIRST_FORMAT
    if not isinstance(version, int) or version > format_version:
        raise LfbtError(f"{path}: has format {version!r}, but this lfbt reads up to {format_version}; update lfbt")
    try:
        return msgspec.convert(content, kind)
    except (msgspec.ValidationError, UnicodeEncodeError, RecursionError) as error:
        raise LfbtError(f"{path}: {_as_field(str(error))}; {remedy}") from error


def load(path: Path, kind: type[T], remedy: str, format_version: int = _FIRST_FORMAT) -> T:
    """Read the JSON file `path` as the dataclass `kind`. Raises LfbtError as `read_json` and `parse` do."""
    return parse(read_json(path), kind, path, remedy, format_version)


def save(path: Path, content: Any, format_version: int = _FIRST_FORMAT) -> None:
    """Write the dataclass `content` with its format version, whole or not at all."""
    write_json(path, {FORMAT: format_version, **dataclasses.asdict(content)})


def _as_field(text: str) -> str:
    """Msgspec's message with the field first: ``Expected `str`, got `int` - at `$.data.hash``` → ``data.hash: …``."""
    what, _, place = text.partition(" - at ")
    field = place.strip("`").removeprefix("$").removeprefix(".")
    return f"field {field}: {what}" if field else what
