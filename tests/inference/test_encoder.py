"""The encoder as users hold it: loaded by name, applied to all that holds ECGs, saved, and published."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.factories import KINDS, waves, write_checkpoint, write_labelled, write_packed
from tests.hub import FakeHub
from tests.outputs import assert_same_tensors, contents

import lfbt
from lfbt.errors import LfbtError
from lfbt.inference.encoder import Encoder, load_encoder
from lfbt.models import pretrained
from lfbt.models.encoder import EncoderConfig
from lfbt.models.pretrained import load_history, save_encoder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An encoder, a data set, and runs of a probe on the encoder and on others, which no test may change."""
    place = tmp_path_factory.mktemp("encoder")
    write_labelled(place / "data")
    write_checkpoint(place / "checkpoint")
    save_encoder(place / "other", load_encoder(place / "checkpoint"), {"method": "other"})
    quick: dict[str, Any] = {"epochs": 2, "batch_size": 8, "device": "cpu", "workers": 0}
    lfbt.probe(place / "data", place / "probe", place / "checkpoint", **quick)
    lfbt.probe(place / "data", place / "probe-other", place / "other", **quick)
    lfbt.probe(place / "data", place / "probe-random", random_encoder=True, **quick)
    lfbt.probe(place / "data", place / "series", place / "checkpoint", seeds=(0, 1), **quick)
    return place


@pytest.fixture
def encoder(place):
    return load_encoder(place / "checkpoint")


def card_of(folder: Path) -> Any:
    hub = pytest.importorskip("huggingface_hub", reason="an extra: pip install 'lfbt[hub]'")
    return hub.ModelCard.load(folder / "README.md")


def test_load_encoder_returns_the_weights_and_history_in_evaluation_mode(place, encoder):
    plain = pretrained.load_encoder(place / "checkpoint")
    assert_same_tensors(encoder.state_dict(), plain.state_dict())
    assert (encoder.config, encoder.history) == (plain.config, {"method": "test", "epochs_done": 7})
    assert not encoder.training
    assert all(parameter.requires_grad and parameter.device.type == "cpu" for parameter in encoder.parameters())
    x = torch.from_numpy(waves(KINDS[:3]))
    assert torch.equal(encoder(x), plain(x))


def test_parts_of_an_encoder_are_encoders_with_its_history(encoder):
    for part in (encoder.select_leads("V1"), encoder.with_options(low_memory=True)):
        assert isinstance(part, Encoder)
        assert part.history == encoder.history
        assert not part.training
    assert repr(encoder.select_leads("V1")).startswith("Encoder(leads V1, 6.4 Hz")
    with torch.no_grad():
        next(encoder.select_leads("V1").parameters()).zero_()
    assert not next(encoder.encoders["V1"].parameters()).any()  # weights are shared


def test_embed_takes_arrays_recordings_paths_lists_and_data_sets_alike(encoder, tmp_path):
    signals = waves(KINDS[:4])
    about: dict[str, Any] = {"leads": "II,V1", "sampling_rate": 6.4}
    paths = [tmp_path / f"{i}.npy" for i in range(4)]
    for path, signal in zip(paths, signals, strict=True):
        np.save(path, signal * 1000)
    in_uv = about | {"unit": "uV"}
    expected = encoder.embed(signals, **about, device="cpu")
    assert expected.shape == (4, 128)
    assert np.array_equal(expected, lfbt.embed(signals, encoder, **about))
    recordings = [lfbt.read(path, **in_uv) for path in paths]
    data = write_packed(tmp_path / "data", signals)
    of = [
        encoder.embed(torch.from_numpy(signals), **about),
        encoder.embed(recordings),
        encoder.embed(paths, **in_uv),
        encoder.embed(tuple(map(str, paths)), **in_uv),
        encoder.embed(data),
        encoder.embed(lfbt.open_dataset(data)),
    ]
    for found in of:
        # Records of a batch, or one by one.
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(encoder.embed(str(paths[2]), **in_uv)[0], of[1][2], rtol=0, atol=0)


def test_embed_of_paths_names_the_file_that_is_wrong(encoder, tmp_path):
    good, short = tmp_path / "good.npy", tmp_path / "short.npy"
    np.save(good, waves([0])[0])
    np.save(short, waves([0], n_samples=40)[0])
    about: dict[str, Any] = {"leads": "II,V1", "sampling_rate": 6.4}
    with pytest.raises(LfbtError, match=rf"^file {short}: signals: 40 samples .* the encoder's records last 10 s"):
        encoder.embed([good, short], **about)
    with pytest.raises(LfbtError, match=r"^file .*absent\.npy: does not exist"):
        encoder.embed([good, tmp_path / "absent.npy"], **about)
    with pytest.raises(LfbtError, match=rf"^sampling_rate: none given, but {good}"):
        encoder.embed([good])
    with pytest.raises(LfbtError, match=r"^file .*: is a folder; give one of its files"):
        encoder.embed([tmp_path], **about)


