"""What `lfbt check` finds in small data sets of synthetic ECG, spoilt in each way, and what it leaves alone."""

import csv
import dataclasses
import functools
import json

import numpy as np
import pytest
import scipy.signal
from tests.helpers_model import write_packed

import lfbt.audit.reference_counts as published_module
from lfbt.audit.checks import CheckSettings, check, report_text
from lfbt.audit.reference_counts import compare_counts
from lfbt.cli.app import main
from lfbt.data.dataset import open_dataset
from lfbt.errors import LfbtError
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS
from lfbt.signal import fit_samples
from lfbt.sources.synthesis import make_record

N_SAMPLES = 512
SPLIT = ["train"] * 10 + ["val"] * 4 + ["test"] * 6


@functools.cache
def hearts(seed=0, n_records=20, n_samples=N_SAMPLES):
    """Synthetic ECG ``[records, 12 leads, samples]``, ten seconds in mV."""
    signals = [make_record(seed, number).signal.astype(np.float32) for number in range(1, n_records + 1)]
    return np.stack([fit_samples(signal, 5000, n_samples) for signal in signals])


def write(folder, signals=None, split=SPLIT, leads=STANDARD_LEADS, **changes):
    signals = hearts() if signals is None else signals
    rows = [STANDARD_LEADS.index(lead) for lead in leads]
    return write_packed(folder, signals[:, rows], split=split, leads=leads, **changes)


def found(report, severity=None):
    """How often each kind of thing was found."""
    kinds = [finding.kind for finding in report.findings if severity in (None, finding.severity)]
    return {kind: kinds.count(kind) for kind in kinds}


def checked(*folders, **settings):
    return check(CheckSettings(folders, **settings))


def excluded(report):
    return [(report.names[k], report.datasets[k].ids[row]) for k, row in report.exclude]


def lfbt_check(*words):
    """The status that the command ends with."""
    try:
        main(["check", *map(str, words)])
    except SystemExit as ended:
        return ended.code
    return 0


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# --- what is in order ---


def test_nothing_is_found_where_all_is_well(tmp_path, capsys):
    one = write(tmp_path / "one")
    other = write(tmp_path / "other", hearts(seed=1), leads=PAPER_LEADS)
    report = checked(one, other)
    assert found(report) == {"limb leads not checked": 1}
    assert (report.copies, report.exclude, report.n_errors) == ((), (), 0)
    assert lfbt_check(one, other) == 0
    out = capsys.readouterr().out
    assert "one: 20 records of 20 patients (train 10, val 4, test 6)" in out
    assert "0 errors, 0 warnings" in out


# --- copies in one data set ---


