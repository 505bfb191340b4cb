"""What is gathered: figures as lfbt compare has them, the data set where it still is, and why not."""

import json
import shutil

import numpy as np
import pytest

from lfbt.reports.comparison_rows import table_rows
from lfbt.reports.material import draw_rows, find_dataset, gather
from lfbt.reports.scored_trials import open_trials
from lfbt.runs.loading import load_run, load_runs


def classifiers(trained, *names):
    return [run for name in names for run in load_runs(trained / name)]


def test_rows_are_those_of_compare(trained):
    material = gather(classifiers(trained, "probe", "random-s0", "random-s1"))
    assert [group.name for group in material.groups] == ["probe", "random"]
    trials = [trial for name in ("probe",) for trial in open_trials(trained / name, "probe")]
    trials += [open_trials(trained / f"random-s{seed}", "random")[0] for seed in (0, 1)]
    expected = {row.run: row for row in table_rows(trials, baseline="random")}
    assert material.rows == expected
    assert material.n_draws == 1000
    assert material.baseline is not None
    assert material.baseline.name == "random"


def test_absent_predictions_are_said_and_the_rest_is_shown(trained, tmp_path):
    shutil.copytree(trained / "multi", tmp_path / "multi")
    (tmp_path / "multi" / "predictions.csv").unlink()
    material = gather(classifiers(tmp_path, "multi"))
    assert material.rows == {}
    assert material.trials == {}
    assert "predictions.csv: is not a complete table" in material.no_rows
    assert material.best is not None


def moved(trained, tmp_path, **settings):
    """A run whose settings say otherwise where its data set is."""
    shutil.copytree(trained / "multi", tmp_path / "run")
    content = json.loads((tmp_path / "run" / "results.json").read_text())
    content["settings"] |= settings
    (tmp_path / "run" / "results.json").write_text(json.dumps(content))
    return load_run(tmp_path / "run")


def test_data_set_is_opened_where_the_run_says(trained):
    dataset, why = find_dataset([load_run(trained / "multi")])
    assert dataset is not None
    assert (dataset.folder, why) == (trained / "multi-data", "")
    dataset, _ = find_dataset([load_run(trained / "pretrain")])
    assert dataset is not None
    assert dataset.folder == trained / "data"


@pytest.mark.parametrize(
    ("data_dir", "why"),
    [
        (None, "run does not say where its data set is"),
        (7, "run does not say where its data set is"),
        ("/nowhere/multi-data", "The data set is not at /nowhere/multi-data any more"),
        ("a\0/multi-data", "The data set is not at"),
        ("/", "is called multi-data, but its path is /"),
    ],
)
def test_data_set_that_is_not_there_is_said(trained, tmp_path, data_dir, why):
    dataset, said = find_dataset([moved(trained, tmp_path, data_dir=data_dir)])
    assert dataset is None
    assert why in said


def test_data_set_of_another_hash_or_none_is_not_shown(trained, tmp_path):
    shutil.copytree(trained / "multi-data", tmp_path / "multi-data")
    run = moved(trained, tmp_path, data_dir=str(tmp_path / "multi-data"))
    manifest = json.loads((tmp_path / "multi-data" / "dataset.json").read_text())
    (tmp_path / "multi-data" / "dataset.json").write_text(json.dumps(manifest | {"hash": "other"}))
    assert "is another one now: its hash is other" in find_dataset([run])[1]
    (tmp_path / "multi-data" / "dataset.json").write_text("{")
    assert "cannot be opened" in find_dataset([run])[1]


def test_records_are_drawn_by_a_seed_without_repeats():
    rows = draw_rows(np.arange(50), 20)
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(rows) == 20
    np.testing.assert_array_equal(rows, draw_rows(np.arange(50), 20))
    assert not np.array_equal(rows, draw_rows(np.arange(50), 20, seed=1))
