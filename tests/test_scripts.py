"""The authors' three commands: their flags and defaults, their folders, and refusals as everywhere else."""

import argparse
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lfbt.recording import PAPER_LEADS

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ("run_pt.py", "run_lp.py", "run_ft.py")

#: Flags with their defaults, as the authors have them; a type stands for a required flag of that type.
FLAGS: dict[str, dict[str, object]] = {
    "run_pt.py": {
        "--data-dir": Path,
        "--num-leads": 8,
        "--workers": 6,
        "--epochs": 200,
        "--batch-size": 128,
        "--learning-rate": 1e-3,
        "--gamma": 0.8,
        "--lambd": 0.0051,
        "--projector": "2048-2048-2048",
        "--print-freq": 100,
        "--checkpoint-dir": Path("./checkpoint/"),
    },
    "run_lp.py": {
        "--data-dir": Path,
        "--checkpoint": Path,
        "--num-classes": int,
        "--feat-dir": Path("./features/"),
        "--num-leads": 8,
        "--workers": 6,
        "--epochs": 100,
        "--batch-size": 128,
        "--learning-rate": 1e-3,
    },
    "run_ft.py": {
        "--data-dir": Path,
        "--checkpoint": Path,
        "--num-classes": int,
        "--fraction": 1.0,
        "--model-dir": Path("./model/"),
        "--workers": 6,
        "--epochs": 100,
        "--batch-size": 128,
        "--learning-rate": 1e-4,
    },
}
USAGES = {
    "run_pt.py": "run_pt.py [-h] --data-dir DIR [--num-leads N] [--workers N] [--epochs N] [--batch-size N] "
    "[--learning-rate LR] [--gamma L] [--lambd L] [--projector MLP] [--print-freq N] [--checkpoint-dir DIR]",
    "run_lp.py": "run_lp.py [-h] --data-dir DIR --checkpoint DIR --num-classes N [--feat-dir DIR] [--num-leads N] "
    "[--workers N] [--epochs N] [--batch-size N] [--learning-rate LR]",
    "run_ft.py": "run_ft.py [-h] --data-dir DIR --checkpoint DIR --num-classes N [--fraction L] [--model-dir DIR] "
    "[--workers N] [--epochs N] [--batch-size N] [--learning-rate LR]",
}


