"""How a decoded signal becomes a Recording, or an error that names the file."""

from pathlib import Path

import numpy as np
import pytest

from lfbt.errors import UnreadableError
from lfbt.io.recordings import make_recording, unreadable

FILE = Path("a/b.x")


def test_make_recording_gives_float32_rows_and_standard_lead_names():
    recording = make_recording(FILE, np.ones((5, 2)).T, ["lead ii", "v1"], 100.0)
    assert recording.leads == ("II", "V1")
    assert recording.signal.dtype == np.float32
    assert recording.signal.flags.c_contiguous


def test_make_recording_leaves_values_beyond_float32_to_the_quality_checks():
    assert np.isinf(make_recording(FILE, np.array([[1e300, 0.0]]), ["II"], 100.0).signal[0, 0])


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
