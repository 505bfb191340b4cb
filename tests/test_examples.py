"""The examples: each runs as a script would, with small sizes, and the page of Python says what is true."""

import importlib.util
import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.factories import KINDS, LABELS, waves, write_checkpoint, write_labelled
from tests.inference.test_classifier import write_run

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = {path.stem: path for path in sorted((ROOT / "examples").glob("*.py"))}
#: Sizes that fit a test.
SMALL: dict[str, dict[str, Any]] = {
    "embed_files": {},
    "lightning_module": {"records": 100, "epochs": 1, "batch_size": 16},
    "push_to_hub": {"records": 100, "epochs": 1},
    "scikit_learn_pipeline": {"records": 100, "epochs": 1},
    "train_in_plain_pytorch": {"records": 100, "epochs": 2, "batch_size": 16},
}
#: What each prints.
OUTPUT = {
    "embed_files": r"2 files -> \(2, 128\)\nthe same embedding of both: True\n.*: \(2, 128\)\n",
    "lightning_module": r"(?s).*embeddings \(\d+, 512\)\n",
    "push_to_hub": r"(?s).*---\nlibrary_name: .*\nlicense: \"mit\"\n.*type: \"roc_auc\".*\| linear probe \(adam\) .*",
    "scikit_learn_pipeline": r"(?s).*'logisticregression__C': [\d.]+}: balanced accuracy 0\.\d\d over patients .*",
    "train_in_plain_pytorch": r"(?s)epoch 1: loss [\d.]+\nepoch 2: loss [\d.]+\nembeddings \(\d+, 512\)\n",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_example_runs_on_tiny_synthetic_data(name, tmp_path, monkeypatch, capsys):
    if name == "lightning_module" and importlib.util.find_spec("lightning") is None:
        pytest.skip("lightning is not installed: pip install lightning")
    monkeypatch.chdir(tmp_path)
    main = runpy.run_path(str(SCRIPTS[name]))["main"]
    result = main(**SMALL[name])
    assert re.fullmatch(OUTPUT[name], capsys.readouterr().out)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if name == "train_in_plain_pytorch":
        assert result[1] < result[0]


def test_every_example_is_tested_and_listed():
    assert set(SMALL) == set(OUTPUT) == set(SCRIPTS)
    listed = re.findall(r"\(\.\./examples/(\w+)\.py\)", (ROOT / "docs" / "python.md").read_text())
    assert sorted(listed) == sorted(SCRIPTS)


def test_code_of_the_page_of_python_runs(tmp_path, monkeypatch):
    """On records of ten seconds at 6.4 Hz, as the small encoder takes them."""
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / "runs" / "pretrain")
    write_run(tmp_path / "runs" / "probe", write_labelled(tmp_path / "data"))
    signals = waves(KINDS)
    np.save("ecg.npy", signals[0])
    names: dict[str, Any] = {"signals": signals, "labels": LABELS}
    page = (ROOT / "docs" / "python.md").read_text()
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block.replace("sampling_rate=500", "sampling_rate=6.4"), names)
    assert names["embedding"].shape == (1, 128)
    assert names["probabilities"].shape == (48, 3)
    assert names["table"].shape == (48, 11)
    assert names["search"].best_score_ > 0.8
    assert names["value"] > 0
