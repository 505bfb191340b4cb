"""Entries: what is read from a file, with what the tables state."""

from pathlib import Path

import numpy as np

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
