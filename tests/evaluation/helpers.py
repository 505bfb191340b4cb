"""What the tests of classifiers share: settings that are quick, and readers of what a trial wrote."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.factories import CLASSES
from tests.literal import literal_embeddings
from tests.outputs import contents

from lfbt.models.pretrained import load_encoder
from lfbt.runs.results import Results

COLUMNS = [f"p_{name}" for name in CLASSES]


#: Every patient has two records, of two classes.
PATIENTS = [f"p{i // 2}" for i in range(48)]


QUICK: dict[str, Any] = {"epochs": 3, "batch_size": 8, "device": "cpu", "workers": 0}


def results_of(folder) -> Any:
    return Results.load(folder)


def table_of(folder, name="predictions.csv"):
    return pd.read_csv(folder / name)


def predicted(folder):
    return table_of(folder)[COLUMNS].to_numpy()


def features_of(checkpoint, data):
    """In double precision, by plain layers."""
    return literal_embeddings(load_encoder(checkpoint), np.load(data / "signals.npy"))


def targets_of(labels):
    return np.array([[name in text.split(";") for name in CLASSES] for text in labels])


def logistic(x, y, c):
    """The probabilities that scikit-learn's pipeline gives, as a function of features."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=10_000)).fit(x, y).predict_proba


def assert_same_but_settings(one, other):
    """The same files, but for the settings that `results.json` repeats."""
    mine, theirs = contents(one), contents(other)
    del mine["results.json"], theirs["results.json"]
    assert mine == theirs
    assert len(mine) > 2
    ours, others = (dataclasses.replace(results_of(folder), settings={}) for folder in (one, other))
    assert ours == others
