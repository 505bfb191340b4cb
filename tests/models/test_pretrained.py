"""Encoder folders and the authors' files: exact round trips, no pickled code run, and a word for every mismatch."""

import dataclasses
import json
import os
import pickle
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from tests.helpers_model import assert_same_tensors, literal_encoder, vgg16
from torch import nn

import lfbt
from lfbt.data.dataset import from_arrays
from lfbt.errors import LfbtError
from lfbt.models.encoder import EncoderConfig, random_encoder
from lfbt.models.pretrained import load_encoder, load_history, match, save_encoder
from lfbt.recording import PAPER_LEADS
from lfbt.utils.tensors import load_tensors, save_tensors, seeded

CONFIG = EncoderConfig(("II", "V1", "aVR"), sampling_rate=6.4, n_samples=64, normalisation="lead", width=0.0625)


def some_encoder(config=CONFIG):
    """An encoder whose every tensor differs from its default."""
    encoder = random_encoder(config, 1)
    encoder.train()(torch.randn(4, len(config.leads), 64, generator=torch.Generator().manual_seed(0)))
    return encoder


@pytest.fixture
def folder(tmp_path):
    save_encoder(tmp_path / "enc", some_encoder(), {"method": "test", "epochs_done": 3})
    return tmp_path / "enc"


def edit(folder, **changes):
    content = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(content))


def test_a_saved_encoder_comes_back_bit_by_bit(folder):
    encoder, loaded = some_encoder(), load_encoder(folder)
    assert_same_tensors(encoder.state_dict(), loaded.state_dict())
    assert loaded.config == CONFIG
    assert not loaded.training
    signals = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(loaded(signals), encoder.eval()(signals))


def test_the_folder_says_all_that_its_use_needs(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert json.loads((folder / "config.json").read_text()) == {
        "lfbt_version": lfbt.__version__,
        "leads": ["II", "V1", "aVR"],
        "sampling_rate": 6.4,
        "n_samples": 64,
        "normalisation": "lead",
        "width": 0.0625,
        "n_features": 32,
        "history": {"method": "test", "epochs_done": 3},
    }
    assert load_history(folder) == {"method": "test", "epochs_done": 3}


def test_a_run_folder_stands_for_its_encoder(folder, tmp_path):
    (tmp_path / "run").mkdir()
    folder.rename(tmp_path / "run" / "encoder")
    assert_same_tensors(load_encoder(tmp_path / "run").state_dict(), some_encoder().state_dict())
    assert load_history(tmp_path / "run")["epochs_done"] == 3


def test_saving_again_replaces_the_encoder(folder):
    other = random_encoder(dataclasses.replace(CONFIG, leads=("I",)), 2)
    save_encoder(folder, other, {})
    assert_same_tensors(load_encoder(folder).state_dict(), other.state_dict())


def test_a_save_that_fails_leaves_the_old_file(folder, monkeypatch):
    before = (folder / "model.safetensors").read_bytes()

    def half(tensors, path, metadata):
        path.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("lfbt.utils.tensors.save_file", half)
    with pytest.raises(LfbtError, match=r"model\.safetensors: cannot be written .*No space left on device"):
        save_tensors(folder / "model.safetensors", {"x": torch.zeros(1)})
    assert (folder / "model.safetensors").read_bytes() == before
    assert len(list(folder.iterdir())) == 2


def test_tensors_come_back_whatever_their_strides(tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(7), "c": torch.ones(2, requires_grad=True)}
    save_tensors(tmp_path / "t", tensors)
    loaded = load_tensors(tmp_path / "t")
    assert set(loaded) == {"a", "b", "c"}
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor)
        assert loaded[name].dtype == tensor.dtype


@pytest.mark.parametrize("n_bytes", [0, 4, 100, 5000, -1])
def test_weights_cut_short_are_refused(folder, n_bytes):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(LfbtError, match=r"model\.safetensors: is not a complete safetensors file"):
        load_encoder(folder)


