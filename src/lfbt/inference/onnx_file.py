"""ONNX files of lfbt: what they state, and what they may hold, read without running them. Free of PyTorch and onnx."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from lfbt.errors import LfbtError
from lfbt.inference.onnx_graph import FLOAT, FLOAT16, INT64, Form, Graph, Node, describe_graph
from lfbt.inference.prediction import ServedSubset
from lfbt.models.config import BLOCKS, EncoderConfig
from lfbt.models.feature_maps import PAPER, FeatureMap
from lfbt.signal import Normalisation
from lfbt.utils.files import FORMAT, decode_json, parse_json
from lfbt.utils.opening import read_bytes

#: The entry of the file's metadata that holds an `OnnxCard` as JSON.
CARD_KEY = "lfbt"
#: The operators of the graph, all of the standard.
OPERATORS = frozenset(
    {"Add", "Cast", "Conv", "Div", "Gemm", "MaxPool", "Mul", "ReduceMean", "Relu", "Sigmoid", "Softmax", "Sqrt", "Sub"}
    | {"Unsqueeze", "Flatten", "IsNaN", "Where", "Concat", "Log", "Max", "ReduceMax", "ReduceMin", "Reshape"}
)
_FORMAT = 1
_REMEDY = "export the model again with lfbt export"
# An encoder of 12 leads at the paper's width has 4 MB, at four times of it 60 MB.
_MAX_BYTES = 1 << 30
_MAX_VALUES = 10**7
_MAX_SECONDS = 3600

# Numbers of fields in ONNX's protobuf: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
_GRAPH, _METADATA = 7, 14
_OF_MODEL = frozenset((1, 2, 3, 4, 5, 6, _GRAPH, 8, _METADATA))
_NODE, _INITIALIZER = 1, 5
_OF_GRAPH = frozenset((_NODE, 2, _INITIALIZER, 10, 11, 12, 13))
_IN, _OUT, _OPERATOR, _ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7
_OF_ATTRIBUTE = frozenset((1, 2, 3, 4, 7, 8, 13, 20))  # numbers and texts, not tensors or graphs
_NAME, _INT, _INTS, _KIND = 1, 3, 8, 20
_OF_INT = 2
_DIMS, _TYPE, _TENSOR_NAME, _RAW, _EXTERNAL, _LOCATION = 1, 2, 8, 9, 13, 14
_OF_TENSOR = frozenset((_DIMS, _TYPE, _TENSOR_NAME, _RAW))
_TYPES: dict[int, np.dtype[Any]] = {FLOAT: np.dtype("<f4"), FLOAT16: np.dtype("<f2"), INT64: np.dtype("<i8")}


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
    subsets : tuple of ServedSubset
        Leads that suffice, besides all of them, with the thresholds for these.
    features : FeatureMap, optional
        What an embedding consists of; None for the paper's, and the file does not have it then.
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
    subsets: tuple[ServedSubset, ...] = ()
    features: FeatureMap | None = None

    @property
    def config(self) -> EncoderConfig:
        """The settings of the encoder, with the z-score that the graph computes."""
        normalisation = cast(Normalisation, self.normalisation)
        return EncoderConfig(self.leads, self.sampling_rate, self.n_samples, normalisation, self.width)

    def to_json(self) -> str:
        """Return the card as the file holds it."""
        content = {FORMAT: _FORMAT, **dataclasses.asdict(self)}
        if self.features is None:
            del content["features"]
        return json.dumps(content, ensure_ascii=False, default=str)

    def check(self) -> None:
        """Raise LfbtError, naming the field, for values that do not go together."""
        features = self.features or PAPER
        features.check(len(BLOCKS))
        if self.config.columns_per_lead(features) != self.n_features:
            raise LfbtError(
                f"n_features: {self.n_features}, but the width gives {self.config.columns_per_lead(features)}"
            )
        if len(self.leads) * self.n_samples > _MAX_VALUES:
            raise LfbtError(f"n_samples: {self.n_samples} of {len(self.leads)} leads are over {_MAX_VALUES} values")
        seconds = self.n_samples / self.sampling_rate
        if seconds > _MAX_SECONDS:
            raise LfbtError(f"n_samples: {self.n_samples} at {self.sampling_rate:g} Hz are over {_MAX_SECONDS} s")
        if len(set(self.classes)) < len(self.classes):
            raise LfbtError("classes: a name is there twice")
        if broken := [name for name in self.classes if not _is_class(name)]:
            raise LfbtError(f"classes: {broken[0]!a} is no name of a class: empty, with a ; or a control character")
        self._check_thresholds(self.thresholds)
        for subset in self.subsets:
            ordered = tuple(lead for lead in self.leads if lead in subset.leads)
            if not self.classes or subset.leads != ordered or not 0 < len(ordered) < len(self.leads):
                raise LfbtError(
                    f"subsets: {','.join(subset.leads)} are not some of the leads of a classifier, in order"
                )
            self._check_thresholds(subset.thresholds)

    def _check_thresholds(self, thresholds: tuple[float | None, ...]) -> None:
        if len(thresholds) != len(self.classes):
            raise LfbtError(f"thresholds: {len(thresholds)} of {len(self.classes)} classes")
        if any(at is not None and not 0 <= at <= 1 for at in thresholds):
            raise LfbtError("thresholds: one is outside [0, 1]")

    @property
    def graph(self) -> Graph:
        """The graph that goes with this."""
        return describe_graph(
            self.config,
            len(self.classes),
            exclusive=self.exclusive,
            has_subsets=bool(self.subsets),
            is_half=self.variant == "float16",
            features=self.features or PAPER,
        )


def _is_class(name: str) -> bool:
    """Whether tables and terminals can have a class of that name."""
    return bool(name) and ";" not in name and not {unicodedata.category(sign) for sign in name} & {"Cc", "Cs"}


def is_onnx(path: Path) -> bool:
    """Tell whether a path is named as an ONNX file.

    >>> is_onnx(Path("model.onnx")), is_onnx(Path("runs/probe"))
    (True, False)
    """
    return path.suffix.lower() == ".onnx"


def read_onnx_file(path: Path, name: str) -> tuple[bytes, OnnxCard]:
    """Read an ONNX file that `lfbt export` wrote, and refuse any other.

    A graph with other nodes than those that go with its metadata, with functions or graphs inside, with weights in
    other files, of other shapes or that are no finite numbers is refused before a runtime sees it.

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
        found = _parse_model(memoryview(content))
    except LfbtError as error:
        raise LfbtError(f"{name}: {path} {error}; {_REMEDY}") from error
    except (ValueError, IndexError) as error:
        raise LfbtError(f"{not_one}: it was cut short, or is something else; {_REMEDY}") from error
    if len(found.cards) != 1:
        raise LfbtError(f"{not_one}: its metadata has no entry {CARD_KEY!r}, or several; {_REMEDY}")
    try:
        values = decode_json(found.cards[0].decode())
        if not isinstance(values, dict):
            raise ValueError(f"it is {type(values).__name__}")
    except (ValueError, RecursionError) as error:
        raise LfbtError(f"{not_one}: the entry {CARD_KEY!r} of its metadata is no JSON object; {_REMEDY}") from error
    card = parse_json(values, OnnxCard, path, _REMEDY, _FORMAT)
    try:
        card.check()
        _check_same(found, card.graph)
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
        return read_bytes(path)
    except OSError as error:
        raise LfbtError(f"{name}: {path} cannot be read ({error.strerror})") from error


