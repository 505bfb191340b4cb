"""The sources on tiny downloads in each published form, written here byte by byte and not by lfbt."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
import scipy.io

from lfbt.errors import LfbtError, UnreadableError
from lfbt.io.arrays import read_npy, read_npy_row
from lfbt.io.csv import read_csv
from lfbt.io.matlab import read_cpsc_mat
from lfbt.io.wfdb import read_wfdb
from lfbt.recording import STANDARD_LEADS
from lfbt.sources import SOURCES, Challenge, Chapman, Cpsc2018, Folder, Ningbo, PtbXl, Synthetic
from lfbt.sources.challenge import dx_codes, is_ningbo
from lfbt.sources.listing import Entry, Listing

RNG = np.random.default_rng(0)


def write_wfdb(
    folder, name, steps=None, *, gains=None, units=None, leads=STANDARD_LEADS, record=None, rate=500, dx=None
):
    """A WFDB record of 16-bit samples by hand; `steps` [leads, samples] int16 is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    steps = RNG.integers(-2000, 2000, (len(leads), 40), dtype=np.int16) if steps is None else steps
    lines = [f"{record or name} {len(leads)} {rate} {steps.shape[1]}"]
    for row, lead in enumerate(leads):
        gain, unit = (gains or [1000] * len(leads))[row], (units or ["mV"] * len(leads))[row]
        lines.append(f"{name}.dat 16 {gain}(0)/{unit} 16 0 {steps[row, 0]} 0 0 {lead}")
    lines += [] if dx is None else ["#Age: 50", dx, "#Rx: 1234567"]
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")
    (folder / f"{name}.dat").write_bytes(steps.T.astype("<i2").tobytes())
    return steps


def ids(listing: Listing):
    return [entry.id for entry in listing.entries]


def sent(entry: Entry) -> Entry:
    """`entry` as a worker process gets it."""
    return pickle.loads(pickle.dumps(entry))  # noqa: S301 - written on the same line


def drops(listing: Listing):
    return [(drop.id, drop.file, drop.reason) for drop in listing.dropped]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# --- readers of one file ---


def test_wfdb_is_read_in_mv_by_gain_and_unit_with_standard_lead_names(tmp_path):
    steps = write_wfdb(
        tmp_path, "a", gains=[1000, 200, 1, 4880], units=["mV", "uV", "V", "mv"], leads=["AVR", "lead i", "v1", "X"]
    )
    recording = read_wfdb(tmp_path / "a.hea")
    expected = steps / np.array([[1000], [200], [1], [4880]]) * np.array([[1], [1e-3], [1e3], [1]])
    assert recording.leads == ("aVR", "I", "V1", "X")
    assert recording.sampling_rate == 500
    assert recording.signal.dtype == np.float32
    np.testing.assert_array_equal(recording.signal, expected.astype(np.float32))


def test_wfdb_invalid_samples_are_nan(tmp_path):
    steps = np.full((1, 5), 100, dtype=np.int16)
    steps[0, 2] = -32768
    write_wfdb(tmp_path, "a", steps, leads=["II"])
    np.testing.assert_array_equal(
        read_wfdb(tmp_path / "a.hea").signal[0], np.array([0.1, 0.1, np.nan, 0.1, 0.1], dtype=np.float32)
    )


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("record", ["a.dat", "other", "b-2.mat"])
def test_wfdb_record_names_that_are_not_the_files_are_read(tmp_path, record, newline):
    steps = write_wfdb(tmp_path, "a", record=record)
    header = tmp_path / "a.hea"
    header.write_bytes(("# made by hand\n" + header.read_text()).replace("\n", newline).encode())
    before = sorted(tmp_path.iterdir())
    np.testing.assert_array_equal(read_wfdb(header).signal, (steps / 1000).astype(np.float32))
    assert sorted(tmp_path.iterdir()) == before


def _cut(folder, size):
    data = (folder / "a.dat").read_bytes()
    (folder / "a.dat").write_bytes(data[: int(len(data) * size)])


@pytest.mark.parametrize("record", ["a", "a.dat"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: _cut(d, 0), "cannot be read .*download it"),
        (lambda d: _cut(d, 0.5), "cannot be read .*again"),
        (lambda d: (d / "a.dat").unlink(), r"a\.dat is absent"),
        (lambda d: (d / "a.hea").write_text(""), "not a WFDB record line"),
        (lambda d: (d / "a.hea").write_text("hello world\n"), "cannot be read"),
        (lambda d: (d / "a.hea").write_text("a/3 12 500 5000\n"), "3 segments"),
        (lambda d: (d / "a.hea").write_text("a 0 500 40\n"), "no signal"),
        (lambda d: (d / "a.hea").unlink(), r"a\.hea is absent"),
    ],
)
def test_wfdb_faults_name_the_file(tmp_path, spoil, message, record):
    write_wfdb(tmp_path, "a", record=record)
    spoil(tmp_path)
    with pytest.raises(UnreadableError, match=rf"^file {tmp_path}/a\.hea: .*{message}") as caught:
        read_wfdb(tmp_path / "a.hea")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": ["mmHg", "NU"]}, "none of its signals is a voltage, but (mmHg, NU|NU, mmHg)"),
        ({"leads": ["II", "ii"]}, "two of its leads are named II"),
        ({"leads": ["II", ""]}, "no lead name"),
    ],
)
def test_wfdb_headers_of_other_signals_are_refused(tmp_path, options, message):
    write_wfdb(tmp_path, "a", **({"leads": ["I", "II"]} | options))
    with pytest.raises(UnreadableError, match=message):
        read_wfdb(tmp_path / "a.hea")


