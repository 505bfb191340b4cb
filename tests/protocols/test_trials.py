"""The trials of a benchmark: which there are, and what a folder of one holds."""

import dataclasses

import numpy as np
import pytest
import torch
from tests.protocols.helpers import settings_of, small_dataset, write_statements

from lfbt.models.encoder import EncoderConfig, random_encoder
from lfbt.protocols.tasks import label_tasks
from lfbt.protocols.trials import compute_inputs, create_model, list_trials, run_trial
from lfbt.runs.history import FittingStep, read_history
from lfbt.runs.predictions import Predictions
from lfbt.runs.results import EncoderOrigin, Results

CPU = torch.device("cpu")
ENCODER = random_encoder(EncoderConfig(("II", "V1"), sampling_rate=12.8, n_samples=128), 0).eval()


def test_list_trials_has_one_a_task_fraction_and_seed(tmp_path):
    settings = settings_of(write_statements(tmp_path), tasks=["form", "rhythm"], fraction=[0.5, 1], seeds=[0, 3])
    trials = list_trials(settings, label_tasks(small_dataset(), settings))
    assert [trial.folder.name for trial in trials[:3]] == [
        "form-linear-fraction-0.5-seed-0", "form-linear-fraction-0.5-seed-3", "form-linear-fraction-1-seed-0"
    ]  # fmt: skip
    assert len(trials) == 8
    assert not any(trial.is_done for trial in trials)


@pytest.mark.parametrize("changes", [{}, {"features": "rich"}, {"protocol": "attentive"}])
def test_run_trial_writes_results_predictions_and_history(tmp_path, changes):
    settings = settings_of(write_statements(tmp_path), tasks=["superclass"], epochs=2, **changes)
    dataset = small_dataset()
    (trial,) = list_trials(settings, label_tasks(dataset, settings))
    encoder = (ENCODER, EncoderOrigin("small", {"method": "random"}))
    run_trial(settings, trial, dataset, encoder, lambda: compute_inputs(settings, dataset, ENCODER, CPU))
    results = Results.load(trial.folder)
    assert trial.is_done
    assert (results.kind, results.classifier, results.task) == ("benchmark", settings.protocol, "multi-label")
    assert results.data.counts["test"] == {"NORM": 1, "MI": 1, "STTC": 2, "CD": 0, "HYP": 0}
    assert results.test.absent_classes == ["CD", "HYP"]
    scored = [one.auroc for one in results.test.per_class.values() if one.auroc is not None]
    assert results.test.auroc == pytest.approx(np.mean(scored))
    assert len(scored) == 3
    assert results.test.intervals is not None
    assert results.test.intervals.patients == len(trial.task.rows["test"])
    predictions = Predictions.load(trial.folder, trial.task.classes)
    np.testing.assert_array_equal(predictions.targets(), trial.task.targets[trial.task.rows["test"]])
    assert len(read_history(trial.folder, FittingStep)) == 2


def test_run_trial_of_a_fraction_trains_on_some_patients(tmp_path):
    settings = settings_of(write_statements(tmp_path), tasks=["superclass"], epochs=1, fraction=[0.5])
    dataset = small_dataset()
    # Two patients a class in training.
    split = np.repeat(["train", "test"], [8, 4])
    split[7] = "val"
    split[5] = "val"
    dataset = dataclasses.replace(dataset, split=split)
    (trial,) = list_trials(settings, label_tasks(dataset, settings))
    encoder = (ENCODER, EncoderOrigin("small", {}))
    run_trial(settings, trial, dataset, encoder, lambda: compute_inputs(settings, dataset, ENCODER, CPU))
    assert Results.load(trial.folder).data.training_records < len(trial.task.rows["train"])


def test_create_model_standardises_by_the_training_records_only(tmp_path):
    settings = settings_of(write_statements(tmp_path), tasks=["form"], standardise=True)
    (task,) = label_tasks(small_dataset(), settings)
    inputs = torch.randn(12, 4, 6)
    model = create_model(settings, task, inputs, task.rows["train"], n_leads=2, seed=0)
    torch.testing.assert_close(model.head.mean, inputs[:4].flatten(0, 1).mean(dim=0))
    torch.testing.assert_close(model.head.std, inputs[:4].flatten(0, 1).std(dim=0, correction=0))


def test_create_model_leaves_features_as_they_are_by_default(tmp_path):
    settings = settings_of(write_statements(tmp_path), tasks=["form"])
    (task,) = label_tasks(small_dataset(), settings)
    model = create_model(settings, task, torch.randn(12, 4, 6), task.rows["train"], n_leads=2, seed=0)
    assert (model.head.mean == 0).all()
    assert (model.head.std == 1).all()
