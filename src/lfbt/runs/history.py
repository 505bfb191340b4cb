"""The history of a run: ``history.jsonl``, a JSON line an epoch."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from lfbt.errors import LfbtError
from lfbt.utils.files import atomic_file, decode_json, parse_json
from lfbt.utils.opening import read_text
from lfbt.utils.targets import write_error

HISTORY = "history.jsonl"

_SPREAD = "spread_"


class Line(Protocol):
    """A line of a history: a frozen dataclass that is written as one JSON object, without what is None."""

    def to_dict(self) -> dict[str, Any]: ...  # noqa: D102

    @classmethod
    def from_dict(cls, content: dict[str, Any], path: Path) -> Self: ...  # noqa: D102


LineT = TypeVar("LineT", bound=Line)


@dataclasses.dataclass(frozen=True)
class PretrainingEpoch:
    """An epoch of pretraining.

    loss, intra, inter: means over records, the last two of LFBT only; val_auroc, rank, spread (of each lead): the
    quality of the encoder, where it was evaluated after this epoch.
    """

    epoch: int
    loss: float
    learning_rate: float
    seconds: float
    records_per_second: float
    intra: float | None = None
    inter: float | None = None
    val_auroc: float | None = None
    rank: float | None = None
    spread: dict[str, float] = dataclasses.field(default_factory=dict)

    def with_quality(self, val_auroc: float | None, rank: float, spread: dict[str, float]) -> PretrainingEpoch:
        """Add the quality of the encoder after this epoch."""
        return dataclasses.replace(self, val_auroc=val_auroc, rank=rank, spread=spread)

    def figures(self) -> dict[str, float]:
        """Every number but the epoch's by its name, for trackers."""
        return {name: value for name, value in self.to_dict().items() if name != "epoch"}

    def to_dict(self) -> dict[str, Any]:
        """The line as the file has it."""
        terms = ("epoch", "loss", "intra", "inter")
        others = ("learning_rate", "seconds", "records_per_second", "val_auroc", "rank")
        spread = {f"{_SPREAD}{lead}": value for lead, value in self.spread.items()}
        return {name: value for name in terms + others if (value := getattr(self, name)) is not None} | spread

    @classmethod
    def from_dict(cls, content: dict[str, Any], path: Path) -> PretrainingEpoch:
        """Read a line. Raises LfbtError that names the file and the field."""
        spread = {name[len(_SPREAD) :]: value for name, value in content.items() if name.startswith(_SPREAD)}
        return parse_json(content | {"spread": spread}, cls, path, "it was edited")


@dataclasses.dataclass(frozen=True)
class FittingStep:
    """An epoch of a classifier, or one setting of a classifier without epochs; fold: of cross-validation, from 0 on."""

    train_loss: float | None = None
    val_loss: float | None = None
    epoch: int | None = None
    learning_rate: float | None = None
    c: float | None = None
    neighbours: int | None = None
    fold: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The line as the file has it."""
        order = ("fold", "learning_rate", "c", "neighbours", "epoch", "train_loss", "val_loss")
        return {name: value for name in order if (value := getattr(self, name)) is not None}

    @classmethod
    def from_dict(cls, content: dict[str, Any], path: Path) -> FittingStep:
        """Read a line. Raises LfbtError that names the file and the field."""
        return parse_json(content, cls, path, "it was edited")


def read_history(folder: Path, kind: type[LineT]) -> list[LineT]:
    """Read the history in `folder`, empty where there is none. A last line that was cut short is passed over.

    Raises LfbtError, naming the file and the line or field, for a line that is not a `kind`.
    """
    path = folder / HISTORY
    lines: list[LineT] = []
    if path.exists():
        try:
            texts = read_text(path).splitlines()
        except UnicodeDecodeError as error:
            raise LfbtError(f"{path}: is not text in UTF-8 ({error}); it was edited") from error
        for text in texts:
            try:
                content = decode_json(text)
            except (ValueError, RecursionError) as error:
                if len(lines) == len(texts) - 1:
                    break
                raise LfbtError(f"{path}: line {len(lines) + 1} is not JSON ({error}); it was edited") from error
            if not isinstance(content, dict):
                raise LfbtError(f"{path}: line {len(lines) + 1} holds {text[:40]!r}, not a JSON object; it was edited")
            lines.append(kind.from_dict(content, path))
    return lines


def write_history(folder: Path, lines: Iterable[Line]) -> None:
    """Write the history of a run, completely or not at all."""
    with atomic_file(folder / HISTORY) as partial:
        partial.write_text("".join(json.dumps(line.to_dict()) + "\n" for line in lines), encoding="utf-8")


def append_history(folder: Path, line: Line) -> None:
    """Append an epoch, on the disk before any checkpoint that has the epoch."""
    try:
        with (folder / HISTORY).open("a", encoding="utf-8") as history:
            history.write(json.dumps(line.to_dict()) + "\n")
            history.flush()
            os.fsync(history.fileno())
    except OSError as error:
        raise LfbtError(f"{write_error(folder / HISTORY, error)}. Go on with --resume once that is fixed") from error
