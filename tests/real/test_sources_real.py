"""The sources on the real recordings of ../shared/data, against reads that do not pass through lfbt or wfdb."""

from collections import Counter

import numpy as np
import pytest
import scipy.io

from lfbt.errors import UnreadableError
from lfbt.io.wfdb import read_wfdb
from lfbt.recording import STANDARD_LEADS
from lfbt.sources import Challenge, Chapman, Cpsc2018, CpscExtra, Folder, Georgia, Ningbo, PtbXl
from lfbt.sources.cpsc2018 import _labels_of
from lfbt.sources.ptbxl import Labels

pytestmark = pytest.mark.real


def test_ptbxl_lists_labels_and_folds(shared_data):
    listing = PtbXl().listing(shared_data / "ptbxl")
    single = [entry for entry in listing.entries if len(entry.labels) == 1]
    assert (len(listing.entries), len(listing.dropped), len(single)) == (500, 0, 415)
    counts = Counter(entry.labels[0] for entry in single)
    assert counts == {"NORM": 290, "STTC": 51, "CD": 37, "MI": 31, "HYP": 6}
    assert Counter(entry.split for entry in single) == {"train": 302, "val": 58, "test": 55}
    assert len({entry.patient for entry in listing.entries}) == 466
    # As PTB-XL's paper has them: 44 diagnostic, 19 form and 12 rhythm statements, four of which are of two kinds.
    rules: tuple[Labels, ...] = ("subclass", "diagnostic", "form", "rhythm", "statements")
    assert [len(PtbXl(labels).listing(shared_data / "ptbxl").classes) for labels in rules] == [23, 44, 19, 12, 71]


def test_ptbxl_reads_signals(shared_data):
    for entry in PtbXl().listing(shared_data / "ptbxl").entries[::50]:
        steps = np.fromfile(entry.file.with_suffix(".dat"), "<i2").reshape(-1, 12).T
        recording = entry.read()
        assert (recording.leads, recording.sampling_rate) == (STANDARD_LEADS, 500)
        np.testing.assert_array_equal(recording.signal, (steps / 1000).astype(np.float32))


def test_challenge_reads_all_records(shared_data):
    listing = Challenge(labels="codes").listing(shared_data / "challenge")
    assert (len(listing.entries), listing.dropped) == (108, [])
    mended = 0
    for entry in listing.entries:
        text = entry.file.read_text()
        lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
        mended += "." in lines[0][0]
        gains = np.array([float(line[2].split("/")[0].split("(")[0]) for line in lines[1:]])
        offsets = np.array([float(line[4]) for line in lines[1:]])
        steps = np.fromfile(entry.file.with_suffix(".mat"), "<i2", offset=24).reshape(-1, len(gains)).T
        expected = (steps - offsets[:, None]) / gains[:, None]
        expected[steps == -32768] = np.nan
        recording = entry.read()
        assert recording.sampling_rate == float(lines[0][2])
        assert recording.leads == tuple(line[-1] for line in lines[1:])
        np.testing.assert_allclose(recording.signal, expected, rtol=1e-6, atol=0)
        dx = next(line for line in text.splitlines() if line.startswith(("#Dx:", "# Dx:")))
        assert set(entry.labels) == {code.strip() for code in dx.split(":")[1].split(",")} - {""}
    assert mended == 7
    assert {"RBBB", "AF", "I-AVB"} == {code for code in listing.classes if not code.isdecimal()}


@pytest.mark.parametrize(("source", "letter"), [(Georgia(), "E"), (CpscExtra(), "Q")])
def test_parts_of_the_challenge_list_and_read_their_records(shared_data, source, letter):
    entries = source.listing(shared_data / "challenge").entries
    names = sorted(path.stem for path in (shared_data / "challenge").rglob(f"{letter}*.hea"))
    assert sorted(entry.id.rpartition("/")[2] for entry in entries) == names
    assert all(entry.read().leads == STANDARD_LEADS for entry in entries)


def test_ningbo_lists_its_records(shared_data):
    listing = Ningbo().listing(shared_data / "challenge")
    names = [file.stem for file in sorted((shared_data / "challenge").glob("JS*.hea")) if file.stem >= "JS10647"]
    assert [entry.id for entry in listing.entries] == names
    assert len(names) == 32


def test_read_wfdb_refuses_a_malformed_header(shared_data):
    with pytest.raises(UnreadableError, match=r"malformed_E00009\.hea: .*E00009\.mat is absent"):
        read_wfdb(shared_data / "formats" / "malformed_E00009.hea")


def test_cpsc2018_reads_table_and_signals(shared_data):
    labels = _labels_of([shared_data / "cpsc2018" / "REFERENCE.csv"])
    assert len(labels) == 6877
    assert sum(len(found) == 1 for found in labels.values()) == 6400
    # The one row with a label given twice, which makes 6,400 and not 6,401 of them single.
    assert [name for name, found in labels.items() if len(set(found)) < len(found)] == ["A0953"]
    listing = Cpsc2018().listing(shared_data / "cpsc2018")
    assert [entry.id for entry in listing.entries] == [f"A{number}" for number in range(1980, 1990)]
    assert len(listing.dropped) == 6867
    for entry in listing.entries:
        data = scipy.io.loadmat(entry.file)["ECG"]["data"][0, 0]
        np.testing.assert_array_equal(entry.read().signal, data.astype(np.float32))


def test_chapman_merges_to_the_published_counts(shared_data, tmp_path):
    table = shared_data / "chapman" / "Diagnostics.xlsx"
    (tmp_path / "Diagnostics.xlsx").symlink_to(table)
    first = "MUSE_20180113_171327_27000"
    (tmp_path / f"{first}.csv").write_text("")
    listing = Chapman().listing(tmp_path)
    assert [(entry.id, entry.labels) for entry in listing.entries] == [(first, ("AFIB",))]
    assert len(listing.dropped) == 10_645
    for drop in listing.dropped:
        (tmp_path / drop.file).touch()
    whole = Chapman().listing(tmp_path)
    counts = Counter(label for entry in whole.entries for label in entry.labels)
    assert counts == {"AFIB": 2225, "GSVT": 2307, "SB": 3889, "SR": 2225}
    assert whole.dropped == []


def test_folder_lists_any_folder_of_wfdb_records(shared_data):
    listing = Folder(labels="folders").listing(shared_data / "cinc2011")
    assert Counter(entry.labels for entry in listing.entries) == {("acceptable",): 773, ("unacceptable",): 25}
    assert listing.entries[0].read().signal.shape == (12, 5000)
