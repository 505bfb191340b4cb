"""PTB Diagnostic, on a tiny download in its published form."""

import numpy as np
import pytest
from tests.published_files import RNG, drops, ids, sent, write, write_wfdb

from lfbt.errors import LfbtError
from lfbt.recording import STANDARD_LEADS
from lfbt.sources import Challenge, Ptb

FRANK = ("vx", "vy", "vz")


def write_record(folder, name, reason, steps=None):
    """A header of 15 leads with its two signal files, and comments as published."""
    steps = RNG.integers(-4000, 4000, (15, 60), dtype=np.int16) if steps is None else steps
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{name} 15 1000 {steps.shape[1]}"]
    for row, lead in enumerate((*map(str.lower, STANDARD_LEADS), *FRANK)):
        file = f"{name}.{'dat' if row < 12 else 'xyz'}"
        checksum = int(steps[row].sum(dtype=np.int16))
        lines.append(f"{file} 16 2000 16 0 {steps[row, 0]} {checksum} 0 {lead}")
    lines += ["# age: 81", "# sex: female", "# ECG date: 01/10/1990", "# Diagnose:"]
    lines += [f"# Reason for admission: {reason}", "# Additional diagnoses: Diabetes mellitus"]
    (folder / f"{name}.hea").write_text("\r\n".join(lines) + "\r\n", newline="")
    (folder / f"{name}.dat").write_bytes(steps[:12].T.astype("<i2").tobytes())
    (folder / f"{name}.xyz").write_bytes(steps[12:].T.astype("<i2").tobytes())
    return steps


@pytest.fixture
def ptb(tmp_path):
    steps = write_record(tmp_path / "patient001", "s0010_re", "Myocardial infarction")
    write_record(tmp_path / "patient001", "s0014lre", "Myocardial infarction")
    write_record(tmp_path / "patient104", "s0306lre", "Healthy control")
    write_record(tmp_path / "patient285", "s0544_re", "n/a")
    return tmp_path, steps


def test_ptb_takes_patients_from_folders_and_diagnoses_from_headers(ptb):
    listing = Ptb().listing(ptb[0])
    assert ids(listing) == ["s0010_re", "s0014lre", "s0306lre", "s0544_re"]
    assert [entry.patient for entry in listing.entries] == ["patient001", "patient001", "patient104", "patient285"]
    infarction = ("Myocardial infarction",)
    assert [entry.labels for entry in listing.entries] == [infarction, infarction, ("Healthy control",), ()]
    assert listing.classes == ("Healthy control", "Myocardial infarction")
    none = Ptb(labels="none").listing(ptb[0])
    assert (none.classes, {entry.labels for entry in none.entries}) == ((), {()})


def test_ptb_reads_both_signal_files(ptb):
    folder, steps = ptb
    recording = sent(Ptb().listing(folder).entries[0]).read()
    assert (recording.leads, recording.sampling_rate) == ((*STANDARD_LEADS, *FRANK), 1000.0)
    np.testing.assert_allclose(recording.signal, steps / 2000, rtol=1e-6)


def test_ptb_refuses_other_headers_and_drops_those_that_cannot_be_opened(ptb):
    folder, _ = ptb
    (folder / "patient001" / "s0016lre.hea").symlink_to(folder / "absent.hea")
    assert [(name, reason.split(":")[0]) for name, _, reason in drops(Ptb().listing(folder))] == [
        ("s0016lre", "header unreadable")
    ]
    write_wfdb(folder / "patient002", "s0015lre")
    with pytest.raises(LfbtError, match=r"s0015lre\.hea: no comment 'Reason for admission'"):
        Ptb().listing(folder)
    write_wfdb(folder / "other", "A0001")
    with pytest.raises(LfbtError, match=r"but not any header in a patient's folder, such as patient001/s0010_re\.hea"):
        Ptb().listing(folder / "other")
    write_record(folder / "patient003", "s0010_re", "Cardiomyopathy")
    (folder / "patient002" / "s0015lre.hea").unlink()
    with pytest.raises(LfbtError, match="record s0010_re is a duplicate"):
        Ptb().listing(folder)


def test_ptb_has_labels_without_the_separator_of_labels(tmp_path):
    write_record(tmp_path / "patient001", "s0010_re", "Heart failure (NYHA 2); stable")
    assert Ptb().listing(tmp_path).classes == ("Heart failure (NYHA 2), stable",)


def test_challenge_does_not_take_ptb_without_its_patients(ptb):
    write(ptb[0] / "RECORDS", "")
    with pytest.raises(LfbtError, match="is a download of ptb; prepare it with that source"):
        Challenge().listing(ptb[0])


def test_ptb_refuses_labels_that_no_record_has(tmp_path):
    write_record(tmp_path / "patient285", "s0544_re", "n/a")
    with pytest.raises(LfbtError, match=r"labels: diagnosis, but no record of .* has a label; give labels none"):
        Ptb().listing(tmp_path)
    assert ids(Ptb(labels="none").listing(tmp_path)) == ["s0544_re"]


def test_ptb_drops_a_header_with_two_reasons_that_differ(ptb):
    folder, _ = ptb
    header = folder / "patient104" / "s0306lre.hea"
    header.write_text(header.read_text() + "# Reason for admission: Healthy control\n")
    assert Ptb().listing(folder).entries[2].labels == ("Healthy control",)
    header.write_text(header.read_text() + "# Reason for admission: n/a\n")
    listing = Ptb().listing(folder)
    assert ids(listing) == ["s0010_re", "s0014lre", "s0544_re"]
    assert drops(listing) == [("s0306lre", str(header), "several reasons for admission: 'Healthy control' and 'n/a'")]
    assert len(Ptb(labels="none").listing(folder).entries) == 4