class _Tensor(NamedTuple):
    """Weights or a constant: its form, and the bytes of its values."""

    form: Form
    data: memoryview


@dataclasses.dataclass(frozen=True)
class _Found:
    """What a file holds: the entries `CARD_KEY` of its metadata, nodes, and tensors, each with its name."""

    cards: list[bytes] = dataclasses.field(default_factory=list)
    nodes: list[Node] = dataclasses.field(default_factory=list)
    tensors: list[tuple[str, _Tensor]] = dataclasses.field(default_factory=list)


def _parse_model(model: memoryview) -> _Found:
    """Parse a model, and refuse what lfbt writes in none."""
    found = _Found()
    for number, value in _fields(model):
        if number not in _OF_MODEL:
            raise LfbtError(f"has functions or other parts that lfbt does not write (field {number})")
        if number == _GRAPH:
            _parse_graph(_message(value), found)
        elif number == _METADATA:
            entry = dict(_fields(_message(value)))
            if _text(entry.get(1, memoryview(b""))) == CARD_KEY:
                found.cards.append(bytes(_message(entry.get(2, memoryview(b"")))))
    return found


def _parse_graph(graph: memoryview, found: _Found) -> None:
    for number, value in _fields(graph):
        if number not in _OF_GRAPH:
            raise LfbtError(f"has a graph with parts that lfbt does not write (field {number})")
        if number == _NODE:
            found.nodes.append(_parse_node(_message(value)))
        elif number == _INITIALIZER:
            found.tensors.append(_parse_tensor(_message(value)))


