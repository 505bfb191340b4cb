"""Models computed by onnxruntime: they take millivolts, and agree with PyTorch."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper
from tests.factories import write_checkpoint, write_labelled
from tests.inference.test_classifier import write_run

from lfbt.errors import LfbtError
from lfbt.inference.export import build_model, export
from lfbt.inference.onnx_file import CARD_KEY
from lfbt.inference.onnx_model import load_classes, load_onnx
from lfbt.inference.torch_model import TorchModel
from lfbt.models.config import EncoderConfig, LeadDropout
from lfbt.models.encoder import LeadEncoders, estimate_batch_norm, random_encoder
from lfbt.models.heads import create_head
from lfbt.models.pretrained import load_encoder, save_encoder
from lfbt.signal import normalise


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An encoder and a run with a classifier, both exported."""
    place = tmp_path_factory.mktemp("onnx_model")
    export(write_checkpoint(place / "checkpoint"), place / "encoder.onnx")
    export(write_run(place / "run", write_labelled(place / "data")), place / "model.onnx")
    return place


#: Signals of two leads ``[records, 2, 64]``: an ECG's size, silence, a constant, a far offset, and microvolts.
SIGNALS = np.stack(
    [
        np.random.default_rng(0).standard_normal((2, 64)),
        np.zeros((2, 64)),
        np.full((2, 64), 0.1),
        np.random.default_rng(1).standard_normal((2, 64)) + 1000,
        np.random.default_rng(2).standard_normal((2, 64)) * 1e-3,
    ]
).astype(np.float32)


@pytest.mark.parametrize("how", ["record", "lead", "none"])
def test_the_graph_normalises_as_signals_are_normalised(place, tmp_path, how):
    loaded = load_encoder(place / "checkpoint")
    encoder = LeadEncoders(dataclasses.replace(loaded.config, normalisation=how))
    encoder.load_state_dict(loaded.state_dict())
    save_encoder(tmp_path / "encoder", encoder.eval(), {})
    export(tmp_path / "encoder", tmp_path / "encoder.onnx")
    model = load_onnx(tmp_path / "encoder.onnx", "checkpoint")
    assert (model.card.normalisation, model.config.normalisation) == (how, "none")
    expected, _ = TorchModel(encoder).compute(normalise(SIGNALS[:3].copy(), how))
    np.testing.assert_allclose(model.compute(SIGNALS[:3])[0], expected, rtol=1e-5, atol=1e-5)
    # What goes into the encoder, by itself.
    content = onnx.load(tmp_path / "encoder.onnx")
    (scored,) = [node.input[0] for node in content.graph.node if node.op_type == "Unsqueeze"]
    if how == "none":
        assert scored == "signals"
        return
    content.graph.output.add(name=scored)
    session = onnxruntime.InferenceSession(content.SerializeToString())
    found = session.run([scored], {"signals": SIGNALS})[0]
    np.testing.assert_allclose(found, normalise(SIGNALS.copy(), how), rtol=0, atol=1e-5)


@pytest.mark.parametrize("how", ["record", "lead", "none"])
def test_the_graph_answers_from_the_leads_that_a_record_has(how):
    """Each subset by itself, and all in one batch; features of absent leads are NaN."""
    encoder = random_encoder(EncoderConfig(("II", "V1", "V2"), 6.4, 64, how), seed=1)
    estimate_batch_norm(encoder, [torch.from_numpy(np.random.default_rng(3).standard_normal((8, 3, 64), np.float32))])
    subsets = {"II": ("II",), "chest": ("V1", "V2")}
    head = create_head(3 * 64, 4, exclusive=False, seed=2, lead_dropout=LeadDropout(0.5, subsets)).eval()
    head.standardise(torch.from_numpy(np.random.default_rng(4).standard_normal((20, 192), np.float32)))
    content = build_model(encoder.eval(), head, "float32").SerializeToString()
    session = onnxruntime.InferenceSession(content)
    signals = np.random.default_rng(0).standard_normal((3, 3, 64), np.float32) + np.float32(0.3)
    scored = signals.copy()
    for row, absent in enumerate(([], [1, 2], [0])):
        used = np.delete(np.arange(3), absent)
        scored[row, used] = normalise(signals[row : row + 1, used], how)
        signals[row, absent] = scored[row, absent] = np.nan
    expected = TorchModel(encoder, head, tuple("abcd")).compute(scored)
    found = session.run(["embeddings", "logits"], {"signals": signals})
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    assert np.isnan(found[0]).sum(axis=1).tolist() == [0, 128, 64]
    for row in range(3):
        alone = session.run(["logits"], {"signals": signals[row : row + 1]})[0]
        np.testing.assert_allclose(alone[0], found[1][row], rtol=0, atol=1e-6)


