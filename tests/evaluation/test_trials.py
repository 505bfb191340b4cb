"""Tasks of several labels, classifiers to choose between, and trials: fractions, seeds, folds and subsets of leads."""

import dataclasses
import functools
import json
import shutil
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.helpers_model import (
    CLASSES,
    KINDS,
    LABELS,
    MULTI_LABELS,
    MULTI_TARGETS,
    ROWS,
    SPLIT,
    assert_same_tensors,
    contents,
    literal_embeddings,
    read_lines,
    waves,
    write_checkpoint,
    write_labelled,
    write_multi_label,
    write_packed,
)

import lfbt.evaluation.fine_tuning as finetune_module
import lfbt.evaluation.probing as probe_module
import lfbt.training.pretraining as pretrain_module
from lfbt.cli.app import main
from lfbt.data.dataset import open_dataset
from lfbt.data.loader import epoch_batches
from lfbt.errors import LfbtError
from lfbt.evaluation.bootstrap import intervals
from lfbt.evaluation.fine_tuning import finetune
from lfbt.evaluation.metrics import choose_thresholds, evaluate
from lfbt.evaluation.probing import probe
from lfbt.evaluation.settings import FinetuneSettings, ProbeSettings
from lfbt.inference.embedding import EmbedSettings, embed
from lfbt.models.pretrained import load_encoder
from lfbt.reports.page import ReportSettings, open_runs, report
from lfbt.reports.run_list import list_runs
from lfbt.runs.results import Results
from lfbt.training.pretraining import pretrain
from lfbt.training.settings import PretrainSettings
from lfbt.utils.tensors import load_tensors, seeded

