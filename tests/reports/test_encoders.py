"""The model of the best run: what it computes is what the run has recorded, and why there is none."""

import dataclasses

import numpy as np
import pytest

from lfbt.data.layouts import open_dataset
from lfbt.reports.encoders import Loaded, load_best
from lfbt.reports.material import gather
from lfbt.runs.loading import load_runs


@pytest.mark.parametrize("name", ["probe", "multi"])
def test_probabilities_are_those_of_the_predictions(trained, name):
    material = gather(load_runs(trained / name))
    loaded = load_best(material, with_head=True)
    assert isinstance(loaded, Loaded)
    assert loaded.classify is not None
    rows = loaded.dataset.rows("test")
    (trial,) = (trial for trial in material.trials[name] if trial.folder == loaded.run.folder)
    recorded = dict(zip(trial.predictions.ids, trial.predictions.probabilities, strict=True))
    expected = [recorded[loaded.dataset.ids[row]] for row in rows]
    np.testing.assert_allclose(loaded.probabilities(loaded.signals(rows)), expected, atol=1e-5)
    np.testing.assert_allclose(loaded.classify(loaded.embed(rows)), expected, atol=1e-5)


def test_runs_without_an_encoder_are_passed_over_and_said(trained):
    folds = gather(load_runs(trained / "folds"))
    for with_head in (False, True):
        said = load_best(folds, with_head)
        assert isinstance(said, str)
        assert said.startswith("No run keeps a")
    both = gather([*load_runs(trained / "leads"), *load_runs(trained / "probe")])
    loaded = load_best(both, with_head=True)
    assert isinstance(loaded, Loaded)
    assert loaded.run.folder.parent.name == "probe"


def test_a_data_set_that_is_gone_or_does_not_fit_is_said(trained):
    material = gather(load_runs(trained / "probe"))
    assert load_best(dataclasses.replace(material, dataset=None, no_dataset="It is gone"), True) == "It is gone"
    other = dataclasses.replace(open_dataset(trained / "data"), sampling_rate=9.0)
    said = load_best(dataclasses.replace(material, dataset=other), True)
    assert isinstance(said, str)
    assert "does not fit the data set: 9 Hz against the encoder's 6.4 Hz" in said
    without = open_dataset(trained / "data").select_leads("II")
    said = load_best(dataclasses.replace(material, dataset=without), True)
    assert isinstance(said, str)
    assert "lead V1: not in the data set" in said