def test_wfdb_signals_that_are_no_voltage_are_no_leads(tmp_path):
    write_wfdb(tmp_path, "a", leads=["II", "RESP", "V1"], units=["mV", "NU", "mV"])
    without = read_wfdb(tmp_path / "a.hea")
    (tmp_path / "a.hea").write_text((tmp_path / "a.hea").read_text().replace("/NU", "/mV"))
    whole = read_wfdb(tmp_path / "a.hea")
    assert whole.leads == ("II", "RESP", "V1")
    assert without.leads == ("II", "V1")
    np.testing.assert_array_equal(without.signal, whole.signal[[0, 2]])


@pytest.mark.parametrize(("dtype", "unit", "scale"), [("<f4", "mV", 1.0), (">i2", "uV", 1e-3), ("f8", "V", 1e3)])
def test_npy_is_read_in_mv(tmp_path, dtype, unit, scale):
    array = (RNG.normal(size=(2, 30)) * 50).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    recording = read_npy(tmp_path / "a.npy", ["ii", "V1"], 250.0, unit)
    assert (recording.leads, recording.sampling_rate) == (("II", "V1"), 250.0)
    np.testing.assert_array_equal(recording.signal, (array.astype(float) * scale).astype(np.float32))


def test_npy_row_reads_one_record(tmp_path):
    array = RNG.normal(size=(3, 2, 30)).astype(np.float32)
    np.save(tmp_path / "a.npy", array)
    options: dict[str, Any] = {"leads": ["I", "II"], "sampling_rate": 100.0, "unit": "mV"}
    np.testing.assert_array_equal(read_npy_row(tmp_path / "a.npy", row=2, **options).signal, array[2])
    with pytest.raises(UnreadableError, match=r"shape \[3, 2, 30\].*record 3"):
        read_npy_row(tmp_path / "a.npy", row=3, **options)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), r"shape \[5\], not \[2 leads"),
        (np.zeros((3, 5)), r"shape \[3, 5\]"),
        (np.zeros((2, 5), dtype=complex), "array of complex128"),
        (np.full((2, 5), "x"), "array of <U1"),
        (np.full((2, 5), {}, dtype=object), "Python objects"),
        (np.zeros((2, 0)), r"shape \[2, 0\]"),
    ],
)
def test_npy_of_other_arrays_is_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UnreadableError, match=rf"a\.npy: .*{message}"):
        read_npy(tmp_path / "a.npy", ["I", "II"], 100.0, "mV")


