"""Recording and the words shared by all: lead names, units, ranges, and what a Recording refuses."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbt.errors import LfbtError, UnreadableError
from lfbt.recording import (
    PAPER_LEADS,
    STANDARD_LEADS,
    Recording,
    check_leads,
    lead_name,
    missing_leads,
    parse_leads,
    unit_in_mv,
)
from lfbt.sources.listing import Entry
from lfbt.utils.validation import check_range


def test_the_leads_are_those_of_the_method():
    assert STANDARD_LEADS == ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
    assert PAPER_LEADS == ("II", "III", "V1", "V2", "V3", "V4", "V5", "V6")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("AVR", "aVR"),
        ("avr", "aVR"),
        (" v1 ", "V1"),
        ("Lead II", "II"),
        ("lead_iii", "III"),
        ("ECG V6", "V6"),
        ("V7", "V7"),
        ("MCL1", "MCL1"),
        ("Lead", "Lead"),
    ],
)
def test_lead_names_get_their_standard_spelling_and_unknown_ones_stay(given, name):
    assert lead_name(given) == name


@given(st.sampled_from(STANDARD_LEADS), st.sampled_from([str.lower, str.upper, str]), st.sampled_from(["", "Lead "]))
def test_any_case_of_a_standard_lead_is_that_lead(lead, case, prefix):
    assert lead_name(prefix + case(lead)) == lead


@given(st.text(max_size=20))
def test_a_standard_spelling_stays_as_it_is(text):
    assert lead_name(lead_name(text)) == lead_name(text)


@given(st.permutations(STANDARD_LEADS), st.integers(1, 12))
def test_parsing_inverts_joining(leads, n):
    assert parse_leads(",".join(leads[:n])) == tuple(leads[:n])


def test_parsing_allows_spaces_and_a_trailing_comma():
    assert parse_leads(" ii, v1 ,") == ("II", "V1")


@pytest.mark.parametrize("text", ["", ",", " , ", "II,II", "ii,II", "II,Lead II", "a/b", "a.b", "a;b", "a\\b"])
def test_names_that_cannot_be_leads_are_refused(text):
    with pytest.raises(LfbtError, match=r"^leads: "):
        parse_leads(text)


def test_an_empty_name_is_refused():
    with pytest.raises(LfbtError, match="'' is not a lead name"):
        check_leads(("II", ""))


def test_missing_leads_are_told_in_order():
    assert missing_leads(("V6", "II", "V1"), ("V1", "I")) == ["V6", "II"]
    assert missing_leads((), ("V1",)) == []


@pytest.mark.parametrize(
    ("unit", "mv"),
    [("mV", 1), ("MV", 1), (" uV ", 1e-3), ("\u00b5V", 1e-3), ("\u03bcv", 1e-3), ("V", 1000), ("nV", 1e-6)],
)
def test_units_in_mv(unit, mv):
    assert unit_in_mv(unit) == mv


@pytest.mark.parametrize("unit", ["", "mmHg", "m V", "adu"])
def test_what_is_no_voltage_is_refused(unit):
    with pytest.raises(LfbtError, match=f"unit: {unit!r} is not a voltage .* allowed: mV"):
        unit_in_mv(unit)


@pytest.mark.parametrize(
    ("allowed", "inside", "outside"),
    [
        ("[0, 1)", [0, 0.5, 0.999], [-1e-9, 1, 2, float("nan"), float("inf")]),
        ("(0, 1]", [1e-9, 1], [0, -1, 1.0001, float("nan")]),
        ("(0, inf)", [1e-300, 1e300], [0, float("inf"), float("nan"), -1]),
        ("[2, inf)", [2, 3, 10**9], [1, -2, float("nan")]),
    ],
)
def test_ranges_hold_their_ends_as_written(allowed, inside, outside):
    for value in inside:
        check_range("name", value, allowed)
    for value in outside:
        with pytest.raises(LfbtError) as caught:
            check_range("name", value, allowed, "so it is")
        assert str(caught.value) == f"name: {value} is outside {allowed}; so it is"


def _signal(leads, samples):
    return np.zeros((leads, samples), dtype=np.float32)


@pytest.mark.parametrize("shape", [(3, 10), (1, 10), (2, 0), (2,), (1, 2, 10)])
def test_a_signal_that_is_not_leads_by_samples_is_refused(shape):
    with pytest.raises(UnreadableError, match=r"recording r7: its signal has shape .* not \[2 leads, samples\].*I,II"):
        Recording(np.zeros(shape, dtype=np.float32), 500.0, ("I", "II"), id="r7")


@pytest.mark.parametrize("rate", [0, -500.0, float("nan"), float("inf")])
def test_a_sampling_rate_that_is_none_is_refused(rate):
    with pytest.raises(UnreadableError, match=f"sampling rate {rate} Hz"):
        Recording(_signal(1, 10), rate, ("I",))


def test_an_entry_adds_what_the_tables_say_and_keeps_what_was_read():
    def reader(path):
        assert path == Path("x.hea")
        return Recording(_signal(1, 10) + 3, 250.0, ("V1",), id="of the file", patient="of the file", labels=("F",))

    recording = Entry("17", "p3", Path("x.hea"), reader, ("MI", "CD"), "val").read()
    assert (recording.id, recording.patient, recording.labels) == ("17", "p3", ("MI", "CD"))
    assert (recording.sampling_rate, recording.leads) == (250.0, ("V1",))
    np.testing.assert_array_equal(recording.signal, _signal(1, 10) + 3)
