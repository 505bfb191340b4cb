"""ONNX files: what is no file of lfbt, or could do something else than compute, is refused before a runtime sees it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from tests.factories import write_checkpoint

from lfbt.errors import LfbtError
from lfbt.inference import onnx_file
from lfbt.inference.export import export
from lfbt.inference.onnx_file import CARD_KEY, OnnxCard, is_onnx, read_onnx_file


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An encoder's ONNX file, which no test may change."""
    place = tmp_path_factory.mktemp("onnx_file")
    export(write_checkpoint(place / "checkpoint"), place / "encoder.onnx")
    return place / "encoder.onnx"


@pytest.fixture
def changed(exported, tmp_path):
    """What a file is refused for after a change of its model."""

    def read(change):
        model = onnx.load(exported)
        change(model)
        path = tmp_path / "changed.onnx"
        path.write_bytes(model.SerializeToString())
        with pytest.raises(LfbtError) as caught:
            read_onnx_file(path, "classifier")
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
        return str(caught.value)

    return read


@pytest.fixture
def stated(exported, changed):
    """What a file is refused for after a change of what it states."""

    def read(**values: Any):
        card = json.loads(onnx.load(exported).metadata_props[0].value) | values
        return changed(lambda model: helper.set_model_props(model, {CARD_KEY: json.dumps(card)}))

    return read


def test_read_onnx_file_gives_the_bytes_and_what_they_state(exported):
    content, card = read_onnx_file(exported, "classifier")
    assert content == exported.read_bytes()
    assert card.config.leads == ("II", "V1")
    assert (card.config.sampling_rate, card.config.n_samples, card.normalisation) == (6.4, 64, "record")
    assert (card.classes, card.thresholds, card.synthetic) == ((), (), None)
    assert card.history == {"method": "test", "epochs_done": 7}
    assert OnnxCard(**{**vars(card)}).to_json() == card.to_json()


def test_is_onnx_goes_by_the_suffix():
    assert is_onnx(Path("a.ONNX"))
    assert not is_onnx(Path("onnx"))


def test_read_onnx_file_refuses_weights_in_other_files(changed, tmp_path):
    def change(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../../etc/passwd")

    assert "has weights in other files, which are not opened" in changed(change)

    def only_named(model):
        model.graph.initializer[0].external_data.add(key="location", value="weights.bin")

    assert "has weights in other files" in changed(only_named)


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (helper.make_node("Conv", ["a"], ["b"], domain="com.example"), "an operator of 'com.example'"),
        (helper.make_node("Loop", ["a"], ["b"]), "the operator 'Loop', which lfbt does not write"),
        (helper.make_node("Relu", ["a"], ["b"], inside=helper.make_graph([], "g", [], [])), "a tensor or a graph"),
        (helper.make_node("Relu", ["a"], ["b"], inside=numpy_helper.from_array(np.zeros(3))), "a tensor or a graph"),
    ],
    ids=["domain", "operator", "graph", "tensor"],
)
def test_read_onnx_file_refuses_other_operators(changed, node, reason):
    assert reason in changed(lambda model: model.graph.node.append(node))


def test_read_onnx_file_refuses_functions_and_sparse_tensors(changed):
    opset = [helper.make_opsetid("", 18)]
    function = helper.make_function("own", "F", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], opset)
    assert "functions or other parts" in changed(lambda model: model.functions.append(function))
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("v", onnx.TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("i", onnx.TensorProto.INT64, [1], [0]),
        [3],
    )
    assert "a graph with parts" in changed(lambda model: model.graph.sparse_initializer.append(sparse))


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("Conv", {"pads": [0, 10**9, 0, 10**9]}),
        ("Conv", {"pads": [1000, 1, 1000, 1]}),
        ("Conv", {"dilations": [1, 10**12]}),
        ("Conv", {"strides": [1, 2]}),
        ("Conv", {"auto_pad": "SAME_UPPER"}),
        ("Conv", {"group": 1}),
        ("MaxPool", {"kernel_shape": [1, 10**9], "pads": [0, 10**9 - 1, 0, 10**9 - 1]}),
        ("ReduceMean", {"keepdims": 1}),
    ],
)
def test_read_onnx_file_refuses_other_attributes_than_those_that_are_written(changed, operator, attributes):
    """Pads and dilations could have a runtime take any amount of memory."""

    def change(model):
        node = [one for one in model.graph.node if one.op_type == operator][-1]
        kept = [one for one in node.attribute if one.name not in attributes]
        del node.attribute[:]
        node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in attributes.items())])

    assert "its graph is not the one that its metadata states, from node" in changed(change)


