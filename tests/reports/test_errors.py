"""Mistakes and hits by hand, and what is drawn of them."""

import dataclasses

import numpy as np
import pytest
from tests.reports.helpers import CLASSES, write_trial

from lfbt.reports.blocks import Ecg, Fold, Paragraph, Table
from lfbt.reports.errors import errors, find_cases
from lfbt.reports.material import gather
from lfbt.reports.scored_trials import open_trials
from lfbt.runs.loading import load_runs


def trial_of(place, probabilities, targets, **changes):
    n = len(targets)
    ids, patients = [f"r{i}" for i in range(n)], [f"p{i}" for i in range(n)]
    p = np.array(probabilities, dtype=float)
    write_trial(place, p, targets=np.array(targets, dtype=bool), ids=ids, patients=patients, **changes)
    return open_trials(place)[0]


def listed(cases):
    return cases.false_negatives.tolist(), cases.false_positives.tolist(), cases.true_positives.tolist()


def test_cases_of_exclusive_classes_are_by_the_most_probable(tmp_path):
    p = [[0.9, 0.1, 0], [0.6, 0.4, 0], [0.3, 0.7, 0], [0.1, 0.9, 0], [0.2, 0.8, 0], [0, 0.1, 0.9]]
    y = np.eye(3)[[0, 0, 0, 0, 1, 2]]
    mi, norm, sttc = find_cases(trial_of(tmp_path / "run", p, y))
    assert listed(mi) == (
        [3, 2],
        [],
        [0, 1],
    )
    assert listed(norm) == (
        [],
        [3, 2],
        [4],
    )
    assert listed(sttc) == ([], [], [5])


def test_several_classes_are_by_their_thresholds(tmp_path):
    p = [[0.9, 0.8, 0.1], [0.4, 0.2, 0.7], [0.45, 0.9, 0.2]]
    y = [[1, 1, 0], [1, 0, 0], [0, 1, 1]]
    trial = trial_of(tmp_path / "run", p, y, exclusive=False)
    trial = dataclasses.replace(trial, thresholds=np.array([0.5, 0.5, np.nan]))
    mi, norm, sttc = find_cases(trial)
    assert listed(mi) == ([1], [], [0])
    assert listed(norm) == (
        [],
        [],
        [2, 0],
    )
    # Without a threshold it is never predicted.
    assert (sttc.false_negatives.tolist(), sttc.false_positives.tolist()) == ([2], [])


@pytest.mark.parametrize("name", ["probe", "multi", "folds"])
def test_records_are_listed_and_drawn_with_their_ids(trained, name):
    material = gather(load_runs(trained / name))
    section = errors(material)
    folds = [block for block in section.blocks if isinstance(block, Fold)]
    assert [fold.title.partition(":")[0] for fold in folds] == sorted(
        ["fast", "middle", "slow"], key=lambda c: -sum(c in of for of in material.trials[name][0].predictions.labels)
    )
    for fold in folds:
        (table,) = (block for block in fold.blocks if isinstance(block, Table))
        drawn = [block.caption for block in fold.blocks if isinstance(block, Ecg)]
        assert 1 <= len(drawn) <= 3
        listed = {row.cells[1] for row in table.rows}
        assert {caption.split(",")[0].removeprefix("Record ") for caption in drawn} <= listed


def test_without_a_data_set_records_are_named_but_not_drawn(trained):
    material = dataclasses.replace(gather(load_runs(trained / "probe")), dataset=None, no_dataset="It is gone")
    section = errors(material)
    assert "It is gone: so the records are named, but not drawn." in [
        block.text for block in section.blocks if isinstance(block, Paragraph)
    ]
    inner = [inner for block in section.blocks if isinstance(block, Fold) for inner in block.blocks]
    assert all(isinstance(block, Table) for block in inner)


def test_without_predictions_the_reason_is_said(trained):
    material = dataclasses.replace(gather(load_runs(trained / "probe")), trials={}, no_rows="a.csv: is gone")
    (block,) = errors(material).blocks
    assert isinstance(block, Paragraph)
    assert block.text == "a.csv: is gone: so there are no single records to show."
    assert CLASSES
