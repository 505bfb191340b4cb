"""``--json`` and ``--quiet`` of every command."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from tests.cli.helpers import CLASSIFY_SHORT, PRETRAIN_SHORT, read_json, run

from lfbt.cli.output import Output
from lfbt.cli.overview import COMMANDS


@dataclasses.dataclass
class Inner:
    """A value that is nested."""

    figure: float
    path: Path


def test_to_json_converts_all_that_results_hold():
    values = {
        "inner": [Inner(0.5, Path("a/b"))],
        "absent": (float("nan"), np.float64("inf"), None),
        "numpy": {1: np.float32(0.25), "n": np.int64(3), "yes": np.bool_(True)},
        "text": "µV",
    }
    assert json.loads(Output("", values).to_json()) == {
        "inner": [{"figure": 0.5, "path": "a/b"}],
        "absent": [None, None, None],
        "numpy": {"1": 0.25, "n": 3, "yes": True},
        "text": "µV",
    }


def test_to_json_is_utf8_whatever_a_file_is_called():
    text = Output("", {"out": Path("a\udcff.csv")}).to_json()
    assert json.loads(text.encode()) == {"out": "a\udcff.csv"}


BENCHMARK_SHORT = ("--checkpoint", "lfbt-small", "--epochs", 1, "--workers", 1, "--device", "cpu")


def words_of(chain, to):
    """A run of each command that takes seconds."""
    data, encoder = ("--data-dir", chain / "data"), ("--checkpoint", chain / "pretrain")
    options = ("--records", 70, "--n-samples", 128, "--workers", 1)
    return {
        "prepare": ("synthetic", chain / "download", to, *options),
        "sources": ("ptbxl",),
        "check": (chain / "data",),
        "pretrain": (*data, "--run-dir", to, *PRETRAIN_SHORT, "--quality-data", chain / "data"),
        "probe": (*data, *encoder, "--run-dir", to, *CLASSIFY_SHORT),
        "finetune": (*data, *encoder, "--run-dir", to, *CLASSIFY_SHORT),
        "embed": (*data, *encoder, "--out", to),
        "benchmark": ("ptbxl", chain / "download", to, "--tasks", "superclass", *BENCHMARK_SHORT),
        "predict": (chain / "data", "--classifier", chain / "probe"),
        "export": (chain / "probe", "--out", to.with_suffix(".onnx")),
        "compare": (chain / "probe", chain / "random", "--draws", 10),
        "draw": (chain / "data", "--record", "1", "--out", to.with_suffix(".svg")),
        "report": (chain / "probe", "--out", to),
        "runs": (chain,),
    }


#: What the result of each command has, and a value of it by the files that it wrote or read.
EXPECTED = {
    "prepare": lambda found, chain, to: found["records"] == read_json(to / "dataset.json")["records"],
    "sources": lambda found, chain, to: found["sources"]["ptbxl"]["records"] == 21799,
    "check": lambda found, chain, to: found["data"][0]["hash"] == read_json(chain / "data" / "dataset.json")["hash"],
    "pretrain": lambda found, chain, to: found["best"]["encoder"] == str(to / "encoder-best"),
    "probe": lambda found, chain, to: found["trials"][0]["test"] == read_json(to / "results.json")["test"],
    "finetune": lambda found, chain, to: found["trials"][0]["test"] == read_json(to / "results.json")["test"],
    "benchmark": lambda found, chain, to: found["figures"] == read_json(to / "linear.json")["figures"],
    "embed": lambda found, chain, to: found["records"] == read_json(to / "embed.json")["records"],
    "predict": lambda found, chain, to: (
        len(found["rows"]) == found["answered"] == read_json(chain / "data" / "dataset.json")["records"]
    ),
    "export": lambda found, chain, to: found["out"] == str(to.with_suffix(".onnx")) and len(found["classes"]) == 5,
    "compare": lambda found, chain, to: [row["run"] for row in found["rows"]] == ["probe", "random"],
    "draw": lambda found, chain, to: (
        found["out"] == str(to.with_suffix(".svg")) and found["record"].startswith("1 (SYN")
    ),
    "report": lambda found, chain, to: found["page"] == str(to / "report.html") and found["table"][0]["run"] == "probe",
    "runs": lambda found, chain, to: str(chain / "probe") in [run["folder"] for run in found["runs"]],
}


# reproduce takes minutes and serve has no end; they have the same way through.
@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("reproduce", "serve")])
def test_json_prints_one_object_and_quiet_nothing(chain, tmp_path, command):
    words = (command, *words_of(chain, tmp_path / "one")[command])
    status, out, err = run(*words, "--json", "--quiet")
    assert err == ""
    assert EXPECTED[command](json.loads(out), chain, tmp_path / "one")
    assert run(command, "--quiet", *words_of(chain, tmp_path / "two")[command]) == (status, "", "")


def test_quiet_prints_errors(tmp_path):
    status, out, err = run("runs", tmp_path, "--quiet", "--json")
    assert (status, out) == (2, "")
    assert err.startswith("lfbt: error: runs: ")
