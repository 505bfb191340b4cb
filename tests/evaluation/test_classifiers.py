"""The probe's classifiers, of one and several labels, and the choice between candidates."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from tests.evaluation.helpers import (
    COLUMNS,
    PATIENTS,
    features_of,
    logistic,
    predicted,
    results_of,
    table_of,
    targets_of,
)
from tests.factories import CLASSES, LABELS, MULTI_LABELS, MULTI_TARGETS, ROWS, waves, write_labelled, write_multi_label
from tests.outputs import contents, read_lines

import lfbt.evaluation.classifiers as classifiers_module
from lfbt.data.loader import epoch_batches
from lfbt.errors import LfbtError
from lfbt.evaluation.bootstrap import intervals
from lfbt.evaluation.metrics import choose_thresholds, evaluate
from lfbt.inference.embed_settings import EmbedSettings
from lfbt.inference.embedding_folder import write_embeddings
from lfbt.utils.tensors import seeded


@pytest.mark.parametrize("standardise", [False, True])
def test_probe_of_several_labels_equals_a_hand_written_loop(run, multi, standardise):
    """Binary cross-entropy, the mean over records and classes; single precision keeps four digits."""
    folder = run(data_dir=multi, learning_rate=(1e-2,), seeds=(3,), epochs=5, standardise=standardise)
    x = {split: torch.from_numpy(np.load(folder / f"X_{split}.npy")) for split in ROWS}
    y = {split: torch.from_numpy(MULTI_TARGETS[rows]) for split, rows in ROWS.items()}
    for split in ROWS:
        np.testing.assert_array_equal(np.load(folder / f"y_{split}.npy"), y[split].numpy())
    mean, std = (x["train"].mean(dim=0), x["train"].std(dim=0, correction=0)) if standardise else (0, torch.ones(128))
    std[std == 0] = 1
    with seeded(3):
        linear = torch.nn.Linear(128, 3)
    optimizer = torch.optim.Adam(linear.parameters(), lr=1e-2, foreach=False, fused=False)

    def loss_of(split, chosen):
        p = torch.sigmoid(linear((x[split][chosen] - mean) / std))
        return -torch.where(y[split][chosen], p, 1 - p).log().mean()

    lowest = np.inf
    for line, epoch in zip(read_lines(folder / "history.jsonl"), range(5), strict=True):
        total = 0.0
        for batch in epoch_batches(np.arange(24), 8, 3, epoch):
            loss = loss_of("train", batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        with torch.no_grad():
            val_loss = loss_of("val", slice(None)).item()
            if val_loss < lowest:
                lowest, best = val_loss, torch.sigmoid(linear((x["test"] - mean) / std)).numpy()
        assert line == pytest.approx({"epoch": epoch + 1, "train_loss": total / 24, "val_loss": val_loss}, rel=1e-4)
    np.testing.assert_allclose(predicted(folder), best, rtol=0, atol=1e-5)


def test_probe_of_several_labels_writes_what_was_scored(run, multi):
    folder = run(data_dir=multi)
    results, predictions = results_of(folder), table_of(folder)
    assert results.task == "multi-label"
    assert predictions["label"].tolist() == MULTI_LABELS[36:]
    assert ";" in predictions["label"][0]
    assert np.abs(predicted(folder).sum(axis=1) - 1).max() > 0.01
    config = json.loads((folder / "head" / "config.json").read_text())
    assert config["exclusive"] is False
    known = {split: MULTI_TARGETS[rows] for split, rows in ROWS.items()}
    for split in ROWS:
        assert results.data.counts[split] == dict(zip(CLASSES, known[split].sum(axis=0).tolist(), strict=True))
    # Scored as several labels are, at thresholds that validation sets.
    write_embeddings(EmbedSettings((multi,), folder.with_name("embed"), folder, device="cpu", workers=0))
    p = table_of(folder.with_name("embed"), "probabilities.csv")[COLUMNS].to_numpy()
    np.testing.assert_allclose(p[36:], predicted(folder), rtol=0, atol=1e-5)
    thresholds = choose_thresholds(p[24:36], known["val"])
    found = evaluate(p[36:], known["test"], CLASSES, thresholds, exclusive=False)
    for name in ("auroc", "auprc", "accuracy", "f1", "sensitivity"):
        assert getattr(results.test, name) == pytest.approx(getattr(found, name), abs=1e-6)
    assert results.test.confusion_matrix == found.confusion_matrix
    bounds = intervals(p[36:], known["test"], PATIENTS[36:], False, thresholds)
    assert results.test.intervals.auroc == pytest.approx(bounds.auroc, abs=1e-6)
    assert results.test.intervals.patients == 6


def test_probe_of_one_label_a_record_is_single_label(run):
    folder = run()
    assert results_of(folder).task == "single-label"
    assert json.loads((folder / "head" / "config.json").read_text())["exclusive"] is True
    np.testing.assert_allclose(predicted(folder).sum(axis=1), 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        ["fast" if label == "fast" else "slow" for label in LABELS],
        # No training record of middle, or only of fast and slow among four classes.
        ["slow" if i < 24 and label == "middle" else label for i, label in enumerate(LABELS)],
        ["fast" if i < 24 and label == "middle" else label for i, label in enumerate([*LABELS[:47], "none"])],
    ],
    ids=["three", "two", "one is missing", "two are missing"],
)
def test_fit_logistic_equals_scikit_learns_pipeline(run, data, checkpoint, tmp_path, labels):
    """What the pipeline calls probable; a class that training lacks has no probability."""
    classes = sorted(set(labels))
    signals = np.load(data / "signals.npy")
    other = write_labelled(tmp_path / "data", signals=signals, labels=labels)
    folder = run(data_dir=other, classifier="logistic", c=(0.05,))
    x, y = features_of(checkpoint, data), np.array(labels)
    known = sorted(set(labels[:24]))
    expected = np.zeros((24, len(classes)))
    expected[:, [classes.index(name) for name in known]] = logistic(x[:24], y[:24], 0.05)(x[24:])
    found = table_of(folder)[[f"p_{name}" for name in classes]].to_numpy()
    np.testing.assert_allclose(found, expected[12:], rtol=0, atol=1e-3)
    assert np.abs(expected - expected.mean(axis=0)).max() > 0.2
    results, (line,) = results_of(folder), read_lines(folder / "history.jsonl")
    assert results.classifier == "logistic"
    assert results.chosen == {"c": 0.05}
    numbers = [classes.index(name) for name in labels[24:36]]
    literal = -np.log(np.maximum(expected[np.arange(12), numbers], np.exp(-30))).mean()
    # Of a class that is missing the loss is 30 and the logarithm of how probable others are.
    assert (
        line["val_loss"] == results.val_loss == pytest.approx(literal, rel=1e-3 if len(known) == len(classes) else 0.2)
    )
    # The head that is written predicts the same.
    write_embeddings(EmbedSettings((other,), tmp_path / "embed", folder, device="cpu", workers=0))
    embedded = table_of(tmp_path / "embed", "probabilities.csv")[[f"p_{name}" for name in classes]].to_numpy()
    np.testing.assert_allclose(embedded[36:], found, rtol=0, atol=1e-5)


def test_fit_logistic_of_several_labels_is_one_of_each_class(run, multi, checkpoint):
    folder = run(data_dir=multi, classifier="logistic", c=(0.05,))
    x = features_of(checkpoint, multi)
    expected = np.stack([logistic(x[:24], y[:24], 0.05)(x[24:])[:, 1] for y in MULTI_TARGETS.T], axis=1)
    np.testing.assert_allclose(predicted(folder), expected[12:], rtol=0, atol=1e-3)
    literal = -np.log(np.where(MULTI_TARGETS[24:36], expected[:12], 1 - expected[:12])).mean()
    assert results_of(folder).val_loss == pytest.approx(literal, rel=1e-3)


def test_fit_logistic_of_several_labels_takes_classes_of_no_and_of_all_records(run, data, checkpoint, tmp_path):
    """They are as good as impossible, or certain; the others are predicted as if these were not."""
    labels = ["fast;slow" if i % 2 else "fast" for i in range(24)] + MULTI_LABELS[24:]
    other = write_multi_label(tmp_path / "data", signals=np.load(data / "signals.npy"), labels=labels)
    folder = run(data_dir=other, classifier="logistic", c=(0.05,))
    x, y = features_of(checkpoint, data), np.arange(24) % 2
    p = predicted(folder)
    np.testing.assert_allclose(p[:, 0], 1, rtol=0, atol=1e-12)
    np.testing.assert_allclose(p[:, 1], 0, rtol=0, atol=1e-12)
    np.testing.assert_allclose(p[:, 2], logistic(x[:24], y, 0.05)(x[36:])[:, 1], rtol=0, atol=1e-3)


def literal_neighbours(x, y, n):
    """Of records 24 to 47: by the `n` nearest of the first 24, and one more that has each class as often as all."""
    mean, std = x[:24].mean(axis=0), x[:24].std(axis=0)
    x = (x - mean) / np.where(std > 0, std, 1)
    p = np.zeros((24, y.shape[1]))
    for i in range(24):
        cosines = [x[24 + i] @ x[j] / np.sqrt((x[24 + i] @ x[24 + i]) * (x[j] @ x[j])) for j in range(24)]
        nearest = np.argsort(cosines)[::-1][:n]
        for k in range(y.shape[1]):
            p[i, k] = (sum(y[j, k] for j in nearest) + y[:24, k].mean()) / (len(nearest) + 1)
    return p


@pytest.mark.parametrize("n", [1, 7, 24])
@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
def test_fit_neighbours_equals_a_loop(run, data, multi, checkpoint, several, n):
    """Of 24 training records."""
    place, labels = (multi, MULTI_LABELS) if several else (data, LABELS)
    folder = run(data_dir=place, classifier="knn", neighbours=(n,))
    y = targets_of(labels)
    expected = literal_neighbours(features_of(checkpoint, place), y, n)
    np.testing.assert_allclose(predicted(folder), expected[12:], rtol=0, atol=1e-12)
    known, p = y[24:36], expected[:12]
    literal = -np.log(np.where(known, p, 1 - p)).mean() if several else -np.log(p[known]).mean()
    results = results_of(folder)
    assert results.val_loss == pytest.approx(literal, rel=1e-12)
    assert (results.classifier, results.chosen) == ("knn", {"neighbours": n})
    # It is not linear: there is nothing to write but the encoder.
    assert (folder / "encoder").is_dir()
    assert not (folder / "head").exists()


def test_fit_neighbours_gives_a_class_without_neighbours_a_finite_loss(run, data, tmp_path):
    labels = ["slow" if i < 24 and label == "middle" else label for i, label in enumerate(LABELS)]
    other = write_labelled(tmp_path / "data", signals=np.load(data / "signals.npy"), labels=labels)
    results = results_of(run(data_dir=other, classifier="knn", neighbours=(5,)))
    assert np.isfinite(results.val_loss)
    assert results.val_loss > 30 * labels[24:36].count("middle") / 12


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
def test_fit_boosting_keeps_the_round_with_the_lowest_validation_loss(run, data, multi, checkpoint, several):
    """Of 24 training records: scikit-learn's own staged answers, of each class by itself where there are several."""
    place, y = (multi, targets_of(MULTI_LABELS)) if several else (data, targets_of(LABELS))
    folder = run(data_dir=place, classifier="boosting", seeds=(3,))
    x = features_of(checkpoint, place).astype(np.float32)
    x = (x - x[:24].mean(axis=0)) / x[:24].std(axis=0)
    options: Any = {"max_iter": 100, "max_leaf_nodes": 8, "min_samples_leaf": 5, "early_stopping": False}
    fits = [
        HistGradientBoostingClassifier(random_state=3, **options).fit(x[:24], known)
        for known in (y[:24].T if several else [y[:24].argmax(axis=1)])
    ]
    stages = [list(fit.staged_predict_proba(x[24:])) for fit in fits]
    of_rounds = [
        np.stack([stage[n][:, 1] for stage in stages], axis=1) if several else stages[0][n] for n in range(100)
    ]
    known = y[24:36]
    losses = [
        -np.log(np.where(known, p[:12], 1 - p[:12])).mean() if several else -np.log(p[:12][known]).mean()
        for p in of_rounds
    ]
    best = int(np.argmin(losses))
    results = results_of(folder)
    assert results.chosen == {"epoch": best + 1}
    assert results.val_loss == pytest.approx(losses[best], rel=1e-3)
    np.testing.assert_allclose(predicted(folder), of_rounds[best][12:], rtol=0, atol=1e-3)
    assert [line["val_loss"] for line in read_lines(folder / "history.jsonl")] == pytest.approx(losses, rel=1e-3)
    assert not (folder / "head").exists()


