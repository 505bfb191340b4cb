"""A minute of what `python -m tests.fuzz` does for hours."""

import random

import pytest
from tests.fuzz.corpora import CORPORA
from tests.fuzz.fuzzing import fuzz, outcome_of
from tests.fuzz.mutations import mutate

from lfbt.errors import LfbtError, UnreadableError

# Each is to take a few seconds.
INPUTS = {"workbook": 20, "run": 20, "tables": 40, "dicom": 50, "aecg": 50, "edf": 50, "hdf5": 50}


@pytest.mark.parametrize("reader", CORPORA)
def test_changed_files_are_read_or_refused_in_one_line(reader):
    inputs = INPUTS.get(reader, 100)
    counts, faults = fuzz(reader, inputs)
    assert faults == []
    assert sum(counts.values()) == inputs
    assert counts["refused"]


def test_mutate_changes_bytes_in_the_same_way_for_the_same_draw():
    data = b"r 2 500 50\nr.dat 16 200/mV\n" * 4
    changed = [mutate(data, random.Random(number)) for number in range(200)]
    assert changed == [mutate(data, random.Random(number)) for number in range(200)]
    assert sum(one != data for one in changed) > 190
    assert mutate(b"", random.Random(0)) is not None


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(ZeroDivisionError("x"), "traceback"), (LfbtError("a"), "refused"), (UnreadableError("a"), "refused")],
)
def test_outcome_tells_a_refusal_from_a_fault(tmp_path, error, outcome):
    def read(folder):
        raise error

    assert outcome_of(read, tmp_path)[0] == outcome
    assert outcome_of(lambda folder: None, tmp_path) == ("read", "")
