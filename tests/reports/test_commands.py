"""The command that repeats a run: its words are parsed to the same settings."""

import shlex

import pytest

from lfbt.cli import finetune, pretrain, probe
from lfbt.evaluation.fine_tuning import run_finetune
from lfbt.evaluation.settings import FinetuneSettings
from lfbt.reports.commands import command_of
from lfbt.runs.loading import load_run, load_runs
from lfbt.runs.run_folder import RunSettings
from lfbt.utils.settings import to_dict

MODULES = {"probe": probe, "finetune": finetune, "pretrain": pretrain}


def parsed(run):
    lfbt, command, *words = shlex.split(command_of(run))
    assert lfbt == "lfbt"
    return command, to_dict(MODULES[command].parse(words))


@pytest.mark.parametrize("name", ["pretrain", "random-s1", "multi", "folds"])
def test_command_has_the_settings_of_the_run(trained, name):
    run = load_run(trained / name)
    command, settings = parsed(run)
    assert command == run.settings.kind
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
    plain |= {key: [str(one) for one in plain[key]] for key in ("data_dir",) if isinstance(plain[key], list)}
    for key, value in run.settings.settings.items():
        found = plain[key]
        assert value == found or str(value) == str(found) or value == [list(one) for one in found], key


def test_command_of_a_trial_is_that_of_its_series(trained):
    for name in ("probe", "curve"):
        series = RunSettings.load(trained / name).settings
        for run in load_runs(trained / name):
            _, settings = parsed(run)
            assert settings["seeds"] == tuple(series["seeds"])
            assert settings["fraction"] == tuple(series["fraction"])
    assert len(RunSettings.load(trained / "probe").settings["seeds"]) > 1
    _, settings = parsed(load_run(trained / "leads"))
    assert settings["lead_subsets"] == (("II",),)


def test_command_from_scratch_is_a_fine_tuning(trained, tmp_path):
    how = {"epochs": 1, "batch_size": 8, "device": "cpu", "from_scratch": True}
    run_finetune(FinetuneSettings.create(trained / "data", tmp_path / "a $(b)", **how))
    command, settings = parsed(load_run(tmp_path / "a $(b)"))
    assert command == "finetune"
    assert settings["from_scratch"]
    assert settings["run_dir"] == tmp_path / "a $(b)"