def test_npy_that_is_damaged_is_refused(tmp_path):
    np.save(tmp_path / "whole.npy", np.zeros((2, 500)))
    whole = (tmp_path / "whole.npy").read_bytes()
    path = tmp_path / "a.npy"
    for content in (b"", whole[:10], whole[:90], whole[: len(whole) // 2], b"just text", b"PK\x03\x04zip",
                    whole.replace(b"}", b" ")):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(UnreadableError, match=r"a\.npy: cannot be read"):
            read_npy(path, ["I", "II"], 100.0, "mV")


@pytest.mark.parametrize(
    "text",
    [
        "I,aVR\n1,-4\n2.5,5\n,6\n",
        "1,-4\n2.5,5\n,6\n",
        '\ufeff"I", "avr"\r\n1,-4\r\n2.5,5\r\n,6\r\n',
        ",I,AVR\n0,1,-4\n1,2.5,5\n2,,6\n",
    ],
)
def test_csv_is_read_in_mv_with_and_without_header(tmp_path, text):
    (tmp_path / "a.csv").write_bytes(text.encode())
    recording = read_csv(tmp_path / "a.csv", ["I", "aVR"], 500.0, "uV")
    assert recording.leads == ("I", "aVR")
    np.testing.assert_array_equal(
        recording.signal, np.array([[0.001, 0.0025, np.nan], [-0.004, 0.005, 0.006]], dtype=np.float32)
    )


def test_csv_header_decides_over_given_leads(tmp_path):
    write(tmp_path / "a.csv", "V2,V1\n1,2\n")
    assert read_csv(tmp_path / "a.csv", ["I", "II"], 500.0, "mV").leads == ("V2", "V1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("I,II\n1,2\n3,x\n", "line 3, column 2 holds 'x'"),
        ("1,2\noff,2\n", "line 2, column 1 holds 'off'"),
        ("I;II\n1;2\n", "line 2, column 1 holds '1;2'"),
        ("I,II\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        ("1,2,3\n", r"shape \[3, 1\], not \[2 leads"),
        ("I,i\n1,2\n", "two of its leads are named I"),
        ("I,II\n", "No columns"),
        ("", "No columns"),
    ],
)
def test_csv_faults_say_where(tmp_path, text, message):
    write(tmp_path / "a.csv", text)
    with pytest.raises(UnreadableError, match=rf"a\.csv: .*{message}"):
        read_csv(tmp_path / "a.csv", ["I", "II"], 500.0, "mV")


def test_csv_without_any_lead_names_is_refused(tmp_path):
    with pytest.raises(UnreadableError, match="no header row"):
        read_csv(write(tmp_path / "a.csv", "1,2\n"), None, 500.0, "mV")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe1")
    with pytest.raises(UnreadableError, match="codec"):
        read_csv(tmp_path / "b.csv", ["I"], 500.0, "mV")


def write_mat(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"ECG": {"sex": "Male", "age": 50, "data": data}}, do_compression=True)


def test_cpsc_mat_is_read(tmp_path):
    data = RNG.normal(size=(12, 60))
    write_mat(tmp_path / "A0001.mat", data)
    recording = read_cpsc_mat(tmp_path / "A0001.mat")
    assert (recording.leads, recording.sampling_rate) == (STANDARD_LEADS, 500.0)
    np.testing.assert_array_equal(recording.signal, data.astype(np.float32))


def test_cpsc_mat_faults_name_the_file(tmp_path):
    path = tmp_path / "a.mat"
    write_mat(path, RNG.normal(size=(12, 60)))
    whole = path.read_bytes()
    for content in (b"", whole[:10], whole[:130], whole[: len(whole) // 2], whole[:-1], b"some text\n" * 30,
                    b"\x89HDF\r\n\x1a\n" + bytes(500)):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(UnreadableError, match=r"a\.mat: cannot be read .*expected a MATLAB 5 struct ECG"):
            read_cpsc_mat(path)
    for data, message in ((np.zeros((60, 12)), r"shape \[60, 12\]"), ("text", "not numbers")):
        write_mat(path, data)
        with pytest.raises(UnreadableError, match=message):
            read_cpsc_mat(path)
    scipy.io.savemat(path, {"val": np.zeros((12, 5))})
    with pytest.raises(UnreadableError, match="expected a MATLAB 5 struct ECG"):
        read_cpsc_mat(path)


# --- what all sources share ---


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "synthetic"])
def test_a_folder_that_is_not_the_sources_is_refused_with_what_it_holds(tmp_path, name):
    with pytest.raises(LfbtError, match=r"absent does not exist; give the folder"):
        SOURCES[name]().listing(tmp_path / "absent")
    with pytest.raises(LfbtError, match=r"is a file; give the folder"):
        SOURCES[name]().listing(write(tmp_path / "file.txt", ""))
    write(tmp_path / "full" / "a.pdf", "")
    write(tmp_path / "full" / "b.pdf", "")
    write(tmp_path / "full" / ".hidden" / "a.hea", "")
    with pytest.raises(LfbtError, match=rf"^source {name}: .*full holds 2 \.pdf, but not .*; give another folder"):
        SOURCES[name]().listing(tmp_path / "full")


@pytest.mark.parametrize(
    ("file", "fitting"),
    [
        ("ptbxl_database.csv", "ptbxl"),
        ("REFERENCE.csv", "cpsc2018"),
        ("Diagnostics.xlsx", "chapman"),
        ("x.npy", "folder"),
        ("synthetic.json", "synthetic"),
    ],
)
def test_the_source_that_might_fit_is_named(tmp_path, file, fitting):
    write(tmp_path / "sub" / file, "")
    with pytest.raises(LfbtError, match=f"the source {fitting} might fit|is a download of {fitting}; prepare it with"):
        Challenge().listing(tmp_path)
    write_wfdb(tmp_path / "wfdb", "A1")
    write(tmp_path / "wfdb" / "A1.mat", "")
    with pytest.raises(LfbtError, match="the source challenge might fit"):
        PtbXl().listing(tmp_path / "wfdb")


def test_importing_the_sources_imports_no_heavy_package():
    code = "import sys, lfbt.sources; print(sorted({'pandas', 'wfdb', 'scipy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# --- PTB-XL ---

