"""Run folders read back: of a pretraining, a trial and a series, and folders that are none of these."""

import json
from pathlib import Path

import pytest

from lfbt.errors import LfbtError
from lfbt.runs.history import FittingStep, PretrainingEpoch, write_history
from lfbt.runs.loading import ClassifierRun, PretrainingRun, load_run, load_runs
from lfbt.runs.results import Results
from lfbt.runs.run_folder import RunSettings

EPOCHS = [PretrainingEpoch(epoch, 5.0 / epoch, 1e-3, 2.0, 10.0) for epoch in (1, 2)]


@pytest.fixture
def pretraining(tmp_path):
    """The folder of a pretraining of two epochs."""
    folder = tmp_path / "pretrain"
    folder.mkdir()
    RunSettings("0.1.0", {"epochs": 2, "seed": 5}, records=10, synthetic=True).save(folder)
    write_history(folder, EPOCHS)
    return folder


@pytest.fixture
def write_trial(results_content):
    """Write the folder of a trial, its results changed."""

    def write(folder, **changes):
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(json.dumps(results_content | changes))
        return folder

    return write


@pytest.fixture
def series(tmp_path, write_trial):
    """The folder of a series of two finished trials and one that is not complete."""
    folder = tmp_path / "series"
    for seed in (1, 0):
        write_trial(folder / f"seed-{seed}", seed=seed)
    write_trial(folder / ".seed-2.partial-99", seed=2)
    RunSettings("0.1.0", {"seeds": (0, 1, 2)}, kind="probe").save(folder)
    return folder


@pytest.mark.parametrize("kind", [str, Path])
def test_load_run_reads_a_pretraining(pretraining, kind):
    run = load_run(kind(pretraining))
    assert isinstance(run, PretrainingRun)
    assert (run.folder, run.name, run.title, run.synthetic) == (pretraining, "pretrain", "pretraining", True)
    assert (run.settings.settings, run.settings.records) == ({"epochs": 2, "seed": 5}, 10)
    assert run.history == EPOCHS


@pytest.mark.parametrize("kind", [str, Path])
def test_load_run_reads_a_classifier(tmp_path, write_trial, kind):
    folder = write_trial(tmp_path / "probe")
    run = load_run(kind(folder))
    assert isinstance(run, ClassifierRun)
    assert (run.folder, run.name, run.title, run.synthetic) == (folder, "probe", "linear probe", True)
    assert run.results == Results.load(folder)


def test_load_run_gives_settings_and_history_of_a_classifier_as_of_a_pretraining(tmp_path, write_trial, pretraining):
    folder = write_trial(tmp_path / "probe")
    steps = [FittingStep(0.7, 0.8, epoch) for epoch in (1, 2)]
    write_history(folder, steps)
    run = load_run(folder)
    assert run.history == steps
    assert (run.settings.kind, run.settings.records, run.settings.data_hash) == ("probe", 147, "e975ec")
    assert run.settings.settings["c"] == [0.001, 0.01]
    assert repr(run.settings) == "RunSettings(probe, lfbt 0.1.0, 4 settings)"
    assert repr(run) == f"ClassifierRun('{folder}', {run.results!r})"
    other = load_run(pretraining)
    assert type(other.settings) is type(run.settings)
    assert not hasattr(other, "results")
    with pytest.raises(AttributeError, match="pretrain: a pretraining has no results; probe or fine-tune its encoder"):
        _ = other.results


def test_load_run_names_a_pretraining_inside(pretraining):
    with pytest.raises(
        LfbtError, match=rf"is not a run, but holds 1 run; name them themselves, such as {pretraining}$"
    ):
        load_run(pretraining.parent)


def test_load_run_takes_a_fine_tuning_with_a_history_for_a_classifier(tmp_path, write_trial):
    folder = write_trial(tmp_path / "tuned", kind="finetune")
    (folder / "history.jsonl").write_text('{"epoch": 1, "train_loss": 0.5}\n')
    assert isinstance(load_run(folder), ClassifierRun)


def test_load_run_passes_over_an_epoch_that_was_cut_short(pretraining):
    history = pretraining / "history.jsonl"
    history.write_text(history.read_text()[:-20])
    run = load_run(pretraining)
    assert isinstance(run, PretrainingRun)
    assert [line.epoch for line in run.history] == [1]


