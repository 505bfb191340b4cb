"""ZZU pECG, on a tiny download in its published form."""

import numpy as np
import pytest
from tests.published_files import RNG, drops, ids, sent, write, write_wfdb

from lfbt.errors import LfbtError, UnreadableError
from lfbt.sources import Challenge, Zzu

LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
NINE = tuple(lead for lead in LEADS if lead not in ("V2", "V4", "V6"))
HEAD = (
    "Filename,ECG_ID,Patient_ID,Age,Gender,Acquisition_date,Sampling_point,Lead,AHA_code,CHN_code,ICD-10 code,pSQI,"
    "basSQI,bSQI"
)


def row(patient, exam, n_samples, leads, codes):
    name = f"P{patient:05d}_E{exam:02d}"
    path = f"{name[:3]}/{name[:6]}/{name}"
    cells = [path, name, name[:6], "572d", "'Female'", "2018-03-30 10:46:08", n_samples, leads, codes, "'C13'"]
    return ",".join(f'"{cell}"' for cell in (*cells, "'Q21.0'", "'I':0.3;'V2':Null", "'I':0.9", "'I':1.0"))


@pytest.fixture
def zzu(tmp_path):
    rows = [
        row(1, 1, 40, 9, "'C21'"),
        row(1, 2, 40, 12, "'L145+Modifier362';'Left ventricular high voltage';'L145'"),
        row(2, 1, 50, 12, "'Atrial premature complexes, nonconducted'"),
        row(3, 1, 40, 12, "'A1'"),
    ]
    write(tmp_path / "AttributesDictionary.csv", "\n".join([HEAD, *rows]) + "\n")
    write(tmp_path / "ECGCode.csv", "Description,AHA(Category&Code),CHN(Category&Code)\n")
    place = tmp_path / "Child_ecg" / "P00"
    steps = RNG.integers(-9000, 9000, (9, 40), dtype=np.int16)
    write_wfdb(place / "P00001", "P00001_E01", steps, gains=["42444.15189873418"] * 9, leads=NINE)
    write_wfdb(place / "P00001", "P00001_E02", leads=LEADS)
    write_wfdb(place / "P00002", "P00002_E01", leads=LEADS)
    return tmp_path, steps


def test_zzu_lists_exams_of_its_patients_and_drops_absent_files(zzu):
    folder, steps = zzu
    listing = Zzu().listing(folder)
    assert ids(listing) == ["P00001_E01", "P00001_E02", "P00002_E01"]
    assert [entry.patient for entry in listing.entries] == ["P00001", "P00001", "P00002"]
    assert drops(listing) == [("P00003_E01", "Child_ecg/P00/P00003/P00003_E01.hea", "file absent")]
    assert (listing.classes, {entry.labels for entry in listing.entries}) == ((), {()})
    recording = sent(listing.entries[0]).read()
    assert recording.leads == ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V3", "V5")
    np.testing.assert_allclose(recording.signal, steps / 42444.15189873418, rtol=1e-6)


def test_zzu_findings_are_codes_without_modifiers_or_words(zzu):
    listing = Zzu(labels="findings").listing(zzu[0])
    assert [entry.labels for entry in listing.entries] == [
        ("C21",),
        ("L145", "Left ventricular high voltage"),
        ("Atrial premature complexes, nonconducted",),
    ]
    assert listing.classes == (
        "Atrial premature complexes, nonconducted",
        "C21",
        "L145",
        "Left ventricular high voltage",
    )


def test_zzu_compares_lengths_with_the_table(zzu):
    with pytest.raises(
        UnreadableError, match=r"P00002_E01\.hea: has 40 samples, but the table of the download says 50"
    ):
        Zzu().listing(zzu[0]).entries[2].read()


def test_zzu_refuses_incomplete_downloads_and_bad_tables(zzu):
    folder, _ = zzu
    table = folder / "AttributesDictionary.csv"
    text = table.read_text()
    table.write_text(text.replace('"40"', '"30 s"', 1))
    with pytest.raises(LfbtError, match="record P00001_E01 has Sampling_point '30 s', which is not a number"):
        Zzu().listing(folder)
    table.write_text(text + row(1, 1, 40, 9, "'C21'") + "\n")
    with pytest.raises(LfbtError, match="record P00001_E01 is a duplicate"):
        Zzu().listing(folder)
    table.write_text("\n".join([HEAD, row(9, 1, 40, 12, "'A1'")]) + "\n")
    with pytest.raises(LfbtError, match=r"not any record that AttributesDictionary\.csv names, below Child_ecg/"):
        Zzu().listing(folder)
    with pytest.raises(LfbtError, match="is a download of zzu; prepare it with that source"):
        Challenge().listing(folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"P00002_E01","P00002"', '"P00002_E01","P00001"'),
        ('"P00002_E01","P00002"', '"P00002_E02","P00002"'),
        ('"P00/P00002/P00002_E01"', '"P00/P00001/P00001_E01"'),
    ],
)
def test_zzu_refuses_a_row_whose_filename_is_of_another(zzu, old, new):
    table = zzu[0] / "AttributesDictionary.csv"
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(LfbtError, match=r"Filename .* is not that of ECG_ID 'P00002_E0\d' and Patient_ID 'P0000\d'"):
        Zzu().listing(zzu[0])


def test_zzu_refuses_labels_that_no_record_has(zzu):
    table = zzu[0] / "AttributesDictionary.csv"
    table.write_text("\n".join([HEAD, row(1, 1, 40, 9, "Null")]) + "\n")
    with pytest.raises(LfbtError, match=r"labels: findings, but no record of .* has a label; give labels none"):
        Zzu(labels="findings").listing(zzu[0])
    assert ids(Zzu().listing(zzu[0])) == ["P00001_E01"]