@pytest.mark.parametrize(
    ("rows", "severity", "kind", "exclude"),
    [
        ((2, 17), "error", "record in two splits", ["r2"]),
        ((2, 12), "error", "record in two splits", ["r2"]),
        ((12, 17), "error", "record in two splits", ["r12"]),
        ((2, 5), "warning", "record twice", []),
        ((15, 17), "warning", "record twice", []),
        ((2, 12, 17), "error", "record in two splits", ["r2", "r12"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("change", ["none", "gain", "inverted"])
def test_copies_within_a_data_set(tmp_path, rows, severity, kind, exclude, change):
    signals = hearts().copy()
    for row in rows[1:]:
        signals[row] = signals[rows[0]] * {"none": 1, "gain": 0.5, "inverted": -2}[change]
    report = checked(write(tmp_path / "data", signals))
    assert found(report) == {kind: 1}
    finding = report.findings[0]
    assert (finding.severity, finding.records) == (severity, tuple(f"r{row}" for row in rows))
    assert all(f"r{row} ({SPLIT[row]})" in finding.told for row in rows)
    assert ("sign changed" in finding.told) == (change == "inverted")
    assert excluded(report) == [("data", name) for name in exclude]
    assert {copy.group for copy in report.copies} == {0}
    signs = [np.sign(copy.correlation) for copy in report.copies]
    assert min(signs) == (-1 if change == "inverted" else 1)


def test_many_identical_records_are_one_group_in_as_many_lines(tmp_path):
    signals = np.repeat(hearts()[:1], 20, axis=0)
    report = checked(write(tmp_path / "data", signals))
    assert found(report) == {"record in two splits": 1}
    assert [(copy.first, copy.second) for copy in report.copies] == [((0, 0), (0, row)) for row in range(1, 20)]
    assert excluded(report) == [("data", f"r{row}") for row in range(14)]


def test_copies_of_different_patients_are_told_as_such(tmp_path):
    signals = hearts().copy()
    signals[5] = signals[2]
    same = ["p"] * 20
    assert "patients" not in checked(write(tmp_path / "same", signals, ["train"] * 20, patients=same)).findings[0].told
    assert "of 2 patients" in checked(write(tmp_path / "other", signals)).findings[0].told


# --- copies across data sets ---


def prepared_otherwise(signals):
    """The same records as another would prepare them: 2048 samples, eight leads, z-scored, in another order."""
    rows = [STANDARD_LEADS.index(lead) for lead in PAPER_LEADS]
    other = scipy.signal.resample(signals[::-1], 2048, axis=2)[:, rows]
    return (other - other.mean(axis=(1, 2), keepdims=True)) / other.std(axis=(1, 2), keepdims=True)


@pytest.mark.parametrize(
    ("mine", "theirs", "severity", "exclude"),
    [
        ("train", "test", "error", ["one/r3"]),
        ("val", "test", "error", ["one/r3"]),
        ("test", "train", "error", ["two/r0"]),
        ("train", "val", "warning", []),
        ("train", "train", "warning", []),
        ("test", "test", "warning", []),
    ],
)
def test_copies_across_data_sets(tmp_path, mine, theirs, severity, exclude):
    one = write(tmp_path / "one", split=[mine] * 20)
    others = np.concatenate([hearts(seed=1)[:8], hearts()[3:4]])
    two = write_packed(tmp_path / "two", prepared_otherwise(others), split=[theirs] * 9, leads=PAPER_LEADS)
    report = checked(one, two)
    assert report.n_errors == (severity == "error")
    copies = [finding for finding in report.findings if finding.data == ("one", "two")]
    assert [(finding.severity, finding.records) for finding in copies] == [(severity, ("r3", "r0"))]
    assert f"r3 ({mine}) of one" in copies[0].told
    assert f"r0 ({theirs}) of two" in copies[0].told
    assert [f"{name}/{record}" for name, record in excluded(report)] == exclude
    assert [(copy.first, copy.second) for copy in report.copies] == [((0, 3), (1, 0))]


def test_folders_of_npy_files_are_checked_too(tmp_path):
    signals = prepared_otherwise(hearts())
    for row, split in enumerate(SPLIT):
        place = tmp_path / "npy" / split / ("ab"[row % 2])
        place.mkdir(parents=True, exist_ok=True)
        np.save(place / f"sample_{row}.npy", signals[row].astype(np.float32))
    pretraining = write(tmp_path / "all", split=["train"] * 20)
    report = checked(pretraining, tmp_path / "npy")
    tested = sorted(f"r{19 - row}" for row, split in enumerate(SPLIT) if split == "test")
    assert sorted(name for of, name in excluded(report) if of == "all") == tested
    assert found(report, "error") == {"test record of one data set in another's training data": 6}
    assert found(report, "warning") == {
        "record in two data sets, in other splits": 4,
        "record in two data sets": 10,
    }


def test_data_sets_without_a_common_lead_are_not_compared(tmp_path):
    one, two = write(tmp_path / "one", leads=("I", "V1")), write(tmp_path / "two", leads=("II", "V2"))
    report = checked(one, two)
    assert found(report) == {"limb leads not checked": 2, "data sets not compared": 1}
    assert report.copies == ()


# --- patients ---


def test_a_patient_in_two_splits_is_told_though_training_refuses_the_data(tmp_path):
    patients = [f"p{row}" for row in range(20)]
    patients[1] = patients[16] = patients[18] = "x"
    data = write(tmp_path / "data", patients=patients)
    with pytest.raises(LfbtError, match="a patient is in two splits"):
        open_dataset(data)
    report = checked(data)
    assert found(report) == {"patient in two splits": 1}
    assert report.findings[0].records == ("r1", "r16", "r18")
    assert report.findings[0].told == "patient x is in two splits: r1 (train), r16 (test), r18 (test)"
    assert excluded(report) == [("data", "r1")]
    assert report.datasets[0].labels == ((),) * 20


def test_other_faults_of_a_data_set_are_refused_as_ever(tmp_path):
    data = write(tmp_path / "data", split=["train"] * 19 + ["exam"])
    with pytest.raises(LfbtError, match="has a split that is not one of"):
        checked(data)


@pytest.mark.parametrize(
    ("source", "synthetic", "n_errors"), [("ptbxl", False, 2), ("ptbxl", True, 0), ("folder", False, 0)]
)
def test_patients_of_one_source_are_the_same_persons(tmp_path, source, synthetic, n_errors):
    about = {"source": {"name": source, "options": {}}, "synthetic": synthetic}
    one = write(tmp_path / "one", **about)
    # Other records of the patients: p3 and p15 to p17 are test in one of both and not in the other.
    split = ["train"] * 20
    split[3] = "test"
    split[18] = split[19] = "test"
    two = write(tmp_path / "two", hearts(seed=1), split=split, **about)
    report = checked(one, two)
    kind = "test patient of one data set in another's training data"
    expected = {"p3": ("two", "one"), "p14": ("one", "two"), "p15": ("one", "two"), "p16": ("one", "two")}
    expected["p17"] = ("one", "two")
    told = {finding.told.split()[1]: finding.data for finding in report.findings if finding.kind == kind}
    assert told == (expected if n_errors else {})
    assert excluded(report) == ([("one", "r3")] + [("two", f"r{i}") for i in range(14, 18)] if n_errors else [])


# --- signals ---


def test_bad_signals_are_told_by_record_and_lead(tmp_path):
    signals = hearts().copy()
    signals[0, 6, 7] = np.nan
    signals[1, 7] = 0.3
    signals[2, 8, 100:130] = 6
    signals[3, [3, 4]] = signals[3, [4, 3]]
    signals[4, 1] *= -1
    report = checked(write(tmp_path / "data", signals))
    assert {(finding.severity, finding.kind, finding.records) for finding in report.findings} == {
        ("error", "not finite", ("r0",)),
        ("warning", "flat lead", ("r1",)),
        ("warning", "clipped lead", ("r2",)),
        ("warning", "limb leads contradict each other: aVR and aVL swapped", ("r3",)),
        ("warning", "limb leads contradict each other: II inverted", ("r4",)),
    }
    told = {finding.records[0]: finding.told for finding in report.findings}
    assert told["r0"] == "record r0: NaN or infinity in V1; training refuses it"
    assert told["r1"] == "record r1: V2 does not move"
    assert told["r2"] == "record r2: V3 stands still at its highest or lowest value"
    assert report.findings[0].severity == "error"


# --- published counts ---


@pytest.fixture
def release(monkeypatch):
    """A published data set of twenty recordings in two releases."""
    old = published_module._Published("Old", {"a": 12, "b": 10}, {"train": 12, "val": 4, "test": 6})
    new = published_module._Published("New", {"a": 10, "b": 10}, {"train": 10, "val": 4, "test": 6})
    monkeypatch.setitem(published_module._PUBLISHED, ("ptbxl", "superclass", False), (new, old))


def counted(folder, labels, split):
    about = {"source": {"name": "ptbxl", "options": {"labels": "superclass"}}, "settings": {"keep_multi_label": False}}
    dataset = open_dataset(write(folder, hearts()[: len(labels)], split, labels=labels, **about))
    return compare_counts(dataset, about)


def test_counts_as_published(tmp_path, release):
    found = counted(tmp_path / "data", ["a", "b"] * 10, SPLIT)
    assert (found.told, found.too_many) == ("counts as in New", False)


def test_counts_of_a_part(tmp_path, release):
    found = counted(tmp_path / "data", ["a"] * 9 + ["b"] * 9, SPLIT[1:-1])
    assert found.told == "against New: a 9 of 10, b 9 of 10, train 9 of 10, val 4 of 4, test 5 of 6"
    assert not found.too_many


def test_counts_above_every_release(tmp_path, release):
    found = counted(tmp_path / "data", ["a"] * 7 + ["b"] * 13, SPLIT)
    assert found.too_many
    # More than in the new release, but not in the old one.
    assert not counted(tmp_path / "old", ["a"] * 11 + ["b"] * 9, SPLIT).too_many


def test_pieces_of_a_recording_count_once(tmp_path):
    about = {"source": {"name": "chapman", "options": {"labels": "merged"}}, "settings": {}}
    dataset = open_dataset(write(tmp_path / "data", hearts()[:3], ["train"] * 3, labels=["SB", "SB", "SR"]))
    of_two = dataclasses.replace(dataset, ids=("x-0", "x-1", "y"))
    assert "SB 1 of 3889, SR 1 of 2225" in str(compare_counts(of_two, about))


def test_the_published_numbers_add_up():
    of_ptbxl = published_module._PUBLISHED["ptbxl", "superclass", False]
    assert [sum(release.classes.values()) for release in of_ptbxl] == [16244, 16272]
    for release in of_ptbxl:
        assert sum(release.classes.values()) == sum(release.splits.values())
    (chapman,) = published_module._PUBLISHED["chapman", "merged", False]
    assert sum(chapman.classes.values()) == 10646
    (cpsc,) = published_module._PUBLISHED["cpsc2018", "diagnosis", False]
    assert sum(cpsc.classes.values()) == 6400


# --- what is written, and the status ---


def test_the_folder_that_is_written(tmp_path, capsys):
    signals = hearts().copy()
    signals[17] = signals[2]
    one = write(tmp_path / "one", signals)
    two = write(tmp_path / "two", hearts(seed=1)[:8], split=["train"] * 8)
    assert lfbt_check(one, two, "--out", tmp_path / "out") == 1
    assert "1 errors, 0 warnings" in capsys.readouterr().out
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "check.json",
        "duplicates.csv",
        "exclude.csv",
        "findings.csv",
    ]
    assert rows_of(out / "duplicates.csv") == [
        {
            "data_1": "one", "id_1": "r2", "split_1": "train", "data_2": "one", "id_2": "r17", "split_2": "test",
            "share_of_bits": "1.0", "correlation": "1.0", "group": "0",
        }
    ]  # fmt: skip
    assert rows_of(out / "exclude.csv") == [{"data": "one", "id": "r2", "split": "train"}]
    assert [row["records"] for row in rows_of(out / "findings.csv")] == ["r2;r17"]
    content = json.loads((out / "check.json").read_text())
    assert content["errors"] == content["records_to_exclude"] == 1
    assert content["findings"] == [{"severity": "error", "kind": "record in two splits", "data": ["one"], "count": 1}]
    assert [(of["name"], of["records"], of["splits"]["test"]) for of in content["data"]] == [
        ("one", 20, 6),
        ("two", 8, 0),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "data: none given; name at least one data set"),
        (["absent"], "absent is not a folder; give a packed data set"),
        (["DATA", "DATA"], "is named twice; name each data set once"),
        (["DATA", "--out", "DATA"], "holds other results already"),
    ],
    ids=str,
)
def test_wrong_use_ends_with_status_2(tmp_path, capsys, words, message):
    data = write(tmp_path / "data")
    assert lfbt_check(*[str(data) if word == "DATA" else word for word in words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err + captured.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_data_sets_of_one_name_go_by_their_paths(tmp_path):
    one, two = write(tmp_path / "a" / "data"), write(tmp_path / "b" / "data", hearts(seed=1))
    assert checked(one, two).names == (one.as_posix(), two.as_posix())


def test_the_text_shows_two_examples_of_each_kind(tmp_path):
    signals = hearts().copy()
    signals[:5, 7] = 0
    text = report_text(checked(write(tmp_path / "data", signals)))
    assert "warning       5  flat lead [data]" in text
    assert "record r1: V2 does not move" in text
    assert "record r2" not in text
