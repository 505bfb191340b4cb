"""How a decoded signal becomes a Recording, or an error that names the file."""

import re
from pathlib import Path

import numpy as np
import pytest

from lfbt.errors import UnreadableError
from lfbt.io.guarding import unreadable
from lfbt.io.recordings import make_recording

FILE = Path("a/b.x")


def test_make_recording_gives_float32_rows_and_standard_lead_names():
    recording = make_recording(FILE, np.ones((5, 2)).T, ["lead ii", "v1"], 100.0)
    assert recording.leads == ("II", "V1")
    assert recording.signal.dtype == np.float32
    assert recording.signal.flags.c_contiguous


def test_make_recording_leaves_values_beyond_float32_to_the_quality_checks():
    assert np.isinf(make_recording(FILE, np.array([[1e300, 0.0]]), ["II"], 100.0).signal[0, 0])


def test_make_recording_turns_a_negated_lead_to_the_lead_that_it_negates():
    signal = np.array([[1.0, 2.0], [3.0, -4.0]])
    recording = make_recording(FILE, signal, ["I", "Lead -aVR"], 100.0, ["before"])
    assert recording.leads == ("I", "aVR")
    np.testing.assert_array_equal(recording.signal, [[1, 2], [-3, 4]])
    assert recording.notes == ("before", "negated lead -aVR read as aVR with its sign changed")
    np.testing.assert_array_equal(signal, [[1, 2], [3, -4]])


def test_make_recording_keeps_a_negated_lead_beside_the_lead_and_other_names_with_a_hyphen():
    for leads in (("aVR", "-aVR"), ("V1-", "-X")):
        recording = make_recording(FILE, np.ones((2, 5)), leads, 100.0)
        assert (recording.leads, recording.notes, recording.signal.min()) == (leads, (), 1)


@pytest.mark.parametrize(
    ("shape", "leads", "rate", "message"),
    [
        ((2, 5), ["II", "ii"], 100.0, "two of its leads are named II, among II,II"),
        ((2, 5), ["II"], 100.0, r"its signal has shape \[2, 5\], not \[1 leads, samples\]"),
        ((1, 5), ["II"], 0.0, "sampling rate 0.0 Hz is not positive"),
    ],
)
def test_make_recording_names_the_file(shape, leads, rate, message):
    with pytest.raises(UnreadableError, match=rf"^file a/b\.x: {message}"):
        make_recording(FILE, np.ones(shape), leads, rate)


def test_unreadable_is_one_line_with_what_was_expected():
    assert str(unreadable(FILE, ValueError("a\nb"), "expected c")) == "file a/b.x: cannot be read (a b); expected c"
    assert str(unreadable(FILE, EOFError())) == "file a/b.x: cannot be read (EOFError)"
    assert "(a/c.dat is absent)" in str(unreadable(FILE, FileNotFoundError(2, "no", "a/c.dat")))


@pytest.mark.parametrize("rate", [0.5, 4.99, 50_001.0, 1e308])
def test_make_recording_refuses_rates_that_no_ecg_has(rate):
    message = f"^file a: sampling_rate: {re.escape(f'{rate:g}')} Hz is none of an ECG; allowed: 5 to 50000 Hz"
    with pytest.raises(UnreadableError, match=message):
        make_recording(Path("a"), np.ones((1, 9)), ("II",), rate)
    for allowed in (5.0, 50_000.0):
        assert make_recording(Path("a"), np.ones((1, 9)), ("II",), allowed).sampling_rate == allowed
