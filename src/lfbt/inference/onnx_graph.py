"""The graph of an exported model: nodes, constants, and the form of its weights. Free of PyTorch and onnx."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lfbt.models.config import BLOCKS, EncoderConfig
from lfbt.models.feature_maps import LEAST_MV, PAPER, FeatureMap

#: What the graph takes and gives.
INPUT, EMBEDDINGS, LOGITS, PROBABILITIES = "signals", "embeddings", "logits", "probabilities"
#: Numbers that ONNX has for types.
FLOAT, INT64, FLOAT16, DOUBLE = 1, 7, 10, 11


class Node(NamedTuple):
    """An operator with its attributes, and the names of what it takes and gives."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, int | tuple[int, ...]]


class Form(NamedTuple):
    """What weights must be: one of the types of ONNX, and their shape."""

    type: int
    shape: tuple[int, ...]


class Graph:
    """A graph that is being built.

    Attributes
    ----------
    nodes : list of Node
        In the order of computation.
    constants : dict of ndarray
        By name, what is the same in each file of the form.
    weights : dict of Form
        By name, what each file has of its own.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.weights: dict[str, Form] = {}

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: int | tuple[int, ...]) -> str:
        """Add a node; returns the name of its output, by default numbered."""
        name = name or f"x{len(self.nodes)}"
        self.nodes.append(Node(operator, inputs, name, attributes))
        return name

    def constant(self, name: str, *values: float, kind: type = np.int64) -> str:
        """Add a constant ``[values]``; returns its name."""
        self.constants[name] = np.array(values, kind)
        return name

    def weight(self, name: str, *shape: int, is_half: bool = False) -> str:
        """Add weights; in half precision they are cast back, once when the file is loaded. Returns their name."""
        self.weights[name] = Form(FLOAT16 if is_half else FLOAT, shape)
        return self.add("Cast", name, to=FLOAT) if is_half else name


def describe_graph(
    config: EncoderConfig,
    n_classes: int = 0,
    *,
    exclusive: bool = True,
    has_subsets: bool = False,
    is_half: bool = False,
    features: FeatureMap = PAPER,
) -> Graph:
    """Describe the graph of an encoder, and perhaps of the classifier on it.

    The leads are the groups of two-dimensional convolutions with kernels 1 × 3, which onnxruntime computes faster than
    any other form tried (`docs/onnx.md`); batch normalisation is folded into them.

    Parameters
    ----------
    config
        The encoder's.
    n_classes
        0 for embeddings only.
    exclusive
        Whether a record has exactly one class.
    has_subsets
        Whether the classifier serves recordings that lack leads: these are NaN in all samples.
    is_half
        Whether the convolutions' weights are kept in half precision.
    features
        What an embedding consists of.
    """
    graph = Graph()
    n_leads, n_features = len(config.leads), config.columns_per_lead(features)
    absent = _absent(graph) if has_subsets else ""
    x = graph.add("Unsqueeze", _normalised(graph, config, absent), graph.constant("height", 2))
    n_in, i = 1, 0
    pooled: list[str] = []
    for number, block in enumerate(BLOCKS, start=1):
        for channels in block:
            n_out = int(channels * config.width)
            weight = graph.weight(f"weight{i}", n_leads * n_out, n_in, 1, 3, is_half=is_half)
            bias = graph.weight(f"bias{i}", n_leads * n_out)
            x = graph.add("Conv", x, weight, bias, group=n_leads, kernel_shape=(1, 3), pads=(0, 1, 0, 1))
            x = graph.add("Relu", x)
            n_in, i = n_out, i + 1
        x = graph.add("MaxPool", x, kernel_shape=(1, 2), strides=(1, 2))
        if features != PAPER and number in features.blocks:
            pooled += _pooled(graph, x, features.statistics, n_leads, n_in)
    name = "" if has_subsets else EMBEDDINGS
    if features == PAPER:
        x = graph.add("ReduceMean", x, graph.constant("positions", 2, 3), keepdims=0, name=name)
    else:
        pooled += _amplitudes(graph, features.amplitudes, absent)
        x = graph.add("Flatten", graph.add("Concat", *pooled, axis=2), axis=1, name=name)
    present = ""
    if has_subsets:
        ones = graph.constant("features", *[1] * n_features, kind=np.float32)
        # 1 where the lead of a feature is there, else 0, by which a division gives NaN.
        present = graph.add("Flatten", graph.add("Where", absent, "zero", ones), axis=1)
        graph.add("Div", graph.add("Mul", x, present), present, name=EMBEDDINGS)
    if n_classes:
        # Centred first: the sums would lose digits where a feature varies little around a large mean.
        x = graph.add("Sub", x, graph.weight("mean", n_leads * n_features))
        if has_subsets:
            share = graph.add("ReduceMean", present, graph.constant("columns", 1), keepdims=1)
            x = graph.add("Div", graph.add("Mul", x, present), share)
        inputs = graph.weight("linear", n_classes, n_leads * n_features), graph.weight("shift", n_classes)
        x = graph.add("Gemm", x, *inputs, transB=1, name=LOGITS)
        if exclusive:
            graph.add("Softmax", x, axis=1, name=PROBABILITIES)
        else:
            graph.add("Sigmoid", x, name=PROBABILITIES)
    return graph


def _pooled(graph: Graph, x: str, statistics: Sequence[str], n_leads: int, n_channels: int) -> list[str]:
    """Statistics ``[records, leads, channels]`` over time of activations ``[records, leads · channels, 1, time]``."""
    operators = {"mean": "ReduceMean", "max": "ReduceMax"}
    positions = graph.constant("positions", 2, 3)
    shape = graph.constant(f"channels{n_channels}", 0, n_leads, n_channels)
    reduced = [graph.add(operators[name], x, positions, keepdims=0) for name in statistics]
    return [graph.add("Reshape", one, shape) for one in reduced]


def _amplitudes(graph: Graph, amplitudes: Sequence[str], absent: str) -> list[str]:
    """Amplitudes ``[records, leads, 1]`` as `measure_amplitudes` has them; absent leads are taken for zero."""
    if not amplitudes:
        return []
    x = graph.add("Where", absent, "zero", INPUT) if absent else INPUT
    time = graph.constant("time", 2)
    found = {}
    if "log_std" in amplitudes:
        precise = graph.add("Cast", x, to=DOUBLE)
        centred = graph.add("Sub", precise, graph.add("ReduceMean", precise, time))
        std = graph.add("Sqrt", graph.add("ReduceMean", graph.add("Mul", centred, centred), time))
        least = graph.constant("least", LEAST_MV, kind=np.float32)
        found["log_std"] = graph.add("Log", graph.add("Max", graph.add("Cast", std, to=FLOAT), least))
    if "peak_to_peak" in amplitudes:
        found["peak_to_peak"] = graph.add("Sub", graph.add("ReduceMax", x, time), graph.add("ReduceMin", x, time))
    return [found[name] for name in amplitudes]


def _absent(graph: Graph) -> str:
    """Which leads are NaN ``[records, leads, 1]``."""
    graph.constant("zero", 0, kind=np.float32)
    return graph.add("IsNaN", graph.add("ReduceMean", INPUT, graph.constant("samples", 2), keepdims=1))


def _normalised(graph: Graph, config: EncoderConfig, absent: str) -> str:
    """The z-score as `lfbt.signal.normalise` computes it: the mean in double precision. Absent leads become zero."""
    how = config.normalisation
    x = graph.add("Where", absent, "zero", INPUT) if absent else INPUT
    if how == "none":
        return x
    axes = graph.constant("axes", *([1, 2] if how == "record" else [2]))
    mean = graph.add("ReduceMean", graph.add("Cast", x, to=DOUBLE), axes)
    share = ""
    if absent and how == "record":
        there = graph.add("Where", absent, "zero", graph.constant("one", 1, kind=np.float32))
        share = graph.add("ReduceMean", there, axes)
        mean = graph.add("Div", mean, graph.add("Cast", share, to=DOUBLE))
    centred = graph.add("Sub", x, graph.add("Cast", mean, to=FLOAT))
    if absent:
        centred = graph.add("Where", absent, "zero", centred)
    variance = graph.add("ReduceMean", graph.add("Mul", centred, centred), axes)
    if share:
        variance = graph.add("Div", variance, share)
    std = graph.add("Sqrt", variance)
    return graph.add("Div", centred, graph.add("Add", std, graph.constant("epsilon", 1e-5, kind=np.float32)))