def test_save_pretrained_writes_what_load_encoder_reads(encoder, tmp_path):
    encoder.save_pretrained(str(tmp_path / "saved"))
    assert sorted(contents(tmp_path / "saved")) == ["README.md", "config.json", "model.safetensors"]
    loaded = Encoder.from_pretrained(tmp_path / "saved")
    assert_same_tensors(loaded.state_dict(), encoder.state_dict())
    assert (loaded.config, loaded.history) == (encoder.config, encoder.history)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_save_pretrained_never_writes_over_other_files(encoder, tmp_path):
    encoder.save_pretrained(tmp_path / "saved")
    before = contents(tmp_path / "saved")
    with pytest.raises(LfbtError, match="saved: holds other results already"):
        encoder.save_pretrained(tmp_path / "saved")
    assert contents(tmp_path / "saved") == before


def test_save_pretrained_keeps_no_folders_of_the_machine(tmp_path):
    history = {"data_dir": ["/home/ann/ward 7/data"], "start": {"run_dir": Path("/home/ann/run")}, "note": "a/b"}
    encoder = Encoder(EncoderConfig(("II",), 6.4, 64), history=history)
    encoder.save_pretrained(tmp_path / "saved")
    assert load_history(tmp_path / "saved") == {"data_dir": ["data"], "start": {"run_dir": "run"}, "note": "a/b"}
    assert not any(b"/home" in content for content in contents(tmp_path / "saved").values())
    assert encoder.history == history


def test_save_pretrained_writes_figures_of_its_runs(place, encoder, tmp_path):
    encoder.save_pretrained(tmp_path / "saved", runs=place / "probe", license_id="cc-by-4.0")
    card = card_of(tmp_path / "saved")
    assert (card.data.license, card.data.library_name, card.data.model_name) == ("cc-by-4.0", "lfbt", "saved")
    results = json.loads((place / "probe" / "results.json").read_text())
    figures = {one.metric_type: one.metric_value for one in card.data.eval_results}
    assert figures["roc_auc"] == results["test"]["auroc"]


def test_save_pretrained_takes_series_and_the_classifiers_own_encoder(place, encoder, tmp_path):
    encoder.save_pretrained(tmp_path / "one", runs=[place / "series"])
    assert len({one.metric_args["seed"] for one in card_of(tmp_path / "one").data.eval_results}) == 2
    load_encoder(place / "probe").save_pretrained(tmp_path / "two", runs=place / "probe")
    # Its figures are those of the published encoder as well.
    load_encoder(tmp_path / "one").save_pretrained(tmp_path / "three", runs=place / "probe")
    for name in ("two", "three"):
        assert card_of(tmp_path / name).data.eval_results


@pytest.mark.parametrize("run", ["probe-other", "probe-random"])
def test_save_pretrained_refuses_figures_of_another_encoder(place, encoder, tmp_path, run):
    with pytest.raises(LfbtError, match=rf"^runs: .*{run} is of another encoder \(.*\), by its history"):
        encoder.save_pretrained(tmp_path / "saved", runs=place / run)
    assert list(tmp_path.iterdir()) == []


def test_encoders_of_an_unknown_history_have_no_figures(place, tmp_path):
    encoder = Encoder(EncoderConfig(("II", "V1"), 6.4, 64))
    with pytest.raises(LfbtError, match="is of another encoder"):
        encoder.save_pretrained(tmp_path / "saved", runs=place / "probe")


def test_push_to_hub_and_from_pretrained_are_inverse(place, encoder, tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub", reason="an extra: pip install 'lfbt[hub]'")
    monkeypatch.chdir(tmp_path)
    hub = FakeHub(tmp_path / "hub", monkeypatch)
    url = encoder.push_to_hub("me/ecg", runs=place / "probe", license_id="mit", private=True)
    assert url == "https://huggingface.co/me/ecg/commit/1"
    assert hub.created == {"me/ecg": True}
    card = card_of(hub.folder / "me" / "ecg")
    assert (card.data.model_name, card.data.license) == ("me/ecg", "mit")
    assert "load_encoder('me/ecg')" in card.text
    loaded = Encoder.from_pretrained("me/ecg", revision="main")
    assert_same_tensors(loaded.state_dict(), encoder.state_dict())
    assert loaded.history == encoder.history
    x: dict[str, Any] = {"x": waves(KINDS[:2]), "leads": "II,V1", "sampling_rate": 6.4}
    assert np.array_equal(lfbt.embed(encoder="me/ecg", **x), encoder.embed(**x))
    assert hub.downloads == [("me/ecg", "main"), ("me/ecg", None)]
