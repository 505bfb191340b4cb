"""What columns of CSV files hold."""

import pytest

from lfbt.io.csv_columns import (
    Column,
    is_number,
    is_value,
    name_leads,
    recognise,
    tells_recordings_apart,
    time_unit,
    with_units,
    without_arrivals,
)


def test_time_unit_is_in_seconds():
    units = {"s": 1.0, "ms": 1e-3, "Seconds": 1.0, "µs": 1e-6, "": None}
    assert {unit: time_unit(Column("t", "time", unit)) for unit in units} == units


def test_is_number_knows_the_decimal_sign():
    assert [is_number(cell) for cell in ("1.5", "-2", "1e3", "nan", "1,5", "x", "", "1_0")] == [True] * 4 + [False] * 4
    assert is_number("1,5", ",")


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        ("HR", "other"), ("SpO2 [%]", "other"), ("Resp", "other"), ("HR_bpm", "other"), ("X [mmHg]", "other"),
        ("Datum", "time"), ("Time (min)", "time"), ("t/h", "time"), ("min", "lead"), ("V1_min", "lead"),
        ("MLII", "lead"), ("X", "lead"), ("C3", "lead"), ("Row number", "row number"),
        ("Phone timestamp", "time"), ("sensor timestamp [ns]", "time"), ("Shimmer_Timestamp", "time"),
    ],
)  # fmt: skip
def test_recognise_tells_leads_times_and_what_is_neither(cell, kind):
    assert recognise(cell).kind == kind


def test_with_units_takes_a_row_of_units_only():
    columns = [recognise("Time"), recognise("I"), recognise("HR")]
    assert [column.unit for column in with_units(columns, ["min", "uV", "1/min"]) or ()] == ["min", "uV", "1/min"]
    assert with_units(columns, ["0", "1", "72"]) is None
    assert with_units(columns, ["min", "uV"]) is None


def test_name_leads_takes_comments_that_name_a_standard_lead():
    assert [column.name for column in name_leads(["time", "II", "X"]) or ()] == ["time", "II", "X"]
    assert name_leads(["made by", "me"]) is None
    assert name_leads(["II", "3"]) is None


@pytest.mark.parametrize("cell", ["1", "-0,5", "1e3", "nan", "NA", "10:00:00.5", "03.04.2021", "'0:01'", "10:00 PM"])
def test_is_value_knows_numbers_dates_and_times(cell):
    assert is_value(cell)
    assert not is_value(f"lead {cell}")


@pytest.mark.parametrize(("name", "is_one"), [("Record", True), ("patient_id", True), ("ECG", False), ("II", False)])
def test_tells_recordings_apart_knows_their_names(name, is_one):
    assert tells_recordings_apart(name) is is_one


def test_without_arrivals_keeps_the_only_times():
    columns = [recognise("Phone timestamp"), recognise("ECG")]
    assert without_arrivals(columns) == columns
    kinds = [column.kind for column in without_arrivals([recognise("time [s]"), *columns])]
    assert kinds == ["time", "other", "lead"]