COLUMNS = [f"p_{name}" for name in CLASSES]
#: Every patient has two records, of two classes.
PATIENTS = [f"p{i // 2}" for i in range(48)]
QUICK: dict[str, Any] = {"epochs": 3, "batch_size": 8, "device": "cpu", "workers": 0}
TUNE: dict[str, Any] = {"epochs": 1, "batch_size": 12, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Waves in much noise, so that no classifier is always right."""
    signals = waves(KINDS) + np.random.default_rng(3).standard_normal((48, 2, 64))
    return write_labelled(tmp_path_factory.mktemp("trials") / "data", signals=signals, patients=PATIENTS)


@pytest.fixture(scope="module")
def multi(data):
    """The same with several labels."""
    noise = np.random.default_rng(4).standard_normal((48, 2, 64))
    write_multi_label(data.with_name("clean"))
    signals = np.load(data.with_name("clean") / "signals.npy") + noise
    return write_multi_label(data.with_name("multi"), signals=signals, patients=PATIENTS)


@pytest.fixture(scope="module")
def checkpoint(data):
    return write_checkpoint(data.with_name("checkpoint"))


@pytest.fixture
def run(data, checkpoint, tmp_path):
    """Probe, or fine-tune, with some settings changed; returns the run folder."""

    def go(name="run", tune=False, **changes):
        settings = QUICK | {"data_dir": data, "checkpoint": checkpoint, "run_dir": tmp_path / name}
        if tune:
            finetune(FinetuneSettings.create(**(settings | TUNE | changes)))
        else:
            probe(ProbeSettings.create(**(settings | changes)))
        return tmp_path / name

    return go


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


# --- several labels a record ---


@pytest.mark.parametrize("standardise", [False, True])
def test_a_probe_of_several_labels_equals_a_hand_written_loop(run, multi, standardise):
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


def test_what_a_task_of_several_labels_leaves(run, multi):
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
    embed(EmbedSettings((multi,), folder, folder.with_name("embed"), device="cpu", workers=0))
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


def test_one_label_a_record_is_no_task_of_several(run):
    folder = run()
    assert results_of(folder).task == "single-label"
    assert json.loads((folder / "head" / "config.json").read_text())["exclusive"] is True
    np.testing.assert_allclose(predicted(folder).sum(axis=1), 1, rtol=0, atol=1e-6)


def test_fine_tuning_with_several_labels(run, multi):
    """The written classifier gives the probabilities that were scored."""
    folder = run(data_dir=multi, tune=True)
    results = results_of(folder)
    assert (results.task, results.classifier) == ("multi-label", None)
    assert table_of(folder)["label"].tolist() == MULTI_LABELS[36:]
    head = load_tensors(folder / "head" / "model.safetensors")
    x = torch.from_numpy(features_of(folder, multi)[36:]).float()
    p = torch.sigmoid(x @ head["linear.weight"].T + head["linear.bias"]).numpy()
    np.testing.assert_allclose(predicted(folder), p, rtol=0, atol=1e-5)
    found = evaluate(p, MULTI_TARGETS[36:], CLASSES, exclusive=False)
    assert results.test.auroc == pytest.approx(found.auroc)


def test_pretraining_takes_several_labels_to_tell_its_quality(multi, tmp_path, monkeypatch):
    """The AUROC of each class, for the encoder as it is written."""
    monkeypatch.setattr(pretrain_module, "STEPS_BEFORE_QUALITY", 1)
    settings: dict[str, Any] = {"epochs": 1, "batch_size": 12, "projector": "8", "device": "cpu", "workers": 0}
    pretrain(PretrainSettings((multi,), tmp_path / "run", quality_data=multi, **settings))
    x, y = features_of(tmp_path / "run", multi), MULTI_TARGETS
    scaler = StandardScaler().fit(x[:24])
    model = RidgeCV(np.logspace(-1, 5, 7)).fit(scaler.transform(x[:24]), y[:24].astype(float))
    scores = model.predict(scaler.transform(x[24:36]))
    literal = np.mean([roc_auc_score(y[24:36, k], scores[:, k]) for k in range(3)])
    assert read_lines(tmp_path / "run" / "history.jsonl")[-1]["val_auroc"] == pytest.approx(literal)


def test_a_record_without_a_label_is_refused_among_several(run, tmp_path):
    write_multi_label(tmp_path / "data", labels=["", *MULTI_LABELS[1:]])
    with pytest.raises(LfbtError, match="record r0 has no label; a classifier needs one or more"):
        run(data_dir=tmp_path / "data")


# --- the classifiers ---


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
def test_logistic_regression_is_scikit_learns(run, data, checkpoint, tmp_path, labels):
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
    # The head that is written says the same.
    embed(EmbedSettings((other,), folder, tmp_path / "embed", device="cpu", workers=0))
    embedded = table_of(tmp_path / "embed", "probabilities.csv")[[f"p_{name}" for name in classes]].to_numpy()
    np.testing.assert_allclose(embedded[36:], found, rtol=0, atol=1e-5)


def test_logistic_regression_of_several_labels_is_one_of_each_class(run, multi, checkpoint):
    folder = run(data_dir=multi, classifier="logistic", c=(0.05,))
    x = features_of(checkpoint, multi)
    expected = np.stack([logistic(x[:24], y[:24], 0.05)(x[24:])[:, 1] for y in MULTI_TARGETS.T], axis=1)
    np.testing.assert_allclose(predicted(folder), expected[12:], rtol=0, atol=1e-3)
    literal = -np.log(np.where(MULTI_TARGETS[24:36], expected[:12], 1 - expected[:12])).mean()
    assert results_of(folder).val_loss == pytest.approx(literal, rel=1e-3)


def test_of_several_labels_some_may_be_missing_in_training_or_always_there(run, data, checkpoint, tmp_path):
    """They are as good as impossible, or certain; the others are told as if these were not."""
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


@pytest.mark.parametrize("n", [1, 7, 100])
@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
def test_neighbours_are_those_of_a_loop(run, data, multi, checkpoint, several, n):
    """With more neighbours than there are records, those are all."""
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


def test_a_class_without_neighbours_is_hardly_possible(run, data, tmp_path):
    labels = ["slow" if i < 24 and label == "middle" else label for i, label in enumerate(LABELS)]
    other = write_labelled(tmp_path / "data", signals=np.load(data / "signals.npy"), labels=labels)
    results = results_of(run(data_dir=other, classifier="knn", neighbours=(5,)))
    assert np.isfinite(results.val_loss)
    assert results.val_loss > 30 * labels[24:36].count("middle") / 12


#: Of these, the middle one has the lowest validation loss.
SWEEPS: dict[str, dict[str, Any]] = {
    "adam": {"learning_rate": (1e-1, 3e-3, 1e-5)},
    "logistic": {"c": (10.0, 3e-3, 1e-5)},
    "knn": {"neighbours": (1, 20, 24)},
}


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
@pytest.mark.parametrize("classifier", SWEEPS)
def test_a_sweep_keeps_the_lowest_validation_loss(run, data, multi, classifier, several):
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
def test_test_records_have_no_say_in_a_sweep(run, data, tmp_path, classifier):
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


# --- fractions and seeds ---

SERIES: dict[str, Any] = {"fraction": (0.3, 1.0), "seeds": (0, 2)}
NAMES = ("fraction-0.3-seed-0", "fraction-0.3-seed-2", "fraction-1-seed-0", "fraction-1-seed-2")


@pytest.mark.parametrize("start", ["probe", "probe of a random encoder", "finetune", "scratch"])
def test_trials_of_a_series_equal_those_run_alone(run, start):
    """Bit by bit; every seed has a random encoder of its own."""
    random_start = {"probe of a random encoder": "random_encoder", "scratch": "from_scratch"}.get(start)
    given = {"checkpoint": None, random_start: True} if random_start else {}
    tune = start in ("finetune", "scratch")
    series = run("series", tune=tune, **SERIES, **given)
    assert sorted(path.name for path in series.iterdir() if path.name != ".lock") == sorted(
        [*NAMES, "results.csv", "curve.png", "settings.json"]
    )
    for name, fraction, seed in ((NAMES[0], 0.3, 0), (NAMES[3], 1.0, 2)):
        alone = run(f"alone-{name}", tune=tune, fraction=(fraction,), seeds=(seed,), **given)
        # Only a single run of the probe leaves its features.
        for path in alone.glob("[Xy]_*.npy"):
            path.unlink()
        assert_same_but_settings(series / name, alone)
        assert (results_of(alone).fraction, results_of(alone).seed) == (fraction, seed)
    one, two = (load_encoder(series / name).state_dict() for name in NAMES[2:])
    weight = "encoders.V1.convolutions.3.weight"
    assert torch.equal(one[weight], two[weight]) == (start == "probe")


def test_the_table_of_a_series(run, data, checkpoint, tmp_path):
    settings = QUICK | SERIES | {"data_dir": data, "checkpoint": checkpoint, "run_dir": tmp_path / "run"}
    found = probe(ProbeSettings.create(**settings))
    assert [(results.fraction, results.seed) for results in found] == [(0.3, 0), (0.3, 2), (1, 0), (1, 2)]
    folders = [tmp_path / "run" / name for name in NAMES]
    assert found == [results_of(folder) for folder in folders]
    table = table_of(tmp_path / "run", "results.csv")
    assert list(table) == [
        "leads", "fraction", "training records", "seeds", "AUROC", "AUROC sd", "AUPRC", "AUPRC sd",
    ]  # fmt: skip
    assert table["leads"].tolist() == ["II,V1"] * 2
    assert table["fraction"].tolist() == [0.3, 1]
    assert table["seeds"].tolist() == [2, 2]
    assert table["training records"].tolist() == [results.data.training_records for results in found[::2]]
    for row, both in enumerate((found[:2], found[2:])):
        for name, key in (("AUROC", "auroc"), ("AUPRC", "auprc")):
            a, b = (getattr(results.test, key) for results in both)
            assert table.loc[row, name] == pytest.approx((a + b) / 2)
            assert table.loc[row, f"{name} sd"] == pytest.approx(abs(a - b) / np.sqrt(2))
    assert (table["AUROC sd"] > 0).any()
    assert (tmp_path / "run" / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_fractions_take_whole_patients_and_smaller_ones_lie_within_larger(run):
    series = run(fraction=(0.2, 0.5, 1.0), seeds=(0, 1))
    chosen = {}
    for folder in series.glob("fraction-*"):
        table = table_of(folder, "splits.csv")
        chosen[folder.name] = {int(name[1:]) for name in table["id"][table["split"] == "train"]}
        assert Counter(Counter(PATIENTS[i] for i in chosen[folder.name]).values()).keys() == {2}
        assert table["id"][table["split"] == "test"].tolist() == [f"r{i}" for i in ROWS["test"]]
    for seed in (0, 1):
        small, half, whole = (chosen[f"fraction-{part}-seed-{seed}"] for part in ("0.2", "0.5", "1"))
        assert small < half < whole == set(ROWS["train"])
    assert chosen["fraction-0.2-seed-0"] != chosen["fraction-0.2-seed-1"]


def test_one_seed_has_no_deviation_and_no_figure_no_mean(run, data, tmp_path):
    """A test of one record has nothing to score a class by."""
    keep = 37
    other = write_labelled(
        tmp_path / "data", signals=np.load(data / "signals.npy")[:keep], labels=LABELS[:keep], split=SPLIT[:keep]
    )
    table = table_of(run(data_dir=other, fraction=(0.5, 1.0)), "results.csv")
    assert table[["AUROC", "AUROC sd", "AUPRC", "AUPRC sd"]].isna().all(axis=None)
    table = table_of(run("whole", fraction=(0.5, 1.0)), "results.csv")
    assert table["AUROC"].notna().all()
    assert table["AUROC sd"].isna().all()


def stop_in_the_middle(monkeypatch, module, name, n):
    """Have the `n`-th call of a function end the run."""
    function, calls = vars(module)[name], iter(range(1, 1000))

    def stopping(*args):
        if next(calls) == n:
            raise KeyboardInterrupt
        return function(*args)

    monkeypatch.setattr(module, name, stopping)


@pytest.mark.parametrize("kind", ["probe", "finetune", "lead subsets"])
def test_a_series_that_was_stopped_goes_on(run, monkeypatch, kind):
    """As if it had never been; what was there stays as it is."""
    tune = kind == "finetune"
    given = {"lead_subsets": (("each",), ("all",))} if kind == "lead subsets" else SERIES
    whole = run("whole", tune=tune, **given)
    module, name = (finetune_module, "_fit") if tune else (probe_module, "fit")
    with monkeypatch.context() as patch:
        stop_in_the_middle(patch, module, name, 3)
        with pytest.raises(KeyboardInterrupt):
            run("stopped", tune=tune, **given)
    stopped = whole.with_name("stopped")
    there = sorted(path.parent for path in stopped.glob("*/results.json"))
    assert len(there) == 2
    assert not (stopped / "results.csv").exists()
    # As a kill leaves it that comes while a trial is written.
    half = stopped / ".fraction-1-seed-0.partial-1"
    shutil.copytree(there[0], half)
    before = {path: path.stat().st_mtime_ns for folder in there for path in folder.iterdir()}
    run("stopped", tune=tune, resume=True, **given)
    assert {path: path.stat().st_mtime_ns for folder in there for path in folder.iterdir()} == before
    trials = {path.parent.name for path in whole.glob("*/results.json")}
    assert {path.name for path in stopped.iterdir()} == {path.name for path in whole.iterdir()} > trials
    for trial in trials:
        assert_same_but_settings(stopped / trial, whole / trial)
    for name in ("results.csv", "curve.png"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()


def test_a_series_with_trials_and_its_table_removed_goes_on(run):
    folder = run(**SERIES)
    whole = contents(folder)
    for name in NAMES[1:3]:
        shutil.rmtree(folder / name)
    (folder / "results.csv").unlink()
    (folder / "curve.png").unlink()
    run(**SERIES, resume=True)
    now = contents(folder)
    for files in (whole, now):
        # Only these tell that one of both was resumed.
        for name in NAMES[1:3]:
            files[f"{name}/results.json"] = files[f"{name}/results.json"].replace(b'"resume": true', b'"resume": false')
    assert now == whole


def test_a_finished_series_is_not_computed_again(run, monkeypatch):
    folder = run(**SERIES)
    before = contents(folder)
    monkeypatch.setattr(probe_module, "compute_embeddings", None)
    assert contents(run(**SERIES, resume=True)) == before


@pytest.mark.parametrize("tune", [False, True], ids=["probe", "finetune"])
def test_a_series_goes_on_with_its_own_settings_only(run, tmp_path, tune):
    folder = run(tune=tune, **SERIES)
    before = contents(folder)
    with pytest.raises(LfbtError, match="run: holds a run already; go on with --resume, or name a new folder"):
        run(tune=tune, **SERIES)
    changes: list[tuple[str, dict[str, Any]]] = [
        (r"resume: seeds is \[0, 3\] but was \[0, 2\] in", {"seeds": (0, 3)}),
        (r"resume: fraction is \[0\.3\] but was \[0\.3, 1\.0\] in", {"fraction": (0.3,)}),
        ("resume: epochs is 9 but was", {"epochs": 9}),
        ("resume: data_hash is ", {"data_dir": write_labelled(tmp_path / "other", signals=waves(KINDS, seed=6))}),
    ]
    for message, change in changes:
        with pytest.raises(LfbtError, match=message):
            run(tune=tune, **(SERIES | {"resume": True} | change))
    with pytest.raises(LfbtError, match="resume: kind is "):
        run(tune=not tune, **SERIES, resume=True)
    # A single trial has the folder itself, so this one is in use.
    with pytest.raises(LfbtError, match="run: holds other results already"):
        run(tune=tune, resume=True)
    assert contents(folder) == before


def test_a_series_does_not_go_into_a_single_runs_folder(run):
    folder = run()
    before = contents(folder)
    with pytest.raises(LfbtError, match="run: holds other results already"):
        run(**SERIES)
    with pytest.raises(LfbtError, match=r"resume: .*run holds no run"):
        run(**SERIES, resume=True)
    assert contents(folder) == before


def test_nothing_is_left_of_a_series_that_fails_at_once(run, tmp_path):
    signals = waves(KINDS)
    signals[40, 1, 5] = np.nan
    write_packed(tmp_path / "data", signals, LABELS, SPLIT, hash="x")
    with pytest.raises(LfbtError, match="record r40 holds NaN or infinity"):
        run(data_dir=tmp_path / "data", **SERIES)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_fractions_that_hardly_differ_have_folders_of_their_own(run):
    """Named by all their digits."""
    folder = run(fraction=(0.5, 0.5000001, 1.0), epochs=1)
    assert sorted(path.name for path in folder.glob("fraction*")) == [
        "fraction-0.5-seed-0",
        "fraction-0.5000001-seed-0",
        "fraction-1-seed-0",
    ]


# --- folds ---


def literal_folds(n_folds, labels, seed=0):
    """Rows of training, validation and test of each fold: patients dealt out by the rarest of their classes."""
    records_of = Counter(name for text in labels for name in text.split(";"))
    strata = {}
    for patient in PATIENTS:
        mine = {name for p, text in zip(PATIENTS, labels, strict=True) if p == patient for name in text.split(";")}
        strata[patient] = min(mine, key=lambda name: (records_of[name], CLASSES.index(name)))
    names = list(strata)
    dealt = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(names, list(strata.values()))
    fold_of = {names[i]: fold for fold, (_, test) in enumerate(dealt) for i in test}
    fold = np.array([fold_of[patient] for patient in PATIENTS])
    for k in range(n_folds):
        val = (k + 1) % n_folds
        yield np.flatnonzero((fold != k) & (fold != val)), np.flatnonzero(fold == val), np.flatnonzero(fold == k)


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
def test_folds_are_those_of_a_hand_written_loop(run, data, multi, checkpoint, several):
    """Of one value nothing is chosen: all but the test fold is training. Of two each fold chooses, on the next fold."""
    place, labels = (multi, MULTI_LABELS) if several else (data, LABELS)
    x, y = features_of(checkpoint, place), targets_of(labels)

    def fitted(rows, c):
        if not several:
            return logistic(x[rows], y[rows].argmax(axis=1), c)
        of_each = [logistic(x[rows], of_class[rows], c) for of_class in y.T]
        return lambda features: np.stack([one(features)[:, 1] for one in of_each], axis=1)

    def loss(p, known):
        return (
            np.mean([log_loss(k, q, labels=[0, 1]) for k, q in zip(known.T, p.T, strict=True)])
            if several
            else (log_loss(known.argmax(axis=1), p, labels=[0, 1, 2]))
        )

    one, chosen, best, cs = np.empty((48, 3)), np.empty((48, 3)), [], (1.0, 0.03, 0.003)
    for train, val, test in literal_folds(4, labels):
        one[test] = fitted(np.sort(np.append(train, val)), 0.05)(x[test])
        models = {c: fitted(train, c) for c in cs}
        best.append(min(models, key=lambda c, models=models, val=val: loss(models[c](x[val]), y[val])))  # type: ignore[misc]
        chosen[test] = models[best[-1]](x[test])
    assert len(set(best)) > 1
    without = run("without", data_dir=place, classifier="logistic", c=(0.05,), folds=4)
    choosing = run("choosing", data_dir=place, classifier="logistic", c=cs, folds=4)
    for folder, expected in ((without, one), (choosing, chosen)):
        predictions = table_of(folder)
        assert predictions["id"].tolist() == [f"r{i}" for i in range(48)]
        assert predictions["label"].tolist() == labels
        np.testing.assert_allclose(predicted(folder), expected, rtol=0, atol=2e-3)
        found = evaluate(predicted(folder).astype(np.float32), y, CLASSES, exclusive=not several)
        test = results_of(folder).test
        assert (test.records, test.auroc) == (48, pytest.approx(found.auroc))
        assert test.intervals.patients == 24
    assert [one["c"] for one in results_of(choosing).chosen] == best
    assert results_of(without).val is results_of(without).val_loss is None
    assert results_of(choosing).val.records == 48


@pytest.mark.parametrize(
    ("kind", "several"),
    [("adam", False), ("adam", True), ("knn", False), ("adam of a random encoder", False), ("finetune", True)],
    ids=lambda value: value if isinstance(value, str) else "several labels" if value else "one label",
)
def test_each_fold_is_a_plain_run_on_its_splits(run, data, multi, tmp_path, kind, several):
    """Bit by bit: the probabilities, the history, and what was chosen. The encoder begins as it was in every fold."""
    place, labels = (multi, MULTI_LABELS) if several else (data, LABELS)
    given: dict[str, Any] = (
        {"tune": True} if kind == "finetune" else {"classifier": kind.split()[0], "neighbours": (3, 9)}
    )
    if kind.endswith("encoder"):
        given |= {"checkpoint": None, "random_encoder": True}
    folder = run("folds", data_dir=place, folds=3, split_seed=5, **given)
    whole, results = table_of(folder).set_index("id"), results_of(folder)
    lines = read_lines(folder / "history.jsonl")
    for k, rows in enumerate(literal_folds(3, labels, seed=5)):
        split = np.full(48, "train ")
        for name, chosen in zip(("train", "val", "test"), rows, strict=True):
            split[chosen] = name
        write = write_multi_label if several else write_labelled
        own = write(
            tmp_path / f"data{k}", signals=np.load(place / "signals.npy"), patients=PATIENTS, split=split.tolist()
        )
        alone = run(f"alone{k}", data_dir=own, **given)
        pd.testing.assert_frame_equal(table_of(alone).set_index("id"), whole.loc[[f"r{i}" for i in rows[2]]])
        assert [{"fold": k} | line for line in read_lines(alone / "history.jsonl")] == [
            line for line in lines if line["fold"] == k
        ]
        assert results.chosen[k] == results_of(alone).chosen
        assert results.data.training_records == len(rows[0])


def test_what_folds_leave(run):
    folder = run(folds=4, learning_rate=(1e-2,))
    names = {path.name for path in folder.iterdir()}
    # No one encoder and head, and no one set of features, is that of all folds.
    assert names == {"history.jsonl", "predictions.csv", "results.json", "splits.csv"}
    results = results_of(folder)
    assert results.folds == len(results.chosen) == 4
    assert results.data.counts == {"test": dict.fromkeys(CLASSES, 16)}
    assert all(row.threshold is None for row in results.test.per_class.values())
    splits = table_of(folder, "splits.csv")
    assert list(splits) == ["id", "split", "fold"]
    splits["patient"] = [PATIENTS[int(name[1:])] for name in splits["id"]]
    assert (splits.groupby("fold").size() == 48).all()
    assert splits.groupby(["fold", "patient"])["split"].nunique().eq(1).all()
    for name in ("val", "test"):
        assert sorted(splits["id"][splits["split"] == name]) == sorted(f"r{i}" for i in range(48))
    test_of = splits[splits["split"] == "test"].set_index("id")["fold"]
    val_of = splits[splits["split"] == "val"].set_index("id")["fold"]
    assert (test_of == (val_of.loc[test_of.index] + 1) % 4).all()


@pytest.mark.parametrize("random_start", [False, True])
def test_a_folds_test_records_have_no_influence_on_it(run, data, tmp_path, random_start):
    """Not on what is learned and chosen there, nor on the statistics of a random encoder."""
    given: dict[str, Any] = {"folds": 3, "learning_rate": (1e-2, 1e-3)}
    given |= {"random_encoder": True, "checkpoint": None} if random_start else {}
    one = run("one", **given)
    rows = list(literal_folds(3, LABELS))[1][2]
    signals = np.load(data / "signals.npy")
    signals[rows] = waves([0] * len(rows), seed=9)
    two = run("two", data_dir=write_labelled(tmp_path / "other", signals=signals, patients=PATIENTS), **given)
    for k in range(3):
        lines = [[line for line in read_lines(folder / "history.jsonl") if line["fold"] == k] for folder in (one, two)]
        assert (lines[0] == lines[1]) == (k == 1)
    assert results_of(one).chosen[1] == results_of(two).chosen[1]
    assert not np.allclose(predicted(one)[rows], predicted(two)[rows])


def test_fractions_and_seeds_of_folds(run):
    """The test records of all folds are scored whatever the fraction of the others."""
    series = run(folds=3, classifier="logistic", c=(0.01,), fraction=(0.5, 1.0), seeds=(0, 1))
    sizes = {}
    for folder in series.glob("fraction-*"):
        assert results_of(folder).test.records == 48
        sizes[folder.name] = results_of(folder).data.training_records
    assert sizes["fraction-1-seed-0"] == sizes["fraction-1-seed-1"] == 32
    assert 16 <= sizes["fraction-0.5-seed-0"] <= 20
    alone = run("alone", folds=3, classifier="logistic", c=(0.01,), fraction=(0.5,), seeds=(1,))
    assert_same_but_settings(series / "fraction-0.5-seed-1", alone)


def test_a_data_set_without_splits_is_cross_validated(run, data, tmp_path):
    other = write_labelled(
        tmp_path / "d", signals=np.load(data / "signals.npy"), split=["train"] * 48, patients=PATIENTS
    )
    one, two = run("one", data_dir=other, folds=4), run("two", folds=4)
    np.testing.assert_array_equal(predicted(one), predicted(two))
    with pytest.raises(LfbtError, match=r"split val has no records; prepare .* or cross-validate with --folds"):
        run("three", data_dir=other)


# --- subsets of leads ---


def counted(monkeypatch):
    """A list with an item for each time that the probe computes features."""
    compute, calls = vars(probe_module)["compute_embeddings"], []

    def counting(*args):
        calls.append(args)
        return compute(*args)

    monkeypatch.setattr(probe_module, "compute_embeddings", counting)
    return calls


def test_all_leads_are_those_without_a_subset(run):
    subset, plain = run("subset", lead_subsets=(("all",),)), run("plain")
    for name in ("predictions.csv", "history.jsonl", "splits.csv", "X_test.npy"):
        assert (subset / name).read_bytes() == (plain / name).read_bytes()
    one, two = results_of(subset), results_of(plain)
    assert one.test == two.test
    assert (one.lead_subset, one.leads) == ("all", ["II", "V1"])
    assert (two.lead_subset, two.leads) == (None, ["II", "V1"])
    # The encoder is not that of a subset.
    assert not (subset / "encoder").exists()
    assert not (subset / "head").exists()


@pytest.mark.parametrize("subset", [("II",), ("V1",), ("V1", "II")], ids=",".join)
def test_a_subsets_features_are_the_columns_of_its_leads(run, subset):
    """In its order; the z-score is that of all leads."""
    whole, part = run("whole"), run("part", lead_subsets=(subset,))
    columns = np.concatenate([np.arange(64) + 64 * ("II", "V1").index(lead) for lead in subset])
    for split in ROWS:
        x = np.load(whole / f"X_{split}.npy")
        np.testing.assert_array_equal(np.load(part / f"X_{split}.npy"), x[:, columns])
    assert results_of(part).leads == list(subset)


def test_each_lead_and_named_subsets_are_trials(run, data, checkpoint, monkeypatch, tmp_path):
    """From one frozen pass for all of them."""
    calls = counted(monkeypatch)
    words = (("each",), ("limb",), ("chest",), ("all",), ("V1", "II"), ("II",))
    given = QUICK | {"data_dir": data, "checkpoint": checkpoint, "lead_subsets": words, "seeds": (0, 1)}
    found = probe(ProbeSettings.create(run_dir=tmp_path / "run", **given))
    assert len(calls) == 1
    expected = {"II": "II", "V1": "V1", "limb": "II", "chest": "V1", "all": "II,V1", "V1,II": "V1,II"}
    assert {results.lead_subset: ",".join(results.leads) for results in found} == expected
    assert len(found) == 12
    folder = tmp_path / "run"
    trials = {f"leads-{name.replace(',', '-')}-fraction-1-seed-{seed}" for name in expected for seed in (0, 1)}
    assert {path.name for path in folder.iterdir() if path.is_dir()} == trials
    for name, lead in (("limb", "II"), ("chest", "V1")):
        mine, its = (folder / f"leads-{word}-fraction-1-seed-1" / "predictions.csv" for word in (name, lead))
        assert mine.read_bytes() == its.read_bytes()
    alone = run("alone", lead_subsets=(("V1", "II"),), seeds=(1,))
    for path in alone.glob("[Xy]_*.npy"):
        path.unlink()
    assert_same_but_settings(folder / "leads-V1-II-fraction-1-seed-1", alone)
    table = table_of(folder, "results.csv")
    assert table["leads"].tolist() == list(expected)
    assert table["seeds"].tolist() == [2] * 6


def test_a_random_encoder_is_drawn_and_used_once_for_every_seed_and_fold(run, monkeypatch):
    calls = counted(monkeypatch)
    run(checkpoint=None, random_encoder=True, seeds=(0, 1), fraction=(0.5, 1.0), folds=3, lead_subsets=(("each",),))
    assert len(calls) == 2 * 3


def test_subsets_of_chosen_leads_and_in_folds(run):
    folder = run(leads=("V1",), lead_subsets=(("all",), ("chest",)), folds=3)
    for name in ("all", "chest"):
        assert results_of(folder / f"leads-{name}-fraction-1-seed-0").leads == ["V1"]
    one, two = (folder / f"leads-{name}-fraction-1-seed-0" / "predictions.csv" for name in ("all", "chest"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("subset", "message"),
    [
        (("limb",), "lead-subsets: limb: the encoder has V1,V2; name some of these, or each, limb, chest, all"),
        (("V9",), "lead-subsets: V9: the encoder has V1,V2; "),
        (("V1", "II"), "lead-subsets: V1,II: the encoder has V1,V2; "),
        (("each", "V1"), "lead-subsets: each,V1: the encoder has V1,V2; "),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_subsets_of_leads_that_are_not_there_are_refused(run, tmp_path, subset, message):
    place = {"data_dir": write_labelled(tmp_path / "d", leads=("V1", "V2")), "leads": ("V1", "V2")}
    with pytest.raises(LfbtError, match=message):
        run(**place, checkpoint=write_checkpoint(tmp_path / "c", ("V1", "V2")), lead_subsets=(("each",), subset))
    assert not (tmp_path / "run").exists()


# --- what is refused ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 1}, r"folds: 1 is outside \[3, inf\); one is the test, one validation"),
        ({"folds": 2}, r"folds: 2 is outside \[3, inf\); one is the test, one validation"),
        ({"folds": -1}, r"folds: -1 is outside \[3, inf\)"),
        ({"folds": 1, "classifier": "logistic", "c": (1.0,)}, r"folds: 1 is outside \[2, inf\)"),
        ({"folds": 2, "classifier": "logistic"}, r"folds: 2 is outside \[3, inf\)"),
        ({"folds": 40}, "folds: 40 are more than the 16 patients of the most frequent class; take fewer"),
        ({"folds": 3, "split_seed": -1}, "split-seed: -1 is outside"),
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
        ({"learning_rate": ()}, "learning-rate: none given; give one or more"),
        ({"learning_rate": (1e-3, 0.0)}, r"learning-rate: 0\.0 is outside"),
        ({"classifier": "logistic", "c": (1.0, 0.0)}, r"c: 0\.0 is outside \(0, inf\)"),
        ({"classifier": "logistic", "c": ()}, "c: none given"),
        ({"classifier": "knn", "neighbours": (0,)}, r"neighbours: 0 is outside \[1, inf\)"),
        ({"classifier": "knn", "neighbours": ()}, "neighbours: none given"),
    ],
    ids=lambda value: "-".join(f"{k}-{v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_settings_out_of_range_are_refused(run, tmp_path, changes, message):
    with pytest.raises(LfbtError, match=message):
        run(**changes)
    assert list(tmp_path.iterdir()) == []


def test_two_folds_are_enough_where_nothing_is_chosen(run):
    for classifier in ("logistic", "knn"):
        folder = run(classifier, folds=2, classifier=classifier, c=(0.1,), neighbours=(5,))
        assert results_of(folder).data.training_records == 24


# --- the commands, the report and the list of runs ---


@pytest.fixture(scope="module")
def made(data):
    """The data set as one that was made, not measured."""
    signals = np.load(data / "signals.npy")
    return write_labelled(data.with_name("made"), signals=signals, patients=PATIENTS, synthetic=True)


@pytest.fixture
def lfbt_says(made, checkpoint, tmp_path, capsys):
    def say(command, *words, encoder=("--checkpoint", checkpoint)):
        options = ("--epochs", 1, "--batch-size", 12, "--device", "cpu", "--workers", 0)
        main([str(w) for w in (command, "--data-dir", made, *encoder, "--run-dir", tmp_path / "run", *options, *words)])
        return capsys.readouterr().out.splitlines(), tmp_path / "run"

    return say


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (("--classifier", "logistic", "--c", "0.01"), "c 0.01 kept"),
        (("--classifier", "knn", "--neighbours", "7"), "neighbours 7 kept"),
        (("--learning-rate", "1e-2"), "epoch {epoch:g}, learning rate 0.01 kept"),
    ],
)
def test_what_a_single_trial_says(lfbt_says, words, kept):
    said, folder = lfbt_says("probe", *words)
    results = results_of(folder)
    kept = kept.format(**results.chosen)
    assert said[0] == f"{folder}: probe, {kept} (validation loss {results.val_loss:.4f})"
    auroc, (low, high) = results.test.auroc, results.test.intervals.auroc
    figure = f"macro AUROC {auroc:.4f} [{low:.3f}, {high:.3f}], macro AUPRC "
    assert said[1].startswith(f"  SYNTHETIC data, 12 test records: {figure}")


@pytest.mark.parametrize("command", ["probe", "finetune"])
def test_what_folds_say(lfbt_says, command):
    said, folder = lfbt_says(command, "--folds", "3")
    assert said[0] == f"{folder}: {command}"
    auroc = results_of(folder).test.auroc
    assert said[1].startswith(f"  3 folds of SYNTHETIC data, 48 test records: macro AUROC {auroc:.4f} [")


@pytest.mark.parametrize("command", ["probe", "finetune"])
def test_what_a_series_says(lfbt_says, command):
    said, folder = lfbt_says(command, "--fraction", "0.5", "1.0", "--seeds", "0", "1")
    assert said[0] == f"{folder}: {command}, 4 trials, SYNTHETIC data, 12 test records"
    assert " ".join(said[1].split()) == "leads fraction training records seeds AUROC AUROC sd AUPRC AUPRC sd"
    table = table_of(folder, "results.csv")
    for line, (_, row) in zip(said[2:], table.iterrows(), strict=True):
        figures = [f"{row[name]:.4f}" for name in ("AUROC", "AUROC sd", "AUPRC", "AUPRC sd")]
        assert line.split() == ["II,V1", f"{row['fraction']:.4f}", str(row["training records"]), "2", *figures]
    again, _ = lfbt_says(command, "--fraction", "0.5", "1.0", "--seeds", "0", "1", "--resume")
    assert again == said


def test_subsets_of_leads_by_the_command(lfbt_says):
    said, folder = lfbt_says("probe", "--lead-subsets", "each", "limb", "all", "v1,ii")
    assert said[0] == f"{folder}: probe, 5 trials, SYNTHETIC data, 12 test records"
    assert [line.split()[0] for line in said[2:]] == ["II", "V1", "limb", "all", "V1,II"]
    assert [line.split()[-1] for line in said[2:]] == ["-"] * 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--lead-subsets", "V1,V1"), "leads: V1 is named twice in V1,V1"),
        (("--lead-subsets", "each", "V4"), "lead-subsets: V4: the encoder has II,V1"),
        (("--seeds", "1", "1"), "seeds: 1 1; give one or more, each once"),
    ],
)
def test_what_the_command_refuses(lfbt_says, capsys, words, message):
    with pytest.raises(SystemExit, match="2"):
        lfbt_says("probe", *words)
    assert f"lfbt: error: {message}" in capsys.readouterr().err


def test_records_of_several_labels_from_a_download_to_probabilities(tmp_path, capsys):
    """`--keep-multi-label` makes all that follows a task of several labels."""

    def say(*words):
        main([str(word) for word in words])
        return capsys.readouterr().out

    options = ("--records", 90, "--n-samples", 64, "--workers", 1, "--keep-multi-label")
    say("prepare", "synthetic", tmp_path / "download", tmp_path / "data", *options)
    dataset = open_dataset(tmp_path / "data")
    assert not dataset.exclusive
    words = ("--data-dir", tmp_path / "data", "--device", "cpu", "--workers", 0)
    probing = ("probe", *words, "--random-encoder", "--run-dir", tmp_path / "run", "--classifier", "logistic")
    assert "SYNTHETIC data, " in say(*probing)
    results = results_of(tmp_path / "run")
    assert results.task == "multi-label"
    assert results.chosen["c"] in (0.001, 0.01, 0.1, 1.0)
    say("embed", *words, "--checkpoint", tmp_path / "run", "--out", tmp_path / "embed")
    p = table_of(tmp_path / "embed", "probabilities.csv").set_index("id")
    predictions = table_of(tmp_path / "run").set_index("id")
    columns = [f"p_{name}" for name in dataset.classes]
    np.testing.assert_allclose(p.loc[predictions.index, columns], predictions[columns], rtol=0, atol=1e-5)
    assert predictions["label"].tolist() == [";".join(dataset.labels[row]) for row in dataset.rows("test")]


@pytest.fixture
def place(run):
    """A series and a plain run, of the same test records, and one in folds elsewhere."""
    series = run("all/series", **SERIES)
    run("all/plain", classifier="knn", neighbours=(5,))
    run("folds/folds", folds=3)
    return series.parent.parent


def test_the_report_takes_the_trials_of_a_series(place):
    folder = place / "all" / "series"
    assert [run.folder.name for run in open_runs(folder)] == list(NAMES)
    page, table = report(ReportSettings((folder, place / "all" / "plain"), place / "report"))
    assert table["run"].tolist() == [*(f"series/{name}" for name in NAMES), "plain"]
    assert table["kind"].tolist() == ["linear probe"] * 4 + ["nearest neighbours"]
    assert table["AUROC"].tolist() == [results_of(run.folder).test.auroc for run in open_runs(folder)] + [
        results_of(place / "all" / "plain").test.auroc
    ]
    text = page.read_text()
    assert all(f"series/{name}" in text for name in NAMES)
    assert "neighbours 5 kept" in text
    page, table = report(ReportSettings((place / "folds" / "folds",), place / "report-folds"))
    assert table["test records"].tolist() == [48]
    assert "3 patient-disjoint folds, all test records scored together" in page.read_text()


def test_the_report_of_several_labels(run, multi, tmp_path):
    folder = run(data_dir=multi)
    page, table = report(ReportSettings((folder,), tmp_path / "report"))
    assert table["AUROC"].tolist() == [results_of(folder).test.auroc]
    # The overview, and no confusion matrix of exclusive classes.
    assert page.read_text().count("data:image/png;base64,") == 1


def test_the_list_shows_trials_and_not_the_folder_they_are_in(place):
    runs = {run.folder.relative_to(place).as_posix(): run for run in list_runs(place)}
    assert list(runs) == ["all/plain", *(f"all/series/{name}" for name in NAMES), "folds/folds"]
    assert {run.state for run in runs.values()} == {"finished"}
    series = [runs[f"all/series/{name}"] for name in NAMES]
    assert [run.differs.split()[0] for run in series] == ["fraction=0.3"] * 2 + ["fraction=1.0"] * 2
    assert ["seeds=2" in run.differs for run in series] == [False, True] * 2
    for run in (*series, runs["all/plain"]):
        results = results_of(run.folder)
        assert (run.loss, run.quality) == (results.val_loss, f"val AUROC {results.val.auroc:.4f}")
    chosen = results_of(series[0].folder).chosen
    assert (series[0].epoch, runs["all/plain"].epoch, runs["folds/folds"].epoch) == (f"{chosen['epoch']}/3", "-", "-")


def test_a_trials_encoder_and_classifier_serve_as_any(run, data, tmp_path):
    series = run("series", tune=True, **SERIES)
    place = series / NAMES[0]
    embed(EmbedSettings((data,), place, tmp_path / "embed", device="cpu", workers=0))
    p = table_of(tmp_path / "embed", "probabilities.csv")[COLUMNS].to_numpy()
    np.testing.assert_allclose(p[36:], predicted(place), rtol=0, atol=1e-5)
    probed = run("probed", checkpoint=place)
    assert_same_tensors(load_encoder(probed).state_dict(), load_encoder(place).state_dict())


def test_a_rate_that_diverges_is_passed_over(run, monkeypatch):
    """It leaves no line and is not chosen; all that do are an error."""
    fit_adam = probe_module._fit_adam

    def fit(task, rows, inputs, settings, seed, learning_rate):
        if learning_rate >= 100:
            raise FloatingPointError("epoch 1")
        return fit_adam(task, rows, inputs, settings, seed, learning_rate)

    monkeypatch.setattr(probe_module, "_fit_adam", fit)
    folder, alone = run("sweep", learning_rate=(100.0, 1e-2)), run("alone", learning_rate=(1e-2,))
    assert results_of(folder).chosen["learning_rate"] == 1e-2
    assert {line["learning_rate"] for line in read_lines(folder / "history.jsonl")} == {1e-2}
    assert results_of(folder).test == results_of(alone).test
    with pytest.raises(LfbtError, match="epoch 1: the loss is not finite; try a lower --learning-rate"):
        run("none", learning_rate=(100.0, 1000.0))


def test_trials_do_not_go_on_from_another_encoder(data, tmp_path):
    """The folder and what is told of it are the same, but not the weights in it."""
    settings = {"seeds": (0, 1), **QUICK}
    checkpoint = write_checkpoint(tmp_path / "encoder")
    probe(ProbeSettings.create(data, tmp_path / "run", checkpoint, **settings))
    shutil.rmtree(checkpoint)
    write_checkpoint(checkpoint, seed=2)
    with pytest.raises(LfbtError, match=r"resume: encoder is .* but was"):
        probe(ProbeSettings.create(data, tmp_path / "run", checkpoint, resume=True, **settings))


def test_an_encoder_is_not_scored_on_records_that_it_was_fine_tuned_on(run, tmp_path):
    """Its own test records are not among them; in folds the others are. Of slower rates than this nothing is known."""
    data = write_labelled(tmp_path / "longer", signals=waves(KINDS, n_samples=320))
    run = functools.partial(run, data_dir=data, epochs=1)
    tuned = run("tuned", tune=True, checkpoint=None, from_scratch=True)
    with pytest.raises(LfbtError, match=r"36 of 48 test records .* has learned from"):
        run("folds", checkpoint=tuned, folds=4)
    run("allowed", checkpoint=tuned, folds=4, allow_test_records=True)
    run("test", checkpoint=tuned)