@pytest.mark.parametrize("content", [b"hello, this is no safetensors file", b"\xff" * 64])
def test_weights_that_are_something_else_are_refused(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(LfbtError, match=r"model\.safetensors: is not a complete safetensors file"):
        load_encoder(folder)


def test_missing_weights_are_refused(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(LfbtError, match=r"model\.safetensors: is not there"):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("width", 0.125, "size mismatch"),
        ("leads", ["II", "V1"], "Unexpected key"),
        ("leads", ["II", "V1", "V2"], "Missing key"),
    ],
)
def test_weights_of_another_encoder_are_refused(folder, name, value, message):
    edit(folder, **{name: value})
    with pytest.raises(LfbtError, match=rf"model\.safetensors: does not hold the weights.*{message}"):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("leads", None, r"config\.json: does not describe an encoder \(TypeError"),
        ("leads", 3, r"config\.json: does not describe an encoder \(TypeError"),
        ("leads", ["II", "II", "V1"], "leads: II is named twice"),
        ("leads", [], "leads: none given"),
        ("sampling_rate", "fast", r"config\.json: does not describe an encoder .*'fast'"),
        ("n_samples", None, r"config\.json: does not describe an encoder \(TypeError"),
        ("n_samples", 16, "n_samples: 16 "),
        ("normalisation", "record ", r"config\.json: normalisation 'record ' is not one of record, lead, none"),
        ("normalisation", None, r"config\.json: normalisation None is not one of record, lead, none"),
        ("width", [], r"config\.json: does not describe an encoder \(TypeError"),
        ("width", 0, "width: 0"),
    ],
)
def test_a_config_that_describes_no_encoder_is_refused(folder, name, value, message):
    edit(folder, **{name: value})
    with pytest.raises(LfbtError, match=message):
        load_encoder(folder)


@pytest.mark.parametrize("name", ["leads", "sampling_rate", "n_samples", "normalisation", "width"])
def test_a_config_without_a_setting_is_refused(folder, name):
    content = json.loads((folder / "config.json").read_text())
    del content[name]
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(LfbtError, match=rf"config\.json: does not describe an encoder \(KeyError: '{name}'\)"):
        load_encoder(folder)


@pytest.mark.parametrize("text", ["", "{", '{"leads": ["II"', "[1]", "\x80"])
def test_a_config_that_is_no_json_object_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(LfbtError, match=r"config\.json"):
        load_encoder(folder)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "absent", tmp_path / "absent.pth"):
        with pytest.raises(LfbtError, match=r"checkpoint: .* is not an encoder; give a run folder .* a \.pth file of"):
            load_encoder(path)


class VGG16(nn.Module):
    """As the authors' model is made up: named parts, of which only the convolutions and norms hold tensors."""

    def __init__(self):
        super().__init__()
        stack = vgg16()
        self.features = stack[:-2]
        self.avgpool = stack[-2]
        self.fc = nn.Identity()


def authors_models(n_leads=8):
    """Modules as the authors' file holds them, trained for two batches so that every statistic counts."""
    with seeded(7):
        models = [VGG16() for _ in range(n_leads)]
        for model in models:
            for _ in range(2):
                model.features(torch.randn(3, 1, 64))
    return models


