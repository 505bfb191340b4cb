"""The history of a run: a JSON line an epoch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lfbt.errors import LfbtError
from lfbt.utils.files import atomic_file, write_error

#: The file of a run folder with a JSON line an epoch.
HISTORY = "history.jsonl"


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's history, one an epoch; none where there is none. A line cut short ends it."""
    path, lines = folder / HISTORY, []
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                break
    return lines


def write_history(folder: Path, lines: list[dict[str, Any]]) -> None:
    """Write all lines of a run's history, whole or not at all."""
    with atomic_file(folder / HISTORY) as partial:
        partial.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def append_history(folder: Path, line: Mapping[str, Any]) -> None:
    """Add an epoch's line to a run's history, on the disk before any checkpoint that has the epoch."""
    try:
        with (folder / HISTORY).open("a", encoding="utf-8") as history:
            history.write(json.dumps(line) + "\n")
            history.flush()
            os.fsync(history.fileno())
    except OSError as error:
        raise LfbtError(f"{write_error(folder / HISTORY, error)}. Go on with --resume once that is mended") from error
