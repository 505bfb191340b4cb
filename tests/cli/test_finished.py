"""The report in the folder of a finished run, and a run that survives its failure."""

import json

import pytest
from tests.cli.helpers import CLASSIFY_SHORT, PRETRAIN_SHORT, run

from lfbt.cli.finished import add_report
from lfbt.errors import LfbtError


@pytest.mark.parametrize("name", ["pretrain", "probe", "random", "finetune", "scratch"])
def test_every_finished_run_has_its_report(chain, name):
    text = (chain / name / "report.html").read_text()
    assert "<!doctype html>" in text
    assert "SYNTHETIC data: these figures say nothing about real ECG" in text
    assert '<section id="learning">' in text
    # What the encoder would have to compute is left to lfbt report.
    assert '<section id="why">' not in text


def test_series_has_one_report_of_all_trials(chain, tmp_path):
    words = ("probe", "--data-dir", chain / "data", "--random-encoder", "--run-dir", tmp_path / "run", *CLASSIFY_SHORT)
    status, out, err = run(*words, "--seeds", 0, 1, "--json")
    assert status == 0
    assert json.loads(out)["report"] == str(tmp_path / "run" / "report.html")
    assert err.splitlines()[-1] == f"report: {tmp_path / 'run' / 'report.html'}"
    assert [path.parent.name for path in tmp_path.rglob("report.html")] == ["run"]
    assert "2 runs" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize("command", ["probe", "pretrain"])
def test_run_with_a_report_can_be_overwritten(chain, tmp_path, command):
    how = ("--random-encoder", *CLASSIFY_SHORT) if command == "probe" else PRETRAIN_SHORT
    words = (command, "--data-dir", chain / "data", "--run-dir", tmp_path / "run", *how)
    for more in ((), ("--overwrite",)):
        assert run(*words, *more)[0] == 0
        assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.parametrize("error", [LfbtError("no\nroom"), ZeroDivisionError()])
def test_failing_report_is_a_warning_of_one_line(tmp_path, monkeypatch, capsys, error):
    def fail(folder):
        raise error

    monkeypatch.setattr("lfbt.cli.finished.write_run_report", fail)
    assert add_report(tmp_path) is None
    why = "no room" if str(error) else "ZeroDivisionError"
    assert capsys.readouterr().err == f"lfbt: warning: {tmp_path}: no report ({why}); the run itself is complete\n"