def test_the_authors_format_loads(tmp_path):
    """Pickled modules: eight leads in the paper's order, with the features of the modules themselves."""
    models = authors_models()
    torch.save({"epoch": 200, "backbone_state_dict": models}, tmp_path / "a.pth")
    encoder = load_encoder(tmp_path / "a.pth")
    assert encoder.config == EncoderConfig(PAPER_LEADS, 204.8, 2048, "record", 0.125)
    assert not encoder.training
    assert load_history(tmp_path / "a.pth") == {"file": "a.pth"}
    signals = torch.randn(3, 8, 128, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    features = encoder.double()(signals)
    for lead, model in enumerate(models):
        expected = model.double().eval().features(signals[:, lead : lead + 1]).mean(dim=2)
        # The same sums in double precision, in another order.
        torch.testing.assert_close(features[:, lead], expected, rtol=1e-9, atol=1e-11)
    assert encoder.state_dict()["encoders.V6.norms.12.num_batches_tracked"] == 2


def test_a_file_of_fewer_leads_has_the_first(tmp_path):
    torch.save({"backbone_state_dict": authors_models(2)}, tmp_path / "a.pth")
    assert load_encoder(tmp_path / "a.pth").config.leads == ("II", "III")


def test_the_literal_stack_of_an_authors_model_is_the_loaded_one(tmp_path):
    (model,) = authors_models(1)
    torch.save({"backbone_state_dict": [model]}, tmp_path / "a.pth")
    (encoder,) = load_encoder(tmp_path / "a.pth").encoders.values()
    stack = literal_encoder(encoder)
    for mine, theirs in zip(stack.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


class Evil:
    """Something that calls a function with one argument as it is unpickled."""

    def __init__(self, function, argument):
        self.call = (function, (argument,))

    def __reduce__(self):
        return self.call


def payloads(marker):
    """Ways in which an unpickled file would leave `marker` behind."""
    python = f"open({str(marker)!r}, 'w').close()"
    return {
        "a shell command": Evil(os.system, f"touch {marker}"),
        "a process": Evil(subprocess.check_call, ["touch", str(marker)]),
        "eval": Evil(eval, python),
        "exec": Evil(exec, python),
        "a method": Evil(Path.touch, marker),
    }


PAYLOADS = sorted(payloads(Path("x")))


@pytest.mark.parametrize("what", PAYLOADS)
@pytest.mark.parametrize("place", ["whole file", "backbone", "beside a good backbone", "in a module"])
def test_no_code_in_a_file_is_run(tmp_path, what, place):
    marker = tmp_path / "marker"
    evil = payloads(marker)[what]
    (model,) = authors_models(1)
    if place == "in a module":
        model.features.evil = evil
    content = {
        "whole file": evil,
        "backbone": {"backbone_state_dict": [evil]},
        "beside a good backbone": {"backbone_state_dict": [model], "optimizer": evil},
        "in a module": {"backbone_state_dict": [model]},
    }[place]
    torch.save(content, tmp_path / "evil.pth")
    with pytest.raises(LfbtError, match=r"evil\.pth is not a checkpoint of the LFBT authors"):
        load_encoder(tmp_path / "evil.pth")
    assert not marker.exists()
    # It would have been run by whoever trusts the file.
    torch.load(tmp_path / "evil.pth", weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("what", PAYLOADS)
@pytest.mark.parametrize("legacy", ["pickle", "torch"])
def test_no_code_in_a_legacy_file_is_run(tmp_path, what, legacy):
    marker = tmp_path / "marker"
    path = tmp_path / "evil.pth"
    content = {"backbone_state_dict": [payloads(marker)[what]]}
    if legacy == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=False)
    with pytest.raises(LfbtError, match=r"evil\.pth is not a checkpoint of the LFBT authors \(not a PyTorch file\)"):
        load_encoder(path)
    assert not marker.exists()


class Loud:
    """Something that notices when it is brought back to life."""

    heard: list[str] = []  # noqa: RUF012

    def __new__(cls):
        cls.heard.append("new")
        return super().__new__(cls)

    def __setstate__(self, state):
        self.heard.append("state")

    def __init__(self):
        self.something = 1


def test_no_class_in_a_file_is_made(tmp_path):
    """Not even one that can be imported: every class but a tensor is a stand-in."""
    torch.save({"backbone_state_dict": authors_models(1), "arguments": Loud()}, tmp_path / "a.pth")
    Loud.heard.clear()
    load_encoder(tmp_path / "a.pth")
    assert Loud.heard == []
    torch.load(tmp_path / "a.pth", weights_only=False)
    assert Loud.heard == ["new", "state"]


def test_loading_leaves_pytorchs_list_of_safe_classes_alone(tmp_path):
    torch.save({"backbone_state_dict": authors_models(1)}, tmp_path / "a.pth")
    torch.save({"backbone_state_dict": [Evil(os.system, "true")]}, tmp_path / "evil.pth")
    before = set(torch.serialization.get_safe_globals())
    load_encoder(tmp_path / "a.pth")
    with pytest.raises(LfbtError):
        load_encoder(tmp_path / "evil.pth")
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("content", [b"", b"these are no weights", b"\x80\x02", b"PK\x03\x04" + b"\0" * 100])
def test_files_of_another_kind_are_refused(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(LfbtError, match=r"a\.pth is not a checkpoint of the LFBT authors \(not a PyTorch file\); give"):
        load_encoder(tmp_path / "a.pth")


def test_a_file_cut_short_is_refused(tmp_path):
    torch.save({"backbone_state_dict": authors_models(1)}, tmp_path / "a.pth")
    content = (tmp_path / "a.pth").read_bytes()
    for n_bytes in (10, 1000, len(content) // 2, len(content) - 30, len(content) - 1):
        (tmp_path / "a.pth").write_bytes(content[:n_bytes])
        with pytest.raises(LfbtError, match="is not a checkpoint of the LFBT authors"):
            load_encoder(tmp_path / "a.pth")


def test_a_zip_file_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("readme.txt", "no weights")
    with pytest.raises(LfbtError, match="is not a checkpoint of the LFBT authors"):
        load_encoder(tmp_path / "a.pth")


def without_bias():
    (model,) = authors_models(1)
    model.features[0] = nn.Conv1d(1, 8, 3, padding=1, bias=False)
    return model


WIDER = nn.Sequential(nn.Conv1d(1, 16, 3), nn.BatchNorm1d(16))


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {"state_dict": {}},
        {"backbone_state_dict": 3},
        {"backbone_state_dict": [3]},
        {"backbone_state_dict": []},
        {"backbone_state_dict": vgg16().state_dict()},
        {"backbone_state_dict": [WIDER]},
        {"backbone_state_dict": [without_bias()]},
        {"backbone_state_dict": [vgg16()[:-5]]},
        {"backbone_state_dict": [vgg16()] * 9},
    ],
    ids=["list", "other", "number", "numbers", "no leads", "state", "wider", "no bias", "short", "nine leads"],
)
def test_pytorch_files_of_something_else_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(LfbtError):
        load_encoder(tmp_path / "a.pth")


def dataset_of(leads=("II", "V1"), sampling_rate=6.4, n_samples=64):
    signals = np.random.default_rng(0).standard_normal((3, len(leads), n_samples)).astype(np.float32)
    return from_arrays(signals, leads, sampling_rate)


def encoder_of(leads=("II", "V1"), sampling_rate=6.4, n_samples=64):
    return random_encoder(EncoderConfig(leads, sampling_rate, n_samples), 0)


@pytest.mark.parametrize("sampling_rate", [6.4, 6.4 * (1 + 1e-9)])
def test_what_fits_is_used_as_it_is(sampling_rate):
    encoder, dataset = encoder_of(), dataset_of(sampling_rate=sampling_rate)
    assert match(encoder, dataset) == (encoder, dataset)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"leads": ("II", "V2")}, "leads II,V2 against the encoder's II,V1"),
        ({"leads": ("V1", "II")}, "leads V1,II against the encoder's II,V1"),
        ({"sampling_rate": 50.0}, "50 Hz against the encoder's 6.4 Hz"),
        ({"n_samples": 80}, "80 samples against the encoder's 64"),
    ],
)
def test_a_data_set_that_does_not_fit_is_refused_unless_one_insists(data, message):
    encoder, dataset = encoder_of(), dataset_of(**data)
    with pytest.raises(LfbtError, match=f"does not fit the encoder: {message}"):
        match(encoder, dataset)
    assert match(encoder, dataset, allow_mismatch=True) == (encoder, dataset)


