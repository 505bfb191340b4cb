"""Copies and held-out patients, within a data set and across several."""

import numpy as np
import pytest
from tests.audit.helpers import SPLIT, generate_ecg, list_excluded, prepare_differently, run_check, tally, write
from tests.factories import write_packed

from lfbt.recording import PAPER_LEADS


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
def test_check_finds_copies_within_a_data_set(tmp_path, rows, severity, kind, exclude, change):
    signals = generate_ecg().copy()
    for row in rows[1:]:
        signals[row] = signals[rows[0]] * {"none": 1, "gain": 0.5, "inverted": -2}[change]
    report = run_check(write(tmp_path / "data", signals))
    assert tally(report) == {kind: 1}
    finding = report.findings[0]
    assert (finding.severity, finding.records) == (severity, tuple(f"r{row}" for row in rows))
    assert all(f"r{row} ({SPLIT[row]})" in finding.message for row in rows)
    assert ("sign changed" in finding.message) == (change == "inverted")
    assert list_excluded(report) == [("data", name) for name in exclude]
    assert {copy.group for copy in report.copies} == {0}
    signs = [np.sign(copy.correlation) for copy in report.copies]
    assert min(signs) == (-1 if change == "inverted" else 1)


def test_find_copies_pairs_identical_records_with_the_first(tmp_path):
    signals = np.repeat(generate_ecg()[:1], 20, axis=0)
    report = run_check(write(tmp_path / "data", signals))
    assert tally(report) == {"record in two splits": 1}
    assert [(copy.first, copy.second) for copy in report.copies] == [((0, 0), (0, row)) for row in range(1, 20)]
    assert list_excluded(report) == [("data", f"r{row}") for row in range(14)]


def test_check_names_the_number_of_patients_of_copies(tmp_path):
    signals = generate_ecg().copy()
    signals[5] = signals[2]
    same = ["p"] * 20
    of_one = run_check(write(tmp_path / "one", signals, ["train"] * 20, patients=same))
    assert "patients" not in of_one.findings[0].message
    of_two = run_check(write(tmp_path / "two", signals))
    assert "of 2 patients" in of_two.findings[0].message


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
def test_check_finds_copies_across_data_sets(tmp_path, mine, theirs, severity, exclude):
    one = write(tmp_path / "one", split=[mine] * 20)
    others = np.concatenate([generate_ecg(seed=1)[:8], generate_ecg()[3:4]])
    two = write_packed(tmp_path / "two", prepare_differently(others), split=[theirs] * 9, leads=PAPER_LEADS)
    report = run_check(one, two)
    assert report.n_errors == (severity == "error")
    copies = [finding for finding in report.findings if finding.data == ("one", "two")]
    assert [(finding.severity, finding.records) for finding in copies] == [(severity, ("r3", "r0"))]
    assert f"r3 ({mine}) of one" in copies[0].message
    assert f"r0 ({theirs}) of two" in copies[0].message
    assert [f"{name}/{record}" for name, record in list_excluded(report)] == exclude
    assert [(copy.first, copy.second) for copy in report.copies] == [((0, 3), (1, 0))]


def test_check_notes_data_sets_without_a_common_lead(tmp_path):
    one, two = write(tmp_path / "one", leads=("I", "V1")), write(tmp_path / "two", leads=("II", "V2"))
    report = run_check(one, two)
    assert tally(report) == {"limb leads not checked": 2, "data sets not compared": 1}
    assert report.copies == ()


@pytest.mark.parametrize(
    ("source", "synthetic", "n_errors"), [("ptbxl", False, 2), ("ptbxl", True, 0), ("folder", False, 0)]
)
def test_find_test_patients_elsewhere_within_one_published_source(tmp_path, source, synthetic, n_errors):
    about = {"source": {"name": source, "options": {}}, "synthetic": synthetic}
    one = write(tmp_path / "one", **about)
    # Other records of the patients: p3 and p15 to p17 are test in one of both and not in the other.
    split = ["train"] * 20
    split[3] = "test"
    split[18] = split[19] = "test"
    two = write(tmp_path / "two", generate_ecg(seed=1), split=split, **about)
    report = run_check(one, two)
    kind = "test patient of one data set in another's training data"
    expected = {"p3": ("two", "one"), "p14": ("one", "two"), "p15": ("one", "two"), "p16": ("one", "two")}
    expected["p17"] = ("one", "two")
    datasets_of = {finding.message.split()[1]: finding.data for finding in report.findings if finding.kind == kind}
    assert datasets_of == (expected if n_errors else {})
    assert list_excluded(report) == ([("one", "r3")] + [("two", f"r{i}") for i in range(14, 18)] if n_errors else [])