def test_read_onnx_file_refuses_weights_and_nodes_that_do_not_belong_to_the_model(changed):
    """A column and a row that are added to each other would take 40 GB."""

    def spread(model):
        for name, shape in (("column", (100_000, 1)), ("row", (1, 100_000))):
            model.graph.initializer.append(numpy_helper.from_array(np.zeros(shape, np.float32), name))
        model.graph.node.append(helper.make_node("Add", ["column", "row"], ["large"]))

    assert "its graph is not the one" in changed(spread)
    more = numpy_helper.from_array(np.zeros(3, np.float32), "more")
    assert "its weights are not those" in changed(lambda model: model.graph.initializer.append(more))
    assert "its weights are not those" in changed(
        lambda model: model.graph.initializer.append(model.graph.initializer[0])
    )
    assert "its weights are not those" in changed(lambda model: model.graph.initializer.pop())

    def declare(model):
        tensor = next(one for one in model.graph.initializer if one.name == "weight0")
        tensor.dims[:] = [10**12, 10**6]

    assert "weight0: " in changed(declare)

    def other_axes(model):
        tensor = next(one for one in model.graph.initializer if one.name == "axes")
        tensor.CopyFrom(numpy_helper.from_array(np.array([0, 1]), "axes"))

    assert "axes: has other values than lfbt writes" in changed(other_axes)


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_read_onnx_file_refuses_weights_that_are_no_numbers(changed, kind, value):
    def change(model):
        tensor = next(one for one in model.graph.initializer if one.name == "weight0")
        weights = numpy_helper.to_array(tensor).astype(kind)
        weights.flat[3] = value
        tensor.CopyFrom(numpy_helper.from_array(weights, "weight0"))

    assert "has weights that are NaN or infinite" in changed(change)


def test_read_onnx_file_refuses_weights_in_another_form(changed):
    """As numbers one by one, which are not looked at."""

    def change(model):
        model.graph.initializer[1].CopyFrom(helper.make_tensor("weight0", onnx.TensorProto.FLOAT, [1], [np.nan]))

    assert "has weights in a form that lfbt does not write" in changed(change)


def test_read_onnx_file_refuses_metadata_that_is_missing_or_doubtful(changed):
    assert "its metadata has no entry 'lfbt'" in changed(lambda model: model.ClearField("metadata_props"))
    twice = changed(lambda model: model.metadata_props.add(key=CARD_KEY, value="{}"))
    assert "its metadata has no entry 'lfbt', or several" in twice
    for text in ("[]", "{", "[" * 100_000):
        assert "is no JSON object" in changed(lambda model: helper.set_model_props(model, {CARD_KEY: text}))  # noqa: B023


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"leads": "II,V1"}, "field leads: Expected `array`, got `str`"),
        ({"leads": ["II", "II"]}, "leads: II"),
        ({"sampling_rate": -1}, "sampling_rate: -1"),
        ({"sampling_rate": None}, "field sampling_rate: Expected `float`, got `null`"),
        ({"n_samples": 31}, "n_samples: 31"),
        ({"n_samples": 10**7}, "n_samples: 10000000 of 2 leads are over"),
        ({"n_features": 32}, "n_features: 32, but the width gives 64"),
        ({"width": 100.0}, "width: 100"),
        ({"normalisation": "batch"}, "normalisation: 'batch'"),
        ({"classes": ["a", "a"], "thresholds": [0.5, 0.5]}, "classes: a name is there twice"),
        ({"classes": ["a", "b"], "thresholds": [0.5]}, "thresholds: 1 of 2 classes"),
        ({"classes": ["a"], "thresholds": [1.5]}, "thresholds: one is outside"),
        ({"classes": ["a;b"], "thresholds": [None]}, "classes: 'a;b' is no name of a class"),
        ({"classes": ["a\n"], "thresholds": [None]}, r"classes: 'a\n' is no name of a class"),
        ({"classes": ["\ud800"], "thresholds": [None]}, "is no JSON object"),
        ({"sampling_rate": 0.01}, "n_samples: 64 at 0.01 Hz are over 3600 s"),
        ({"subsets": [{"leads": ["II"], "thresholds": []}]}, "subsets: II are not some of the leads of a classifier"),
        ({"exclusive": "yes"}, "field exclusive: Expected `bool`, got `str`"),
        ({"format": 2}, "has format 2, but this lfbt reads up to 1"),
    ],
)
def test_read_onnx_file_refuses_what_does_not_go_together(stated, values, reason):
    assert reason in stated(**values)


def test_read_onnx_file_refuses_what_is_no_file_or_too_large(exported, tmp_path, monkeypatch):
    with pytest.raises(LfbtError, match=r"^classifier: .*absent.onnx does not exist; make it with lfbt export"):
        read_onnx_file(tmp_path / "absent.onnx", "classifier")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(LfbtError, match=r"folder.onnx is no file"):
        read_onnx_file(tmp_path / "folder.onnx", "classifier")
    monkeypatch.setattr(onnx_file, "_MAX_BYTES", 100)
    with pytest.raises(LfbtError, match=r"has \d+ bytes, over 100"):
        read_onnx_file(exported, "classifier")


@given(data=st.data())
def test_read_onnx_file_refuses_files_that_were_cut_short_or_are_something_else(exported, tmp_path_factory, data):
    whole = exported.read_bytes()
    kept = data.draw(st.integers(0, len(whole) - 1))
    path = tmp_path_factory.mktemp("cut") / "a.onnx"
    for content in (whole[:kept], data.draw(st.binary(max_size=200))):
        path.write_bytes(content)
        with pytest.raises(LfbtError, match=r"^checkpoint: "):
            read_onnx_file(path, "checkpoint")
