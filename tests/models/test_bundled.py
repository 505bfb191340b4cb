"""The encoder that comes with lfbt: its files, its weights bit by bit, and what it computes."""

import hashlib
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import lfbt
from lfbt.audit.fingerprints import FINGERPRINTS, load_fingerprints
from lfbt.errors import LfbtError
from lfbt.models.pretrained import load_encoder, load_history, save_encoder, weights_hash
from lfbt.recording import STANDARD_LEADS
from lfbt.runs.encoder_folder import BUNDLED, encoder_folder

FOLDER = encoder_folder(Path(BUNDLED))
ROOT = Path(__file__).parents[2]
#: SHA-256 of the file, and of its tensors in float32.
WEIGHTS = "5f5a5dbf6f137ae20efabda21b19b86e3744d220a0da791577edecea1ec1caa4"
TENSORS = "c6d222de02e208527e43e2f33a25be37ba1b1a7168e0bfd7081af1fb4600eb2f"
#: Of the waves of `signal`: the first feature of each lead, and the standard deviation of its 64 features.
FIRST = [
    0.35777,
    0.00357617,
    0.820132,
    0.0368346,
    0.135521,
    0.11341,
    0.445598,
    0.158227,
    0.689331,
    0.487904,
    0.0148453,
    1.54183,
]
SPREAD = [
    0.385592,
    0.473396,
    0.561902,
    0.64323,
    0.642408,
    0.733484,
    0.686577,
    0.742985,
    0.543879,
    0.610166,
    0.826169,
    0.687139,
]


def test_the_folder_holds_an_encoder_of_less_than_3_mb():
    sizes = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert sorted(sizes) == ["README.md", "config.json", "model.safetensors", FINGERPRINTS]
    assert sum(sizes.values()) < 3_000_000


def test_the_files_are_in_the_repository_and_so_in_the_wheel():
    """Hatchling packs all files of the package but those that git ignores."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git repository")
    listed = subprocess.run(["git", "ls-files", FOLDER], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert {Path(line).name for line in listed.splitlines()} == {path.name for path in FOLDER.iterdir()}


def test_the_weights_are_those_of_the_card():
    assert hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest() == WEIGHTS
    assert weights_hash(load_encoder(BUNDLED)) == TENSORS


def test_load_encoder_takes_the_name_and_computes_in_float32():
    encoder = load_encoder(BUNDLED)
    config = encoder.config
    assert (config.leads, config.sampling_rate, config.n_samples) == (STANDARD_LEADS, 102.4, 1024)
    assert config.normalisation == "none"
    assert not encoder.training
    stored, state = load_file(FOLDER / "model.safetensors"), encoder.state_dict()
    assert {x.dtype for x in stored.values() if x.dim() > 1} == {torch.float16}
    assert {x.dtype for x in state.values() if x.is_floating_point()} == {torch.float32}
    assert all(torch.equal(x.to(state[name].dtype), state[name]) for name, x in stored.items())


def test_load_history_says_what_it_was_trained_on():
    history = load_history(BUNDLED)
    assert (history["preset"], history["seed"], history["epochs_done"], history["records"]) == ("small", 0, 120, 849)
    assert [source["licence"] for source in history["sources"]] == ["ODC-By 1.0", "CC BY 4.0"]
    assert not [value for value in history.values() if isinstance(value, str) and "/" in value]
    seen = load_fingerprints(FOLDER / FINGERPRINTS)
    assert (len(seen), set(seen.leads)) == (849, set(STANDARD_LEADS))


def test_the_card_credits_the_data_and_has_figures_with_intervals():
    card = (FOLDER / "README.md").read_text()
    for words in ("ODC-By", "CC BY 4.0", "no medical device", "MIT", "benchmarks.bundled_encoder"):
        assert words in card
    rows = [line for line in card.splitlines() if line.startswith((f"| {BUNDLED}", "| random", "| published"))]
    assert len(rows) == 10
    assert all(len(re.findall(r"\[[+−-]?[01]\.\d+, [+−-]?[01]\.\d+\]", row)) == 4 for row in rows if "less" not in row)
    assert all(row in (ROOT / "docs" / "results.md").read_text() for row in rows)


def signal():
    """Waves of every lead, ten seconds at 500 Hz, in mV."""
    time = np.arange(5000) / 500
    beats = np.exp(-20 * (time % 1 - 0.5) ** 2)
    return np.stack([np.sin(2 * np.pi * (lead + 1) * time / 3) * beats for lead in range(12)])


def test_embed_gives_the_features_that_it_gave_before():
    x = lfbt.embed(signal(), BUNDLED, leads=STANDARD_LEADS, sampling_rate=500, device="cpu").reshape(12, 64)
    np.testing.assert_allclose(x[:, 0], FIRST, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(x.std(axis=1), SPREAD, rtol=1e-3)


def test_embed_by_some_of_its_leads_gives_the_columns_of_these():
    names = ("V5", "II")
    whole = lfbt.embed(signal(), BUNDLED, leads=STANDARD_LEADS, sampling_rate=500, device="cpu").reshape(12, 64)
    rows = [STANDARD_LEADS.index(lead) for lead in names]
    two = load_encoder(BUNDLED).select_leads(names)
    x = lfbt.embed(signal()[rows], two, leads=names, sampling_rate=500, device="cpu").reshape(2, 64)
    np.testing.assert_allclose(x, whole[rows], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["lfbt-big", "lfbt_small", "runs/lfbt-small"])
def test_load_encoder_names_the_bundled_encoder_where_a_name_is_unknown(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LfbtError, match=f"{name} is not an encoder: it does not exist; .* or {BUNDLED}, which comes"):
        load_encoder(name)


def test_load_encoder_refuses_the_name_where_a_folder_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = load_encoder(BUNDLED).select_leads(["II"])
    save_encoder(tmp_path / BUNDLED, other, {"method": "mine"})
    for load in (load_encoder, load_history):
        with pytest.raises(LfbtError, match=f"{BUNDLED} is the encoder that comes with lfbt, and also a path here"):
            load(BUNDLED)
    assert load_encoder(tmp_path / BUNDLED).config.leads == ("II",)
    assert json.loads((tmp_path / BUNDLED / "config.json").read_text())["history"] == {"method": "mine"}
