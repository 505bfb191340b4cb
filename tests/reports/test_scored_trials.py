"""Trials read from run folders: what is missing or corrupt is named, and what does not compare is refused."""

import json

import numpy as np
import pytest
from tests.reports.helpers import (
    CLASSES,
    IDS,
    NUMBERS,
    PATIENTS,
    TARGETS,
    N,
    predictions,
    rows_of,
    write_series,
    write_trial,
)

from lfbt.errors import LfbtError
from lfbt.reports.scored_trials import open_trials


def test_open_trials_refuses_folders_without_a_finished_trial(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(LfbtError, match=f"run: {tmp_path / 'absent'} does not exist"):
        open_trials(tmp_path / "absent")
    with pytest.raises(LfbtError, match=f"run: {tmp_path / 'empty'} holds no trial of a classifier"):
        open_trials(tmp_path / "empty")
    # What is still being written does not count.
    write_trial(tmp_path / "half" / ".t.partial-1", predictions(1, 1))
    with pytest.raises(LfbtError, match="holds no trial"):
        open_trials(tmp_path / "half")


@pytest.mark.parametrize(
    ("corrupt", "reason"),
    [
        (lambda text: "\n".join(line.rsplit(",", 1)[0] for line in text.splitlines()), "p_STTC"),
        (lambda text: text.replace(last_cell(text), "?", 1), r"\?"),
        (lambda text: text.replace(last_cell(text), "nan", 1), ""),
        (lambda text: text + text.splitlines()[1] + "\n", ""),
        (lambda text: text.splitlines()[0], ""),
        (lambda text: text.replace(",MI,", ",IM,", 1), "label IM"),
        (lambda text: text.replace(",MI,", ",MI;NORM,", 1), "without exactly one label"),
    ],
    ids=["no column", "no number", "NaN", "duplicate", "no records", "no class", "several labels"],
)
def test_open_trials_names_corrupt_predictions(tmp_path, corrupt, reason):
    run = write_trial(tmp_path / "run", predictions(1, 1))
    assert len(open_trials(run)) == 1
    path = run / "predictions.csv"
    path.write_text(corrupt(path.read_text()))
    with pytest.raises(LfbtError, match=f"{path}: .*{reason}"):
        open_trials(run)
    path.unlink()
    with pytest.raises(LfbtError, match=f"{path}: "):
        open_trials(run)


def last_cell(table):
    """The last probability of the first record."""
    return table.splitlines()[1].rsplit(",", 1)[1]


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (["data"], "training_records"),
        *(([], name) for name in ("task", "fraction", "seed", "lead_subset", "encoder", "data", "test", "classifier")),
        (["test", "per_class"], "NORM"),
    ],
)
def test_open_trials_names_an_absent_field_of_the_results(tmp_path, place, name):
    run = write_trial(tmp_path / "run", predictions(1, 1))
    path = run / "results.json"
    results = json.loads(path.read_text())
    content = results
    for key in place:
        content = content[key]
    del content[name]
    path.write_text(json.dumps(results))
    with pytest.raises(LfbtError, match=f"{path}: .*{'.'.join(place)}.*{name}"):
        open_trials(run)


def test_open_trials_sorts_records_by_id(tmp_path):
    order = np.random.default_rng(3).permutation(N)
    one = write_trial(tmp_path / "one", predictions(1, 1))
    other = write_trial(tmp_path / "other", predictions(1, 1), order=order)
    (first,), (second,) = open_trials(one), open_trials(other)
    assert first.predictions.ids == second.predictions.ids == tuple(sorted(IDS))
    assert first.predictions.patients == second.predictions.patients
    np.testing.assert_array_equal(first.predictions.probabilities, second.predictions.probabilities)
    np.testing.assert_array_equal(first.targets, second.targets)


def test_check_comparable_refuses_other_test_records(tmp_path):
    one = write_trial(tmp_path / "one", predictions(1, 1))
    fewer = {"targets": TARGETS[3:], "patients": PATIENTS[3:], "ids": IDS[3:]}
    missing = write_trial(tmp_path / "missing", predictions(1, 1)[3:], **fewer)
    moved = np.roll(TARGETS, 1, axis=0)
    labels = write_trial(tmp_path / "labels", predictions(1, 1), targets=moved)
    n_moved = int((np.roll(NUMBERS, 1) != NUMBERS).sum())
    owners = write_trial(tmp_path / "owners", predictions(1, 1), patients=["q", *PATIENTS[1:]])
    for other, reason in (
        (missing, rf"not tested on the same records: 3 are in one of them only \({N} and {N - 3} records\)"),
        (labels, f"records with other labels: {n_moved} of {N} differ"),
        (owners, f"records with other patients: 1 of {N} differ"),
    ):
        with pytest.raises(LfbtError, match=f"{one} and {other} .*{reason}"):
            rows_of(one, other)


def test_check_comparable_refuses_other_classes_tasks_and_synthetic_data(tmp_path):
    one = write_trial(tmp_path / "one", predictions(1, 1))
    synthetic = write_trial(tmp_path / "synthetic", predictions(1, 1), synthetic=True)
    with pytest.raises(LfbtError, match=f"{one} and {synthetic}: one is of synthetic data, the other of real data"):
        rows_of(one, synthetic)
    several = write_trial(tmp_path / "several", predictions(1, 1), exclusive=False)
    with pytest.raises(LfbtError, match="different tasks: single-label; multi-label"):
        rows_of(one, several)
    swapped = write_trial(
        tmp_path / "swapped", predictions(1, 1), data={"classes": CLASSES[::-1], "training_records": 5}
    )
    with pytest.raises(LfbtError, match="different classes: MI, NORM, STTC; STTC, NORM, MI"):
        rows_of(one, swapped)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seed": 0}, "seed-0 and twin are of the same seed, 0"),
        ({"seed": 1, "kind": "finetune"}, "seed-0 and twin differ in kind"),
        ({"seed": 1, "leads": ["II"]}, "seed-0 and twin differ in leads"),
        ({"seed": 1, "classifier": "knn"}, "seed-0 and twin differ in classifier"),
        ({"seed": 1, "folds": 5}, "seed-0 and twin differ in folds"),
    ],
)
def test_group_trials_refuses_trials_that_differ_in_more_than_their_seed(tmp_path, changes, reason):
    run = write_series(tmp_path / "run", 1, seeds=[0])
    write_trial(run / "twin", predictions(1, 1), **changes)
    with pytest.raises(LfbtError, match=f"run run: {reason}"):
        rows_of(run)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"encoder": {"history": {"method": "SimCLR"}}}, "have encoders of LFBT and of SimCLR"),
        ({"settings": {"c": [1.0], "run_dir": "b"}}, "differ in c, not in their seed only"),
    ],
)
def test_group_trials_refuses_other_encoders_and_settings(tmp_path, changes, reason):
    folder, settings = tmp_path / "run", {"c": [0.01], "run_dir": "a"}
    write_trial(folder / "seed-0", predictions(1, 0), settings=settings)
    write_trial(folder / "seed-1", predictions(1, 1), seed=1, settings=settings | {"run_dir": "b"})
    assert rows_of(folder)[0].seeds == (0, 1)
    dealt = settings | {"split_seed": 5}
    write_trial(folder / "seed-7", predictions(1, 1), seed=7, settings=dealt)
    assert rows_of(folder)[0].seeds == (0, 1, 7)
    write_trial(folder / "seed-2", predictions(1, 2), seed=2, **({"settings": settings} | changes))
    with pytest.raises(LfbtError, match=reason):
        rows_of(folder)