def _parse_node(node: memoryview) -> Node:
    operator = ""
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: dict[str, int | tuple[int, ...]] = {}
    for number, value in _fields(node):
        if number == _OPERATOR and (operator := _text(value)) not in OPERATORS:
            raise LfbtError(f"has the operator {operator!r}, which lfbt does not write")
        if number == _DOMAIN and (domain := _text(value)) not in ("", "ai.onnx"):
            raise LfbtError(f"has an operator of {domain!r}, outside the standard of ONNX")
        if number in (_IN, _OUT):
            (inputs if number == _IN else outputs).append(_text(value))
        if number == _ATTRIBUTE:
            parts = list(_fields(_message(value)))
            if not {part for part, _ in parts} <= _OF_ATTRIBUTE:
                raise LfbtError("has an operator with a tensor or a graph inside, which lfbt does not write")
            single = dict(parts)
            several = tuple(each for part, one in parts if part == _INTS for each in _integers(one))
            is_single = single.get(_KIND) == _OF_INT and isinstance(single.get(_INT, 0), int)
            attributes[_text(single.get(_NAME, memoryview(b"")))] = (
                cast(int, single.get(_INT, 0)) if is_single else several
            )
    return Node(operator, tuple(inputs), ",".join(outputs), attributes)


def _parse_tensor(tensor: memoryview) -> tuple[str, _Tensor]:
    parts = list(_fields(tensor))
    numbers = {number for number, _ in parts}
    if numbers & {_EXTERNAL, _LOCATION}:
        raise LfbtError("has weights in other files, which are not opened")
    if not numbers <= _OF_TENSOR:
        raise LfbtError("has weights in a form that lfbt does not write")
    single = dict(parts)
    kind = cast(int, single.get(_TYPE, 0))
    data = _message(single.get(_RAW, memoryview(b"")))
    shape = tuple(each for number, value in parts if number == _DIMS for each in _integers(value))
    if kind in (FLOAT, FLOAT16) and not np.isfinite(np.frombuffer(data, _TYPES[kind])).all():
        raise LfbtError("has weights that are NaN or infinite")
    return _text(single.get(_TENSOR_NAME, memoryview(b""))), _Tensor(Form(kind, shape), data)


def _check_same(found: _Found, graph: Graph) -> None:
    """Raise LfbtError unless a file holds the graph that goes with its metadata: so it takes no more than that does."""
    if found.nodes != graph.nodes:
        pairs = itertools.zip_longest(found.nodes, graph.nodes)
        place = next(place for place, (one, other) in enumerate(pairs) if one != other)
        raise LfbtError(f"its graph is not the one that its metadata states, from node {place} on")
    tensors = dict(found.tensors)
    expected = {
        name: Form(FLOAT if value.dtype == np.float32 else INT64, value.shape)
        for name, value in graph.constants.items()
    } | graph.weights
    if len(tensors) < len(found.tensors) or tensors.keys() != expected.keys():
        raise LfbtError("its weights are not those that its metadata states")
    for name, (form, data) in tensors.items():
        n_bytes = math.prod(form.shape) * _TYPES[expected[name].type].itemsize
        if form != expected[name] or len(data) != n_bytes:
            raise LfbtError(
                f"{name}: {len(data)} bytes of shape {list(form.shape)}, but its metadata states "
                f"{list(expected[name].shape)}"
            )
        if name in graph.constants and bytes(data) != graph.constants[name].tobytes():
            raise LfbtError(f"{name}: has other values than lfbt writes")


def _integers(value: int | memoryview) -> list[int]:
    """One number, or several that are packed."""
    if isinstance(value, int):
        return [value]
    found, place = [], 0
    while place < len(value):
        one, place = _varint(value, place)
        found.append(one)
    return found


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode()


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