SCP = """,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
LVH,x,1.0,,,HYP,LVH
NORM,x,1.0,,,NORM,NORM
IMI,x,1.0,,,MI,IMI
AMI,x,1.0,,,MI,AMI
CLBBB,x,1.0,,,CD,CLBBB
DIG,x,1.0,1.0,,STTC,STTC
SR,x,,,1.0,,
ABQRS,x,,1.0,,,
"""
PTBXL_ROWS = [  # ecg_id, patient_id, scp_codes, strat_fold
    (1, "15709.0", "{'NORM': 100.0, 'SR': 0.0}", 1),
    (2, "15709.0", "{'IMI': 0.0, 'AMI': 35.0, 'ABQRS': 0.0}", 8),
    (3, "7.0", "{'LVH': 50.0, 'CLBBB': 0.0, 'IMI': 0.0}", 9),
    (4, "8.0", "{'SR': 0.0}", 10),
    (5, "9.0", "{'DIG': 100.0}", 10),
]


def write_ptbxl(root, rows=PTBXL_ROWS, resolutions=("hr", "lr")):
    lines = ["ecg_id,patient_id,report,scp_codes,strat_fold,filename_lr,filename_hr"]
    steps = {}
    for id, patient, codes, fold in rows:
        names = [f"records{rate}/00000/{id:05d}_{end}" for rate, end in ((100, "lr"), (500, "hr"))]
        lines.append(f'{id},{patient},"two\nlines, é","{codes}",{fold},{names[0]},{names[1]}')
        for name, end, rate in zip(names, ("lr", "hr"), (100, 500), strict=True):
            if end in resolutions:
                path = root / name
                leads = [lead.upper() for lead in STANDARD_LEADS]
                steps[id, end] = write_wfdb(path.parent, path.name, leads=leads, rate=rate)
    write(root / "ptbxl_database.csv", "\n".join(lines) + "\n")
    write(root / "scp_statements.csv", SCP)
    return steps


def test_ptbxl_superclasses_folds_patients_and_signals(tmp_path):
    steps = write_ptbxl(tmp_path / "ptb-xl" / "1.0.3")
    listing = PtbXl().listing(tmp_path)
    assert listing.classes == ("NORM", "MI", "STTC", "CD", "HYP")
    assert ids(listing) == ["1", "2", "3", "4", "5"]
    assert [e.labels for e in listing.entries] == [("NORM",), ("MI",), ("MI", "CD", "HYP"), (), ("STTC",)]
    assert [e.split for e in listing.entries] == ["train", "train", "val", "test", "test"]
    assert [e.patient for e in listing.entries] == ["15709", "15709", "7", "8", "9"]
    assert "superclass" in listing.label_rule
    assert "likelihood" in listing.label_rule
    recording = sent(listing.entries[2]).read()
    assert (recording.id, recording.patient, recording.labels) == ("3", "7", ("MI", "CD", "HYP"))
    assert (recording.sampling_rate, recording.leads) == (500, STANDARD_LEADS)
    np.testing.assert_array_equal(recording.signal, (steps[3, "hr"] / 1000).astype(np.float32))


@pytest.mark.parametrize(
    ("labels", "classes", "third"),
    [
        ("subclass", ("LVH", "NORM", "IMI", "AMI", "CLBBB", "STTC"), ("LVH", "IMI", "CLBBB")),
        ("statements", ("LVH", "NORM", "IMI", "AMI", "CLBBB", "DIG", "SR", "ABQRS"), ("LVH", "IMI", "CLBBB")),
        ("none", (), ()),
    ],
)
def test_ptbxl_other_labels(tmp_path, labels, classes, third):
    write_ptbxl(tmp_path)
    listing = PtbXl(labels=labels).listing(tmp_path)
    assert listing.classes == classes
    assert listing.entries[2].labels == third
    assert listing.entries[3].labels == (("SR",) if labels == "statements" else ())


def test_ptbxl_takes_100_hz_where_there_is_no_500_hz(tmp_path):
    steps = write_ptbxl(tmp_path, resolutions=["lr"])
    recording = PtbXl().listing(tmp_path).entries[0].read()
    assert recording.sampling_rate == 100
    np.testing.assert_array_equal(recording.signal, (steps[1, "lr"] / 1000).astype(np.float32))


def test_ptbxl_rows_without_a_file_are_dropped(tmp_path):
    write_ptbxl(tmp_path)
    (tmp_path / "records500/00000/00002_hr.hea").unlink()
    listing = PtbXl().listing(tmp_path)
    assert ids(listing) == ["1", "3", "4", "5"]
    assert drops(listing) == [("2", "records500/00000/00002_hr.hea", "file absent")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1, "1.0", "{'NORM': 1.0", 1), "scp_codes .* of record 1 is not a dict"),
        ((1, "1.0", "['NORM']", 1), "is not a dict"),
        ((1, "1.0", "__import__('os').getcwd()", 1), "is not a dict"),
        ((1, "1.0", "{'XYZ': 1.0}", 1), "SCP code 'XYZ', which scp_statements.csv lacks"),
        ((1, "1.0", "{'NORM': 1.0}", 11), "strat_fold '11' of record 1"),
        ((1, "", "{'NORM': 1.0}", 1), "patient_id '' of record 1"),
    ],
)
def test_ptbxl_rows_that_cannot_be_right_are_refused(tmp_path, row, message):
    write_ptbxl(tmp_path, [row])
    with pytest.raises(LfbtError, match=message):
        PtbXl().listing(tmp_path)


