"""Exports of watches: one lead, whose name, unit and rate stand above the values."""

import numpy as np
import pytest

from lfbt.errors import UnreadableError
from lfbt.io.csv import read_csv
from lfbt.io.csv_watch import find_watch_export

ENGLISH = """Name,Jane Doe
Date of Birth,"Jan 1, 1980"
Recorded Date,2021-03-04 10:11:12 +0100
Classification,Sinus Rhythm
Symptoms,
Device,"Watch5,2"
Sample Rate,{rate} hertz


Lead,Lead I
Unit,µV

"""
GERMAN = """Name,Jane Doe
Klassifizierung,Sinusrhythmus
Messrate,"513,33 Hertz"

Ableitung,Ableitung I
Einheit,µV

"""
VALUES = [-12.5, 1000.0, 250.25]


def write(tmp_path, head, decimal="."):
    path = tmp_path / "ecg.csv"
    path.write_text(head + "\n".join(str(value).replace(".", decimal) for value in VALUES) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("head", "decimal", "rate"), [(ENGLISH.format(rate=512), ".", 512), (GERMAN, ",", 513.33), (GERMAN, ".", 513.33)]
)
def test_read_csv_reads_the_export_of_a_watch(tmp_path, head, decimal, rate):
    recording = read_csv(write(tmp_path, head, decimal), None, None, "mV")
    assert (recording.leads, recording.sampling_rate) == (("I",), rate)
    np.testing.assert_allclose(recording.signal, [np.array(VALUES) / 1000], rtol=1e-6)
    assert recording.notes[1] == f"sampling rate {rate:g} Hz by a line above the samples"


def test_read_csv_compares_the_rate_of_a_watch(tmp_path):
    with pytest.raises(UnreadableError, match="states 512 Hz, not 500 Hz"):
        read_csv(write(tmp_path, ENGLISH.format(rate=512)), None, 500.0, "mV")


@pytest.mark.parametrize("lines", [[], ["I,II", "uV,uV", "1,2"], ["a,b", "c,mV", "1"], ["Lead,Lead I", "Unit,m", "1"]])
def test_find_watch_export_leaves_other_files_alone(lines):
    assert find_watch_export(lines) is None


@pytest.mark.parametrize("header", ["Signal,µV", "mV"])
def test_read_csv_refuses_a_unit_for_the_name_of_a_lead(tmp_path, header):
    path = tmp_path / "a.csv"
    path.write_text(f"{header}\n" + "\n".join(",".join(["0.5"] * len(header.split(","))) for _ in range(9)) + "\n")
    with pytest.raises(UnreadableError, match=r"its header has .*V for the name of a lead, which is a unit"):
        read_csv(path, None, 500.0, "mV")
