"""What `lfbt predict` and `lfbt embed FILE` print, and their status."""

import sys
from pathlib import Path
from typing import Any

import pytest

from lfbt.cli.answers import check_watching, output_of, stream_of
from lfbt.cli.output import printing_text
from lfbt.errors import LfbtError
from lfbt.inference.answering import AnswerReport
from lfbt.inference.watching import WatchSettings

ROWS: list[dict[str, Any]] = [{"file": "a.npy", "p_A": 0.25, "error": ""}, {"file": "b.npy", "error": "flat"}]
COLUMNS = ["file", "p_A", "error"]


def test_output_of_is_the_table_where_no_file_has_it(capsys, monkeypatch):
    report = AnswerReport(1, 1, "b.npy: flat", COLUMNS, ROWS)
    output = output_of(report, None)
    assert output.status == 1
    assert output.text.splitlines() == ["file,p_A,error", "a.npy,0.25,", "b.npy,,flat"]
    assert output.values["rows"] == ROWS
    assert capsys.readouterr() == ("", "1 recording could not be answered, the first: b.npy: flat\n")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert output_of(report, None).text.splitlines()[0].split() == COLUMNS


def test_output_of_counts_what_a_file_has(capsys):
    output = output_of(AnswerReport(2, 0), Path("a.csv"))
    assert (output.text, output.status) == ("a.csv: 2 recordings answered", 0)
    assert output.values == {"out": Path("a.csv"), "answered": 2, "failed": 0, "first_failure": ""}
    assert capsys.readouterr() == ("", "")


def test_output_of_has_no_text_where_rows_were_streamed():
    assert output_of(AnswerReport(2, 0, "", COLUMNS), None).text == ""


def test_stream_of_is_stdout_for_text_that_is_not_aligned(monkeypatch):
    assert stream_of(None) is sys.stdout
    assert stream_of(Path("a.csv")) is None
    with printing_text(False):
        assert stream_of(None) is None
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert stream_of(None) is None


def test_answers_are_printed_nowhere_where_stdout_is_closed(monkeypatch):
    """As a daemon has it."""
    monkeypatch.setattr("sys.stdout", None)
    assert stream_of(None) is None
    assert output_of(AnswerReport(1, 0, "", COLUMNS, ROWS[:1]), None).status == 0
    with pytest.raises(LfbtError, match=r"^out: required with --watch where stdout is closed"):
        check_watching(WatchSettings(Path("in")), None)


def test_output_of_fits_the_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    rows = [{"file": "a.npy", "notes": "a note of many words that is long"}, {"file": "b.npy", "notes": ""}]
    lines = output_of(AnswerReport(2, 0, "", ["file", "notes"], rows), None).text.splitlines()
    assert lines[:2] == ["file   a.npy", "notes  a note of many words"]
    assert max(map(len, lines)) <= 30


def test_check_watching_refuses_answers_that_go_nowhere():
    check_watching(WatchSettings(Path("in")), None)
    with printing_text(False):
        check_watching(WatchSettings(Path("in")), Path("a.csv"))
        check_watching(WatchSettings(), None)
        with pytest.raises(LfbtError, match=r"^out: required with --watch and --json or --quiet"):
            check_watching(WatchSettings(Path("in")), None)