def test_ptbxl_incomplete_downloads_are_refused(tmp_path):
    write_ptbxl(tmp_path / "a", resolutions=[])
    with pytest.raises(LfbtError, match=r"not any record that ptbxl_database\.csv names.*; complete the download"):
        PtbXl().listing(tmp_path / "a")
    (tmp_path / "a" / "scp_statements.csv").unlink()
    with pytest.raises(LfbtError, match=r"but not scp_statements\.csv; complete"):
        PtbXl().listing(tmp_path / "a")
    write_ptbxl(tmp_path / "b")
    write_ptbxl(tmp_path / "c")
    with pytest.raises(LfbtError, match=r"ptbxl_database\.csv is a duplicate"):
        PtbXl().listing(tmp_path)
    write_ptbxl(tmp_path / "d", [PTBXL_ROWS[0], PTBXL_ROWS[0]])
    with pytest.raises(LfbtError, match="record 1 is a duplicate"):
        PtbXl().listing(tmp_path / "d")
    write(tmp_path / "b" / "ptbxl_database.csv", "ecg_id,patient_id\n")
    with pytest.raises(LfbtError, match="no column scp_codes, strat_fold"):
        PtbXl().listing(tmp_path / "b")


# --- CPSC2018 ---


def test_cpsc2018_labels_and_files_of_several_folders(tmp_path):
    codes = ["1,,", "2,,", "3,,", "4,,", "5,,", "6,,", "7,,", "8,,", "9,,", "9,5,1", "1,,"]
    rows = [f"A{number:04d},{code}" for number, code in enumerate(codes, start=1)]
    write(tmp_path / "REFERENCE.csv", "\r\n".join(["Recording,First_label,Second_label,Third_label", *rows]) + "\r\n")
    data = {number: RNG.normal(size=(12, 20)) for number in range(1, 11)}
    for number, signal in data.items():
        write_mat(tmp_path / f"TrainingSet{number % 3 + 1}" / f"A{number:04d}.mat", signal)
    listing = Cpsc2018().listing(tmp_path)
    assert listing.classes == ("Normal", "AF", "I-AVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE")
    assert ids(listing) == [entry.patient for entry in listing.entries] == [f"A{n:04d}" for n in range(1, 11)]
    assert [entry.labels for entry in listing.entries[:9]] == [(name,) for name in listing.classes]
    assert listing.entries[9].labels == ("Normal", "RBBB", "STE")
    assert {entry.split for entry in listing.entries} == {""}
    assert drops(listing) == [("A0011", "A0011.mat", "file absent")]
    np.testing.assert_array_equal(listing.entries[4].read().signal, data[5].astype(np.float32))
    unlabelled = Cpsc2018(labels="none").listing(tmp_path)
    assert (unlabelled.classes, {entry.labels for entry in unlabelled.entries}) == ((), {()})


def test_cpsc2018_a_label_given_twice_stays_twice(tmp_path):
    write(tmp_path / "REFERENCE.csv", "Recording,First_label,Second_label,Third_label\nA0953,6,6,\nA0954,9,1,\n")
    for name in ("A0953", "A0954"):
        write_mat(tmp_path / f"{name}.mat", np.zeros((12, 5)))
    listing = Cpsc2018().listing(tmp_path)
    assert [entry.labels for entry in listing.entries] == [("PAC", "PAC"), ("Normal", "STE")]
    assert "twice" in listing.label_rule


def test_cpsc2018_tables_may_repeat_but_not_contradict(tmp_path):
    head = "Recording,First_label,Second_label,Third_label\n"
    write(tmp_path / "a" / "REFERENCE.csv", head + "A0001,1,,\n")
    write(tmp_path / "b" / "REFERENCE.csv", head + "A0001,1,,\nA0002,2,,\n")
    with pytest.raises(LfbtError, match=r"not any record that REFERENCE\.csv names.*complete the download"):
        Cpsc2018().listing(tmp_path)
    for name in ("a/A0001.mat", "b/A0002.mat"):
        write_mat(tmp_path / name, np.zeros((12, 5)))
    assert [entry.labels for entry in Cpsc2018().listing(tmp_path).entries] == [("Normal",), ("AF",)]
    write_mat(tmp_path / "b/A0001.mat", np.zeros((12, 5)))
    with pytest.raises(LfbtError, match="record A0001 is a duplicate, as "):
        Cpsc2018().listing(tmp_path)
    write(tmp_path / "b" / "REFERENCE.csv", head + "A0001,2,,\n")
    with pytest.raises(LfbtError, match="A0001 has two rows with different labels"):
        Cpsc2018().listing(tmp_path)
    write(tmp_path / "b" / "REFERENCE.csv", head + "A0003,10,,\n")
    with pytest.raises(LfbtError, match="record A0003 has label '10'; allowed: 1 to 9"):
        Cpsc2018().listing(tmp_path)