def test_load_run_refuses_folders_without_a_run_or_an_epoch(pretraining, tmp_path):
    with pytest.raises(LfbtError, match=r"absent does not exist; give a run folder"):
        load_run(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LfbtError, match=r"is not a run folder \(it has neither results\.json nor history\.jsonl\)"):
        load_run(tmp_path / "empty")
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "settings.json").write_text("{}")
    with pytest.raises(LfbtError, match="series has neither an epoch nor a finished trial yet"):
        load_run(tmp_path / "series")
    (pretraining / "history.jsonl").write_text("")
    with pytest.raises(LfbtError, match="has no epoch yet"):
        load_run(pretraining)


def test_load_run_names_the_trials_of_a_series(series):
    with pytest.raises(LfbtError) as caught:
        load_run(series)
    first = series / "seed-0"
    assert str(caught.value) == f"run: {series} is a series of 2 trials; load one of them, such as {first}"


@pytest.mark.parametrize("name", ["settings.json", "history.jsonl"])
def test_load_run_names_a_corrupt_file_of_a_pretraining(pretraining, name):
    (pretraining / name).write_text("[]\n")
    with pytest.raises(LfbtError, match=f"{pretraining / name}: "):
        load_run(pretraining)


def test_load_run_names_a_missing_settings_file(pretraining):
    (pretraining / "settings.json").unlink()
    with pytest.raises(LfbtError, match=f"{pretraining / 'settings.json'}: "):
        load_run(pretraining)


def test_load_run_names_corrupt_results(tmp_path, write_trial):
    folder = write_trial(tmp_path / "probe")
    (folder / "results.json").write_text("[]\n")
    with pytest.raises(LfbtError, match=f"{folder / 'results.json'}: "):
        load_run(folder)


def test_load_runs_reads_the_trials_of_a_series_in_order(series):
    runs = load_runs(series)
    assert [run.name for run in runs] == ["series/seed-0", "series/seed-1"]
    assert [run.folder for run in runs] == [series / "seed-0", series / "seed-1"]
    assert [run.results.seed for run in runs if isinstance(run, ClassifierRun)] == [0, 1]


def test_load_runs_reads_a_single_run(pretraining, tmp_path, write_trial):
    probe = write_trial(tmp_path / "probe")
    for folder in (pretraining, probe):
        assert load_runs(folder) == [load_run(folder)]


def test_load_runs_takes_a_pretraining_with_runs_inside_for_the_pretraining(pretraining, write_trial):
    write_trial(pretraining / "probe")
    assert [run.title for run in load_runs(pretraining)] == ["pretraining"]


def test_load_runs_refuses_a_folder_of_runs_that_is_not_a_series(tmp_path, write_trial):
    write_trial(tmp_path / "runs" / "probe")
    with pytest.raises(
        LfbtError, match=r"runs is not a run, but holds 1 run; name them themselves, such as .*/runs/probe$"
    ):
        load_runs(tmp_path / "runs")


def test_classifier_run_name_has_the_series_folder_only_in_a_series(tmp_path, write_trial):
    assert load_run(write_trial(tmp_path / "runs" / "probe")).name == "probe"
    RunSettings("0.1.0", {}, kind="probe").save(tmp_path / "runs")
    assert load_run(tmp_path / "runs" / "probe").name == "runs/probe"


@pytest.mark.parametrize(
    ("kind", "classifier", "checkpoint", "title"),
    [
        ("probe", "adam", "pre", "linear probe"),
        ("probe", "logistic", "pre", "linear probe"),
        ("probe", "adam", None, "linear probe of a random encoder"),
        ("probe", "knn", "pre", "nearest neighbours"),
        ("probe", "knn", None, "nearest neighbours of a random encoder"),
        ("finetune", "adam", "pre", "fine-tuned"),
        ("scratch", "adam", None, "trained from scratch"),
        ("another", "adam", "pre", "another"),
    ],
)
def test_classifier_run_title_names_kind_classifier_and_random_encoder(
    tmp_path, write_trial, kind, classifier, checkpoint, title
):
    encoder = {"checkpoint": checkpoint, "history": {}}
    run = load_run(write_trial(tmp_path / "run", kind=kind, classifier=classifier, encoder=encoder))
    assert run.title == title


def test_pretraining_prints_in_one_line(pretraining):
    run = load_run(pretraining)
    assert isinstance(run, PretrainingRun)
    last = run.history[-1]
    assert repr(run) == f"PretrainingRun({str(pretraining)!r}, {last.epoch} epochs, loss {last.loss:.4g})"


@pytest.mark.parametrize("folder", [None, 3, b"", [], ""], ids=repr)
def test_load_run_refuses_what_is_no_path(folder):
    with pytest.raises(LfbtError, match=r"^run: .* is not a path$"):
        load_run(folder)