def parser_of(script) -> argparse.ArgumentParser:
    """The parser of a script, which does nothing when it is imported."""
    return runpy.run_path(str(ROOT / script), run_name="imported")["parser"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_parser_has_the_flags_and_defaults_of_the_authors(script):
    flags = {action.option_strings[-1]: action for action in parser_of(script)._actions}
    del flags["--help"]
    # One more, unlisted: the flag that a stopped run names.
    assert ("--resume" in flags) == (script == "run_pt.py")
    flags.pop("--resume", None)
    assert list(flags) == list(FLAGS[script])
    for name, default in FLAGS[script].items():
        action = flags[name]
        assert action.required == isinstance(default, type)
        if action.required:
            assert action.type is default
        else:
            assert action.default == default
            convert = action.type if callable(action.type) else str
            assert convert(str(default)) == default
        assert action.help


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_has_the_usage_of_the_authors(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    assert caught.value.code == 0
    output = capsys.readouterr().out
    assert output.splitlines()[0] == f"usage: {USAGES[script]}"
    for name, default in FLAGS[script].items():
        if not isinstance(default, type):
            (line,) = [line for line in output.splitlines() if line.startswith(f"  {name} ")]
            assert line.endswith(f"(default: {default})")


# --- end to end on the authors' folders ---


def signal(number, label=0):
    """A record of 8 leads and 64 samples, slow waves for the one class and fast ones for the other."""
    rng = np.random.default_rng(number)
    waves = np.sin(np.arange(64) * (0.2 + label) + rng.uniform(0, 6))
    return (waves + 0.3 * rng.normal(size=(8, 64))).astype(np.float32)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The authors' folders, and a run of each script on them in a process of its own, with what each output."""
    place = tmp_path_factory.mktemp("scripts")
    (place / "pretrain" / "samples").mkdir(parents=True)
    for number in range(12):
        np.save(place / "pretrain" / "samples" / f"sample_{number}.npy", signal(number, number % 2))
    for layout in ("split", "classes"):
        for label, name in enumerate(("class_x", "class_y")):
            for number in range(12):
                split = ("train", "train", "val", "test")[number % 4]
                folder = place / layout / (f"{split}/{name}" if layout == "split" else name)
                folder.mkdir(parents=True, exist_ok=True)
                # None of them is among the records for pretraining.
                np.save(folder / f"{number}.npy", signal(100 * (1 + label) + number, label))
    short = ["--workers", "1", "--epochs", "2", "--batch-size", "6"]
    options = ["--checkpoint", f"{place}/encoder/", "--num-classes", "2"]
    commands = {
        "run_pt.py": ["--data-dir", f"{place}/pretrain/", "--projector", "16-16", "--checkpoint-dir", "encoder/"],
        "run_lp.py": ["--data-dir", f"{place}/split", *options, "--feat-dir", "features/"],
        "run_ft.py": ["--data-dir", f"{place}/split/", *options, "--model-dir", "model", "--fraction", "0.5"],
    }
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    for script, words in commands.items():
        ended = subprocess.run(
            [sys.executable, str(ROOT / script), *words, *short],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        (place / f"{script}.out").write_text(ended.stdout)
    return place


def test_run_pt_writes_an_encoder(place):
    config = json.loads((place / "encoder" / "encoder" / "config.json").read_text())
    assert (config["leads"], config["n_samples"], config["sampling_rate"]) == (list(PAPER_LEADS), 64, 6.4)
    assert (config["history"]["epochs_done"], config["history"]["projector"]) == (2, "16-16")
    assert "encoder" in (place / "run_pt.py.out").read_text()


def test_run_lp_writes_features_and_labels(place):
    for split, records in (("train", 12), ("val", 6), ("test", 6)):
        features, labels = (np.load(place / "features" / f"{kind}_{split}.npy") for kind in "Xy")
        assert features.shape == (records, 512)
        assert np.bincount(labels).tolist() == [records // 2, records // 2]
    results = json.loads((place / "features" / "results.json").read_text())
    assert (results["kind"], results["data"]["classes"]) == ("probe", ["class_x", "class_y"])
    output = (place / "run_lp.py.out").read_text()
    assert f"6 test records: macro AUROC {results['test']['auroc']:.4f}" in output


def test_run_ft_writes_a_model(place):
    results = json.loads((place / "model" / "results.json").read_text())
    assert (results["kind"], results["fraction"]) == ("finetune", 0.5)
    assert results["data"]["counts"]["train"] == {"class_x": 3, "class_y": 3}
    assert (results["settings"]["epochs"], results["settings"]["learning_rate"]) == (2, 1e-4)
    assert (place / "model" / "encoder" / "model.safetensors").is_file()
    assert (place / "model" / "head" / "model.safetensors").is_file()


def run_here(monkeypatch, script, *words):
    """Run a script in this process; the status it ends with."""
    monkeypatch.setattr(sys, "argv", [script, *map(str, words)])
    try:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    except SystemExit as ended:
        return ended.code
    return 0


SHORT = ("--epochs", 1, "--batch-size", 8, "--workers", 0)


def test_run_lp_splits_class_folders_without_splits(place, tmp_path, monkeypatch, capsys):
    words = ("--data-dir", f"{place}/classes/", "--checkpoint", place / "encoder", "--num-classes", 2)
    assert run_here(monkeypatch, "run_lp.py", *words, "--feat-dir", tmp_path / "features", *SHORT) == 0
    sizes = {split: len(np.load(tmp_path / "features" / f"X_{split}.npy")) for split in ("train", "val", "test")}
    assert sizes == {"train": 17, "val": 2, "test": 5}
    # No warning beside the line that says what is fitted, and the one about other processes.
    line, *others = capsys.readouterr().err.splitlines()
    assert line.startswith("records: 17 train, 2 val, 5 test; ")
    assert all("hold the cores" in other for other in others)


REFUSALS: dict[str, tuple[str, dict[str, object], str]] = {
    "leads": ("run_pt.py", {"--num-leads": 12}, "num-leads: 12 contradicts the 8 leads of"),
    "batch": ("run_pt.py", {"--batch-size": 128}, "batch-size: 128 is more than the 12 records"),
    "gamma": ("run_pt.py", {"--gamma": 2}, "gamma: 2.0 is outside [0, 1]"),
    "absent data": ("run_pt.py", {"--data-dir": "absent/"}, "absent is not a folder"),
    "probe leads": ("run_lp.py", {"--num-leads": 1}, "num-leads: 1 contradicts the 8 leads of"),
    "probe classes": ("run_lp.py", {"--num-classes": 5}, "num-classes: 5 contradicts the 2 classes of"),
    "probe checkpoint": ("run_lp.py", {"--checkpoint": "absent"}, "checkpoint: absent is not an encoder"),
    "classes": ("run_ft.py", {"--num-classes": 3}, "num-classes: 3 contradicts the 2 classes of"),
    "fraction": ("run_ft.py", {"--fraction": 0}, "fraction: 0.0 is outside (0, 1]"),
    "checkpoint": ("run_ft.py", {"--checkpoint": "absent"}, "checkpoint: absent is not an encoder"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_scripts_refuse_in_one_line_with_status_2(place, tmp_path, monkeypatch, capsys, name):
    script, changes, message = REFUSALS[name]
    monkeypatch.chdir(tmp_path)
    given: dict[str, object]
    if script == "run_pt.py":
        given = {"--data-dir": place / "pretrain", "--projector": "8-8", "--checkpoint-dir": "to"}
    else:
        given = {"--data-dir": place / "split", "--checkpoint": place / "encoder", "--num-classes": 2}
        given["--feat-dir" if script == "run_lp.py" else "--model-dir"] = "to"
    given |= {"--epochs": 1, "--batch-size": 6, "--workers": 0} | changes
    assert run_here(monkeypatch, script, *(word for pair in given.items() for word in pair)) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("lfbt: error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_never_write_over_results(place, monkeypatch, capsys, script):
    folder = {"run_pt.py": "encoder", "run_lp.py": "features", "run_ft.py": "model"}[script]
    words: tuple[object, ...] = ("--data-dir", place / "pretrain", "--checkpoint-dir", place / folder)
    if script != "run_pt.py":
        flag = "--feat-dir" if script == "run_lp.py" else "--model-dir"
        words = ("--data-dir", place / "split", "--checkpoint", place / "encoder", "--num-classes", 2)
        words += (flag, place / folder)
    before = {path: path.stat().st_mtime_ns for path in (place / folder).rglob("*")}
    assert run_here(monkeypatch, script, *words, *SHORT) == 2
    what = "another run" if script == "run_pt.py" else "other results"
    assert f"holds {what} already" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (place / folder).rglob("*")} == before
