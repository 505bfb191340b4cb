"""Settings of probe and fine-tuning: defaults, ranges, and what each affects."""

import math
from pathlib import Path

import pytest

from lfbt.errors import LfbtError
from lfbt.evaluation.settings import FinetuneSettings, ProbeSettings
from lfbt.utils.settings import Affects, list_fields, names_affecting, validate


def test_settings_default_to_the_papers(tmp_path):
    probing, tuning = ProbeSettings.create(tmp_path, tmp_path), FinetuneSettings.create(tmp_path, tmp_path)
    fitting, training = probing.fitting, tuning.training
    assert (fitting.classifier, fitting.learning_rate, training.learning_rate) == ("adam", (1e-3,), 1e-4)
    assert (fitting.epochs, fitting.batch_size) == (training.epochs, training.batch_size) == (100, 128)
    for trials in (probing.trials, tuning.trials):
        assert (trials.fraction, trials.seeds) == ((1.0,), (0,))
    assert not fitting.standardise


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 1}, r"folds: 1 is outside \[3, inf\); one is the test, one validation"),
        ({"folds": 2}, r"folds: 2 is outside \[3, inf\); one is the test, one validation"),
        ({"folds": -1}, r"folds: -1 is outside \[0, 1000\]"),
        ({"folds": 1, "classifier": "logistic", "c": (1.0,)}, r"folds: 1 is outside \[2, inf\)"),
        ({"folds": 2, "classifier": "logistic"}, r"folds: 2 is outside \[3, inf\)"),
        ({"folds": 40}, "folds: 40 are more than the 16 patients of the most frequent class; take fewer"),
        ({"folds": 3, "split_seed": -1}, "split_seed: -1 is outside"),
        ({"folds": 3, "tune": True, "epochs": 0}, "epochs: 0 "),
        ({"folds": 2, "tune": True}, r"folds: 2 is outside \[3, inf\)"),
        ({"seeds": ()}, "seeds: none given; give one or more, each once"),
        ({"seeds": (1, 2, 1)}, "seeds: 1 2 1; give one or more, each once"),
        ({"seeds": (1, -2)}, "seeds: -2 is outside"),
        ({"fraction": ()}, "fraction: none given"),
        ({"fraction": (0.1, 0.1)}, r"fraction: 0\.1 0\.1; give one or more, each once"),
        ({"fraction": (0.1, 0.0)}, r"fraction: 0\.0 is outside \(0, 1\]"),
        ({"fraction": (0.1, float("nan"))}, r"fraction: nan is outside \(0, 1\]"),
        ({"seeds": (), "tune": True}, "seeds: none given"),
        ({"classifier": "forest"}, "classifier: 'forest' is not one of adam, logistic, knn"),
        ({"learning_rate": ()}, "learning_rate: none given; give one or more"),
        ({"learning_rate": (1e-3, 0.0)}, r"learning_rate: 0\.0 is outside"),
        ({"classifier": "logistic", "c": (1.0, 0.0)}, r"c: 0\.0 is outside \[1e-10, 1e10\]"),
        ({"classifier": "logistic", "c": ()}, "c: none given"),
        ({"classifier": "knn", "neighbours": (0,)}, r"neighbours: 0 is outside \[1, 1000000\]"),
        ({"classifier": "knn", "neighbours": ()}, "neighbours: none given"),
    ],
    ids=lambda value: "-".join(f"{k}-{v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_probe_refuses_settings_out_of_range(run, tmp_path, changes, message):
    with pytest.raises(LfbtError, match=message):
        run(**changes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs: 0 "),
        ({"batch_size": 1}, "batch_size: 1 "),
        ({"learning_rate": 0.0}, r"learning_rate: 0\.0 "),
        ({"learning_rate": math.inf}, "learning_rate: inf "),
        ({"seeds": (-1,)}, "seeds: -1 "),
        ({"workers": -1}, "workers: -1 "),
        ({"fraction": (0.0,)}, r"fraction: 0\.0 is outside \(0, 1\]"),
        ({"fraction": (1.5,)}, r"fraction: 1\.5 is outside \(0, 1\]"),
        ({"num_classes": 4}, "num_classes: 4 contradicts the 3 classes of .*: fast, middle, slow"),
        ({"checkpoint": None}, "checkpoint: give either --checkpoint, or --random-encoder"),
        ({"random_start": True}, "checkpoint: give either --checkpoint, or --random-encoder"),
        ({"device": "abacus"}, "device: 'abacus' cannot be used"),
        ({"leads": ("V9",)}, "lead V9: the encoder has none of that name; it has II,V1"),
        ({"checkpoint": None, "random_start": True, "leads": ("V9",)}, "lead V9: not in the data set"),
    ],
    ids=lambda value: "-".join(f"{k}-{v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_commands_refuse_settings_out_of_range(command, tmp_path, changes, message):
    with pytest.raises(LfbtError, match=message):
        command(**changes)
    assert list(tmp_path.iterdir()) == []


def test_create_takes_texts_and_single_values():
    settings = ProbeSettings.create("data", "run", "pre", seeds=3, fraction=0.5, lead_subsets="each", leads="v1,ii")
    assert (settings.task.data_dir, settings.trials.run_dir, settings.task.checkpoint) == tuple(
        Path(name) for name in ("data", "run", "pre")
    )
    assert (settings.trials.seeds, settings.trials.fraction) == ((3,), (0.5,))
    assert (settings.lead_subsets, settings.task.leads) == ((("each",),), ("V1", "II"))


def test_create_names_the_nearest_setting():
    with pytest.raises(LfbtError, match=r"neighbors: .*did you mean neighbours\?"):
        ProbeSettings.create("data", "run", "pre", neighbors=5)
    with pytest.raises(LfbtError, match="classifier: is "):
        FinetuneSettings.create("data", "run", "pre", classifier="knn")


@pytest.mark.parametrize("kind", [ProbeSettings, FinetuneSettings])
def test_settings_have_one_name_each(kind):
    names = [field.name for field in list_fields(kind)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", [ProbeSettings, FinetuneSettings])
def test_settings_know_what_they_affect(kind):
    trial = {"fraction", "seeds", "lead_subsets"} if kind is ProbeSettings else {"fraction", "seeds"}
    assert names_affecting(kind, Affects.LOCATION) == {"data_dir", "run_dir", "checkpoint"}
    assert names_affecting(kind, Affects.TRIAL) == trial
    assert names_affecting(kind, Affects.PROCESS) == {"device", "workers"}
    assert names_affecting(kind, Affects.RUNTIME) == {"resume", "overwrite", "allow_test_records"}


@pytest.mark.parametrize(
    ("settings", "kind", "needs_val"),
    [
        (ProbeSettings.create("d", "r", "c"), "probe", True),
        (ProbeSettings.create("d", "r", "c", classifier="logistic", c=0.1), "probe", False),
        (ProbeSettings.create("d", "r", "c", classifier="knn", neighbours=(5, 9)), "probe", True),
        (FinetuneSettings.create("d", "r", "c"), "finetune", True),
        (FinetuneSettings.create("d", "r", from_scratch=True), "scratch", True),
    ],
)
def test_settings_know_their_kind_and_whether_validation_chooses(settings, kind, needs_val):
    validate(settings)
    assert (settings.kind, settings.needs_val) == (kind, needs_val)
