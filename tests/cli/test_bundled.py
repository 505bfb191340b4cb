"""The name of the encoder that comes with lfbt, in every command and script that takes a checkpoint."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.cli.helpers import everything, output_of, read_json, refused, run

from lfbt.recording import STANDARD_LEADS
from lfbt.runs.encoder_folder import BUNDLED

ROOT = Path(__file__).parents[2]
SHORT = ("--epochs", 1, "--workers", 0, "--device", "cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data set that fits the encoder."""
    place = tmp_path_factory.mktemp("bundled")
    options = ("--records", 40, "--n-samples", 1024, "--leads", ",".join(STANDARD_LEADS), "--workers", 1)
    output_of("prepare", "synthetic", place / "download", place / "data", *options)
    return place / "data"


@pytest.mark.parametrize("command", ["probe", "finetune"])
def test_probe_and_finetune_take_the_name(data, tmp_path, command):
    words = ("--data-dir", data, "--checkpoint", BUNDLED, "--leads", "II,V1", "--run-dir", tmp_path / "run")
    output_of(command, *words, *SHORT)
    origin = read_json(tmp_path / "run" / "results.json")["encoder"]
    assert (origin["checkpoint"], origin["history"]["preset"]) == (BUNDLED, "small")
    # What the encoder learned from is known of the new one, too.
    assert "encoder/records.safetensors" in everything(tmp_path / "run")


def test_embed_takes_the_name_and_by_default_says_that_it_does(data, tmp_path):
    words = ("embed", "--data-dir", data, "--workers", 0, "--device", "cpu")
    said = f"checkpoint: {BUNDLED}, the encoder that comes with lfbt"
    for more in (("--out", tmp_path / "default"), ("--checkpoint", BUNDLED, "--out", tmp_path / "named")):
        status, _, err = run(*words, *more)
        assert (status, err) == (0, f"{said}\n")
    default, named = (np.load(tmp_path / name / "embeddings.npy") for name in ("default", "named"))
    assert default.shape[1] == 12 * 64
    assert np.array_equal(default, named)
    output_of(*words, "--leads", "V5,II", "--out", tmp_path / "two")
    rows = [STANDARD_LEADS.index(lead) for lead in ("V5", "II")]
    of_leads = default.reshape(len(default), 12, 64)[:, rows].reshape(len(default), -1)
    np.testing.assert_allclose(np.load(tmp_path / "two" / "embeddings.npy"), of_leads, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("script", "folder"), [("run_lp.py", "--feat-dir"), ("run_ft.py", "--model-dir")])
def test_scripts_take_the_name(data, tmp_path, script, folder):
    words = ("--data-dir", data, "--checkpoint", BUNDLED, "--num-classes", 5, folder, tmp_path / "run", "--epochs", 1)
    n_leads = ("--num-leads", 12) if script == "run_lp.py" else ()
    command = [sys.executable, ROOT / script, *map(str, (*words, *n_leads, "--workers", 1))]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    assert read_json(tmp_path / "run" / "results.json")["encoder"]["checkpoint"] == BUNDLED


def test_reproduce_takes_the_name(place, tmp_path):
    words = ("reproduce", "--out", tmp_path / "out", "--ptbxl", place / "download", "--encoders", BUNDLED, BUNDLED)
    message = refused(*words, "--n-samples", 512)
    assert message.startswith(f"--n-samples: 512, but the encoder of gamma 0.8, {BUNDLED}, has 1024")


def test_a_folder_of_that_name_is_refused(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / BUNDLED).mkdir()
    both = f"--checkpoint: {BUNDLED} is the encoder that comes with lfbt, and also a path here; give {tmp_path}/"
    for command, target in (("probe", "--run-dir"), ("finetune", "--run-dir"), ("embed", "--out")):
        words = (command, "--data-dir", data, "--checkpoint", BUNDLED, target, tmp_path / "new")
        assert refused(*words).startswith(both)
    assert everything(tmp_path) == [BUNDLED]


@pytest.mark.parametrize("command", ["probe", "finetune", "embed", "reproduce"])
def test_help_of_every_command_with_a_checkpoint_names_it(command):
    assert f"{BUNDLED}, which comes with lfbt" in " ".join(output_of(command, "--help").split())
