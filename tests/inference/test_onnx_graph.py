"""The graph of an exported model: its nodes by hand, and the form of its weights by VGG16's channels."""

import pytest

from lfbt.inference.onnx_graph import FLOAT, FLOAT16, Form, Node, describe_graph
from lfbt.models.config import BLOCKS, EncoderConfig
from lfbt.models.feature_maps import PAPER, RICH

CONFIG = EncoderConfig(("II", "V1"), 6.4, 64, "none")


def test_describe_graph_begins_and_ends_with_what_the_model_takes_and_gives():
    graph = describe_graph(CONFIG, 3)
    assert graph.nodes[:3] == [
        Node("Unsqueeze", ("signals", "height"), "x0", {}),
        Node("Conv", ("x0", "weight0", "bias0"), "x1", {"group": 2, "kernel_shape": (1, 3), "pads": (0, 1, 0, 1)}),
        Node("Relu", ("x1",), "x2", {}),
    ]
    assert [node.output for node in graph.nodes[-4:]] == ["embeddings", "x33", "logits", "probabilities"]
    assert [node.operator for node in graph.nodes].count("Conv") == sum(map(len, BLOCKS)) == 13
    assert graph.nodes[-1].operator == "Softmax"
    assert describe_graph(CONFIG, 3, exclusive=False).nodes[-1].operator == "Sigmoid"
    assert describe_graph(CONFIG).nodes[-1].output == "embeddings"


def test_describe_graph_has_weights_of_the_width():
    weights = describe_graph(CONFIG, 3, is_half=True).weights
    assert weights["weight0"] == Form(FLOAT16, (2 * 8, 1, 1, 3))
    assert weights["weight12"] == Form(FLOAT16, (2 * 64, 64, 1, 3))
    assert weights["bias12"] == Form(FLOAT, (128,))
    assert (weights["mean"], weights["linear"], weights["shift"]) == (
        Form(FLOAT, (128,)), Form(FLOAT, (3, 128)), Form(FLOAT, (3,)),
    )  # fmt: skip


def test_describe_graph_of_rich_features_pools_two_blocks_and_measures_amplitudes():
    graph = describe_graph(CONFIG, 3, features=RICH)
    (concat,) = [node for node in graph.nodes if node.operator == "Concat"]
    operators = {node.output: node.operator for node in graph.nodes}
    # Means and maxima of two blocks, the logarithm of the deviation, and the peak-to-peak amplitude.
    assert [operators[name] for name in concat.inputs] == ["Reshape"] * 4 + ["Log", "Sub"]
    assert graph.weights["linear"] == Form(FLOAT, (3, 2 * 258))


@pytest.mark.parametrize("features", [PAPER, RICH], ids=["paper", "rich"])
@pytest.mark.parametrize("has_subsets", [False, True])
@pytest.mark.parametrize("how", ["record", "lead", "none"])
def test_describe_graph_computes_each_value_once_and_before_it_is_used(how, has_subsets, features):
    config = EncoderConfig(("II", "V1"), 6.4, 64, how)
    graph = describe_graph(config, 3, has_subsets=has_subsets, is_half=True, features=features)
    known = {"signals", *graph.constants, *graph.weights}
    for node in graph.nodes:
        assert known.issuperset(node.inputs)
        assert node.output not in known
        known.add(node.output)
    used = {name for node in graph.nodes for name in node.inputs}
    assert used.issuperset([*graph.constants, *graph.weights])
    assert ("IsNaN" in {node.operator for node in graph.nodes}) == has_subsets
