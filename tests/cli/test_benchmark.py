"""``lfbt benchmark``: its words and one short run; `tests/protocols/test_benchmarking.py` has the protocols."""

from pathlib import Path

import pytest
from tests.cli.helpers import everything, refused, run

from lfbt.cli.benchmark import parse


def test_benchmark_prints_trials_on_stderr_and_tables_on_stdout(place, tmp_path):
    words = ("benchmark", "ptbxl", place / "download", tmp_path / "out", "--checkpoint", place / "run")
    status, output, messages = run(*words, "--tasks", "superclass", "--epochs", 1, "--workers", 1, "--device", "cpu")
    assert status == 0, messages
    assert "SYNTHETIC" in output
    assert "[1/1] superclass, fraction 1, seed 0: " in messages
    assert "[1/1]" not in output


def test_parse_takes_data_download_and_folder_by_position():
    settings = parse(["chapman", "downloads/chapman", "out", "--fraction", "0.01", "1"])
    assert (settings.data, settings.download, settings.out) == ("chapman", Path("downloads/chapman"), Path("out"))
    assert (settings.checkpoint, settings.fraction) == (Path("lfbt-small"), (0.01, 1.0))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "DATA FROM TO: required"),
        (("zzu", "from", "to"), "DATA: 'zzu' is not one of ptbxl, cpsc2018, chapman"),
        (("ptbxl", "absent", "to"), "absent"),
    ],
    ids=["nothing", "another data set", "absent download"],
)
def test_benchmark_refuses_in_one_line(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused("benchmark", *words)
    assert everything(tmp_path) == []
