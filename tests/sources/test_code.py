"""CODE-15%, CODE-test and SaMi-Trop, on tiny downloads in their published forms."""

import csv

import numpy as np
import pytest
from tests.published_files import drops, ids, sent, twelve_leads, write, write_hdf5

from lfbt.errors import LfbtError
from lfbt.recording import STANDARD_LEADS
from lfbt.sources import Code15, CodeTest, SamiTrop

HEAD = "exam_id,age,is_male,nn_predicted_age,1dAVb,RBBB,LBBB,SB,ST,AF,patient_id,death,timey,normal_ecg,trace_file"
TEST_LEADS = ("I", "II", "III", "aVL", "aVF", "aVR", "V1", "V2", "V3", "V4", "V5", "V6")


def tracings(*lengths, leads=STANDARD_LEADS):
    """Recordings of some lengths in the middle of 4096 samples ``[recordings, 4096, 12]``, and these recordings."""
    signals = [twelve_leads(length, leads) for length in lengths]
    padded = np.zeros((len(lengths), 4096, 12), dtype=np.float32)
    for row, signal in enumerate(signals):
        start = (4096 - signal.shape[1]) // 2
        padded[row, start : start + signal.shape[1]] = signal.T
    return padded, signals


@pytest.fixture
def code15(tmp_path):
    """Two of three parts; the table is in another order than the arrays, and each array ends with a filler."""
    first, signals = tracings(2800, 4000, 0)
    write_hdf5(tmp_path / "exams_part0" / "exams_part0.hdf5", tracings=first, exam_id=[30, 10, 0])
    second, more = tracings(4096, 2934, 0)
    write_hdf5(tmp_path / "exams_part1" / "exams_part1.hdf5", tracings=second, exam_id=[20, 50, 0])
    rows = [
        "10,38,True,40.1,True,False,True,False,False,False,7,False,2.1,False,exams_part0.hdf5",
        "20,38,False,40.1,False,False,False,False,True,False,8,,,False,exams_part1.hdf5",
        "30,38,False,40.1,False,False,False,False,False,False,7,,,True,exams_part0.hdf5",
        "40,38,False,40.1,False,False,False,False,False,True,9,,,False,exams_part2.hdf5",
        "50,38,False,40.1,False,False,False,False,False,False,9,,,False,exams_part1.hdf5",
        "60,38,False,40.1,False,False,False,False,False,False,9,,,False,exams_part1.hdf5",
    ]
    write(tmp_path / "exams.csv", "\n".join([HEAD, *rows]) + "\n")
    return tmp_path, {"30": signals[0], "10": signals[1], "20": more[0], "50": more[1]}


def test_code15_finds_exams_by_id_and_drops_those_of_absent_parts(code15):
    folder, signals = code15
    listing = Code15().listing(folder)
    assert ids(listing) == ["10", "20", "30", "50"]
    assert [entry.patient for entry in listing.entries] == ["7", "8", "7", "9"]
    assert drops(listing) == [("40", "exams_part2.hdf5", "file absent"), ("60", "exams_part1.hdf5", "not in its part")]
    for entry in map(sent, listing.entries):
        recording = entry.read()
        assert (recording.leads, recording.sampling_rate, recording.id) == (STANDARD_LEADS, 400.0, entry.id)
        # Without padding, and 10 s of what fills the array.
        np.testing.assert_array_equal(recording.signal, signals[entry.id][:, :4000])


def test_code15_reads_findings_in_the_order_of_its_classes(code15):
    listing = Code15().listing(code15[0])
    assert listing.classes == ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST", "other")
    assert [entry.labels for entry in listing.entries] == [("1dAVb", "LBBB"), ("ST",), ("other",), ("other",)]
    assert "none of the six, normal or not" in listing.label_rule
    normal = Code15(labels="normal").listing(code15[0])
    assert normal.classes == ("normal", "abnormal")
    assert [entry.labels for entry in normal.entries] == [("abnormal",), ("abnormal",), ("normal",), ("abnormal",)]
    none = Code15(labels="none").listing(code15[0])
    assert (none.classes, {entry.labels for entry in none.entries}) == ((), {()})


def test_code15_says_that_the_unit_is_an_assumption(code15):
    assert "taken for mV" in Code15().listing(code15[0]).assumption


