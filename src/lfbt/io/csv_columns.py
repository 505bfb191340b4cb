"""What the columns of a CSV file hold, by their names and units."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

from lfbt.recording import STANDARD_LEADS, is_voltage, lead_name

# A name with its unit: I (mV), time [ms].
_NAME_AND_UNIT = re.compile(r"(?P<name>.+?)\s*[\[({]\s*(?P<unit>\w+)\s*[\])}]")
# The same without brackets: time in s, I/uV, I_uV. Other words after these are a part of the name.
_NAME_THEN_UNIT = re.compile(r"(?P<name>.+?)(?:\s+in\s+|\s*[/_]\s*)(?P<unit>\w+)")
# Counts of a converter have no unit that is known.
COUNTS = re.compile(r"[\[({](counts?|adu|adc|lsb|raw|\d+/\w+)[\])}]", re.IGNORECASE)
_TIME_UNITS = {"s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3}
_TIME_UNITS |= {
    "millis": 1e-3,
    "micros": 1e-6,
    "millisecond": 1e-3,
    "milliseconds": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ns": 1e-9,
}
# Texts that PhysioNet puts in place of a unit, and ours for dates and clock times: all become seconds.
_TIME_UNITS |= {"hh:mm:ss.mmm": 1.0, "hh:mm:ss": 1.0, "mm:ss.mmm": 1.0, "mm:ss": 1.0, "hh:mm": 60.0, "date": 1.0}
# Units only where the name says time: alone they are other words, too.
_LONG_UNITS = {"min": 60.0, "mins": 60.0, "minute": 60.0, "minutes": 60.0, "minuten": 60.0}
_LONG_UNITS |= {"h": 3600.0, "hr": 3600.0, "hrs": 3600.0, "hour": 3600.0, "hours": 3600.0, "std": 3600.0}
_TIME_WORDS = "time|t|timestamp|datetime|zeit|zeitstempel|uhrzeit|temps|tiempo|tempo|tijd|tid|czas|время|时间|時間|시간"
_TIME_WORDS += "|times|timestamps|ts|clock|epoch|elapsed|laufzeit"
# Clocks of what receives the samples, often in packets, and other words before time.
_ARRIVAL_WORDS = "phone|host|pc|computer|server|system|lsl|local|arrival|received"
_BEFORE_TIME = f"{_ARRIVAL_WORDS}|elapsed|shimmer|sensor|device|relative|recording|acquisition|sample|unix|utc"
_ARRIVAL = re.compile(rf"({_ARRIVAL_WORDS})[ _]?({_TIME_WORDS})")
_TIME = re.compile(rf"(({_BEFORE_TIME})[ _]?)?({_TIME_WORDS})(?:[ _](?P<unit>[a-zµμ]+))?")
_DATE = re.compile("date|datum|fecha|dato|日付|日期")
# In lower case and of letters only.
_ROW_NUMBERS = re.compile("index|samples?|row|unnamed|(sample|row)?(number|no|nr|index)")
# What devices record beside the leads, in lower case and of letters and digits only.
_OTHERS = re.compile(
    "hr|hf|bpm|heartrate|heartfrequency|herzfrequenz|herzrate|pulse?|pulserate|s[pa]o2|pleth|ppg|resp(iration|rate)?"
    "|respirationrate|rr|rrintervals?|markers?|events?|annotations?|annot|triggers?|comments?|notes?|flags?|status"
    "|quality|sqi|batt(ery)?|temp(erature)?|nibp|abp|etco2|emg|eeg|eog|acc[xyz]?|gyro[xyz]?|rpeaks?|label|class|target"
)
_OTHER_UNIT = re.compile(
    r"(no[ _]units?|%|bpm|/min|1/min|min-1|°c|°f|mmhg|kpa|ohm|kohm|g|m/s2|m/s²|l/min|rpm)", re.IGNORECASE
)
# What tells recordings in one file apart, in lower case and of letters only.
_GROUPS = re.compile(
    "(record|recording|patient|subject|participant|person|case|exam|study|file|session|trial|segment|beat|window)"
    "(id|no|nr|num|number|name)?|(ecg|p|u|uu)?id"
)
_BRACKETS = re.compile(r"(?P<name>.+?)\s*[\[({]\s*(?P<unit>[^\])}]+?)\s*[\])}]")
# What a column is called that holds an ECG and does not say of which lead; in lower case and of letters only.
_NO_LEAD = re.compile("(ecg|ekg|signal|voltage|amplitude|values?|data|raw|channel|ch|leads?)+")
# A number, a date or a clock time, or a word for a missing number.
_VALUE = re.compile(
    r"""["']?[+-]?(?:[.,]?\d[\d.,:/TZeE+ -]*(?:[ap]m)?|inf|infinity|nan|na|n/a|nat)["']?""", re.IGNORECASE
)


class Column(NamedTuple):
    """A column as its header row, and perhaps a row of units, describe it.

    `kind` is ``lead``, ``time``, ``date`` (of the clock times in another column), ``row number`` (also of a first
    column without a name), ``other`` (what is no lead, such as a heart rate) or ``unnamed``; `unit` is empty if it is
    not stated.
    """

    name: str
    kind: str
    unit: str


