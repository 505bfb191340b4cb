"""The section on data: counts by hand, what is dropped, and records on paper or why not."""

import dataclasses

import pytest
from tests.factories import CLASSES, write_labelled

from lfbt.data.layouts import open_dataset
from lfbt.reports.blocks import Ecg, Facts, Fold, Paragraph, Table
from lfbt.reports.data import choose_rows, data
from lfbt.reports.material import gather
from lfbt.runs.loading import load_runs


def material_of(trained, *names):
    return gather([run for name in names for run in load_runs(trained / name)])


def tables(section):
    return {block.caption: [row.cells for row in block.rows] for block in section.blocks if isinstance(block, Table)}


def test_classes_patients_sex_and_age_are_counted_by_split(trained):
    found = tables(data(material_of(trained, "probe")))
    assert found["Classes by split"] == [(name, "8", "4", "4") for name in CLASSES]
    # Of 24 records every third has no sex, and every other an age: 41, 43, …, 63.
    train, val, test = found["Records and patients"]
    assert train == ("train", "24", "24", "8", "8", "8", "52 (42 to 62), 12 not known")
    assert (val[1], test[1]) == ("12", "12")
    assert found["Dropped by reason"] == [("short", "3")]


def test_four_records_are_drawn_of_classes_in_turn(trained):
    section = data(material_of(trained, "probe"))
    drawn = [block for block in section.blocks if isinstance(block, Fold)]
    assert len(drawn) == 4
    assert all(isinstance(block, Ecg) and "<svg" in block.svg for fold in drawn for block in fold.blocks)
    assert [fold.is_open for fold in drawn] == [True, False, False, False]
    dataset = open_dataset(trained / "data")
    rows = choose_rows(dataset)
    assert {dataset.labels[row][0] for row in rows[:3]} == set(CLASSES)
    assert len(set(rows)) == 4
    assert rows == choose_rows(dataset)


def test_facts_are_those_of_the_data_set(trained):
    (facts,) = (block for block in data(material_of(trained, "probe")).blocks if isinstance(block, Facts))
    said = {fact.name: fact.text for fact in facts.facts}
    assert said["Leads"] == "II, V1"
    assert said["Signals"] == "10 s of 64 samples at 6.4 Hz, mV"
    assert said["Labels"] == "how fast it is"


def test_absent_data_set_and_z_scores_are_said_in_a_line(trained, tmp_path):
    material = material_of(trained, "probe")
    absent = dataclasses.replace(material, dataset=None, no_dataset="It is gone")
    section = data(absent)
    assert [b.text for b in section.blocks if isinstance(b, Paragraph)] == [
        "It is gone: so there are no more of its numbers here, and no ECG."
    ]
    assert "Classes by split" in tables(section)
    scores = open_dataset(write_labelled(tmp_path / "z", unit="z-score (record)"))
    section = data(dataclasses.replace(material, dataset=scores))
    texts = [block.text for block in section.blocks if isinstance(block, Paragraph)]
    assert "The signals are z-scores, which have no scale: they are not drawn on paper." in texts
    assert "Sex and age of the patients are not known: the data set does not state them." in texts
    assert not [block for block in section.blocks if isinstance(block, Fold)]


@pytest.mark.parametrize("n", [1, 2, 48, 60])
def test_rows_are_as_many_as_there_are(trained, n):
    assert len(choose_rows(open_dataset(trained / "data"), n)) == min(n, 48)


def test_folds_are_said(trained):
    texts = [block.text for block in data(material_of(trained, "folds")).blocks if isinstance(block, Paragraph)]
    assert "Every record is tested once, in one of 3 folds." in texts