def test_in_their_span_is_the_same_logistic_regression(monkeypatch):
    """With 8 columns a record and more: from as many as there are records, the same answers of other records."""
    rng = np.random.default_rng(0)
    x: Any = rng.standard_normal((20, 300))
    other, known = rng.standard_normal((5, 300)), np.eye(3, dtype=bool)[np.arange(20) % 3]
    x -= x.mean(axis=0)
    for fitted in (classifiers_module._logistic, classifiers_module._logistic_each):
        monkeypatch.setattr(classifiers_module, "_WIDE", 8)
        narrow, back = classifiers_module._in_their_span(x)
        assert back is not None
        assert narrow.shape == (20, 19)
        np.testing.assert_allclose(narrow @ back, x, atol=1e-10)
        weights, biases = fitted(x, known, 0.01)
        monkeypatch.setattr(classifiers_module, "_WIDE", 1000)
        assert classifiers_module._in_their_span(x)[1] is None
        plain, plain_biases = fitted(x, known, 0.01)
        np.testing.assert_allclose(other @ weights.T + biases, other @ plain.T + plain_biases, atol=2e-3)


#: Of these, the middle one has the lowest validation loss.
SWEEPS: dict[str, dict[str, Any]] = {
    "adam": {"learning_rate": (1e-1, 3e-3, 1e-5)},
    "logistic": {"c": (10.0, 3e-3, 1e-5)},
    "knn": {"neighbours": (1, 20, 24)},
}


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
@pytest.mark.parametrize("classifier", SWEEPS)
def test_fit_keeps_the_candidate_with_the_lowest_validation_loss(run, data, multi, classifier, several):
    place = multi if several else data
    ((option, values),) = SWEEPS[classifier].items()
    swept = run("swept", data_dir=place, classifier=classifier, **{option: values})
    alone = [run(f"alone-{v}", data_dir=place, classifier=classifier, **{option: (v,)}) for v in values]
    losses = [results_of(folder).val_loss for folder in alone]
    assert np.argmin(losses) == 1
    assert results_of(swept).val_loss == losses[1]
    assert results_of(swept).chosen[option] == values[1]
    assert [line[option] for line in read_lines(swept / "history.jsonl")] == [
        value for value in values for _ in range(3 if classifier == "adam" else 1)
    ]
    # What else there was to choose from is all that tells it from a run with the one value.
    mine, theirs = contents(swept), contents(alone[1])
    del mine["history.jsonl"], theirs["history.jsonl"], mine["results.json"], theirs["results.json"]
    assert mine == theirs
    assert results_of(swept).test == results_of(alone[1]).test


