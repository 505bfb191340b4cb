"""Recording, lead names and units: spelling, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lfbt.errors import LfbtError, UnreadableError
from lfbt.recording import (
    PAPER_LEADS,
    STANDARD_LEADS,
    Recording,
    as_real_array,
    check_leads,
    check_sampling_rate,
    is_number,
    is_voltage,
    lead_name,
    lead_names,
    missing_leads,
    names_of_leads,
    parse_leads,
    to_mv,
    unit_in_mv,
    zero_count,
)


def test_leads_are_those_of_the_paper():
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
        ("EKG V1", "V1"),
        ("ECG I", "I"),
        ("ECG Lead aVF", "aVF"),
        ("ECG-V1", "V1"),
        ("lead:II", "II"),
        ("MDC_ECG_LEAD_V3", "V3"),
        ("DI", "I"),
        ("D2", "II"),
        ("diii", "III"),
        ("-aVR", "-aVR"),
        ("-AVR", "-aVR"),
        ("\u2212avr", "-aVR"),
        ("Lead -aVR", "-aVR"),
        ("AVRneg", "-aVR"),
        ("MDC_ECG_LEAD_AVRneg", "-aVR"),
        ("-V1", "-V1"),
        ("V1-", "V1-"),
        ("ECG - V1", "ECG - V1"),
        ("--aVR", "--aVR"),
        ("MLII", "MLII"),
        ("ML II", "ML II"),
        ("C3", "C3"),
        ("D", "D"),
        ("ECG1", "ECG1"),
        ("V4R", "V4R"),
        ("I-cal", "I-cal"),
        ("-", "-"),
        ("neg", "neg"),
    ],
)
def test_lead_name_gives_the_standard_spelling_and_keeps_unknown_names(given, name):
    assert lead_name(given) == name


@given(st.sampled_from(STANDARD_LEADS), st.sampled_from([str.lower, str.upper, str]), st.sampled_from(["", "Lead "]))
def test_lead_name_takes_any_case(lead, case, prefix):
    assert lead_name(prefix + case(lead)) == lead


@given(st.text(max_size=20))
def test_lead_name_keeps_a_standard_spelling(text):
    assert lead_name(lead_name(text)) == lead_name(text)


@given(st.permutations(STANDARD_LEADS), st.integers(1, 12))
def test_parse_leads_inverts_joining(leads, n):
    assert parse_leads(",".join(leads[:n])) == tuple(leads[:n])


def test_parse_leads_allows_spaces_and_a_trailing_comma():
    assert parse_leads(" ii, v1 ,") == ("II", "V1")


@pytest.mark.parametrize("text", ["", ",", " , ", "II,II", "ii,II", "II,Lead II", "a/b", "a.b", "a;b", "a\\b"])
def test_parse_leads_refuses_names_that_cannot_be_leads(text):
    with pytest.raises(LfbtError, match=r"^leads: "):
        parse_leads(text)


def test_check_leads_refuses_an_empty_name():
    with pytest.raises(LfbtError, match="'' is not a lead name"):
        check_leads(("II", ""))


def test_missing_leads_keeps_the_order():
    assert missing_leads(("V6", "II", "V1"), ("V1", "I")) == ["V6", "II"]
    assert missing_leads((), ("V1",)) == []


@pytest.mark.parametrize(
    ("unit", "mv"),
    [("mV", 1), ("MV", 1), (" uV ", 1e-3), ("\u00b5V", 1e-3), ("\u03bcv", 1e-3), ("V", 1000), ("nV", 1e-6)],
)
def test_unit_in_mv_knows_voltages(unit, mv):
    assert unit_in_mv(unit) == mv


@pytest.mark.parametrize(
    ("unit", "in_mv"), [("200/mV", 0.005), ("1000.5/mv", 1 / 1000.5), ("2/uV", 5e-4), ("4/V", 250)]
)
def test_unit_in_mv_reads_counts_by_their_gain(unit, in_mv):
    assert unit_in_mv(unit) == pytest.approx(in_mv, rel=1e-15)
    assert not is_voltage(unit)


@pytest.mark.parametrize("unit", ["0/mV", "-2/mV", "/mV", "200", "200/", "mV/200", "200/s", "1e3/mV", "inf/mV"])
def test_unit_in_mv_refuses_other_gains(unit):
    with pytest.raises(LfbtError, match=r"is not a voltage that lfbt knows; .* such as 200/mV"):
        unit_in_mv(unit)


@pytest.mark.parametrize("unit", ["", "mmHg", "m V", "adu"])
def test_unit_in_mv_refuses_other_units(unit):
    with pytest.raises(LfbtError, match=f"unit: {unit!r} is not a voltage .* allowed: mV"):
        unit_in_mv(unit)


def _signal(leads, samples):
    return np.zeros((leads, samples), dtype=np.float32)


@pytest.mark.parametrize("shape", [(3, 10), (1, 10), (2, 0), (2,), (1, 2, 10)])
def test_recording_refuses_a_signal_that_is_not_leads_by_samples(shape):
    with pytest.raises(UnreadableError, match=r"recording r7: its signal has shape .* not \[2 leads, samples\].*I,II"):
        Recording(np.zeros(shape, dtype=np.float32), 500.0, ("I", "II"), id="r7")


@pytest.mark.parametrize("rate", [0, -500.0, float("nan"), float("inf")])
def test_recording_refuses_a_sampling_rate_that_is_not_positive(rate):
    with pytest.raises(UnreadableError, match=f"sampling rate {rate} Hz"):
        Recording(_signal(1, 10), rate, ("I",))


@pytest.mark.parametrize("leads", [["ii", "V1"], ("Lead II", "v1"), iter(["II", "V1"])])
def test_parse_leads_takes_sequences(leads):
    assert parse_leads(leads) == ("II", "V1")


@pytest.mark.parametrize("leads", [[], ["II", "ii"], ["II", ""], ["a.b"]])
def test_parse_leads_refuses_sequences_that_cannot_be_leads(leads):
    with pytest.raises(LfbtError, match=r"^leads: "):
        parse_leads(leads)


def test_is_voltage_agrees_with_unit_in_mv():
    assert all(map(is_voltage, ("mV", "uV", " V ", "nv")))
    assert not any(map(is_voltage, ("mmHg", "", "adu")))


# --- what callers in Python give ---


def test_lead_names_takes_texts_as_they_are_spelled():
    assert lead_names(" ii, lead1 ,") == ("ii", "lead1")
    assert lead_names(name for name in ("ii", "V1")) == ("ii", "V1")


@pytest.mark.parametrize("leads", [None, 3, b"II", [3] * 8, ["II", None], [b"II"]], ids=repr)
@pytest.mark.parametrize("read", [lead_names, parse_leads])
def test_leads_that_are_no_texts_are_refused(read, leads):
    with pytest.raises(LfbtError, match=r"^leads: .+ is not a text$"):
        read(leads)


@pytest.mark.parametrize("unit", [None, 3, b"mV", ["mV"]])
def test_unit_in_mv_refuses_what_is_no_text(unit):
    with pytest.raises(LfbtError, match=r"^unit: .* is not a voltage that lfbt knows; allowed: mV"):
        unit_in_mv(unit)


@pytest.mark.parametrize(
    ("values", "number"),
    [(0, True), (1.5, True), (np.float32(2), True), (np.int64(2), True), (True, False), ("1", False), (None, False)],
)
def test_is_number_is_true_of_real_numbers_only(values, number):
    assert is_number(values) == number


@pytest.mark.parametrize(
    "values",
    [
        [[1, 2], [3, 4]],
        np.array([[1, 2], [3, 4]], dtype=np.int16),
        torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True),
        torch.tensor([[1, 2], [3, 4]], dtype=torch.bfloat16),
        torch.tensor([[1, 2], [3, 4]], dtype=torch.float64),
    ],
    ids=lambda values: f"{type(values).__name__} {getattr(values, 'dtype', '')}",
)
def test_as_real_array_takes_lists_arrays_and_tensors(values):
    assert as_real_array("signals", values).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ma.masked_array([1.0, 2.0], [True, False]), "a masked array, whose mask would be ignored"),
        ([[np.ma.masked_array([1.0], [True])]], "a masked array, whose mask would be ignored"),
        ([[[1.0, np.ma.masked]]], "a masked array, whose mask would be ignored"),
        ([np.ma.masked_array([1.0], [True])], "a masked array, whose mask would be ignored"),
        ([[1, 2], [3]], "not an array"),
        (torch.zeros(3).to_sparse(), "not an array"),
        (None, "object is not a type of real numbers"),
        (["a.npy", "b.npy"], "<U5 is not a type of real numbers"),
        ([True], "bool is not a type of real numbers"),
        (np.array([1j]), "complex128 is not a type of real numbers"),
    ],
)
def test_as_real_array_refuses_other_things(values, message):
    with pytest.raises(LfbtError, match=f"^signals: {message}"):
        as_real_array("signals", values)


def test_recording_takes_lists_and_a_text_of_leads():
    recording = Recording([[0, 1, 2], [3, 4, 5]], 500, "ii,V1")  # type: ignore[arg-type]
    assert (recording.leads, recording.signal.dtype.name, recording.signal.shape) == (("II", "V1"), "float32", (2, 3))
    with pytest.raises(UnreadableError, match=r"shape \[2, 3\], not \[1 leads, samples\]; its leads are II"):
        Recording(np.zeros((2, 3), np.float32), 500, "II")  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [None, "500", True, float("nan")])
def test_recording_refuses_a_rate_that_is_no_positive_number(rate):
    with pytest.raises(UnreadableError, match=f"sampling rate {rate} Hz is not positive"):
        Recording(np.zeros((1, 3), np.float32), rate, ("II",))


@pytest.mark.parametrize("signal", [None, "x", [["a"]], np.ma.zeros((1, 3))], ids=repr)
def test_recording_refuses_a_signal_that_is_no_array_of_numbers(signal):
    with pytest.raises(LfbtError, match=r"^recording r: signal: "):
        Recording(signal, 500, ("II",), id="r")


def test_recordings_are_equal_where_all_of_them_is():
    def make(value=1.0, **changes):
        given: dict[str, Any] = {"sampling_rate": 500.0, "leads": ("II",), "id": "a"} | changes
        return Recording(np.array([[0, value, np.nan]], np.float32), **given)

    assert make() == make()
    assert make() != make(2.0)
    assert make() != make(id="b")
    assert make() != make(sampling_rate=250.0)
    assert make() != "a"
    with pytest.raises(TypeError, match="unhashable"):
        hash(make())


def test_recording_prints_in_one_line():
    recording = Recording(np.zeros((2, 5000), np.float32), 500.0, ("II", "V1"), id="a1")
    assert repr(recording) == "Recording(id 'a1', leads II,V1, 500 Hz, 5000 samples)"


@pytest.mark.parametrize(
    ("unit", "zero", "in_mv"),
    [("200(2048)/mV", 2048, 0.005), ("1000(0)/mV", 0, 0.001), (" 2(-16)/uV", -16, 5e-4), ("mV", None, 1)],
)
def test_to_mv_takes_the_count_of_zero_volts(unit, zero, in_mv):
    assert zero_count(unit) == zero
    values = np.array([-32768, 0, 2047], dtype=np.int16)
    np.testing.assert_allclose(to_mv(values, unit), (values.astype(float) - (zero or 0)) * in_mv, rtol=1e-15)


@pytest.mark.parametrize("unit", ["200(2048)", "200()/mV", "(5)/mV", "200(1.5)/mV", "0(5)/mV", "mV(5)"])
def test_unit_in_mv_refuses_other_forms_of_an_offset(unit):
    with pytest.raises(LfbtError, match=r"such as 200\(2048\)/mV"):
        unit_in_mv(unit)


@pytest.mark.parametrize(
    ("given", "name"),
    [("V 1", "V1"), ("aV_R", "aVR"), ("Ableitung I", "I"), ("Dérivation V2", "V2"), ("Lead V 6", "V6"), ("I I", "I I")],
)
def test_lead_name_reads_spaces_and_words_of_other_languages(given, name):
    assert lead_name(given) == name


def test_names_of_leads_takes_c1_to_c6_for_v1_to_v6_only_beside_limb_leads():
    chest = [f"C{n}" for n in range(1, 7)]
    assert names_of_leads(["I", "II", *chest])[2:] == STANDARD_LEADS[6:]
    for names in (chest, ["I", "II", *chest[:5]], ["I", "II", "Cz", *chest], ["I", "II", "V1", *chest]):
        assert names_of_leads(names) == tuple(names)


def test_check_sampling_rate_names_what_and_how_much():
    for rate in (5, 64.0, 360.0, 50_000):
        check_sampling_rate(rate)
    for rate in (0.0, -500.0, float("nan")):
        with pytest.raises(LfbtError, match=f"^x: {rate:g} Hz is not above 0; give the rate of the signals"):
            check_sampling_rate(rate, "x")
    with pytest.raises(LfbtError, match=r"^sampling_rate: inf Hz is none of an ECG; allowed: 5 to 50000 Hz"):
        check_sampling_rate(float("inf"))
