"""EchoNext, on a tiny download in its published form."""

import json

import numpy as np
import pytest
from tests.published_files import drops, ids, sent, twelve_leads, write

from lfbt.audit.scan import scan_dataset
from lfbt.data.layouts import open_dataset
from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.errors import LfbtError, UnreadableError
from lfbt.recording import STANDARD_LEADS
from lfbt.sources import EchoNext
from lfbt.sources.echonext import FINDINGS

HEAD = "ecg_key,patient_key,sex,age_at_ecg,split,most_recent_ecg,lvef_value,shd_moderate_or_greater_flag," + ",".join(
    f"{finding}_flag" for finding in FINDINGS
)
# Key, patient, split, composite, findings.
ROWS = [
    ("11", "1", "train", 1, {"lvef_lte_45": 1}),
    ("12", "2", "val", 0, {}),
    ("13", "1", "train", 0, {}),
    ("14", "3", "no_split", 1, {"pasp_gte_45": 1}),
    ("15", "3", "test", 1, {"lvwt_gte_13": 1, "tr_max_gte_32": 1}),
    ("16", "4", "train", 1, {"pericardial_effusion_moderate_large": 1}),
]


def row(key, patient, split, shd, findings):
    flags = [str(findings.get(finding, 0)) for finding in FINDINGS]
    return ",".join([key, patient, "male", "61.0", split, "1", "", str(shd), *flags])


def write_table(folder, rows=ROWS, name="echonext_metadata_100k.csv"):
    return write(folder / name, "\n".join([HEAD, *(row(*cells) for cells in rows)]) + "\n")


def write_array(folder, split, n, leads=STANDARD_LEADS, shape=(1, 2500, 12)):
    """An array of one split in float64, as published; returns the recordings ``[n, leads, samples]``."""
    signals = np.array([twelve_leads(2500, leads) for _ in range(n)], dtype=np.float64)
    signals = np.clip((signals - signals.mean()) / signals.std(), -7, 7)
    np.save(folder / f"EchoNext_{split}_waveforms.npy", signals.transpose(0, 2, 1).reshape(n, *shape))
    return signals


@pytest.fixture
def echonext(tmp_path):
    write_table(tmp_path)
    signals = {
        split: write_array(tmp_path, split, n) for split, n in (("train", 3), ("val", 1), ("test", 1), ("no_split", 1))
    }
    np.save(tmp_path / "EchoNext_train_tabular_features.npy", np.zeros((3, 7)))
    return tmp_path, signals


def test_echonext_finds_records_by_their_place_in_their_split(echonext):
    folder, signals = echonext
    listing = EchoNext().listing(folder)
    assert ids(listing) == ["11", "12", "13", "15", "16"]
    assert [entry.patient for entry in listing.entries] == ["1", "2", "1", "3", "4"]
    assert [entry.split for entry in listing.entries] == ["train", "val", "train", "test", "train"]
    no_split = "no split: an earlier ECG of a patient of val or test"
    assert drops(listing) == [("14", "EchoNext_no_split_waveforms.npy", no_split)]
    places = (("train", 0), ("val", 0), ("train", 1), ("test", 0), ("train", 2))
    for entry, (split, place) in zip(listing.entries, places, strict=True):
        recording = sent(entry).read()
        assert (recording.leads, recording.sampling_rate, recording.in_mv) == (STANDARD_LEADS, 250.0, False)
        np.testing.assert_array_equal(recording.signal, signals[split][place].astype(np.float32))
    assert not listing.in_mv
    assert "leads are taken for I,II,III,aVR,aVL,aVF,V1" in listing.assumption


def test_echonext_reads_the_composite_and_the_findings(echonext):
    folder, _ = echonext
    shd = EchoNext().listing(folder)
    assert shd.classes == ("shd", "no_shd")
    assert [entry.labels for entry in shd.entries] == [("shd",), ("no_shd",), ("no_shd",), ("shd",), ("shd",)]
    assert "not measured counts as absent" in shd.label_rule
    findings = EchoNext(labels="findings").listing(folder)
    assert findings.classes == (*FINDINGS, "other")
    assert len(FINDINGS) == 11
    assert [entry.labels for entry in findings.entries] == [
        ("lvef_lte_45",),
        ("other",),
        ("other",),
        ("lvwt_gte_13", "tr_max_gte_32"),
        ("pericardial_effusion_moderate_large",),
    ]
    none = EchoNext(labels="none").listing(folder)
    assert (none.classes, {entry.labels for entry in none.entries}) == ((), {()})


