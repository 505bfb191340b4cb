"""Entries: what is read from a file, with what the tables state."""

from pathlib import Path

import numpy as np
import pytest

from lfbt.errors import UnreadableError
from lfbt.recording import Recording
from lfbt.sources.listing import Entry


def test_entry_read_adds_what_the_tables_state_and_keeps_what_was_read():
    def reader(path):
        assert path == Path("x.hea")
        return Recording(
            np.zeros((1, 10), dtype=np.float32) + 3,
            250.0,
            ("V1",),
            id="of the file",
            patient="of the file",
            labels=("F",),
        )

    recording = Entry("17", "p3", Path("x.hea"), reader, ("MI", "CD"), "val").read()
    assert (recording.id, recording.patient, recording.labels) == ("17", "p3", ("MI", "CD"))
    assert (recording.sampling_rate, recording.leads) == (250.0, ("V1",))
    np.testing.assert_array_equal(recording.signal, np.zeros((1, 10), dtype=np.float32) + 3)


def test_entry_read_compares_the_length_with_that_of_the_tables():
    recording = Recording(np.zeros((1, 10), dtype=np.float32), 250.0, ("V1",))
    for n_samples in (None, 10):
        assert Entry("a", "a", Path("x"), lambda _: recording, n_samples=n_samples).read().signal.shape == (1, 10)
    for n_samples in (0, 9):
        with pytest.raises(UnreadableError, match=f"file x: has 10 samples, but the table .* says {n_samples}"):
            Entry("a", "a", Path("x"), lambda _: recording, n_samples=n_samples).read()
