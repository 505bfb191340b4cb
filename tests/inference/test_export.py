"""Exported files: a graph of few operators that gives what PyTorch gives, never over something else."""

import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from tests.factories import CLASSES, write_checkpoint, write_labelled, write_multi_label
from tests.inference.test_classifier import write_run

import lfbt
from lfbt.data.layouts import open_dataset
from lfbt.errors import FinishedError, LfbtError
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import ProbeSettings
from lfbt.inference.classifier import load_classifier
from lfbt.inference.export import OPSET, build_model, export
from lfbt.inference.onnx_file import OPERATORS, read_onnx_file
from lfbt.models.encoder import EncoderConfig, random_encoder
from lfbt.models.heads import Head
from lfbt.models.pretrained import load_encoder, save_encoder
from lfbt.runs.results import Results


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Data sets, runs with a classifier of exclusive and of other classes, and their ONNX files."""
    place = tmp_path_factory.mktemp("export")
    write_run(place / "single", write_labelled(place / "data"))
    write_run(place / "multi", write_multi_label(place / "multi-data"))
    for name in ("single", "multi"):
        export(place / name, place / f"{name}.onnx")
    return place


def names_of(values):
    return [one.name for one in values]


@pytest.mark.parametrize("name", ["single", "multi"])
def test_export_writes_a_valid_graph_of_few_operators(place, name):
    model = onnx.load(place / f"{name}.onnx")
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    shapes = {
        one.name: [dim.dim_param or dim.dim_value for dim in one.type.tensor_type.shape.dim]
        for one in [*inferred.graph.input, *inferred.graph.output]
    }
    assert shapes == {
        "signals": ["records", 2, 64],
        "embeddings": ["records", 128],
        "logits": ["records", 3],
        "probabilities": ["records", 3],
    }
    used = {node.op_type for node in model.graph.node}
    assert used <= OPERATORS
    # Batch normalisation is in the convolutions, and projectors are left out.
    assert [node.op_type for node in model.graph.node].count("Conv") == 13
    assert len(model.graph.node) < 60
    assert [(one.domain, one.version) for one in model.opset_import] == [("", OPSET)]
    assert (model.producer_name, model.producer_version) == ("lfbt", lfbt.__version__)


@pytest.mark.parametrize("name", ["single", "multi"])
def test_export_gives_the_probabilities_and_classes_of_pytorch(place, name):
    data = place / ("data" if name == "single" else "multi-data")
    expected = load_classifier(place / name, "cpu").predict(data)
    found = load_classifier(place / f"{name}.onnx").predict(data)
    columns = [f"p_{one}" for one in CLASSES]
    np.testing.assert_allclose(found[columns], expected[columns], rtol=0, atol=1e-5)
    for column in ("record", "predicted", "above_threshold"):
        assert found[column].tolist() == expected[column].tolist()
    # The graph's own, for other runtimes.
    session = onnxruntime.InferenceSession(place / f"{name}.onnx")
    signals = open_dataset(data).batch(np.arange(48), "none")
    np.testing.assert_allclose(session.run(["probabilities"], {"signals": signals})[0], expected[columns], atol=1e-5)


def test_export_states_what_the_run_has(place):
    _, card = read_onnx_file(place / "single.onnx", "classifier")
    results = Results.load(place / "single")
    assert (card.classes, card.exclusive, card.variant) == (CLASSES, True, "float32")
    assert card.thresholds == tuple(results.test.per_class[name].threshold for name in CLASSES)
    assert (card.synthetic, card.lfbt_version) == (results.synthetic, lfbt.__version__)
    assert card.settings["data_hash"] == results.data.hash
    assert str(place) not in card.to_json()
    assert not read_onnx_file(place / "multi.onnx", "classifier")[1].exclusive


def test_export_of_a_hand_made_head_computes_its_logits():
    """The head takes (x − mean) / std: weights of 0.01 and −0.02 sum these."""
    encoder = random_encoder(EncoderConfig(("II",), 6.4, 32, "none"), 0).eval()
    head = Head(64, 2, exclusive=False).eval()
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor([[0.01], [-0.02]]).expand(2, 64))
        head.linear.bias.copy_(torch.tensor([0.5, 0.25]))
        head.mean = torch.full((64,), 3.0)
        head.std = torch.full((64,), 2.0)
    session = onnxruntime.InferenceSession(build_model(encoder, head, "float32").SerializeToString())
    embeddings, logits, probabilities = session.run(None, {"signals": np.zeros((1, 1, 32), np.float32)})
    total = 0.01 * float(((embeddings[0] - 3) / 2).sum())
    np.testing.assert_allclose(logits[0], [total + 0.5, -2 * total + 0.25], rtol=1e-5)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_float16_keeps_weights_in_half_of_the_bytes(place, tmp_path):
    half = export(place / "single", tmp_path / "half.onnx", variant="float16")
    whole = export(place / "single", tmp_path / "whole.onnx")
    assert half.megabytes < 0.6 * whole.megabytes
    kinds = {numpy_helper.to_array(one).dtype for one in onnx.load(tmp_path / "half.onnx").graph.initializer}
    assert np.dtype(np.float16) in kinds
    columns = [f"p_{name}" for name in CLASSES]
    expected, found = (
        load_classifier(tmp_path / f"{name}.onnx").predict(place / "data")[columns] for name in ("whole", "half")
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.01)


def test_export_takes_a_run_for_its_encoder_where_it_keeps_no_classifier(place, tmp_path):
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    settings = ProbeSettings.create(
        place / "data", tmp_path / "knn", checkpoint=checkpoint, classifier="knn", device="cpu", workers=0
    )
    run_probe(settings)
    exported = export(tmp_path / "knn", tmp_path / "knn.onnx")
    assert (exported.classes, exported.leads) == ((), ("II", "V1"))


def test_export_replaces_files_of_lfbt_only(place, tmp_path):
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    out = tmp_path / "a.onnx"
    export(checkpoint, out)
    first = out.read_bytes()
    with pytest.raises(FinishedError, match=r"a.onnx: finished before"):
        export(checkpoint, out)
    with pytest.raises(LfbtError, match=r"^out: .*a.onnx exists, and holds something else; give another name, or --ov"):
        export(place / "single", out)
    assert out.read_bytes() == first
    export(place / "single", out, overwrite=True)
    assert out.read_bytes() != first
    out.write_text("notes")
    with pytest.raises(LfbtError, match=r"^overwrite: .*is not an ONNX file of lfbt"):
        export(checkpoint, out, overwrite=True)
    assert out.read_text() == "notes"
    (tmp_path / "link.onnx").symlink_to(place / "single.onnx")
    with pytest.raises(LfbtError, match="is a link"):
        export(checkpoint, tmp_path / "link.onnx", overwrite=True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"out": "model.bin"}, "out: .*model.bin does not end in .onnx"),
        ({"out": "absent/model.onnx"}, "out: the folder of .* does not exist"),
        ({"variant": "int8"}, "variant: 'int8'"),
        ({"checkpoint": "absent"}, "checkpoint: .*absent is not an encoder: it does not exist"),
    ],
)
def test_export_refuses_in_one_line(place, tmp_path, changes, reason):
    words = {"checkpoint": "", "out": "model.onnx", "variant": "float32"} | changes
    checkpoint = tmp_path / words["checkpoint"] if words["checkpoint"] else place / "single"
    with pytest.raises(LfbtError, match=f"^{reason}"):
        export(checkpoint, tmp_path / words["out"], variant=words["variant"])
    assert not [*tmp_path.iterdir()]


def test_export_refuses_weights_that_are_no_numbers(tmp_path):
    encoder = load_encoder(write_checkpoint(tmp_path / "good"))
    with torch.no_grad():
        next(encoder.parameters())[0] = torch.nan
    save_encoder(tmp_path / "bad", encoder, {})
    with pytest.raises(LfbtError, match=r"convolutions\.0\.weight holds NaN or infinity"):
        export(tmp_path / "bad", tmp_path / "bad.onnx")
    assert not (tmp_path / "bad.onnx").exists()


def test_export_says_which_packages_it_needs(place, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(LfbtError, match=r"pip install 'lfbt\[export\]'"):
        export(place / "single", tmp_path / "a.onnx")


def test_a_data_set_of_z_scores_is_refused_since_the_graph_takes_millivolts(place, tmp_path):
    data = write_labelled(tmp_path / "scored", unit="z-score (data set)")
    with pytest.raises(LfbtError, match=r"does not fit the encoder: z-scores, .* against the encoder's millivolts"):
        load_classifier(place / "single.onnx").predict(data)
