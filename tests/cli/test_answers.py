"""What `lfbt predict` and `lfbt embed FILE` print, and their status."""

from pathlib import Path
from typing import Any

from lfbt.cli.answers import output_of
from lfbt.inference.answering import AnswerReport

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
