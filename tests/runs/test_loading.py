"""Run folders read back: pretrainings, trials and series, and what is no run."""

import json

import pytest

from lfbt.errors import LfbtError
from lfbt.runs.history import PretrainingEpoch, write_history
from lfbt.runs.loading import ClassifierRun, PretrainingRun, load_run, load_runs
from lfbt.runs.settings import RunSettings

EPOCHS = [PretrainingEpoch(epoch, 20.0 - epoch, 1e-3, 2.0, 50.0) for epoch in (1, 2)]


@pytest.fixture
def pretraining(tmp_path):
    """A run folder of a pretraining of two epochs."""
    folder = tmp_path / "pretrain"
    folder.mkdir()
    RunSettings("0.1.0", {"epochs": 2}, kind="pretrain", data_hash="e9", synthetic=True).save(folder)
    write_history(folder, EPOCHS)
    return folder


@pytest.fixture
def trial(tmp_path, results_content):
    """Writer of a run folder with the results of a classifier, changed as asked."""

    def write(name="probe", **changes):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(json.dumps(results_content | changes))
        return folder

    return write


def test_load_run_reads_a_pretraining(pretraining):
    run = load_run(pretraining)
    assert isinstance(run, PretrainingRun)
    assert (run.name, run.title, run.synthetic) == ("pretrain", "pretraining", True)
    assert run.history == EPOCHS
    assert run.settings.settings == {"epochs": 2}


def test_load_run_passes_over_an_epoch_that_was_cut_short(pretraining):
    path = pretraining / "history.jsonl"
    path.write_text(path.read_text()[:-20])
    run = load_run(pretraining)
    assert isinstance(run, PretrainingRun)
    assert run.history == EPOCHS[:1]


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "linear probe"),
        ({"classifier": "knn"}, "nearest neighbours"),
        ({"encoder": {"checkpoint": None, "history": {}}}, "linear probe of a random encoder"),
        ({"kind": "finetune", "classifier": None}, "fine-tuned"),
        (
            {"kind": "scratch", "classifier": None, "encoder": {"checkpoint": None, "history": {}}},
            "trained from scratch",
        ),
    ],
)
def test_load_run_reads_a_classifier_and_names_its_kind(trial, changes, title):
    run = load_run(str(trial(**changes)))
    assert isinstance(run, ClassifierRun)
    assert (run.name, run.title, run.synthetic) == ("probe", title, True)
    assert run.results.test.auroc == 0.9


def test_load_runs_reads_each_complete_trial_of_a_series(trial, tmp_path):
    for name in ("series/seed-1", "series/seed-0", "series/.seed-2"):
        trial(name)
    (tmp_path / "series" / "settings.json").write_text("{}")
    assert [run.name for run in load_runs(tmp_path / "series")] == ["series/seed-0", "series/seed-1"]
    with pytest.raises(LfbtError, match=r"series is a series of 2 trials; load one of them, such as .*seed-0$"):
        load_run(tmp_path / "series")


def test_load_runs_reads_a_single_run_as_a_list(pretraining, trial):
    probe = trial()
    assert load_runs(pretraining) == [load_run(pretraining)]
    assert load_runs(probe) == [load_run(probe)]


def test_load_run_refuses_folders_without_a_run_or_an_epoch(pretraining, tmp_path):
    with pytest.raises(LfbtError, match=r"is not a run folder \(it has neither results\.json nor history\.jsonl\)"):
        load_run(tmp_path / "absent")
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "settings.json").write_text("{}")
    with pytest.raises(LfbtError, match="series has neither an epoch nor a finished trial yet"):
        load_run(tmp_path / "series")
    (pretraining / "history.jsonl").write_text("")
    with pytest.raises(LfbtError, match="has no epoch yet"):
        load_run(pretraining)


@pytest.mark.parametrize("file", ["settings.json", "history.jsonl"])
def test_load_run_names_a_corrupt_file(pretraining, file):
    (pretraining / file).write_text("[]\n")
    with pytest.raises(LfbtError, match=f"{pretraining / file}: "):
        load_run(pretraining)
