"""``lfbt export``, and what takes its files without PyTorch."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from tests.cli.helpers import output_of, read_json, refused
from tests.factories import write_labelled
from tests.inference.test_classifier import write_run

from lfbt.data.layouts import open_dataset

FILES = ("--file-leads", "II,V1", "--file-sampling-rate", "6.4")
# As where neither is installed: whatever imports them fails.
WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Absent())
from lfbt.cli import main
main()
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run with a classifier, its ONNX file, and recordings in a folder."""
    place = tmp_path_factory.mktemp("export")
    dataset = open_dataset(write_labelled(place / "data"))
    write_run(place / "run", place / "data")
    (place / "files").mkdir()
    for row in range(6):
        np.save(place / "files" / f"{row}.npy", np.asarray(dataset.signals[np.array([row])])[0])
    output_of("export", place / "run", "--out", place / "model.onnx")
    return place


def run_without(absent, *words):
    """Status, stdout and stderr of a command in a process that lacks packages."""
    code = WITHOUT.replace("ABSENT", repr(absent))
    found = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "80"},
    )
    return found.returncode, found.stdout, found.stderr


ABSENT = ("torch", "onnx", "sklearn", "numba")


@pytest.mark.parametrize("inputs", ["files", "data"])
def test_predict_by_an_onnx_file_needs_no_torch(place, tmp_path, inputs):
    of_files = FILES if inputs == "files" else ()
    words = ("predict", place / inputs, *of_files)
    by_onnx = run_without(ABSENT, *words, "--classifier", place / "model.onnx", "--out", tmp_path / "onnx.csv")
    assert by_onnx[0] == 0, by_onnx[2]
    assert by_onnx[2] == ""
    output_of(*words, "--classifier", place / "run", "--device", "cpu", "--out", tmp_path / "torch.csv")
    found, expected = (pd.read_csv(tmp_path / f"{name}.csv", dtype=str) for name in ("onnx", "torch"))
    columns = [name for name in expected.columns.astype(str) if name.startswith("p_")]
    np.testing.assert_allclose(found[columns].astype(float), expected[columns].astype(float), rtol=0, atol=1e-5)
    pd.testing.assert_frame_equal(found.drop(columns=columns), expected.drop(columns=columns))


def test_embed_by_an_onnx_file_needs_no_torch(place, tmp_path):
    words = ("embed", place / "files", *FILES)
    status, _, err = run_without(ABSENT, *words, "--checkpoint", place / "model.onnx", "--out", tmp_path / "onnx.csv")
    assert (status, err) == (0, "")
    output_of(*words, "--checkpoint", place / "run", "--device", "cpu", "--out", tmp_path / "torch.csv")
    found, expected = (pd.read_csv(tmp_path / f"{name}.csv").filter(regex=r"^e\d+$") for name in ("onnx", "torch"))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_predict_without_onnxruntime_says_how_to_install_it(place):
    words = ("predict", place / "files", *FILES, "--classifier", place / "model.onnx")
    status, out, err = run_without(("onnxruntime",), *words)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "pip install 'lfbt[onnx]'" in err


def test_export_says_what_it_wrote(place, tmp_path):
    out = tmp_path / "model.onnx"
    found = json.loads(output_of("export", place / "run", "--out", out, "--json"))
    assert (found["out"], found["classes"], found["opset"]) == (str(out), ["fast", "middle", "slow"], 18)
    assert found["difference"] < 1e-5
    text = output_of("export", place / "run", "--out", out, "--overwrite", "--variant", "float16")
    assert text.startswith(f"{out}: classes fast,middle,slow; 2 leads, float16, 0.")
    assert read_json(place / "run" / "results.json")["kind"] == "probe"
    assert "embeddings only, without a classifier" in output_of("export", "lfbt-small", "--out", tmp_path / "s.onnx")


def test_export_and_what_takes_its_files_refuse_in_one_line(place, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    again = ("export", place / "run", "--out", place / "model.onnx")
    assert refused(*again, "--variant", "float16").startswith(f"--out: {place / 'model.onnx'} exists")
    assert refused("export", "--out", tmp_path / "a.onnx").startswith("INPUT: required")
    assert refused("export", place / "run", "--out", tmp_path / "a.pt").startswith("--out: ")
    files = (place / "files", *FILES)
    for flag, command in (("--classifier", "predict"), ("--checkpoint", "embed")):
        said = refused(command, *files, flag, tmp_path / "bad.onnx")
        assert said.startswith(f"{flag}: {tmp_path}/bad.onnx is not an ONNX file of lfbt")
    model = ("--checkpoint", place / "model.onnx")
    assert refused("embed", *files, *model, "--leads", "V1").startswith("--leads: those of")
    data = ("embed", "--data-dir", place / "data", "--out", tmp_path / "out", *model)
    assert refused(*data).startswith(f"--checkpoint: {place / 'model.onnx'} embeds inputs, not --data-dir")
