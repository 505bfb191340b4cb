"""A user's own folder: which files are read, and where labels, patients and splits come from."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.clinical_files import aecg, dicom, edf
from tests.published_files import RNG, drops, ids, sent, write, write_wfdb

from lfbt.errors import LfbtError, UnreadableError
from lfbt.io import CLINICAL_FORMATS
from lfbt.sources import Folder, PtbXl


def test_folder_reads_wfdb_npy_and_csv(tmp_path):
    steps = write_wfdb(tmp_path / "b", "r", leads=["I", "II"])
    array = RNG.normal(size=(2, 20)).astype(np.float32)
    np.save(tmp_path / "a.npy", array)
    write(tmp_path / "c" / "d" / "x.csv", "V1,V2\n100,200\n")
    write(tmp_path / "notes.txt", "")
    listing = Folder(file_leads="I,avr", file_sampling_rate=250, file_unit="uV").listing(tmp_path)
    assert ids(listing) == [entry.patient for entry in listing.entries] == ["a", "b/r", "c/d/x"]
    assert (listing.classes, {entry.labels for entry in listing.entries}) == ((), {()})
    npy, wfdb, csv = (sent(entry).read() for entry in listing.entries)
    assert (npy.leads, npy.sampling_rate) == (("I", "aVR"), 250)
    np.testing.assert_array_equal(npy.signal, (array.astype(float) * 1e-3).astype(np.float32))
    assert (wfdb.leads, wfdb.sampling_rate) == (("I", "II"), 500)
    np.testing.assert_array_equal(wfdb.signal, (steps / 1000).astype(np.float32))
    assert csv.leads == ("V1", "V2")
    np.testing.assert_array_equal(csv.signal, np.array([[0.1], [0.2]], dtype=np.float32))


def test_folder_skips_hidden_files(tmp_path):
    write_wfdb(tmp_path, "r")
    write(tmp_path / "._r.csv", "left by a copy from a Mac")
    write(tmp_path / ".cache" / "s.hea", "")
    assert ids(Folder().listing(tmp_path)) == ["r"]


def test_folder_reads_one_array_of_many_records(tmp_path):
    array = RNG.normal(size=(3, 2, 20)).astype(np.float32)
    np.save(tmp_path / "all.npy", array)
    options: dict[str, Any] = {"file_leads": "I,II", "file_sampling_rate": 100.0}
    listing = Folder(**options).listing(tmp_path)
    assert ids(listing) == ["0", "1", "2"]
    np.testing.assert_array_equal([entry.read().signal for entry in listing.entries], array)
    table = write(tmp_path / "t.csv", "record,label\n2,x\n0,y\n")
    labelled = Folder(labels="table", table=table, **options).listing(tmp_path)
    assert [(entry.id, entry.labels) for entry in labelled.entries] == [("0", ("y",)), ("2", ("x",))]
    assert [(drop.id, drop.reason) for drop in labelled.dropped] == [("1", "not in the table")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "file_sampling_rate: none given"),
        ({"file_sampling_rate": 500.0}, r"file_leads: none given, but .*a\.npy"),
        ({"file_leads": "I,II"}, "file_sampling_rate: none given"),
        ({"file_leads": "I,II", "file_sampling_rate": 0.0}, "not above 0"),
        ({"file_leads": "I,i", "file_sampling_rate": 500.0}, "I is named twice"),
        ({"file_leads": "I,II", "file_sampling_rate": 500.0, "file_unit": "kg"}, "'kg' is not a voltage"),
        ({"labels": "table"}, "^table: none given, but labels table takes the labels from one; give it, too$"),
        (
            {"table": Path("t.csv")},
            r"^table: t\.csv has no effect with labels none; give labels table, too, or leave it out$",
        ),
        ({"labels": "folders", "file_leads": "I,II", "file_sampling_rate": 500.0}, "no record in a class folder"),
    ],
)
def test_folder_refuses_options_that_do_not_fit(tmp_path, options, message):
    np.save(tmp_path / "a.npy", np.zeros((2, 5)))
    with pytest.raises(LfbtError, match=message):
        Folder(**options).listing(tmp_path)


def test_folder_needs_leads_of_csv_only_without_header(tmp_path):
    write(tmp_path / "a.csv", "I,II\n1,2\n")
    assert Folder(file_sampling_rate=500.0).listing(tmp_path).entries[0].read().leads == ("I", "II")
    write(tmp_path / "b.csv", "1,2\n")
    with pytest.raises(LfbtError, match=r"file_leads: none given, but .*b\.csv"):
        Folder(file_sampling_rate=500.0).listing(tmp_path)


def test_folder_takes_labels_from_folders(tmp_path):
    for place in ("SR/site1", "AF", "AF/deep/er"):
        write_wfdb(tmp_path / place, "r")
    write_wfdb(tmp_path, "stray")
    listing = Folder(labels="folders").listing(tmp_path)
    assert listing.classes == ("AF", "SR")
    assert [(entry.id, entry.labels, entry.split) for entry in listing.entries] == [
        ("AF/deep/er/r", ("AF",), ""),
        ("AF/r", ("AF",), ""),
        ("SR/site1/r", ("SR",), ""),
    ]
    assert drops(listing) == [("stray", "stray.hea", "not in a class folder")]


def test_folder_takes_labels_and_splits_from_folders(tmp_path):
    for place in ("train/AF", "train/SR", "val/SR", "test/AF"):
        write_wfdb(tmp_path / place, "r")
    listing = Folder(labels="folders").listing(tmp_path)
    assert [(entry.split, entry.labels) for entry in listing.entries] == [
        ("test", ("AF",)),
        ("train", ("AF",)),
        ("train", ("SR",)),
        ("val", ("SR",)),
    ]
    write_wfdb(tmp_path / "PVC", "r")
    with pytest.raises(LfbtError, match="it has split folders, but PVC/r is not in train, val, test"):
        Folder(labels="folders").listing(tmp_path)


def test_folder_refuses_class_names_with_semicolon(tmp_path):
    write_wfdb(tmp_path / "a;b", "r")
    with pytest.raises(LfbtError, match="'a;b' cannot be a class"):
        Folder(labels="folders").listing(tmp_path)


def test_folder_takes_patients_labels_and_splits_from_a_table(tmp_path):
    for name in ("a/r1", "a/r2", "b/r2", "b/r3"):
        write_wfdb(tmp_path / Path(name).parent, Path(name).name)
    table = write(
        tmp_path / "table.csv",
        "record,patient,label,split\nr1,p1,SR; AF,train\na/r2,p1,,val\nr3,,SR,\nr9,p9,SR,train\n",
    )
    listing = Folder(labels="table", table=table).listing(tmp_path)
    assert listing.classes == ("AF", "SR")
    assert [(entry.id, entry.patient, entry.labels, entry.split) for entry in listing.entries] == [
        ("a/r1", "p1", ("AF", "SR"), "train"),
        ("a/r2", "p1", (), "val"),
        ("b/r3", "b/r3", ("SR",), ""),
    ]
    assert drops(listing) == [("r9", "r9", "file absent"), ("b/r2", "b/r2.hea", "not in the table")]
    assert "table.csv" in listing.label_rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("record,split\nr1,dev\n", "record a/r1 has split 'dev'; allowed: train, val, test"),
        ("record\nr1\na/r1\n", "record a/r1 is a duplicate"),
        ("record\nr7\n", "none of its 1 rows names a record of .*, such as a/r1"),
        ("name\nr1\n", "column 'name' is likely record, but not called so; rename it to record"),
        ("who\nr1\n", "no column record among who; add the ids or names of the files"),
        ("", "no column record among none"),
    ],
)
def test_folder_refuses_bad_tables(tmp_path, text, message):
    write_wfdb(tmp_path / "a", "r1")
    with pytest.raises(LfbtError, match=message):
        Folder(labels="table", table=write(tmp_path / "t.csv", text)).listing(tmp_path)


def test_folder_does_not_match_an_ambiguous_stem(tmp_path):
    for place in ("a", "b"):
        write_wfdb(tmp_path / place, "r")
    write_wfdb(tmp_path, "s")
    listing = Folder(labels="table", table=write(tmp_path / "t.csv", "record\nr\ns\n")).listing(tmp_path)
    assert ids(listing) == ["s"]
    assert ("r", "r", "file absent") in drops(listing)


def test_folder_refuses_two_files_of_one_name(tmp_path):
    write_wfdb(tmp_path, "r")
    write(tmp_path / "r.csv", "I,II\n1,2\n")
    with pytest.raises(LfbtError, match="record r is a duplicate"):
        Folder(file_sampling_rate=500.0).listing(tmp_path)


def test_folder_reads_clinical_files_by_suffix_in_any_case(tmp_path):
    (tmp_path / "b").mkdir()
    dicom(tmp_path / "b" / "x.DCM")
    aecg(tmp_path / "a.xml")
    edf(tmp_path / "c.Edf")
    (tmp_path / "notes.json").write_text("{}")
    listing = Folder().listing(tmp_path)
    assert [entry.id for entry in listing.entries] == ["a", "b/x", "c"]
    received = [sent(entry) for entry in listing.entries]
    assert [entry.read().signal.shape for entry in received] == [(3, 50), (3, 50), (2, 50)]
    assert [entry.read().id for entry in received] == ["a", "b/x", "c"]


def test_folder_leaves_out_clinical_files_beside_a_plain_one_of_their_name(tmp_path):
    (tmp_path / "r.csv").write_text("I,II\n1,2\n")
    (tmp_path / "r.ecg").write_bytes(b"annotations")
    aecg(tmp_path / "s.xml")
    table = tmp_path / "s.csv"
    table.write_text("record,label\nr,x\ns,y\n")
    listing = Folder(labels="table", table=table, file_sampling_rate=500.0).listing(tmp_path)
    assert [(entry.id, entry.file.suffix, entry.labels) for entry in listing.entries] == [
        ("r", ".csv", ("x",)),
        ("s", ".xml", ("y",)),
    ]


def test_folder_refuses_two_clinical_files_of_one_name(tmp_path):
    aecg(tmp_path / "a.xml")
    dicom(tmp_path / "a.dcm")
    with pytest.raises(LfbtError, match="record a is a duplicate"):
        Folder().listing(tmp_path)


def test_folder_names_all_suffixes_and_other_sources_name_the_folder(tmp_path):
    (tmp_path / "a.pdf").touch()
    with pytest.raises(LfbtError, match=r"not any signal file \(\.hea, \.npy, \.csv, \.scp, \.dcm, .*\.mfr\)"):
        Folder().listing(tmp_path)
    (tmp_path / "a.SCP").touch()
    with pytest.raises(LfbtError, match="the source folder might fit"):
        PtbXl().listing(tmp_path)


def test_folder_docstring_names_every_suffix():
    assert [suffix for suffix in CLINICAL_FORMATS if f" {suffix}" not in str(Folder.__doc__)] == []


def test_folder_imports_clinical_packages_in_the_process_that_reads_such_files_only(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((2, 5)))
    aecg(tmp_path / "b.xml")
    code = (
        "import sys; from pathlib import Path; from lfbt.sources import Folder\n"
        "formats = {'ecgdatakit', 'pydicom', 'torch'}\n"
        "folder = Folder(file_leads='I,II', file_sampling_rate=500.0)\n"
        f"npy, xml = folder.listing(Path({str(tmp_path)!r})).entries\n"
        "npy.read(); print(sorted(formats & set(sys.modules)))\n"
        "xml.read(); print(sorted(formats & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["[]", "[]"]


def test_folder_asks_for_all_that_is_missing_at_once(tmp_path):
    write_wfdb(tmp_path, "w")
    write(tmp_path / "b.csv", "1.5,2\n")
    np.save(tmp_path / "a.npy", np.zeros((2, 5)))
    message = r"^file_sampling_rate: none given, but .*a\.npy .*; file_leads: none given, but .*a\.npy"
    with pytest.raises(LfbtError, match=message):
        Folder().listing(tmp_path)


def test_folder_reads_upper_case_suffixes(tmp_path):
    write_wfdb(tmp_path, "r", leads=["I", "II"])
    (tmp_path / "r.hea").rename(tmp_path / "r.HEA")
    write(tmp_path / "c.CSV", "I,II\n1,2\n")
    np.save(tmp_path / "a.npy", np.zeros((2, 5)))
    (tmp_path / "a.npy").rename(tmp_path / "a.NPY")
    listing = Folder(file_leads="I,II", file_sampling_rate=500.0).listing(tmp_path)
    assert ids(listing) == ["a", "c", "r"]
    assert [entry.read().signal.shape for entry in listing.entries] == [(2, 5), (2, 1), (2, 40)]


def test_folder_lists_what_it_passes_over(tmp_path):
    write_wfdb(tmp_path, "r")
    for name in ("r.atr", "lost.dat", "old.mat", "a.npz", "README", "x.txt", "sub/y.pdf"):
        write(tmp_path / name, "")
    write(tmp_path / "c.csv", "I,II\n1,2\n")
    edf(tmp_path / "c.edf")
    listing = Folder(file_sampling_rate=500.0).listing(tmp_path)
    assert ids(listing) == ["c", "r"]
    assert drops(listing) == [
        ("README", "README", "passed over: no suffix is no suffix of a signal file"),
        ("a", "a.npz", "passed over: several arrays in one file; save each as .npy"),
        ("c", "c.edf", "passed over: c.csv is read"),
        ("lost", "lost.dat", "passed over: no WFDB header lost.hea beside it"),
        ("old", "old.mat", "passed over: no WFDB header old.hea beside it"),
        ("sub/y", "sub/y.pdf", "passed over: .pdf is no suffix of a signal file"),
        ("x", "x.txt", "passed over: .txt is no suffix of a signal file"),
    ]


def test_folder_passes_over_links_to_nothing(tmp_path):
    write_wfdb(tmp_path, "r")
    (tmp_path / "a.hea").symlink_to(tmp_path / "absent.hea")
    (tmp_path / "b.txt").symlink_to(tmp_path / "absent.txt")
    listing = Folder().listing(tmp_path)
    assert ids(listing) == ["r"]
    reason = "passed over: a link to a file that is not there"
    assert drops(listing) == [("a", "a.hea", reason), ("b", "b.txt", reason)]


def test_folder_takes_the_form_of_csv_files_as_given(tmp_path):
    write(tmp_path / "a.csv", "I;II\n1,250;2,500\n")
    (entry,) = Folder(file_sampling_rate=500.0, file_decimal=",").listing(tmp_path).entries
    assert sent(entry).read().signal.tolist() == [[1.25], [2.5]]
    write(tmp_path / "a.csv", "I\tII\n1.25\t2.5\n")
    (entry,) = Folder(file_sampling_rate=500.0, file_separator="tab", file_decimal=".").listing(tmp_path).entries
    assert sent(entry).read().signal.tolist() == [[1.25], [2.5]]
    with pytest.raises(LfbtError, match="file_separator: a comma is the decimal sign already"):
        Folder(file_sampling_rate=500.0, file_separator=",", file_decimal=",").listing(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "record,label,patient\na,SR,1\n",
        "ecg_id,patient_id,age,scp_codes\n1,15709,56,\"{'NORM': 100.0}\"\n",
        "record;label\n1;0\n",
        "Recording,First_label,Second_label\nA0001,5,\n",
        "filename,target\na.csv,1\n",
    ],
)
def test_folder_passes_over_tables_about_records(tmp_path, text):
    write(tmp_path / "a.csv", "II,V1\n1,2\n")
    write(tmp_path / "table.csv", text)
    listing = Folder(file_sampling_rate=500.0).listing(tmp_path)
    assert ids(listing) == ["a"]
    ((_, file, reason),) = drops(listing)
    assert file == "table.csv"
    assert reason.startswith("passed over: a table with the column ")


@pytest.mark.parametrize("header", ["ECG", "ecg", "MLII", "ECG I,patient", "time (s),X,Y,Z", "lead1,lead2"])
def test_folder_takes_other_names_for_leads(tmp_path, header):
    write(tmp_path / "a.csv", f"{header}\n" + ",".join(["0"] * len(header.split(","))) + "\n")
    assert ids(Folder(file_sampling_rate=500.0).listing(tmp_path)) == ["a"]


def test_folder_takes_the_rate_of_csv_files_from_their_times(tmp_path):
    write(tmp_path / "a.csv", "time (s),II\n" + "".join(f"{i / 250},{i % 7}\n" for i in range(500)))
    write(tmp_path / "b.csv", "time (ms),II\n" + "".join(f"{i * 2},{i % 7}\n" for i in range(500)))
    entries = Folder().listing(tmp_path).entries
    assert [entry.read().sampling_rate for entry in entries] == [250, 500]
    write(tmp_path / "c.csv", "time,II\n0,1\n")
    with pytest.raises(LfbtError, match=r"file_sampling_rate: none given, but .*c\.csv does not state its own"):
        Folder().listing(tmp_path)


def test_folder_leaves_a_corrupt_csv_to_its_reader(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfeI")
    (entry,) = Folder(file_sampling_rate=500.0).listing(tmp_path).entries
    with pytest.raises(UnreadableError, match="utf-16"):
        entry.read()


@pytest.mark.parametrize(
    "splits",
    [("Train", "Val", "Test"), ("training", "validation", "testing"), ("TRAIN", "dev"), ("trainset", "test_set")],
)
def test_folder_refuses_splits_in_another_spelling_as_classes(tmp_path, splits):
    for split in splits:
        for label in "AB":
            write_wfdb(tmp_path / split / label, f"{split}{label}")
    with pytest.raises(LfbtError, match="is likely a split, which is called train, val, test here; rename it"):
        Folder(labels="folders").listing(tmp_path)


@pytest.mark.parametrize(
    ("option", "value"),
    [("leads", "I,II"), ("sampling_rate", 250.0), ("unit", "uV"), ("separator", ";"), ("decimal", ",")],
)
def test_folder_refuses_options_of_plain_files_where_there_are_none(tmp_path, option, value):
    write_wfdb(tmp_path, "r", leads=["I", "II"])
    edf(tmp_path / "c.edf")
    options: dict[str, Any] = {f"file_{option}": value}
    message = f"^file_{option}: {value} is for .npy and .csv files, but there are none"
    with pytest.raises(LfbtError, match=message):
        Folder(**options).listing(tmp_path)
    write(tmp_path / "d.csv", "I,II\n1,2\n")
    assert len(Folder(**{"file_sampling_rate": 500.0, **options}).listing(tmp_path).entries) == 3


def test_folder_takes_leads_to_the_highest_rate_when_told_to(tmp_path):
    edf(tmp_path / "c.edf", per_record=(25, 5))
    write_wfdb(tmp_path, "r", leads=["I", "II"])
    (entry, _) = Folder().listing(tmp_path).entries
    with pytest.raises(UnreadableError, match="--resample-leads of lfbt prepare folder"):
        entry.read()
    resampled, plain = map(sent, Folder(resample_leads=True).listing(tmp_path).entries)
    assert resampled.read().notes == ("leads resampled to 500 Hz: II from 100 Hz",)
    assert (resampled.read().signal.shape, plain.read().notes) == ((2, 50), ())


def test_folder_reads_samples_with_annotations_and_passes_over_tables(tmp_path):
    write(tmp_path / "a.csv", "ECG,annotation\n" + "".join(f"{i % 7 / 10},N\n" for i in range(500)))
    write(tmp_path / "b.csv", "ECG,annotation\n12,N\n13,AF\n")
    listing = Folder(file_sampling_rate=500.0).listing(tmp_path)
    (entry,) = listing.entries
    recording = entry.read()
    assert (recording.leads, recording.notes) == (("ECG",), ("left out as no leads: annotation",))
    (dropped,) = listing.dropped
    assert dropped.reason.endswith("column annotation, not samples; if these are samples, name the leads (I, II)")


def test_folder_names_workbooks(tmp_path):
    write(tmp_path / "a.csv", "I\n0.5\n")
    write(tmp_path / "b.xlsx", "")
    (dropped,) = Folder(file_sampling_rate=500.0).listing(tmp_path).dropped
    assert dropped.reason == "passed over: a workbook; if it holds samples, save the sheet as CSV"


def download(folder, source):
    """A few files by which a download is known, and WFDB records below."""
    own = {"ptbxl": ("ptbxl_database.csv", "scp_statements.csv"), "mimic-iv-ecg": ("record_list.csv",)}
    for name in own.get(source, ()):
        write(folder / name, "ecg_id\n1\n")
    inside = {"ptbxl": "records100/00000", "mimic-iv-ecg": "files/p1000/p10000032/s40689238", "ptb": "patient001"}[
        source
    ]
    write_wfdb(folder / inside, "s0010_re" if source == "ptb" else "00001_lr")
    return folder / inside


@pytest.mark.parametrize("source", ["ptbxl", "mimic-iv-ecg", "ptb"])
def test_folder_refuses_a_known_download_and_a_part_of_it(tmp_path, source):
    inside = download(tmp_path / "dl", source)
    message = (
        rf"^source folder: {tmp_path}/dl\S* has the files of a download of {source}, .*; prepare it with lfbt prepare "
        rf"{source} {tmp_path}/dl\S*, state patients and labels yourself with --labels table, or, if these are your own"
    )
    for folder in [tmp_path / "dl", *([inside] if source != "ptb" else [])]:
        with pytest.raises(LfbtError, match=message):
            Folder().listing(folder)
        # As its files are read to answer about them, whoever the patients are.
        assert len(Folder().find(folder).entries) == 1


def test_folder_takes_a_known_download_with_a_table_of_patients(tmp_path):
    download(tmp_path / "dl", "ptbxl")
    table = write(tmp_path / "t.csv", "record,patient\n00001_lr,7\n")
    (entry,) = Folder(labels="table", table=table).listing(tmp_path / "dl").entries
    assert entry.patient == "7"


@pytest.mark.parametrize("rate", [0.5, 4.9, 5e4 + 1, 1e308])
def test_folder_refuses_rates_that_no_ecg_has(tmp_path, rate):
    write(tmp_path / "a.csv", "II\n1\n")
    message = rf"^file_sampling_rate: {re.escape(f'{rate:g}')} Hz is none of an ECG; allowed: 5 to 50000 Hz"
    with pytest.raises(LfbtError, match=message):
        Folder(file_sampling_rate=rate).listing(tmp_path)


def test_folder_says_that_a_table_of_files_writes_them_otherwise(tmp_path):
    write(tmp_path / "from" / "Sub" / "a.csv", "II\n1\n")
    table = write(tmp_path / "t.csv", "file,sampling_rate\nsub\\A.csv,250\n")
    listing = Folder(file_table=table).listing(tmp_path / "from")
    assert listing.entries[0].read().sampling_rate == 250
    assert listing.assumption == (
        "t.csv writes 1 file in another case or with backslashes, such as sub\\A.csv for Sub/a.csv"
    )


@pytest.mark.parametrize("leads", ["II,I", "V1,V2", "I,II,III"])
def test_folder_refuses_leads_that_the_headers_of_all_files_contradict(tmp_path, leads):
    path = write(tmp_path / "a.csv", "I,II\n1,2\n3,-4\n")
    options: dict[str, Any] = {"file_sampling_rate": 500.0}
    with pytest.raises(
        LfbtError, match=rf"file_leads: {leads} contradicts {path}, whose header names I,II; leave it out"
    ):
        Folder(file_leads=leads, **options).listing(tmp_path)
    assert Folder(file_leads="i,ii", **options).listing(tmp_path).entries[0].read().leads == ("I", "II")
    # They may be those of another file, unless a table states them of this one.
    np.save(tmp_path / "b.npy", np.zeros((len(leads.split(",")), 20)))
    assert len(Folder(file_leads=leads, **options).listing(tmp_path).entries) == 2
    table = write(tmp_path / "t.csv", f'file,leads\na.csv,"{leads}"\nb.npy,"{leads}"\n')
    with pytest.raises(LfbtError, match=rf"file_leads: {leads} contradicts {path}"):
        Folder(file_table=table, **options).listing(tmp_path)
