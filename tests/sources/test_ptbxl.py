"""PTB-XL, on a tiny download in its published form."""

import numpy as np
import pytest
from tests.published_files import drops, ids, sent, write, write_wfdb

from lfbt.errors import LfbtError
from lfbt.recording import STANDARD_LEADS
from lfbt.sources import PtbXl
from lfbt.sources.ptbxl import read_classes

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


def test_ptbxl_lists_superclasses_folds_patients_and_signals(tmp_path):
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
        ("diagnostic", ("LVH", "NORM", "IMI", "AMI", "CLBBB", "DIG"), ("LVH", "IMI", "CLBBB")),
        ("none", (), ()),
    ],
)
def test_ptbxl_lists_other_labels(tmp_path, labels, classes, third):
    write_ptbxl(tmp_path)
    listing = PtbXl(labels=labels).listing(tmp_path)
    assert listing.classes == classes
    assert listing.entries[2].labels == third
    assert listing.entries[3].labels == (("SR",) if labels == "statements" else ())


def test_ptbxl_lists_form_and_rhythm_statements(tmp_path):
    write_ptbxl(tmp_path)
    form, rhythm = (PtbXl(labels=labels).listing(tmp_path) for labels in ("form", "rhythm"))
    # DIG is diagnostic and a form.
    assert (form.classes, rhythm.classes) == (("DIG", "ABQRS"), ("SR",))
    assert [entry.labels for entry in form.entries] == [(), ("ABQRS",), (), (), ("DIG",)]
    assert [entry.labels for entry in rhythm.entries] == [("SR",), (), (), ("SR",), ()]
    assert "form" in form.label_rule
    assert "rhythm" in rhythm.label_rule


@pytest.mark.parametrize("labels", ["superclass", "subclass", "diagnostic", "form", "rhythm", "statements"])
def test_read_classes_agrees_with_the_listing(tmp_path, labels):
    write_ptbxl(tmp_path)
    class_of, classes = read_classes(tmp_path, labels)
    listing = PtbXl(labels=labels).listing(tmp_path)
    assert classes == listing.classes
    for entry, every in zip(listing.entries, PtbXl(labels="statements").listing(tmp_path).entries, strict=True):
        found = {class_of[code] for code in every.labels} - {""}
        assert found == set(entry.labels)


def test_ptbxl_refuses_form_of_a_table_without_that_column(tmp_path):
    write_ptbxl(tmp_path)
    write(tmp_path / "scp_statements.csv", SCP.replace("form", "shape"))
    with pytest.raises(LfbtError, match="no column form"):
        PtbXl(labels="form").listing(tmp_path)


def test_ptbxl_takes_100_hz_where_there_is_no_500_hz(tmp_path):
    steps = write_ptbxl(tmp_path, resolutions=["lr"])
    recording = PtbXl().listing(tmp_path).entries[0].read()
    assert recording.sampling_rate == 100
    np.testing.assert_array_equal(recording.signal, (steps[1, "lr"] / 1000).astype(np.float32))


def test_ptbxl_drops_rows_without_a_file(tmp_path):
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
        ((1, "1.5", "{'NORM': 1.0}", 1), r"patient_id '1\.5' of record 1 is not a whole number"),
        ((1, "nan", "{'NORM': 1.0}", 1), "patient_id 'nan' of record 1"),
    ],
)
def test_ptbxl_refuses_rows_that_cannot_be_right(tmp_path, row, message):
    write_ptbxl(tmp_path, [row])
    with pytest.raises(LfbtError, match=message):
        PtbXl().listing(tmp_path)


def test_ptbxl_refuses_incomplete_downloads(tmp_path):
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


@pytest.mark.parametrize("codes", ["{[1]: 2}", "{('a', [1]): 2}", "[" * 3000, "{'a': 1}.x()", "{1, 2}"])
def test_ptbxl_refuses_codes_that_are_no_dict(tmp_path, codes):
    write_ptbxl(tmp_path, [(1, "1.0", codes, 1)])
    with pytest.raises(LfbtError, match="of record 1 is not a dict of codes"):
        PtbXl().listing(tmp_path)


@pytest.mark.parametrize("name", ["/etc/hostname", "../outside/x", "records500/../../outside/x"])
def test_ptbxl_reads_no_file_outside_the_download(tmp_path, name):
    write_wfdb(tmp_path / "outside", "x", leads=STANDARD_LEADS, rate=500)
    write_ptbxl(tmp_path / "download")
    table = tmp_path / "download" / "ptbxl_database.csv"
    table.write_text(table.read_text().replace("records500/00000/00002_hr", name))
    listing = PtbXl().listing(tmp_path / "download")
    assert ids(listing) == ["1", "3", "4", "5"]
    assert [(item.id, item.file, item.reason) for item in listing.dropped] == [("2", f"{name}.hea", "file absent")]