def test_code15_refuses_incomplete_downloads_and_bad_tables(code15):
    folder, _ = code15
    table = (folder / "exams.csv").read_text()
    (folder / "exams.csv").write_text(table.replace("10,38,True,40.1,True", "10,38,True,40.1,maybe"))
    with pytest.raises(LfbtError, match=r"exam 10 has 'maybe', which is neither True nor False"):
        Code15().listing(folder)
    (folder / "exams.csv").write_text(table + table.splitlines()[1] + "\n")
    with pytest.raises(LfbtError, match="record 10 is a duplicate"):
        Code15().listing(folder)
    (folder / "exams.csv").write_text(table.replace("trace_file", "file"))
    with pytest.raises(LfbtError, match="no column trace_file among exam_id"):
        Code15().listing(folder)
    (folder / "exams.csv").write_text(table[:-30])
    with pytest.raises(
        LfbtError, match=r"exams\.csv: line 7 has 10 cells, not the 15 of the header; download it again"
    ):
        Code15().listing(folder)
    (folder / "exams.csv").unlink()
    with pytest.raises(LfbtError, match=r"but not exams\.csv; complete the download"):
        Code15().listing(folder)
    with pytest.raises(LfbtError, match="the source code15 might fit"):
        SamiTrop().listing(folder)


def test_code15_refuses_zip_files(tmp_path):
    write(tmp_path / "exams.csv", HEAD + "\n")
    write(tmp_path / "exams_part0.zip", "")
    with pytest.raises(LfbtError, match=r"but not any exams_part0\.hdf5 to exams_part17\.hdf5, unzipped; complete"):
        Code15().listing(tmp_path)


def test_code15_refuses_arrays_that_contradict_each_other(code15):
    folder, _ = code15
    part = folder / "exams_part0" / "exams_part0.hdf5"
    write_hdf5(part, tracings=tracings(4000, 4000)[0], exam_id=[30, 10, 0])
    with pytest.raises(LfbtError, match=r"tracings is an array of float32 of shape \[2, 4096, 12\], not numbers"):
        Code15().listing(folder)
    write_hdf5(part, tracings=tracings(4000, 4000)[0], exam_id=[30, 30])
    with pytest.raises(LfbtError, match=r"exams_part0\.hdf5: an exam_id is a duplicate"):
        Code15().listing(folder)


@pytest.mark.parametrize("swapped", [("aVL", "aVF"), ("II", "III"), ("I", "aVR")])
def test_code_test_compares_the_order_of_all_limb_leads(tmp_path, swapped):
    one, other = map(TEST_LEADS.index, swapped)
    leads = list(TEST_LEADS)
    leads[one], leads[other] = swapped[1], swapped[0]
    write_code_test(tmp_path, leads=leads)
    with pytest.raises(
        LfbtError, match=rf"not in the order {','.join(TEST_LEADS)}, .* fit {','.join(leads[:6])} there"
    ):
        CodeTest().listing(tmp_path)


def test_code15_refuses_leads_in_another_order(code15):
    folder, _ = code15
    write_hdf5(folder / "exams_part0/exams_part0.hdf5", tracings=tracings(400, leads=TEST_LEADS)[0], exam_id=[30])
    with pytest.raises(
        LfbtError, match=r"its leads are not in the order I,II,III,aVR,aVL,aVF,V1.*fit I,II,III,aVL,aVF,aVR"
    ):
        Code15().listing(folder)


def write_code_test(folder, n_rows=3, leads=TEST_LEADS):
    padded, signals = tracings(*[4000] * n_rows, leads=leads)
    write_hdf5(folder / "data" / "ecg_tracings.hdf5", tracings=padded.astype(np.float64))
    rows = ["0,0,0,0,0,0", "1,0,1,0,0,0", "0,0,0,0,1,0"]
    write(folder / "data/annotations/gold_standard.csv", "\n".join(["1dAVb,RBBB,LBBB,SB,AF,ST", *rows]) + "\n")
    write(folder / "data/annotations/dnn.csv", "1dAVb,RBBB,LBBB,SB,AF,ST\n")
    return signals


