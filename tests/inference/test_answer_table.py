"""Tables of answers by the suffix of their file: the same rows, complete or not at all."""

import csv
import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbt.errors import LfbtError
from lfbt.inference.answer_table import (
    check_table,
    comparing_table,
    csv_writer,
    format_csv,
    format_rows,
    stream_writer,
    writing_table,
)

COLUMNS = ["file", "p_A", "notes", "error"]
ROWS: list[dict[str, Any]] = [
    {"file": "a, b.hea", "p_A": 0.1234567890123, "notes": "", "error": ""},
    {"file": "ä.npy", "notes": "", "error": "flat"},
]


def write_all(out):
    with writing_table(out, COLUMNS) as write:
        for row in ROWS:
            write(row)


def test_writing_table_writes_csv_and_json_lines(tmp_path):
    write_all(tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv")
    assert table.columns.tolist() == COLUMNS
    assert table["p_A"].tolist()[0] == ROWS[0]["p_A"]
    assert table["error"].tolist()[1] == "flat"
    write_all(tmp_path / "a.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines == [{"file": "a, b.hea", "p_A": ROWS[0]["p_A"]}, {"file": "ä.npy", "error": "flat"}]


def test_writing_table_writes_parquet(tmp_path):
    pytest.importorskip("pyarrow", reason="Parquet is an extra")
    write_all(tmp_path / "a.parquet")
    assert pd.read_parquet(tmp_path / "a.parquet")["p_A"].tolist()[0] == ROWS[0]["p_A"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_comparing_table_finds_the_first_row_that_differs(tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet is an extra")
    out = tmp_path / f"a.{suffix}"
    write_all(out)
    before = out.read_bytes()

    def compare(rows, columns=COLUMNS):
        with comparing_table(out, columns) as write:
            for row in rows:
                write(row)
                written.append(row)

    written: list[dict[str, Any]] = []
    compare(ROWS)
    second = {
        "csv": "its row 2 is not what",
        "jsonl": "its row 2 is not what",
        "parquet": "its answers are not those that",
    }
    written.clear()
    with pytest.raises(
        LfbtError, match=rf"^out: .* exists, and {second[suffix]} this command gives; give another name"
    ):
        compare([ROWS[0], {**ROWS[1], "error": "flas"}, ROWS[1]])
    assert suffix == "parquet" or len(written) == 1
    more = "its answers are not those that" if suffix == "parquet" else "it has more answers than"
    with pytest.raises(LfbtError, match=f"exists, and {more} this command gives"):
        compare(ROWS[:1])
    with pytest.raises(LfbtError, match="this command gives"):
        compare([*ROWS, ROWS[0]])
    if suffix != "jsonl":
        what = "its answers" if suffix == "parquet" else "its columns"
        with pytest.raises(LfbtError, match=f"{what} are not those that this command gives"):
            compare(ROWS, COLUMNS[::-1])
    assert out.read_bytes() == before


def test_comparing_table_compares_the_rows_of_parquet_and_not_the_bytes(tmp_path):
    pytest.importorskip("pyarrow", reason="Parquet is an extra")
    out = tmp_path / "a.parquet"
    write_all(out)
    pd.read_parquet(out).to_parquet(out, index=False, compression=None)
    with comparing_table(out, COLUMNS) as write:
        for row in ROWS:
            write(row)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_writing_table_leaves_nothing_half_written(tmp_path, suffix):
    def fail():
        with writing_table(tmp_path / f"a.{suffix}", COLUMNS) as write:
            write(ROWS[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_format_csv_is_what_a_file_has(tmp_path):
    write_all(tmp_path / "a.csv")
    assert format_csv(ROWS, COLUMNS) + "\n" == (tmp_path / "a.csv").read_text(encoding="utf-8")


def test_format_rows_aligns_them():
    assert format_rows(ROWS, COLUMNS).splitlines() == [
        "file      p_A     error",
        "a, b.hea  0.1235",
        "ä.npy             flat",
    ]


def test_format_rows_leaves_out_what_is_empty():
    assert format_rows([ROWS[0]], COLUMNS).splitlines()[0].split() == ["file", "p_A"]


def test_check_table_refuses_what_would_fail_at_the_end(tmp_path):
    (tmp_path / "there.csv").touch()
    for name, message in {
        "a.txt": "ends in none of .csv, .jsonl, .parquet",
        "there.csv": "is no table of answers of lfbt; give another name",
        "absent/a.csv": "the folder of .* does not exist",
    }.items():
        with pytest.raises(LfbtError, match=f"^out: .*{message}"):
            check_table(tmp_path / name)
    check_table(tmp_path / "new.jsonl")


def test_stream_writer_writes_each_row_once_there_is_an_answer():
    """Rows without an answer wait: where there is none at all, nothing is printed."""
    stream = io.StringIO()
    write = stream_writer(stream, COLUMNS)
    write(ROWS[1])
    assert stream.getvalue() == ""
    write(ROWS[0])
    assert stream.getvalue() == format_csv([ROWS[1], ROWS[0]], COLUMNS) + "\n"
    write(ROWS[1])
    assert stream.getvalue() == format_csv([ROWS[1], ROWS[0], ROWS[1]], COLUMNS) + "\n"


def test_csv_has_names_with_line_ends_in_quotes():
    rows = [{"file": "a\rb"}, {"file": "a\nb"}, {"file": "ab"}]
    assert format_csv(rows, ["file"]) == 'file\n"a\rb"\n"a\nb"\nab'


CELLS = st.none() | st.booleans() | st.integers() | st.floats() | st.text("a,\"'\n\r\t ä", max_size=5)


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b,c", "d"]), CELLS), max_size=3))
def test_csv_writer_writes_what_csv_does(rows):
    found, expected = io.StringIO(), io.StringIO()
    write = csv_writer(found, ["a", "b,c", "d"])
    table = csv.DictWriter(expected, ["a", "b,c", "d"], lineterminator="\n")
    quoted = csv.DictWriter(expected, ["a", "b,c", "d"], lineterminator="\n", quoting=csv.QUOTE_ALL)
    table.writeheader()
    for row in rows:
        write(row)
        (quoted if any("\r" in str(cell) for cell in row.values()) else table).writerow(row)
    assert found.getvalue() == expected.getvalue()


def test_csv_writer_refuses_a_cell_without_a_column():
    with pytest.raises(ValueError, match="cells without a column: b"):
        csv_writer(io.StringIO(), ["a"])({"a": 1, "b": 2})


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3))
def test_csv_writer_writes_features_that_read_back_in_single_precision(values):
    columns = ["file", "e0", "e1", "e2", "error"]
    features = dict(zip(columns[1:4], values, strict=True))
    whole, partial = io.StringIO(), io.StringIO()
    csv_writer(whole, columns)({"file": "a", **features})
    csv_writer(partial, columns)({"file": "a", "e0": values[0], "e2": values[2]})  # of an absent lead
    _, row = csv.reader(io.StringIO(whole.getvalue()))
    assert [np.float32(cell) for cell in row[1:4]] == [np.float32(value) for value in values]
    assert all(len(cell.strip("-")) <= len("1.23456789e-38") for cell in row[1:4])
    _, lacking = csv.reader(io.StringIO(partial.getvalue()))
    assert lacking == ["a", row[1], "", row[3], ""]
