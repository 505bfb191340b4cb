"""Encoder folders: exact round trips, an error for every damage, and whether a data set fits."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from tests.models.helpers import edit
from tests.outputs import assert_same_tensors

import lfbt
from lfbt.data.dataset import from_arrays
from lfbt.errors import LfbtError
from lfbt.models.encoder import EncoderConfig, random_encoder
from lfbt.models.pretrained import load_encoder, load_history, match, save_encoder

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


def test_save_encoder_and_load_encoder_round_trip_bit_by_bit(folder):
    encoder, loaded = some_encoder(), load_encoder(folder)
    assert_same_tensors(encoder.state_dict(), loaded.state_dict())
    assert loaded.config == CONFIG
    assert not loaded.training
    signals = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(loaded(signals), encoder.eval()(signals))


def test_save_encoder_writes_all_that_use_needs(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert json.loads((folder / "config.json").read_text()) == {
        "format": 1,
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


def test_load_encoder_takes_a_run_folder(folder, tmp_path):
    (tmp_path / "run").mkdir()
    folder.rename(tmp_path / "run" / "encoder")
    assert_same_tensors(load_encoder(tmp_path / "run").state_dict(), some_encoder().state_dict())
    assert load_history(tmp_path / "run")["epochs_done"] == 3


def test_load_encoder_and_load_history_take_text(folder):
    assert_same_tensors(load_encoder(str(folder)).state_dict(), some_encoder().state_dict())
    assert load_history(str(folder)) == load_history(folder)


def test_save_encoder_replaces_an_encoder(folder):
    other = random_encoder(dataclasses.replace(CONFIG, leads=("I",)), 2)
    save_encoder(folder, other, {})
    assert_same_tensors(load_encoder(folder).state_dict(), other.state_dict())


@pytest.mark.parametrize("n_bytes", [0, 4, 100, 5000, -1])
def test_load_encoder_refuses_weights_cut_short(folder, n_bytes):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(LfbtError, match=r"model\.safetensors: is not a complete safetensors file"):
        load_encoder(folder)


@pytest.mark.parametrize("content", [b"hello, this is no safetensors file", b"\xff" * 64])
def test_load_encoder_refuses_weights_that_are_something_else(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(LfbtError, match=r"model\.safetensors: is not a complete safetensors file"):
        load_encoder(folder)


def test_load_encoder_refuses_missing_weights(folder):
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
def test_load_encoder_refuses_weights_of_another_encoder(folder, name, value, message):
    edit(folder, **{name: value})
    with pytest.raises(LfbtError, match=rf"model\.safetensors: does not hold the weights.*{message}"):
        load_encoder(folder)


def test_load_encoder_refuses_a_config_that_does_not_describe_an_encoder(folder):
    edit(folder, width="wide")
    for load in (load_encoder, load_history):
        with pytest.raises(LfbtError, match=r"config\.json: field width: .* it does not describe an encoder"):
            load(folder)


def test_load_encoder_refuses_what_is_not_a_checkpoint(tmp_path):
    absent = ": it does not exist"
    for path, why in ((tmp_path, ""), (tmp_path / "absent", absent), (tmp_path / "absent.pth", absent)):
        message = rf"checkpoint: {path} is not an encoder{why}; give a run folder .* a \.pth file of"
        with pytest.raises(LfbtError, match=message):
            load_encoder(path)


def dataset_of(leads=("II", "V1"), sampling_rate=6.4, n_samples=64):
    signals = np.random.default_rng(0).standard_normal((3, len(leads), n_samples)).astype(np.float32)
    return from_arrays(signals, leads, sampling_rate)


def encoder_of(leads=("II", "V1"), sampling_rate=6.4, n_samples=64):
    return random_encoder(EncoderConfig(leads, sampling_rate, n_samples), 0)


@pytest.mark.parametrize("sampling_rate", [6.4, 6.4 * (1 + 1e-9)])
def test_match_returns_what_fits_as_it_is(sampling_rate):
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
def test_match_refuses_a_data_set_that_does_not_fit_unless_allowed(data, message):
    encoder, dataset = encoder_of(), dataset_of(**data)
    with pytest.raises(LfbtError, match=f"does not fit the encoder: {message}"):
        match(encoder, dataset)
    assert match(encoder, dataset, allow_mismatch=True) == (encoder, dataset)


def test_match_names_all_that_does_not_fit():
    with pytest.raises(LfbtError, match=r"leads I .* II,V1; 50 Hz .* 6\.4 Hz; 80 samples .* 64"):
        match(encoder_of(), dataset_of(("I",), 50.0, 80))


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ({"leads": ("V1", "II")}, "--leads II,V1, or name common leads with --leads"),
        ({"sampling_rate": 8.0, "n_samples": 80}, "--n-samples 64"),
        ({"n_samples": 32}, "--duration 10 --n-samples 64"),
    ],
)
def test_match_says_how_to_prepare_the_data_set(data, options):
    with pytest.raises(LfbtError, match=rf"Prepare it with {options}, or insist with --allow-mismatch$"):
        match(encoder_of(), dataset_of(**data))


def test_load_encoder_names_a_run_folder_inside(tmp_path):
    save_encoder(tmp_path / "runs" / "pretrain" / "encoder", encoder_of(), {})
    with pytest.raises(LfbtError, match=r"^checkpoint: .*/runs is not an encoder, but .*/runs/pretrain has one; give"):
        load_encoder(tmp_path / "runs")


@pytest.mark.parametrize("leads", [("II",), ("II", "V1", "V2")])
def test_match_never_allows_another_number_of_leads(leads):
    for allow_mismatch in (True, False):
        with pytest.raises(LfbtError, match=r"the number of leads must agree, even with --allow-mismatch$"):
            match(encoder_of(), dataset_of(leads), allow_mismatch=allow_mismatch)


def test_match_selects_leads_from_both_by_name():
    encoder, dataset = encoder_of(("II", "V1", "V5")), dataset_of(("V5", "I", "II"))
    chosen, signals = match(encoder, dataset, ("II", "V5"))
    assert chosen.config.leads == signals.leads == ("II", "V5")
    assert chosen.encoders["V5"] is encoder.encoders["V5"]
    rows = np.arange(3)
    np.testing.assert_array_equal(signals.batch(rows, "none"), dataset.batch(rows, "none")[:, [2, 0]])


def test_match_refuses_leads_that_one_side_lacks():
    with pytest.raises(LfbtError, match=r"lead V5: the encoder has none of that name; it has II,V1"):
        match(encoder_of(), dataset_of(("II", "V5")), ("II", "V5"))
    with pytest.raises(LfbtError, match=r"lead V1: not in the data set .*, which has II,V5"):
        match(encoder_of(), dataset_of(("II", "V5")), ("II", "V1"))


def test_match_refuses_z_scores_for_an_encoder_of_millivolts():
    signals = np.zeros((2, 2, 64), np.float32)
    z_scores = dataclasses.replace(from_arrays(signals, ("II", "V1"), 100), in_mv=False)
    for normalisation in ("record", "lead"):
        match(random_encoder(EncoderConfig(("II", "V1"), 100, 64, normalisation), seed=0), z_scores)
    encoder = random_encoder(EncoderConfig(("II", "V1"), 100, 64, "none"), seed=0)
    with pytest.raises(
        LfbtError, match=r"z-scores, as EchoNext and folders of \.npy files have, against the encoder's millivolts"
    ):
        match(encoder, z_scores)
    match(encoder, z_scores, allow_mismatch=True)
    match(encoder, from_arrays(signals, ("II", "V1"), 100))


def test_load_encoder_makes_no_encoder_larger_than_its_file(tmp_path):
    save_encoder(tmp_path, random_encoder(EncoderConfig(("II", "V1"), 6.4, 64), seed=0), {})
    edit(tmp_path, width=4.0, n_features=2048)
    with pytest.raises(
        LfbtError, match=r"model.safetensors: holds \d+ values, but the config.json beside it describes"
    ):
        load_encoder(tmp_path)
