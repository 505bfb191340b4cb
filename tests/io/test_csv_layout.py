"""How a CSV file is written, found from its first lines."""

import pytest
from tests.published_files import write

from lfbt.errors import UnreadableError
from lfbt.io.csv_columns import Column
from lfbt.io.csv_layout import read_layout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5,2\n3,4\n", (",", ".", 0)),
        ("5;2\n3;4\n", (";", ".", 0)),
        ("1,5;2\n3;4,5\n", (";", ",", 0)),
        ("5\t2\n3\t4\n", ("\t", ".", 0)),
        ("5 2\n 3  4\n", (" ", ".", 0)),
        ("5\n2\n", (",", ".", 0)),
        ("# a\n\n5,2\n3,4\n", (",", ".", 2)),
        ("0,1,2\n3,4,5\n", (",", ".", 1)),
        ("", (",", ".", 0)),
    ],
)
def test_read_layout_finds_separator_decimal_sign_and_first_sample(tmp_path, text, expected):
    layout = read_layout(write(tmp_path / "a.csv", text))
    assert (layout.separator, layout.decimal, layout.n_skipped) == expected
    assert layout.columns is None


@pytest.mark.parametrize(
    ("cell", "column"),
    [
        ("I", Column("I", "lead", "")),
        ("I (uV)", Column("I", "lead", "uV")),
        ("V1[mV]", Column("V1", "lead", "mV")),
        ("aVR (right)", Column("aVR (right)", "lead", "")),
        ("Time", Column("Time", "time", "")),
        ("t", Column("t", "time", "")),
        ("time_ms", Column("time_ms", "time", "ms")),
        ("Elapsed time (s)", Column("Elapsed time", "time", "s")),
        ("milliseconds", Column("milliseconds", "time", "milliseconds")),
        ("Timestamp", Column("Timestamp", "time", "")),
        ("index", Column("index", "row number", "")),
        ("time course", Column("time course", "lead", "")),
    ],
)
def test_read_layout_recognises_a_column_by_its_name(tmp_path, cell, column):
    layout = read_layout(write(tmp_path / "a.csv", f"II,{cell}\n1,2\n"))
    assert layout.columns == [Column("II", "lead", ""), column]
    assert layout.n_skipped == 1


def test_read_layout_tells_row_numbers_from_a_column_without_a_name(tmp_path):
    layout = read_layout(write(tmp_path / "a.csv", ",I,\n1,2,3\n"))
    assert [column.kind for column in layout.columns or ()] == ["row number", "lead", "unnamed"]


def test_read_layout_reads_a_row_of_units(tmp_path):
    layout = read_layout(write(tmp_path / "a.csv", "time,I,II\ns,uV,(mV)\n1,2,3\n"))
    assert [column.unit for column in layout.columns or ()] == ["s", "uV", "mV"]
    assert layout.n_skipped == 2


@pytest.mark.parametrize("header", ["Signal,µV", "mV"])
def test_read_layout_refuses_a_unit_for_the_name_of_a_lead(tmp_path, header):
    row = ",".join(["0.5"] * len(header.split(",")))
    path = write(tmp_path / "a.csv", "\n".join([header, *[row] * 9]))
    with pytest.raises(UnreadableError, match=r"its header has .*V for the name of a lead, which is a unit"):
        read_layout(path)
