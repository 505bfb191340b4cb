"""Labels of a table: other separators than the semicolon, and columns of 0 and 1."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbt.errors import LfbtError
from lfbt.sources.table_labels import read_labels

TABLE = Path("t.csv")


def of_column(*cells):
    return read_labels([{"record": str(row), "label": cell} for row, cell in enumerate(cells)], [], TABLE)


@pytest.mark.parametrize("separator", [",", ", ", "/", "|", " + ", "+", "\\", " & "])
def test_read_labels_refuses_labels_that_another_sign_separates(separator):
    message = r"^table t\.csv: label '.*' is likely several, .* write 'AF;LBBB', or, if it is one, name it without"
    for others in (("AF",), ("LBBB", "SR"), (f"AF{separator}RBBB",), (f"SR{separator}LBBB",)):
        with pytest.raises(LfbtError, match=message):
            of_column(f"AF{separator}LBBB", *others)


@pytest.mark.parametrize("label", ["AF LBBB", "AF-LBBB", "AF_LBBB", "AF: LBBB"])
def test_read_labels_refuses_what_only_other_labels_make_up(label):
    with pytest.raises(LfbtError, match="write 'AF;LBBB'"):
        of_column(label, "AF", "LBBB")
    assert of_column(label, "AF", "SR")[0][0] == (label,)


@pytest.mark.parametrize("label", ["['AF', 'LBBB']", "[AF, LBBB]", '{"AF", "LBBB"}', "('AF', 'LBBB')"])
def test_read_labels_refuses_lists(label):
    with pytest.raises(LfbtError, match=re.escape(f"label {label!r} is written as a list; write 'AF;LBBB'")):
        of_column(label, "SR")


def test_read_labels_keeps_names_with_such_signs_and_says_so():
    labels, rule, note, unused = of_column("ST/T change", "AF, fast;SR", "SR", "1.5", "1", "5")
    assert labels == [("ST/T change",), ("AF, fast", "SR"), ("SR",), ("1.5",), ("1",), ("5",)]
    assert rule == "the column label of t.csv, several labels separated by a semicolon"
    assert note == "one label each: 'ST/T change', 'AF, fast'; only ; separates labels"
    assert unused == []


@given(rows=st.lists(st.lists(st.sampled_from(["AF", "LBBB", "sinus rhythm", "1dAVb"]), max_size=4), min_size=1))
def test_read_labels_takes_any_labels_between_semicolons(rows):
    assert of_column(*(" ; ".join(row) for row in rows))[0] == [tuple(sorted(set(row))) for row in rows]


def of_flags(names, *rows):
    return read_labels([dict(zip(names, row, strict=True)) for row in rows], names, TABLE)


@pytest.mark.parametrize(("no", "yes"), [("0", "1"), ("0.0", "1.0"), ("False", "True"), ("false", "true")])
def test_read_labels_takes_columns_of_0_and_1_for_classes(no, yes):
    labels, rule, note, unused = of_flags(["NORM", "AF", "Sex"], [yes, no, "1"], [no, no, "0"], [yes, yes, "0"])
    assert labels == [("NORM",), (), ("AF", "NORM")]
    assert rule == "the columns NORM, AF of t.csv, a class each, where they are 1"
    assert (note, unused) == ("", ["Sex"])


@pytest.mark.parametrize("row", [["1", "0", "61"], ["0", "1", ""], ["0", "0", "2"]])
def test_read_labels_refuses_columns_of_0_and_1_among_others(row):
    message = r"^table t\.csv: no column label, but NORM, AF hold 0 and 1, .* beside age, which does not; .* as a;b"
    with pytest.raises(LfbtError, match=message):
        of_flags(["NORM", "AF", "age"], row)


def test_read_labels_refuses_columns_that_are_0_for_all():
    with pytest.raises(LfbtError, match="NORM, AF are 0 for all records"):
        of_flags(["NORM", "AF"], ["0", "0"])
    with pytest.raises(LfbtError, match="the column 'A;F' cannot be a class"):
        of_flags(["NORM", "A;F"], ["1", "0"])


def test_read_labels_takes_one_column_of_0_and_1_for_anything():
    rule = "no labels were read, as t.csv has no column label"
    assert of_flags(["paced"], ["1"], ["0"]) == ([(), ()], rule, "", ["paced"])
    assert read_labels([], [], TABLE)[0] == []