def test_code_test_joins_its_files_by_row_and_has_avr_last_of_the_limb_leads(tmp_path):
    signals = write_code_test(tmp_path)
    listing = CodeTest().listing(tmp_path)
    assert ids(listing) == [entry.patient for entry in listing.entries] == ["0", "1", "2"]
    assert [entry.labels for entry in listing.entries] == [("other",), ("1dAVb", "LBBB"), ("AF",)]
    recording = sent(listing.entries[2]).read()
    assert recording.leads == TEST_LEADS
    np.testing.assert_array_equal(recording.signal, signals[2])
    none = CodeTest(labels="none").listing(tmp_path)
    assert (none.classes, {entry.labels for entry in none.entries}) == ((), {()})


def test_code_test_refuses_files_of_different_lengths_and_the_order_of_its_siblings(tmp_path):
    write_code_test(tmp_path, n_rows=2)
    with pytest.raises(LfbtError, match=r"has 3 rows, but ecg_tracings\.hdf5 has 2 recordings, and the two belong"):
        CodeTest().listing(tmp_path)
    write_code_test(tmp_path, leads=STANDARD_LEADS)
    with pytest.raises(LfbtError, match="its leads are not in the order I,II,III,aVL,aVF,aVR,V1"):
        CodeTest().listing(tmp_path)
    (tmp_path / "data/annotations/gold_standard.csv").unlink()
    with pytest.raises(LfbtError, match=r"but not gold_standard\.csv; complete the download"):
        CodeTest().listing(tmp_path)


def write_sami_trop(folder, n_rows=2):
    padded, signals = tracings(2934, 4096, *[4000] * (n_rows - 2))
    write_hdf5(folder / "exams.hdf5", tracings=padded)
    rows = ["294669,52,False,True,False,2.1,44.9", "291692,68,True,False,True,0.4,71.2"]
    text = "exam_id,age,is_male,normal_ecg,death,timey,nn_predicted_age\n" + "\n".join(rows) + "\n"
    write(folder / "exams.csv", text)
    return signals


def test_sami_trop_joins_its_files_by_row(tmp_path):
    signals = write_sami_trop(tmp_path)
    listing = SamiTrop().listing(tmp_path)
    assert ids(listing) == [entry.patient for entry in listing.entries] == ["294669", "291692"]
    assert listing.classes == ("normal", "abnormal")
    assert [entry.labels for entry in listing.entries] == [("normal",), ("abnormal",)]
    for entry, signal in zip(listing.entries, signals, strict=True):
        np.testing.assert_array_equal(sent(entry).read().signal, signal[:, :4000])
    assert SamiTrop(labels="none").listing(tmp_path).classes == ()


def test_sami_trop_refuses_files_of_different_lengths(tmp_path):
    write_sami_trop(tmp_path, n_rows=3)
    with pytest.raises(LfbtError, match=r"has 2 rows, but exams\.hdf5 has 3 recordings"):
        SamiTrop().listing(tmp_path)


def test_sami_trop_compares_the_exams_of_its_files_where_both_state_them(tmp_path):
    write_sami_trop(tmp_path)
    padded, _ = tracings(2934, 4096)
    write_hdf5(tmp_path / "exams.hdf5", tracings=padded, exam_id=[294669, 291692])
    assert ids(SamiTrop().listing(tmp_path)) == ["294669", "291692"]
    write_hdf5(tmp_path / "exams.hdf5", tracings=padded, exam_id=[291692, 294669])
    with pytest.raises(LfbtError, match=r"row 0 is exam 294669, but exams\.hdf5 has 291692 there"):
        SamiTrop().listing(tmp_path)
    write_hdf5(tmp_path / "exams.hdf5", tracings=padded, exam_id=[294669])
    with pytest.raises(LfbtError, match=r"exams\.hdf5: has 1 exam_id for 2 recordings"):
        SamiTrop().listing(tmp_path)


def test_code15_writes_a_patient_alike(code15):
    folder, _ = code15
    table = next(folder.rglob("exams.csv"))
    before = [entry.patient for entry in Code15().listing(folder).entries]
    header, *rows = list(csv.reader(table.read_text().splitlines()))
    place = header.index("patient_id")
    # Each second row as a program of tables writes it.
    for row in rows[::2]:
        row[place] += ".0"
    table.write_text("\n".join(map(",".join, [header, *rows])) + "\n")
    assert [entry.patient for entry in Code15().listing(folder).entries] == before