@pytest.mark.parametrize("classifier", SWEEPS)
def test_fit_chooses_without_test_records(run, data, tmp_path, classifier):
    """Other signals and labels there: the same losses, the same choice."""
    signals = np.load(data / "signals.npy")
    signals[36:] = waves([0] * 12, seed=8)
    labels = LABELS[:36] + ["fast"] * 8 + ["slow"] * 4
    other = write_labelled(tmp_path / "other", signals=signals, labels=labels, patients=PATIENTS)
    one, two = (run(f"run-{p.name}", data_dir=p, classifier=classifier, **SWEEPS[classifier]) for p in (data, other))
    assert read_lines(one / "history.jsonl") == read_lines(two / "history.jsonl")
    assert results_of(one).chosen == results_of(two).chosen
    assert results_of(one).val == results_of(two).val
    assert results_of(one).test != results_of(two).test


def test_fit_skips_a_rate_that_diverges(run, monkeypatch):
    """It leaves no line and is not chosen; all that do are an error."""
    fit_adam = classifiers_module._fit_adam

    def fit(fold, y, head, settings, seed, learning_rate):
        if learning_rate >= 100:
            raise FloatingPointError("epoch 1")
        return fit_adam(fold, y, head, settings, seed, learning_rate)

    monkeypatch.setattr(classifiers_module, "_fit_adam", fit)
    folder, alone = run("sweep", learning_rate=(100.0, 1e-2)), run("alone", learning_rate=(1e-2,))
    assert results_of(folder).chosen["learning_rate"] == 1e-2
    assert {line["learning_rate"] for line in read_lines(folder / "history.jsonl")} == {1e-2}
    assert results_of(folder).test == results_of(alone).test
    with pytest.raises(LfbtError, match="epoch 1: the loss is not finite; try a lower --learning-rate"):
        run("none", learning_rate=(100.0, 1000.0))
