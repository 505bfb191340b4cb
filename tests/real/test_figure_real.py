"""The figure to meet: the authors' weights on PTB-XL records 1-500, as in ../shared/data/README.md."""

import csv

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lfbt.cli import main

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def prepared(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figure")
    main(["prepare", "ptbxl", str(shared_data / "ptbxl"), str(folder / "data"), "--workers", "1"])
    return folder


# HYP has six records, fewer than there are folds.
@pytest.mark.filterwarnings("ignore:The least populated class in y has only 6 members:UserWarning")
@pytest.mark.parametrize(("gamma", "auroc", "auprc"), [("0.8", 0.868, 0.612), ("0.6", 0.870, 0.613)])
def test_the_authors_weights_give_the_published_figure(shared_data, prepared, gamma, auroc, auprc):
    weights = shared_data / "weights" / f"encoder_group_gamma_{gamma}.pth"
    out = prepared / gamma
    main(["embed", "--data-dir", str(prepared / "data"), "--checkpoint", str(weights), "--out", str(out)])
    features = np.load(out / "embeddings.npy")
    with (out / "records.csv").open(newline="") as file:
        labels = np.array([row["labels"] for row in csv.DictReader(file)])
    assert features.shape == (415, 512)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    probabilities = cross_val_predict(model, features, labels, cv=folds, method="predict_proba")
    classes = sorted(set(labels))
    truth = labels[:, None] == classes
    found = roc_auc_score(truth, probabilities), average_precision_score(truth, probabilities)
    assert found == (pytest.approx(auroc, abs=0.003), pytest.approx(auprc, abs=0.003))