def test_compute_does_not_depend_on_the_batch(place):
    model = load_onnx(place / "model.onnx", "classifier")
    together = model.compute(SIGNALS)
    for row in range(len(SIGNALS)):
        alone = model.compute(SIGNALS[row : row + 1])
        for one, all_ in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], all_[row], rtol=0, atol=1e-6)


@pytest.mark.parametrize("n_pieces", [0, 1, 16, 17, 40])
def test_compute_divides_many_pieces(place, n_pieces):
    model = load_onnx(place / "model.onnx", "classifier")
    signals = np.random.default_rng(5).standard_normal((n_pieces, 2, 64), np.float32)
    found = model.compute(signals)
    assert [one.shape for one in found] == [(n_pieces, 128), (n_pieces, len(model.classes))]
    for row in range(n_pieces):
        for one, all_ in zip(model.compute(signals[row : row + 1]), found, strict=True):
            np.testing.assert_allclose(one[0], all_[row], rtol=0, atol=1e-6)


def test_an_encoder_has_embeddings_only(place):
    model = load_onnx(place / "encoder.onnx", "checkpoint")
    embeddings, logits = model.compute(SIGNALS)
    assert (embeddings.shape, logits.shape, model.classes) == ((5, 128), (5, 0), ())
    with pytest.raises(LfbtError, match="is an encoder without classes; export a run with a classifier"):
        load_classes(place / "encoder.onnx")


def test_load_onnx_refuses_other_devices(place):
    with pytest.raises(LfbtError, match=r"^device: 'cuda', but ONNX files are computed on the CPU; allowed: auto, cpu"):
        load_onnx(place / "model.onnx", "classifier", "cuda")


def test_load_onnx_says_how_to_install_onnxruntime(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(LfbtError, match=r"needs the package onnxruntime .*pip install 'lfbt\[onnx\]'"):
        load_onnx(place / "model.onnx", "classifier")


def test_load_classifier_answers_where_torch_cannot_be_imported(place):
    program = (
        "import sys; sys.modules['torch'] = None; import lfbt, numpy as np; "
        f"table = lfbt.load_classifier({str(place / 'model.onnx')!r}).predict("
        "np.random.default_rng(0).standard_normal((1, 2, 64)), leads='II,V1', sampling_rate=6.4); "
        "print(table['pieces'][0], table['error'][0])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "1"


@pytest.mark.parametrize(("stated", "expected"), [("3", 3), ("", 2), ("0", 2), ("many", 2)])
def test_load_onnx_takes_as_many_threads_as_pytorch(place, monkeypatch, stated, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", stated)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    options = load_onnx(place / "model.onnx", "classifier").session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (expected, 1)
    assert not options.enable_profiling


@pytest.fixture
def refused(place, tmp_path, capfd):
    """What a file is refused for after a change of its model, without a word of onnxruntime."""

    def load(change):
        model = onnx.load(place / "model.onnx")
        change(model)
        (tmp_path / "changed.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(LfbtError) as caught:
            load_onnx(tmp_path / "changed.onnx", "classifier").compute(SIGNALS)
        assert "\n" not in str(caught.value)
        assert capfd.readouterr() == ("", "")
        return str(caught.value)

    return load


def state(model, **values):
    card = json.loads(model.metadata_props[0].value) | values
    helper.set_model_props(model, {CARD_KEY: json.dumps(card)})


def test_load_onnx_refuses_a_graph_that_is_not_what_its_metadata_states(refused):
    assert "not float signals [records, 2, 128], as its metadata states" in refused(lambda m: state(m, n_samples=128))
    more = {"classes": ["a", "b"], "thresholds": [None, None]}
    assert "linear: 1536 bytes of shape [3, 128], but its metadata states [2, 128]" in refused(
        lambda model: state(model, **more)
    )
    assert "gives {" in refused(lambda model: model.graph.output.pop())


def test_load_onnx_refuses_a_graph_that_does_not_hold_together(refused):
    def drop_node(model):
        del model.graph.node[5]

    def cut_weights(model):
        weights = next(one for one in model.graph.initializer if one.name == "weight3")
        weights.raw_data = weights.raw_data[:-8]

    assert "its graph is not the one that its metadata states, from node 5 on" in refused(drop_node)
    assert "weight3: 6136 bytes of shape [32, 16, 1, 3]" in refused(cut_weights)