@functools.lru_cache(maxsize=1024)
def recognise(cell: str) -> Column:
    """Recognise a column by the cell in its header."""
    match = _NAME_AND_UNIT.fullmatch(cell)
    name, unit = (match["name"], match["unit"]) if match else (cell, "")
    after = _NAME_THEN_UNIT.fullmatch(cell)
    if after and (is_voltage(after["unit"]) or after["unit"].lower() in _TIME_UNITS):
        name, unit = after["name"] if is_voltage(after["unit"]) else cell, after["unit"]
    elif after and after["unit"].lower() in _LONG_UNITS and _TIME.fullmatch(after["name"].lower()):
        name, unit = cell, after["unit"]
        return Column(name, "time", unit)
    word = name.lower()
    time = _TIME.fullmatch(word)
    if not word:
        return Column("", "unnamed", "")
    if _DATE.fullmatch(word):
        return Column(name, "time", "date")
    if _ROW_NUMBERS.fullmatch(re.sub("[^a-z]", "", word)):
        return Column(name, "row number", unit)
    # A column in a unit of time is one of times, whatever its name is.
    if unit.lower() in _TIME_UNITS or (time and unit.lower() in _LONG_UNITS):
        return Column(name, "time", unit)
    if word in _TIME_UNITS:
        return Column(name, "time", word)
    if time and (not time["unit"] or time["unit"] in _TIME_UNITS):
        return Column(name, "time", time["unit"] or unit)
    if is_voltage(unit):
        return Column(name, "lead", unit)
    bracketed = _BRACKETS.fullmatch(cell)
    if bracketed and _OTHER_UNIT.fullmatch(bracketed["unit"]):
        return Column(bracketed["name"], "other", bracketed["unit"])
    if _OTHERS.fullmatch(re.sub("[^a-z0-9]", "", word)) or _OTHERS.fullmatch(re.sub("[^a-z0-9]|bpm$", "", word)):
        return Column(name, "other", unit)
    # Other brackets are a part of the name.
    return Column(cell, "lead", "")


def tells_recordings_apart(name: str) -> bool:
    """Whether a column is called as one that numbers the recordings in a file.

    >>> tells_recordings_apart("patient_id"), tells_recordings_apart("ECG")
    (True, False)
    """
    return _GROUPS.fullmatch(re.sub("[^a-z]", "", name.lower())) is not None


def without_arrivals(columns: Sequence[Column]) -> list[Column]:
    """Leave out the times at which samples arrived (``Phone timestamp``) where others are of the samples."""
    is_arrival = [column.kind == "time" and _ARRIVAL.fullmatch(column.name.lower()) is not None for column in columns]
    if not any(column.kind == "time" and not late for column, late in zip(columns, is_arrival, strict=True)):
        return list(columns)
    return [column._replace(kind="other") if late else column for column, late in zip(columns, is_arrival, strict=True)]


def time_unit(column: Column) -> float | None:
    """Return the unit of a column of times in s; None if it is not stated."""
    unit = column.unit.lower()
    return _TIME_UNITS.get(unit, _LONG_UNITS.get(unit))


def with_units(columns: Sequence[Column], cells: Sequence[str]) -> list[Column] | None:
    """Add the units of a row below the header; None if the row is none of units."""
    cells = [cell.strip("[]() ") for cell in cells]
    if len(cells) != len(columns):
        return None
    added = [_with_unit(column, cell) for column, cell in zip(columns, cells, strict=True)]
    is_time = [cell.lower() in _TIME_UNITS or cell.lower() in _LONG_UNITS for cell in cells]
    return None if None in added or all(is_time) else [column for column in added if column]


def _with_unit(column: Column, cell: str) -> Column | None:
    """Add the unit in a cell; None if it is no unit of such a column."""
    word = cell.lower()
    if word in _TIME_UNITS or (word in _LONG_UNITS and column.kind == "time"):
        return column._replace(unit=cell, kind="time" if column.kind == "lead" else column.kind)
    if column.kind == "other":
        return None if is_value(cell) else column._replace(unit=cell)
    if column.kind != "lead":
        return None if cell else column
    if is_voltage(cell):
        return column._replace(unit=cell)
    return column._replace(unit=cell, kind="other") if _OTHER_UNIT.fullmatch(cell) else None


def name_leads(cells: Sequence[str]) -> list[Column] | None:
    """Recognise the columns of a header in a comment, which names a standard lead; None for other comments."""
    if any(is_value(cell) or not cell for cell in cells):
        return None
    columns = [recognise(cell) for cell in cells]
    leads = [lead_name(column.name) for column in columns if column.kind == "lead"]
    return columns if any(lead in STANDARD_LEADS for lead in leads) else None


def names_no_lead(name: str) -> bool:
    """Whether the name of a column that may be a lead does not say which.

    >>> [names_no_lead(name) for name in ("ecg", "Channel 1", "ECG II", "II")]
    [True, True, False, False]
    """
    return _NO_LEAD.fullmatch(re.sub("[^a-z]", "", name.lower())) is not None


def is_number(cell: str, decimal: str = ".") -> bool:
    """Whether a cell is a number, with this decimal sign."""
    try:
        float(cell if decimal == "." else cell.replace(",", "."))
    except ValueError:
        return False
    return "_" not in cell


def is_value(cell: str) -> bool:
    """Whether a cell is a number, with any decimal sign, a date, a clock time, or a word for a missing number."""
    return _VALUE.fullmatch(cell) is not None