# --- Chapman ---


def write_diagnostics(path, rows, columns=("FileName", "Rhythm", "Beat")):
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in (columns, *rows):
        sheet.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


ELEVEN = ["SB", "SR", "AFIB", "ST", "SVT", "AF", "SA", "AT", "AVNRT", "AVRT", "SAAWR"]


def test_chapman_rhythms_are_merged_and_signals_in_mv(tmp_path):
    write_diagnostics(tmp_path / "Diagnostics.xlsx", [(f"R{n}", rhythm, "NONE") for n, rhythm in enumerate(ELEVEN)])
    steps = RNG.integers(-900, 900, (12, 30))
    body = "\n".join(",".join(map(str, row)) for row in steps.T) + "\n"
    for n in range(10):
        header = ",".join(lead.upper() for lead in STANDARD_LEADS[::-1]) + "\n"
        write(tmp_path / "ECGData" / f"R{n}.csv", (header if n % 2 else "") + body)
    listing = Chapman().listing(tmp_path)
    assert listing.classes == ("AFIB", "GSVT", "SB", "SR")
    merged = ["SB", "SR", "AFIB", "GSVT", "GSVT", "AFIB", "SR", "GSVT", "GSVT", "GSVT"]
    assert [entry.labels for entry in listing.entries] == [(name,) for name in merged]
    assert ids(listing) == [entry.patient for entry in listing.entries] == [f"R{n}" for n in range(10)]
    assert drops(listing) == [("R10", "R10.csv", "file absent")]
    first, second = (sent(entry).read() for entry in listing.entries[:2])
    assert (first.leads, second.leads) == (STANDARD_LEADS, STANDARD_LEADS[::-1])
    assert first.sampling_rate == 500
    for recording in (first, second):
        np.testing.assert_array_equal(recording.signal, (steps / 1000).astype(np.float32))
    rhythms = Chapman(labels="rhythm").listing(tmp_path)
    assert set(rhythms.classes) == set(ELEVEN)
    assert [entry.labels for entry in rhythms.entries] == [(name,) for name in ELEVEN[:10]]
    assert Chapman(labels="none").listing(tmp_path).classes == ()


def test_chapman_sinus_irregularity_has_two_names(tmp_path):
    write_diagnostics(tmp_path / "Diagnostics.xlsx", [("R0", "SI", "")])
    write(tmp_path / "R0.csv", "")
    assert Chapman(labels="rhythm").listing(tmp_path).entries[0].labels == ("SA",)


def test_chapman_faults(tmp_path):
    table = tmp_path / "Diagnostics.xlsx"
    write_diagnostics(table, [("R0", "SB", "")])
    with pytest.raises(LfbtError, match=r"not any record that Diagnostics\.xlsx names.*complete the download"):
        Chapman().listing(tmp_path)
    for folder in ("ECGData", "ECGDataDenoised"):
        write(tmp_path / folder / "R0.csv", "")
    with pytest.raises(LfbtError, match=r"R0 is a duplicate, as .*ECGData/R0\.csv and .*Denoised/R0\.csv; move one"):
        Chapman().listing(tmp_path)
    for rows, columns, message in (
        ([("R0", "VF", "")], ("FileName", "Rhythm", "Beat"), "record R0 has rhythm 'VF'; allowed: AFIB"),
        ([("R0", "SB"), ("R0", "SB")], ("FileName", "Rhythm"), "record R0 is a duplicate"),
        ([("R0", "SB")], ("File", "Rhythm"), "no column FileName among File, Rhythm"),
    ):
        write_diagnostics(table, rows, columns)
        with pytest.raises(LfbtError, match=message):
            Chapman().listing(tmp_path)
    for content in (b"", b"text"):
        table.write_bytes(content)
        with pytest.raises(LfbtError, match="cannot be read as a workbook"):
            Chapman().listing(tmp_path)


# --- Challenge and Ningbo ---


@pytest.fixture
def challenge(tmp_path):
    write_wfdb(tmp_path / "cpsc" / "g1", "A0002", dx="#Dx: 59118001,164889003")
    write_wfdb(tmp_path / "cpsc" / "g1", "A0001", dx="# Dx: 426783006 , 59118001 ")
    write_wfdb(tmp_path / "ningbo" / "g1", "JS10647", dx="#Dx:")
    write_wfdb(tmp_path / "ningbo" / "g2", "JS45551", dx="#dx: 164889003,164889003")
    write_wfdb(tmp_path / "chapman", "JS10646")
    return tmp_path


def test_challenge_without_labels_reads_no_header(challenge):
    (challenge / "chapman/JS10646.hea").write_bytes(b"\xff\xff")
    listing = Challenge().listing(challenge)
    assert ids(listing) == ["JS10646", "A0001", "A0002", "JS10647", "JS45551"]
    assert ids(listing) == [entry.patient for entry in listing.entries]
    assert listing.classes == ()
    assert {entry.labels for entry in listing.entries} == {()}