def test_echonext_reads_a_part_of_the_download_and_either_spelling(echonext):
    folder, signals = echonext
    for split in ("train", "no_split"):
        (folder / f"EchoNext_{split}_waveforms.npy").unlink()
    (folder / "echonext_metadata_100k.csv").rename(folder / "EchoNext_metadata_100k.csv")
    listing = EchoNext().listing(folder)
    assert ids(listing) == ["12", "15"]
    assert [reason for _, _, reason in drops(listing)].count("file absent") == 3
    np.testing.assert_array_equal(listing.entries[1].read().signal, signals["test"][0].astype(np.float32))
    assert "EchoNext_metadata_100k.csv" in listing.label_rule
    write_table(folder)
    with pytest.raises(LfbtError, match=r"is a duplicate, as .*EchoNext_metadata_100k\.csv and .*echonext_meta"):
        EchoNext().listing(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("11,1,male,61.0,train,1,,1,1", "11,1,male,61.0,train,1,,1,", r"lvef_lte_45_flag of record 11 has '', which"),
        ("11,1,male,61.0,train,1,,1,1", "11,1,male,61.0,train,1,,1,2", r"lvef_lte_45_flag of record 11 has '2', which"),
        ("12,2,male,61.0,val", "12,2,male,61.0,valid", r"record 12 has split 'valid'; allowed: train, val, test, no_"),
        ("12,2,male,61.0,val", "13,2,male,61.0,val", "record 13 is a duplicate"),
        ("14,3,male,61.0,no_split", "12,3,male,61.0,no_split", "record 12 is a duplicate"),
        ("12,2,male,61.0,val", "12,NA,male,61.0,val", "record 12 has patient 'NA', which is none"),
        ("12,2,male,61.0,val", "12,2,male,61.0,train", r"has 4 rows of split train, but EchoNext_train_w.* has 3 rec"),
        (",split,", ",fold,", "no column split among ecg_key"),
        ("lvef_lte_45_flag", "lvef_lte_45", "no column lvef_lte_45_flag among ecg_key"),
    ],
)
def test_echonext_refuses_tables_that_cannot_be_right(echonext, old, new, message):
    table = echonext[0] / "echonext_metadata_100k.csv"
    assert table.read_text().count(old) == 1
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(LfbtError, match=message):
        EchoNext(labels="findings").listing(echonext[0])


def test_echonext_takes_flags_as_programs_of_tables_write_them(echonext):
    table = echonext[0] / "echonext_metadata_100k.csv"
    before = [entry.labels for entry in EchoNext(labels="findings").listing(echonext[0]).entries]
    rewritten = [line.rsplit(",", 12) for line in table.read_text().splitlines()]
    words = {"0": "0.0", "1": "1.0"}, {"0": "FALSE", "1": "True"}
    lines = [
        ",".join([start, *(words[number % 2].get(flag, flag) for flag in flags)])
        for number, (start, *flags) in enumerate(rewritten)
    ]
    table.write_text("\n".join(lines) + "\n")
    assert [entry.labels for entry in EchoNext(labels="findings").listing(echonext[0]).entries] == before


def test_echonext_refuses_arrays_that_cannot_be_right(echonext):
    folder, _ = echonext
    write_array(folder, "no_split", 2)
    with pytest.raises(LfbtError, match=r"has 1 rows of split no_split, but EchoNext_no_split_waveforms\.npy has 2"):
        EchoNext().listing(folder)
    write_array(folder, "train", 3, shape=(2500, 12))
    with pytest.raises(LfbtError, match=r"an array of shape \[3, 2500, 12\], not \[recordings, 1, 2500, 12\]"):
        EchoNext().listing(folder)
    write_array(folder, "train", 3, leads=("I", "II", "III", "aVL", "aVF", "aVR", *STANDARD_LEADS[6:]))
    with pytest.raises(LfbtError, match=r"not in the order I,II,III,aVR,aVL,aVF,V1.* fit I,II,III,aVL,aVF,aVR there"):
        EchoNext().listing(folder)
    array = folder / "EchoNext_train_waveforms.npy"
    array.write_bytes(array.read_bytes()[:-8])
    with pytest.raises(UnreadableError, match=r"EchoNext_train_waveforms\.npy: cannot be read"):
        EchoNext().listing(folder)
    for split in ("train", "val", "test"):
        (folder / f"EchoNext_{split}_waveforms.npy").unlink()
    with pytest.raises(LfbtError, match=r"but not any EchoNext_train_waveforms\.npy, .*; complete the download"):
        EchoNext().listing(folder)


@pytest.mark.parametrize("scale", [1, 1000])
def test_echonext_becomes_a_data_set_of_z_scores_whose_voltages_are_not_checked(echonext, tmp_path_factory, scale):
    """A scale of 1000 is one that no voltage has."""
    folder, signals = echonext
    for split, n in (("train", 3), ("val", 1), ("test", 1)):
        np.save(folder / f"EchoNext_{split}_waveforms.npy", signals[split].transpose(0, 2, 1)[:, None] * scale)
        assert len(signals[split]) == n
    target = tmp_path_factory.mktemp("prepared") / "data"
    settings = PrepareSettings(leads=STANDARD_LEADS, n_samples=2500, workers=1)
    report = prepare_dataset(EchoNext(), "echonext", folder, target, settings)
    assert (report.records, report.patients, report.sizes) == (5, 4, {"train": 3, "val": 1, "test": 1})
    manifest = json.loads((target / "dataset.json").read_text())
    assert (manifest["unit"], manifest["format"]) == ("z-score (data set)", 1)
    assert manifest["settings"]["allow_implausible"] is False
    dataset = open_dataset(target)
    assert not dataset.in_mv
    np.testing.assert_array_equal(dataset.signals[np.array([0])][0], (signals["train"][0] * scale).astype(np.float32))
    dataset.check_voltages()
    findings = scan_dataset("data", target, 0, allow_implausible=False).findings
    assert [finding.kind for finding in findings if "voltage" in finding.kind] == []


def test_echonext_in_two_splits_is_refused(echonext, tmp_path_factory):
    table = echonext[0] / "echonext_metadata_100k.csv"
    table.write_text(table.read_text().replace("12,2,", "12,1,"))
    target = tmp_path_factory.mktemp("prepared") / "data"
    with pytest.raises(LfbtError, match="patient 1 is in split train and, with record 12, in val"):
        prepare_dataset(EchoNext(), "echonext", echonext[0], target, PrepareSettings(n_samples=64, workers=1))