def test_all_that_does_not_fit_is_named():
    with pytest.raises(LfbtError, match=r"leads I .* II,V1; 50 Hz .* 6\.4 Hz; 80 samples .* 64"):
        match(encoder_of(), dataset_of(("I",), 50.0, 80))


@pytest.mark.parametrize("leads", [("II",), ("II", "V1", "V2")])
def test_the_number_of_leads_must_agree_whoever_insists(leads):
    with pytest.raises(LfbtError, match="the number of leads must agree"):
        match(encoder_of(), dataset_of(leads), allow_mismatch=True)


def test_common_leads_are_taken_from_both_by_name():
    encoder, dataset = encoder_of(("II", "V1", "V5")), dataset_of(("V5", "I", "II"))
    chosen, signals = match(encoder, dataset, ("II", "V5"))
    assert chosen.config.leads == signals.leads == ("II", "V5")
    assert chosen.encoders["V5"] is encoder.encoders["V5"]
    rows = np.arange(3)
    np.testing.assert_array_equal(signals.batch(rows, "none"), dataset.batch(rows, "none")[:, [2, 0]])


def test_leads_that_one_side_lacks_are_refused():
    with pytest.raises(LfbtError, match=r"lead V5: the encoder has none of that name; it has II,V1"):
        match(encoder_of(), dataset_of(("II", "V5")), ("II", "V5"))
    with pytest.raises(LfbtError, match=r"lead V1: not in the data set .*, which has II,V5"):
        match(encoder_of(), dataset_of(("II", "V5")), ("II", "V1"))
