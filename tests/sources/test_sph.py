"""SPH, on a tiny download in its published form."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.published_files import drops, ids, sent, twelve_leads, write, write_hdf5

from lfbt.errors import LfbtError, UnreadableError
from lfbt.recording import STANDARD_LEADS
from lfbt.sources import Sph
from lfbt.sources.sph import _statements

HEAD = "ECG_ID,AHA_Code,Patient_ID,Age,Sex,N,Date"


@pytest.fixture
def sph(tmp_path):
    rows = ["A00001,60+310;147,S00001,55,M,5000,2020-03-04", "A00002,1;1,S00002,32,M,5000,2019-09-03"]
    rows += ["A00003,22+308+347;23,S00001,63,M,6000,2020-07-16", "A00004,1,S00003,31,F,5000,2020-07-14"]
    write(tmp_path / "metadata.csv", "\n".join([HEAD, *rows]) + "\n")
    write(tmp_path / "code.csv", "Category,Code,Description\nA,1,Normal ECG\n")
    signals = {name: twelve_leads(n).astype(np.float16) for name, n in (("1", 5000), ("2", 5000), ("3", 5500))}
    for name, signal in signals.items():
        write_hdf5(tmp_path / "records" / f"A0000{name}.h5", ecg=signal)
    return tmp_path, signals


def test_sph_lists_primary_statements_without_modifiers(sph):
    folder, signals = sph
    listing = Sph().listing(folder)
    assert ids(listing) == ["A00001", "A00002", "A00003"]
    assert [entry.patient for entry in listing.entries] == ["S00001", "S00002", "S00001"]
    assert [entry.labels for entry in listing.entries] == [("60", "147"), ("1",), ("22", "23")]
    assert listing.classes == ("1", "22", "23", "60", "147")
    assert drops(listing) == [("A00004", "records/A00004.h5", "file absent")]
    recording = sent(listing.entries[0]).read()
    assert (recording.leads, recording.sampling_rate) == (STANDARD_LEADS, 500.0)
    np.testing.assert_array_equal(recording.signal, signals["1"].astype(np.float32))
    none = Sph(labels="none").listing(folder)
    assert (none.classes, {entry.labels for entry in none.entries}) == ((), {()})


CODES = st.integers(1, 400).map(str)


@given(statements=st.lists(st.lists(CODES, min_size=1, max_size=3), min_size=1, max_size=4))
def test_sph_takes_the_first_code_of_each_statement(statements):
    text = ";".join("+".join(statement) for statement in statements)
    assert _statements(text, Path("t"), "r") == tuple(sorted({codes[0] for codes in statements}, key=int))


def test_sph_compares_lengths_with_the_table(sph):
    with pytest.raises(UnreadableError, match=r"A00003\.h5: has 5500 samples, but the table of the download says 6000"):
        Sph().listing(sph[0]).entries[2].read()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("60+310;147", "PVC", "record A00001 has AHA_Code 'PVC'; a statement is a number"),
        ("60+310;147", "", "record A00001 has AHA_Code ''"),
        ("60+310;147", "60;", "record A00001 has AHA_Code '60;'"),
        ("5000", "10 s", "record A00001 has N '10 s', which is not a number of samples"),
        ("A00002", "A00001", "record A00001 is a duplicate"),
        ("Patient_ID", "Patient", "no column Patient_ID among ECG_ID, AHA_Code, Patient, Age"),
    ],
)
def test_sph_refuses_bad_tables(sph, old, new, message):
    table = sph[0] / "metadata.csv"
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(LfbtError, match=message):
        Sph().listing(sph[0])


def test_sph_refuses_downloads_without_signals_or_with_two_of_one(sph):
    folder, signals = sph
    write_hdf5(folder / "copy" / "A00001.h5", ecg=signals["1"])
    with pytest.raises(LfbtError, match=r"record A00001 is a duplicate, as .*copy/A00001\.h5 and .*; move one of them"):
        Sph().listing(folder)
    write(folder / "empty" / "metadata.csv", HEAD + "\n")
    with pytest.raises(LfbtError, match=r"not any record that metadata\.csv names, such as records/A00001\.h5"):
        Sph().listing(folder / "empty")


def test_sph_writes_a_patient_alike_and_refuses_none(sph):
    table = sph[0] / "metadata.csv"
    text = table.read_text()
    table.write_text(text.replace("S00001", "1").replace(",1,63,", ",1.0,63,"))
    assert [entry.patient for entry in Sph().listing(sph[0]).entries] == ["1", "S00002", "1"]
    table.write_text(text.replace("S00002", "NaN"))
    with pytest.raises(LfbtError, match=r"metadata\.csv: record A00002 has patient 'NaN', which is none"):
        Sph().listing(sph[0])
