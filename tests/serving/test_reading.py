"""Files read in another process: the same recording, limits, and what happens when the process ends."""

import contextlib
import dataclasses
import os
import signal as signals

import numpy as np
import pytest
from tests.serving.helpers import ONE, signal

from lfbt.errors import LfbtError
from lfbt.inference.recordings import FileSettings
from lfbt.io import read
from lfbt.serving.reading import Reader, TooLargeError, read_recording

FILES = FileSettings(file_leads="II,V1", file_sampling_rate=6.4)


@pytest.fixture
def file(tmp_path):
    np.save(tmp_path / "ecg.npy", signal())
    return tmp_path / "ecg.npy"


def _pid(reader):
    """The number of the process that reads."""
    return reader._process.pid


def test_reader_returns_the_recording_that_read_returns(file):
    with contextlib.closing(Reader(ONE)) as reader:
        found = reader.read(file, FILES)
        assert found == read(file, leads="II,V1", sampling_rate=6.4)
        with pytest.raises(LfbtError, match="file_sampling_rate: none given"):
            reader.read(file, FileSettings())
        assert reader.read(file, FILES) == found
        assert reader.restarts == 0


def test_reader_ends_a_process_that_takes_too_long(file):
    with contextlib.closing(Reader(dataclasses.replace(ONE, read_seconds=1e-9))) as reader:
        first = _pid(reader)
        with pytest.raises(LfbtError, match="took longer than 1e-09 s"):
            reader.read(file, FILES)
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        with pytest.raises(LfbtError, match="took longer"):
            reader.read(file, FILES)
        assert reader.restarts == 1


def test_reader_replaces_a_process_that_was_killed(file):
    with contextlib.closing(Reader(ONE)) as reader:
        os.kill(_pid(reader), signals.SIGKILL)
        assert reader.read(file, FILES).leads == ("II", "V1")
        assert reader.restarts == 1


def test_reader_passes_kinds_of_errors_on(file):
    limits = dataclasses.replace(ONE, recording_values=127)
    with (
        contextlib.closing(Reader(limits)) as reader,
        pytest.raises(TooLargeError, match="2 leads, 64 samples, 10 s are more"),
    ):
        reader.read(file, FILES)


def test_read_recording_is_limited_in_seconds_and_values(file):
    read_recording(file, FILES, dataclasses.replace(ONE, recording_seconds=10, recording_values=128))
    for limit in ({"recording_seconds": 9.99}, {"recording_values": 127}):
        with pytest.raises(TooLargeError):
            read_recording(file, FILES, dataclasses.replace(ONE, **limit))


def test_read_recording_refuses_several(tmp_path):
    np.save(tmp_path / "a.npy", np.stack([signal(), signal()]))
    with pytest.raises(LfbtError, match="has 2 recordings; send one at a time"):
        read_recording(tmp_path / "a.npy", FILES, ONE)
