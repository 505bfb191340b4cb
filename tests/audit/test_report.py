"""The report of a check as text and as files."""

import json

from tests.audit.helpers import generate_ecg, run_check, run_command, write
from tests.outputs import read_table

from lfbt.audit.report import report_text


def test_write_report_writes_four_files(tmp_path, capsys):
    signals = generate_ecg().copy()
    signals[17] = signals[2]
    one = write(tmp_path / "one", signals)
    two = write(tmp_path / "two", generate_ecg(seed=1)[:8], split=["train"] * 8)
    assert run_command(one, two, "--out", tmp_path / "out") == 1
    assert "1 error, 0 warnings" in capsys.readouterr().out
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "check.json",
        "duplicates.csv",
        "exclude.csv",
        "findings.csv",
    ]
    assert read_table(out / "duplicates.csv") == [
        {
            "data_1": "one", "id_1": "r2", "split_1": "train", "data_2": "one", "id_2": "r17", "split_2": "test",
            "share_of_bits": "1.0", "correlation": "1.0", "group": "0",
        }
    ]  # fmt: skip
    assert read_table(out / "exclude.csv") == [{"data": "one", "id": "r2", "split": "train"}]
    assert [row["records"] for row in read_table(out / "findings.csv")] == ["r2;r17"]
    content = json.loads((out / "check.json").read_text())
    assert content["errors"] == content["records_to_exclude"] == 1
    assert content["findings"] == [{"severity": "error", "kind": "record in two splits", "data": ["one"], "count": 1}]
    assert [(of["name"], of["records"], of["splits"]["test"]) for of in content["data"]] == [
        ("one", 20, 6),
        ("two", 8, 0),
    ]


def test_report_text_shows_two_examples_of_each_kind(tmp_path):
    signals = generate_ecg().copy()
    signals[:5, 7] = 0
    text = report_text(run_check(write(tmp_path / "data", signals)))
    assert "warning       5  flat lead [data]" in text
    assert "record r1: V2 does not move" in text
    assert "record r2" not in text
    assert "  and 3 more; --out DIR lists all\n" in text


def test_report_text_names_the_table_that_was_written(tmp_path):
    signals = generate_ecg().copy()
    signals[:5, 7] = 0
    text = report_text(run_check(write(tmp_path / "data", signals)), tmp_path / "out")
    assert f"  and 3 more; {tmp_path / 'out' / 'findings.csv'} lists all\n" in text
