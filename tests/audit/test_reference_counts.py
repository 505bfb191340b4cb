"""Class counts beside those of published data sets."""

import dataclasses

import pytest
from tests.audit.helpers import SPLIT, generate_ecg, write

import lfbt.audit.reference_counts as module
from lfbt.audit.reference_counts import compare_counts
from lfbt.data.layouts import open_dataset


@pytest.fixture
def release(monkeypatch):
    """A published data set of twenty recordings in two releases."""
    old = module.ReferenceCounts("Old", {"a": 12, "b": 10}, {"train": 12, "val": 4, "test": 6})
    new = module.ReferenceCounts("New", {"a": 10, "b": 10}, {"train": 10, "val": 4, "test": 6})
    monkeypatch.setitem(module._REFERENCES, ("ptbxl", "superclass", False), (new, old))


def compare(folder, labels, split):
    about = {"source": {"name": "ptbxl", "options": {"labels": "superclass"}}, "settings": {"keep_multi_label": False}}
    dataset = open_dataset(write(folder, generate_ecg()[: len(labels)], split, labels=labels, **about))
    return compare_counts(dataset)


def test_compare_counts_recognises_a_release(tmp_path, release):
    found = compare(tmp_path / "data", ["a", "b"] * 10, SPLIT)
    assert (found.message, found.too_many) == ("counts as in New", False)


def test_compare_counts_lists_the_counts_of_a_part(tmp_path, release):
    found = compare(tmp_path / "data", ["a"] * 9 + ["b"] * 9, SPLIT[1:-1])
    assert found.message == "against New: a 9 of 10, b 9 of 10, train 9 of 10, val 4 of 4, test 5 of 6"
    assert not found.too_many


def test_compare_counts_reports_counts_above_every_release(tmp_path, release):
    found = compare(tmp_path / "data", ["a"] * 7 + ["b"] * 13, SPLIT)
    assert found.too_many
    # More than in the new release, but not in the old one.
    assert not compare(tmp_path / "old", ["a"] * 11 + ["b"] * 9, SPLIT).too_many


def test_compare_counts_counts_pieces_of_a_recording_once(tmp_path):
    about = {"source": {"name": "chapman", "options": {"labels": "merged"}}, "settings": {}}
    dataset = open_dataset(
        write(tmp_path / "data", generate_ecg()[:3], ["train"] * 3, labels=["SB", "SB", "SR"], **about)
    )
    of_two = dataclasses.replace(dataset, ids=("x-0", "x-1", "y"))
    assert "SB 1 of 3889, SR 1 of 2225" in str(compare_counts(of_two))


def test_reference_counts_add_up():
    of_ptbxl = module._REFERENCES["ptbxl", "superclass", False]
    assert [sum(release.classes.values()) for release in of_ptbxl] == [16244, 16272]
    for release in of_ptbxl:
        assert sum(release.classes.values()) == sum(release.splits.values())
    (chapman,) = module._REFERENCES["chapman", "merged", False]
    assert sum(chapman.classes.values()) == 10646
    (cpsc,) = module._REFERENCES["cpsc2018", "diagnosis", False]
    assert sum(cpsc.classes.values()) == 6400