def test_challenge_codes(challenge):
    listing = Challenge(labels="codes").listing(challenge)
    assert listing.classes == ("59118001", "164889003", "426783006")
    assert {entry.id: entry.labels for entry in listing.entries} == {
        "JS10646": (),
        "A0001": ("59118001", "426783006"),
        "A0002": ("59118001", "164889003"),
        "JS10647": (),
        "JS45551": ("164889003",),
    }


def test_challenge_mapping(challenge):
    mapping = write(challenge / "map.csv", "class,code\nSinus,426783006\nAF,164889003\nBlock,59118001\nAF,164890007\n")
    listing = Challenge(labels="mapping", mapping=mapping).listing(challenge)
    assert listing.classes == ("Sinus", "AF", "Block")
    labels = {entry.id: entry.labels for entry in listing.entries}
    assert labels["A0001"] == ("Sinus", "Block")
    assert labels["A0002"] == ("AF", "Block")
    assert "map.csv" in listing.label_rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("code,class\n,AF\n", "code '' with class 'AF'"),
        ("code,class\n1,\n", "code '1' with class ''"),
        ("code,class\n1,A;B\n", "name without ;"),
        ("code,class\n1,AF\n1,SR\n", "code 1 has two classes, AF and SR"),
        ("code,class\n", "no rows"),
        ("code,klass\n1,AF\n", "no column class among code, klass"),
        (None, "cannot be read"),
    ],
)
def test_challenge_mapping_faults(challenge, text, message):
    mapping = challenge / "map.csv"
    if text is not None:
        write(mapping, text)
    with pytest.raises(LfbtError, match=message):
        Challenge(labels="mapping", mapping=mapping).listing(challenge)


@pytest.mark.parametrize("options", [{"labels": "mapping"}, {"labels": "codes", "mapping": Path("m.csv")}])
def test_challenge_options_must_go_together(challenge, options):
    with pytest.raises(LfbtError, match="give a mapping with labels mapping, and only then"):
        Challenge(**options).listing(challenge)


def test_challenge_names_that_stand_twice_become_paths(challenge):
    write_wfdb(challenge / "copy", "A0001")
    listing = Challenge().listing(challenge)
    assert ids(listing) == ["JS10646", "copy/A0001", "cpsc/g1/A0001", "A0002", "JS10647", "JS45551"]
    assert [entry.patient for entry in listing.entries].count("A0001") == 2


def test_challenge_headers_that_cannot_be_opened_are_dropped(challenge):
    (challenge / "cpsc/g1/A0003.hea").symlink_to(challenge / "absent.hea")
    listing = Challenge(labels="codes").listing(challenge)
    assert "A0003" not in ids(listing)
    assert [(drop.id, drop.file) for drop in listing.dropped] == [("A0003", "cpsc/g1/A0003.hea")]
    assert listing.dropped[0].reason.startswith("header unreadable")


def test_dx_comments_end_with_their_line(tmp_path):
    header = write(
        tmp_path / "a.hea", "a 1 500 10\r\na.dat 16 1000 16 0 0 0 0 I\r\n#Dx: 3,20\r\n#Rx: 7\r\n#Dx: 100\r\n"
    )
    assert dx_codes(header) == ("3", "20", "100")


@pytest.mark.parametrize(
    ("comment", "codes"),
    [
        ("#Dx: RBBB,I-AVB, 59118001", ("59118001", "I-AVB", "RBBB")),
        ("#Dx: Unknown", ()),
        ("#Dx: NaN, 5", ("5",)),
        ("#Dx:", ()),
        ("#Dxx: 5", ()),
    ],
)
def test_dx_comments_with_acronyms_and_without_codes(tmp_path, comment, codes):
    assert dx_codes(write(tmp_path / "a.hea", f"a 1 500 10\n{comment}\n#Rx: 7\n")) == codes


def test_challenge_acronyms_are_codes_to_a_mapping_too(tmp_path):
    write_wfdb(tmp_path, "A1386", dx="#Dx: RBBB")
    write_wfdb(tmp_path, "A0001", dx="#Dx: 59118001")
    assert Challenge(labels="codes").listing(tmp_path).classes == ("59118001", "RBBB")
    mapping = write(tmp_path / "map.csv", "code,class\n59118001,Block\nRBBB,Block\n")
    listing = Challenge(labels="mapping", mapping=mapping).listing(tmp_path)
    assert [entry.labels for entry in listing.entries] == [("Block",), ("Block",)]


def test_ningbo_takes_its_own_numbers(challenge):
    listing = Ningbo(labels="codes").listing(challenge)
    assert ids(listing) == ["JS10647", "JS45551"]
    assert listing.classes == ("164889003",)
    assert sum(is_ningbo(f"JS{number:05d}") for number in range(100_000)) == 34_905
    assert not is_ningbo("JS45552")
    assert not is_ningbo("E10647")
    with pytest.raises(LfbtError, match=r"not any header JS10647\.hea to JS45551\.hea"):
        Ningbo().listing(challenge / "cpsc")


