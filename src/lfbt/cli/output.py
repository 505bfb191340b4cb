"""What a command has found: as text for people, or as one JSON object for programs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

#: Switches of every command, and their meaning.
SWITCHES = {
    "--json": "Print the result as one JSON object on stdout, and nothing else there.",
    "--quiet": "Print errors only; with --json the result, too.",
}

_prints_text = ContextVar("prints_text", default=True)


@contextlib.contextmanager
def printing_text(is_text: bool) -> Iterator[None]:
    """Say for the block whether the result will be printed as text: neither --json nor --quiet is given."""
    token = _prints_text.set(is_text)
    try:
        yield
    finally:
        _prints_text.reset(token)


def prints_text() -> bool:
    """Whether the result of the command will be printed as text, so that it may print the beginning of it before."""
    return _prints_text.get()


@dataclasses.dataclass(frozen=True)
class Output:
    """The result of a command.

    Parameters
    ----------
    text
        As it is printed; empty where the command has printed it.
    values
        The same by name: of strings, numbers, paths, dataclasses, lists and mappings of these.
    status
        The exit status.
    """

    text: str
    values: Mapping[str, Any]
    status: int = 0

    def to_json(self) -> str:
        """Return the values as one JSON object, with null for what is not a finite number."""
        text = json.dumps(_plain(self.values), indent=2, ensure_ascii=False, allow_nan=False)
        # Of names of files that are no UTF-8; JSON has the same escapes.
        return text.encode(errors="backslashreplace").decode()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    # NumPy's numbers, too.
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
