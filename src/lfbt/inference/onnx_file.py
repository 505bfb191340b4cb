"""ONNX files of lfbt: what they state, and what they may hold, read without running them. Free of PyTorch and onnx."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from lfbt.errors import LfbtError
from lfbt.models.config import EncoderConfig
from lfbt.signal import Normalisation
from lfbt.utils.files import FORMAT, parse_json

#: The entry of the file's metadata that holds an `OnnxCard` as JSON.
CARD_KEY = "lfbt"
#: What the graph takes and gives.
INPUT, EMBEDDINGS, LOGITS, PROBABILITIES = "signals", "embeddings", "logits", "probabilities"
#: The operators of the graph, all of the standard.
OPERATORS = frozenset(
    {"Add", "Cast", "Conv", "Div", "Gemm", "MaxPool", "Mul", "ReduceMean", "Relu", "Sigmoid", "Softmax", "Sqrt", "Sub"}
    | {"Unsqueeze"}
)
_FORMAT = 1
_REMEDY = "export the model again with lfbt export"
# An encoder of 12 leads at the paper's width has 4 MB, at four times of it 60 MB.
_MAX_BYTES = 1 << 30
_MAX_VALUES = 10**7

# Numbers of fields in ONNX's protobuf: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
_GRAPH, _METADATA = 7, 14
_OF_MODEL = frozenset((1, 2, 3, 4, 5, 6, _GRAPH, 8, _METADATA))
_NODE, _INITIALIZER = 1, 5
_OF_GRAPH = frozenset((_NODE, 2, _INITIALIZER, 10, 11, 12, 13))
_OPERATOR, _ATTRIBUTE, _DOMAIN = 4, 5, 7
_OF_ATTRIBUTE = frozenset((1, 2, 3, 4, 7, 8, 13, 20))  # numbers and texts, not tensors or graphs
_TYPE, _RAW, _EXTERNAL, _LOCATION = 2, 9, 13, 14
_OF_TENSOR = frozenset((1, _TYPE, 8, _RAW))
_FLOATS: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 10: np.dtype("<f2")}


@dataclasses.dataclass(frozen=True)
class OnnxCard:
    """What an ONNX file states of itself.

    Parameters
    ----------
    lfbt_version : str
        Version that wrote the file.
    leads, sampling_rate, n_samples, width
        As in `EncoderConfig`.
    normalisation : str
        The z-score in the graph: record, lead or none.
    n_features : int
        Features of a lead.
    variant : str
        How the weights are kept: float32 or float16.
    classes : tuple of str
        Their names, in the order of the logits; none of an encoder.
    exclusive : bool
        Whether a recording has exactly one class.
    thresholds : tuple of float or None
        From which probability on each class is predicted, kept from validation; None where there is none.
    synthetic : bool, optional
        Whether the data was generated; None where that is not recorded.
    history : dict
        Settings and data that the encoder was trained with; plain JSON values.
    settings : dict
        The same of the classifier.
    """

    lfbt_version: str
    leads: tuple[str, ...]
    sampling_rate: float
    n_samples: int
    width: float
    normalisation: str
    n_features: int
    variant: str
    classes: tuple[str, ...]
    exclusive: bool
    thresholds: tuple[float | None, ...]
    synthetic: bool | None
    history: dict[str, Any] = dataclasses.field(default_factory=dict)
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def config(self) -> EncoderConfig:
        """The settings of the encoder, with the z-score that the graph computes."""
        normalisation = cast(Normalisation, self.normalisation)
        return EncoderConfig(self.leads, self.sampling_rate, self.n_samples, normalisation, self.width)

    def to_json(self) -> str:
        """Return the card as the file holds it."""
        content = {FORMAT: _FORMAT, **dataclasses.asdict(self)}
        return json.dumps(content, ensure_ascii=False, default=str)

    def check(self) -> None:
        """Raise LfbtError, naming the field, for values that do not go together."""
        if self.config.n_features != self.n_features:
            raise LfbtError(f"n_features: {self.n_features}, but the width gives {self.config.n_features}")
        if len(self.leads) * self.n_samples > _MAX_VALUES:
            raise LfbtError(f"n_samples: {self.n_samples} of {len(self.leads)} leads are over {_MAX_VALUES} values")
        if len(set(self.classes)) < len(self.classes):
            raise LfbtError("classes: a name is there twice")
        if len(self.thresholds) != len(self.classes):
            raise LfbtError(f"thresholds: {len(self.thresholds)} of {len(self.classes)} classes")
        if any(at is not None and not 0 <= at <= 1 for at in self.thresholds):
            raise LfbtError("thresholds: one is outside [0, 1]")


def is_onnx(path: Path) -> bool:
    """Tell whether a path is named as an ONNX file.

    >>> is_onnx(Path("model.onnx")), is_onnx(Path("runs/probe"))
    (True, False)
    """
    return path.suffix.lower() == ".onnx"


def read_onnx_file(path: Path, name: str) -> tuple[bytes, OnnxCard]:
    """Read an ONNX file that `lfbt export` wrote, and refuse any other.

    A graph of other operators than lfbt's, with functions or graphs inside, with weights in other files or that are no
    finite numbers is refused before a runtime sees it.

    Parameters
    ----------
    path
        The file.
    name
        The setting that has it, for messages.

    Returns
    -------
    tuple of bytes and OnnxCard
        The content, and what it states.

    Raises
    ------
    LfbtError
        In one line, for a file that is absent, too large, cut short, not of lfbt, or not safe.
    """
    content = _read(path, name)
    not_one = f"{name}: {path} is not an ONNX file of lfbt"
    try:
        cards = list(_check_model(memoryview(content)))
    except LfbtError as error:
        raise LfbtError(f"{name}: {path} {error}; {_REMEDY}") from error
    except (ValueError, IndexError) as error:
        raise LfbtError(f"{not_one}: it was cut short, or is something else; {_REMEDY}") from error
    if len(cards) != 1:
        raise LfbtError(f"{not_one}: its metadata has no entry {CARD_KEY!r}, or several; {_REMEDY}")
    try:
        values = json.loads(cards[0])
        if not isinstance(values, dict):
            raise ValueError(f"it is {type(values).__name__}")
    except (ValueError, RecursionError) as error:
        raise LfbtError(f"{not_one}: the entry {CARD_KEY!r} of its metadata is no JSON object; {_REMEDY}") from error
    card = parse_json(values, OnnxCard, path, _REMEDY, _FORMAT)
    try:
        card.check()
    except LfbtError as error:
        raise LfbtError(f"{name}: {path}: {error}; {_REMEDY}") from error
    return content, card


def _read(path: Path, name: str) -> bytes:
    if not path.exists():
        raise LfbtError(f"{name}: {path} does not exist; make it with lfbt export")
    if not path.is_file():
        raise LfbtError(f"{name}: {path} is no file; give the file that lfbt export wrote")
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise LfbtError(f"{name}: {path} has {size} bytes, over {_MAX_BYTES}; {_REMEDY}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise LfbtError(f"{name}: {path} cannot be read ({error.strerror})") from error


def _check_model(model: memoryview) -> Iterator[bytes]:
    """Check a model; yields the values of the entries `CARD_KEY` in its metadata."""
    for number, value in _fields(model):
        if number not in _OF_MODEL:
            raise LfbtError(f"has functions or other parts that lfbt does not write (field {number})")
        if number == _GRAPH:
            _check_graph(_message(value))
        elif number == _METADATA:
            entry = dict(_fields(_message(value)))
            if bytes(_message(entry.get(1, memoryview(b"")))) == CARD_KEY.encode():
                yield bytes(_message(entry.get(2, memoryview(b""))))


def _check_graph(graph: memoryview) -> None:
    for number, value in _fields(graph):
        if number not in _OF_GRAPH:
            raise LfbtError(f"has a graph with parts that lfbt does not write (field {number})")
        if number == _NODE:
            _check_node(_message(value))
        elif number == _INITIALIZER:
            _check_tensor(_message(value))


def _check_node(node: memoryview) -> None:
    for number, value in _fields(node):
        if number == _OPERATOR and (operator := bytes(_message(value)).decode()) not in OPERATORS:
            raise LfbtError(f"has the operator {operator!r}, which lfbt does not write")
        if number == _DOMAIN and (domain := bytes(_message(value)).decode()) not in ("", "ai.onnx"):
            raise LfbtError(f"has an operator of {domain!r}, outside the standard of ONNX")
        if number == _ATTRIBUTE and not {part for part, _ in _fields(_message(value))} <= _OF_ATTRIBUTE:
            raise LfbtError("has an operator with a tensor or a graph inside, which lfbt does not write")


def _check_tensor(tensor: memoryview) -> None:
    parts = list(_fields(tensor))
    numbers = {number for number, _ in parts}
    if numbers & {_EXTERNAL, _LOCATION}:
        raise LfbtError("has weights in other files, which are not opened")
    if not numbers <= _OF_TENSOR:
        raise LfbtError("has weights in a form that lfbt does not write")
    kind = _FLOATS.get(cast(int, dict(parts).get(_TYPE, 0)))
    for number, value in parts:
        if number == _RAW and kind is not None and not np.isfinite(np.frombuffer(_message(value), kind)).all():
            raise LfbtError("has weights that are NaN or infinite")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where bytes are due")
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the fields of a protobuf message: number, and the value or its bytes. Raises ValueError, IndexError."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind not in (1, 2, 5):
            raise ValueError(f"wire type {kind}")
        size, place = _varint(data, place) if kind == 2 else ({1: 8, 5: 4}[kind], place)
        if place + size > len(data):
            raise ValueError("cut short")
        yield number, data[place : place + size]
        place += size


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number of over ten bytes")