# --- a folder of one's own ---


def test_folder_reads_all_three_kinds(tmp_path):
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


def test_folder_passes_over_hidden_files(tmp_path):
    write_wfdb(tmp_path, "r")
    write(tmp_path / "._r.csv", "left by a copy from a Mac")
    write(tmp_path / ".cache" / "s.hea", "")
    assert ids(Folder().listing(tmp_path)) == ["r"]


def test_folder_one_array_of_many_records(tmp_path):
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
        ({"labels": "table"}, "give a table with labels table"),
        ({"table": Path("t.csv")}, "give a table with labels table"),
        ({"labels": "folders", "file_leads": "I,II", "file_sampling_rate": 500.0}, "no record in a class folder"),
    ],
)
def test_folder_options_that_do_not_fit(tmp_path, options, message):
    np.save(tmp_path / "a.npy", np.zeros((2, 5)))
    with pytest.raises(LfbtError, match=message):
        Folder(**options).listing(tmp_path)


def test_folder_csv_needs_leads_only_without_header(tmp_path):
    write(tmp_path / "a.csv", "I,II\n1,2\n")
    assert Folder(file_sampling_rate=500.0).listing(tmp_path).entries[0].read().leads == ("I", "II")
    write(tmp_path / "b.csv", "1,2\n")
    with pytest.raises(LfbtError, match=r"file_leads: none given, but .*b\.csv"):
        Folder(file_sampling_rate=500.0).listing(tmp_path)


def test_folder_labels_from_folders(tmp_path):
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


def test_folder_labels_and_splits_from_folders(tmp_path):
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


def test_folder_class_names_hold_no_semicolon(tmp_path):
    write_wfdb(tmp_path / "a;b", "r")
    with pytest.raises(LfbtError, match="'a;b' cannot be a class"):
        Folder(labels="folders").listing(tmp_path)


def test_folder_table_inside_the_folder(tmp_path):
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
        ("name\nr1\n", "no column record among name"),
        ("", "no column record among none"),
    ],
)
def test_folder_table_faults(tmp_path, text, message):
    write_wfdb(tmp_path / "a", "r1")
    with pytest.raises(LfbtError, match=message):
        Folder(labels="table", table=write(tmp_path / "t.csv", text)).listing(tmp_path)


def test_folder_table_with_an_ambiguous_stem_is_no_match(tmp_path):
    for place in ("a", "b"):
        write_wfdb(tmp_path / place, "r")
    write_wfdb(tmp_path, "s")
    listing = Folder(labels="table", table=write(tmp_path / "t.csv", "record\nr\ns\n")).listing(tmp_path)
    assert ids(listing) == ["s"]
    assert ("r", "r", "file absent") in drops(listing)


def test_folder_two_files_of_one_name_are_refused(tmp_path):
    write_wfdb(tmp_path, "r")
    write(tmp_path / "r.csv", "I,II\n1,2\n")
    with pytest.raises(LfbtError, match="record r is a duplicate"):
        Folder(file_sampling_rate=500.0).listing(tmp_path)


# --- synthetic ---


def test_synthetic_fills_a_folder_once_and_lists_it_again(tmp_path):
    folder = tmp_path / "new" / "download"
    listing = Synthetic(records=14, seed=3).listing(folder)
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    assert listing.label_rule.startswith("SYNTHETIC")
    assert len(listing.entries) == 14
    assert listing.classes == ("NORM", "MI", "STTC", "CD", "HYP")
    assert [*(tmp_path / "new").iterdir()] == [folder]
    assert Synthetic(records=14, seed=3).listing(folder) == listing
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before
    assert listing.entries[0].read().signal.shape == (12, 5000)
    unlabelled = Synthetic(records=14, seed=3, labels="none").listing(folder)
    assert (unlabelled.classes, unlabelled.label_rule[:9]) == ((), "SYNTHETIC")


def test_synthetic_refuses_other_folders(tmp_path):
    Synthetic(records=2).listing(tmp_path / "a")
    with pytest.raises(LfbtError, match="records 2, seed 0, not version 1, records 3, seed 0"):
        Synthetic(records=3).listing(tmp_path / "a")
    with pytest.raises(LfbtError, match="seed 0, not version 1, records 2, seed 1"):
        Synthetic(records=2, seed=1).listing(tmp_path / "a")
    write(tmp_path / "b" / "x.txt", "")
    with pytest.raises(LfbtError, match=r"holds no synthetic records \(no synthetic\.json\)"):
        Synthetic().listing(tmp_path / "b")
    with pytest.raises(LfbtError, match="records: 0 is not 1 to"):
        Synthetic(records=0).listing(tmp_path / "c")
    assert not (tmp_path / "c").exists()
