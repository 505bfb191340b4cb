"""MIMIC-IV-ECG, on a tiny download in its published form."""

import numpy as np
import pytest
from tests.published_files import drops, ids, sent, write, write_wfdb

from lfbt.errors import LfbtError
from lfbt.sources import Challenge, MimicIvEcg

# As in the published headers: aVF before aVL.
LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
HEAD = "subject_id,study_id,file_name,ecg_time,path"


def path_of(patient, study):
    return f"files/p{str(patient)[:4]}/p{patient}/s{study}/{study}"


@pytest.fixture
def mimic(tmp_path):
    """A folder with two of three records; the first has an invalid sample."""
    studies = [(10000032, 40689238), (10000032, 44458630), (10001725, 41420867)]
    rows = [f"{patient},{study},{study},2180-07-23 08:44:00,{path_of(patient, study)}" for patient, study in studies]
    write(tmp_path / "1.0" / "record_list.csv", "\n".join([HEAD, *rows]) + "\n")
    write(tmp_path / "1.0" / "machine_measurements.csv", "subject_id,study_id,report_0\n10000032,40689238,Sinus\n")
    steps = np.random.default_rng(0).integers(-300, 300, (12, 50), dtype=np.int16)
    steps[4, 7] = -32768
    for patient, study in studies[:2]:
        folder = (tmp_path / "1.0" / path_of(patient, study)).parent
        write_wfdb(folder, str(study), steps, gains=[200.0] * 12, leads=LEADS)
    return tmp_path, steps


def test_mimic_iv_ecg_lists_studies_of_its_subjects_and_drops_absent_files(mimic):
    listing = MimicIvEcg().listing(mimic[0])
    assert ids(listing) == ["40689238", "44458630"]
    assert [entry.patient for entry in listing.entries] == ["10000032", "10000032"]
    assert drops(listing) == [("41420867", f"{path_of(10001725, 41420867)}.hea", "file absent")]
    assert (listing.classes, listing.label_rule) == ((), "no labels were read")


def test_mimic_iv_ecg_takes_leads_gain_and_invalid_samples_from_the_header(mimic):
    folder, steps = mimic
    recording = sent(MimicIvEcg().listing(folder).entries[0]).read()
    assert (recording.leads, recording.sampling_rate) == (LEADS, 500.0)
    expected = (steps / 200).astype(np.float32)
    expected[4, 7] = np.nan
    np.testing.assert_array_equal(recording.signal, expected)


def test_mimic_iv_ecg_refuses_incomplete_downloads_and_bad_tables(mimic):
    folder, _ = mimic
    table = folder / "1.0" / "record_list.csv"
    text = table.read_text()
    table.write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(LfbtError, match="record 40689238 is a duplicate"):
        MimicIvEcg().listing(folder)
    table.write_text(text.replace("subject_id", "patient"))
    with pytest.raises(LfbtError, match="no column subject_id among patient, study_id"):
        MimicIvEcg().listing(folder)
    table.write_text(HEAD + "\n1,2,2,,files/p1/p1/s2/2\n")
    with pytest.raises(LfbtError, match=r"not any record that record_list\.csv names, below files/; complete the"):
        MimicIvEcg().listing(folder)
    table.unlink()
    with pytest.raises(LfbtError, match=r"holds 2 \.dat, 2 \.hea, 1 \.csv, but not record_list\.csv"):
        MimicIvEcg().listing(folder)


def test_challenge_does_not_take_mimic_iv_ecg_without_its_patients(mimic):
    with pytest.raises(LfbtError, match="is a download of mimic-iv-ecg; prepare it with that source"):
        Challenge().listing(mimic[0])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("10000032,40689238,", "10000032,40689239,"),
        ("10000032,40689238,", "10000033,40689238,"),
        ("10000032,40689238,", ",40689238,"),
        ("p10000032/s40689238/40689238", "p10000032/s44458630/44458630"),
        ("p10000032/s40689238/40689238", "p10000032/s40689238/../s44458630/44458630"),
    ],
)
def test_mimic_iv_ecg_refuses_a_path_that_contradicts_the_ids(mimic, old, new):
    folder, _ = mimic
    table = folder / "1.0" / "record_list.csv"
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new))
    with pytest.raises(LfbtError, match=r"is not that of study_id .* and subject_id .*; download the table again"):
        MimicIvEcg().listing(folder)


@pytest.mark.parametrize("start", ["files/..", "/files", "//files"])
def test_mimic_iv_ecg_refuses_a_path_that_leaves_the_download(mimic, start):
    table = mimic[0] / "1.0" / "record_list.csv"
    table.write_text(table.read_text() + f"10000032,1,1,,{start}/p1000/p10000032/s1/1\n")
    with pytest.raises(LfbtError, match="is not that of study_id '1' and subject_id '10000032'"):
        MimicIvEcg().listing(mimic[0])
