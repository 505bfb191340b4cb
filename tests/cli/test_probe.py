"""``lfbt probe``: what it writes, and what it refuses."""

import json
import math
import shutil

import numpy as np
import pytest
from tests.cli.helpers import (
    CLASSIFY_SHORT,
    REFUSED_OPTIONS,
    classify_words,
    everything,
    other_data,
    output_of,
    refused,
)
from tests.outputs import read_table

from lfbt.data.layouts import open_dataset

CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")


def test_probe_refuses_one_class_only(place, tmp_path):
    data = other_data(tmp_path / "data", classes="a")
    refusal = refused(*classify_words("probe", place, tmp_path / "to"), "--data-dir", data)
    how = "prepare it with a label rule (lfbt prepare SOURCE --help lists those of --labels)"
    assert refusal == f"{data}: 1 class (a); a classifier needs two or more: {how}"
    for name in ("val", "test"):
        shutil.copytree(data / name / "a", data / name / "b")
    refusal = refused(*classify_words("probe", place, tmp_path / "to"), "--data-dir", data)
    assert refusal == f"{data}: the training records are all of class a; a classifier needs two classes"
    assert not (tmp_path / "to").exists()


def test_probe_refuses_unlabelled_data_and_an_empty_split(place, tmp_path):
    words = classify_words("probe", place, tmp_path / "to")
    data = other_data(tmp_path / "data")
    shutil.rmtree(data / "val")
    assert f"{data}: split val has no records" in refused(*words, "--data-dir", data)
    (tmp_path / "un" / "samples").mkdir(parents=True)
    np.save(tmp_path / "un" / "samples" / "0.npy", np.ones((8, 128), dtype=np.float32))
    assert "0 classes (no labels)" in refused(*words, "--data-dir", tmp_path / "un")
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize(("leads", "refusal"), [("II,II", "leads: II is named twice"), ("", "leads: none given")])
def test_probe_refuses_bad_lead_lists_in_one_line(leads, refusal):
    assert refusal in refused("probe", "--data-dir", "x", "--run-dir", "y", "--leads", leads)


@pytest.mark.parametrize("name", REFUSED_OPTIONS)
def test_probe_refuses_and_writes_nothing(place, tmp_path, name):
    options, message = REFUSED_OPTIONS[name]
    assert message in refused(*classify_words("probe", place, tmp_path / "to"), *options)
    assert everything(tmp_path) == []


def test_probe_takes_either_a_checkpoint_or_a_random_start(place, tmp_path):
    both = refused(*classify_words("probe", place, tmp_path / "to"), "--random-encoder")
    neither = refused("probe", "--data-dir", place / "data", "--run-dir", tmp_path / "to")
    assert both == neither
    assert both.startswith(
        "--checkpoint: give either --checkpoint, or --random-encoder (probe) or --from-scratch (finetune)"
    )
    assert everything(tmp_path) == []


def test_probe_takes_a_stratified_fraction_of_the_training_labels(chain, tmp_path):
    words = ("--data-dir", chain / "data", "--checkpoint", chain / "pretrain", "--run-dir", tmp_path / "run")
    output_of("probe", *words, *CLASSIFY_SHORT, "--fraction", 0.5, "--num-classes", 5)
    dataset = open_dataset(chain / "data")
    label_of = {name: label for name, (label,) in zip(dataset.ids, dataset.labels, strict=True)}
    patient_of = dict(zip(dataset.ids, dataset.patients, strict=True))
    whole, half = (read_table(folder / "splits.csv") for folder in (chain / "probe", tmp_path / "run"))
    assert [row for row in half if row["split"] != "train"] == [row for row in whole if row["split"] != "train"]
    ids, chosen = ([row["id"] for row in rows if row["split"] == "train"] for rows in (whole, half))
    patients = {patient_of[name] for name in chosen}
    assert chosen == [name for name in ids if patient_of[name] in patients]
    for label in CLASSES:
        of_label = {patient_of[name] for name in ids if label_of[name] == label}
        assert len(of_label & patients) == math.ceil(len(of_label) / 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--c", 1), "--c: has no effect with classifier adam, only with logistic"),
        (
            ("--neighbours", 5, "--classifier", "adam"),
            "--neighbours: has no effect with classifier adam, only with knn",
        ),
        (
            ("--learning-rate=1", "--classifier=logistic"),
            "--learning-rate: has no effect with classifier logistic, only ",
        ),
        (("--batch_size", 5, "--classifier", "knn"), "--batch-size: has no effect with classifier knn, only with adam"),
        (("--standardise", "--classifier", "knn"), "--standardise: has no effect with classifier knn, only with adam"),
    ],
)
def test_probe_refuses_options_without_effect(tmp_path, words, message):
    given = ("--data-dir", "data", "--random-encoder", "--run-dir", tmp_path / "run", *words)
    assert refused("probe", *given).startswith(message)


@pytest.fixture(scope="module")
def rich(chain, tmp_path_factory):
    """A probe of rich features by logistic regression, and the line that was printed of it."""
    folder = tmp_path_factory.mktemp("rich") / "run"
    words = ("--data-dir", chain / "data", "--checkpoint", chain / "pretrain", "--run-dir", folder, "--device", "cpu")
    return folder, output_of("probe", *words, "--workers", 0, "--features", "rich", "--classifier", "logistic")


def test_probe_of_rich_features_says_so_and_keeps_them_with_the_classifier(rich):
    folder, printed = rich
    assert printed.startswith(f"{folder}: probe, rich features")
    card = json.loads((folder / "head" / "config.json").read_text())
    assert card["n_inputs"] == 8 * 258
    assert card["features"] == {
        "name": "rich",
        "blocks": [4, 5],
        "statistics": ["mean", "max"],
        "amplitudes": ["log_std", "peak_to_peak"],
        "amplitude_weight": 3.0,
    }
    x = np.load(folder / "X_train.npy").reshape(-1, 8, 258)
    assert np.isfinite(x).all()


def test_probe_of_paper_features_writes_no_features_into_the_head(chain):
    assert "features" not in json.loads((chain / "probe" / "head" / "config.json").read_text())


def test_predict_by_rich_features_gives_the_probabilities_of_the_test(chain, rich, tmp_path):
    folder, _ = rich
    expected = {row["id"]: row for row in read_table(folder / "predictions.csv")}
    output_of("predict", chain / "data", "--classifier", folder, "--device", "cpu", "--out", tmp_path / "set.csv")
    dataset = open_dataset(chain / "data")
    (tmp_path / "files").mkdir()
    for row in dataset.rows("test"):
        np.save(tmp_path / "files" / f"{dataset.ids[row].replace('/', '-')}.npy", dataset[int(row)].signal)
    words = ("--file-leads", ",".join(dataset.leads), "--file-sampling-rate", dataset.sampling_rate, "--device", "cpu")
    output_of("predict", tmp_path / "files", "--classifier", folder, *words, "--out", tmp_path / "files.csv")
    of_set = {row["record"]: row for row in read_table(tmp_path / "set.csv")}
    of_files = {row["record"]: row for row in read_table(tmp_path / "files.csv")}
    assert len(of_files) == len(expected) > 0
    for name, row in expected.items():
        for of_answers, record in ((of_set, name), (of_files, name.replace("/", "-"))):
            for label in CLASSES:
                assert float(of_answers[record][f"p_{label}"]) == pytest.approx(float(row[f"p_{label}"]), abs=1e-4)


def test_embed_needs_the_features_of_the_classifier(chain, rich, tmp_path):
    folder, _ = rich
    words = ("--data-dir", chain / "data", "--checkpoint", folder, "--device", "cpu")
    refusal = refused("embed", *words, "--out", tmp_path / "to")
    assert f"features: paper, but the classifier of {folder} takes rich; give --features rich" in refusal
    output_of("embed", *words, "--features", "rich", "--out", tmp_path / "to")
    assert json.loads((tmp_path / "to" / "embed.json").read_text())["features"]["name"] == "rich"
    embeddings = np.load(tmp_path / "to" / "embeddings.npy")
    rows = open_dataset(chain / "data").rows("train")
    np.testing.assert_allclose(embeddings[rows], np.load(folder / "X_train.npy"), atol=1e-5)
    expected = {row["id"]: row for row in read_table(folder / "predictions.csv")}
    for row in read_table(tmp_path / "to" / "probabilities.csv"):
        if row["id"] in expected:
            for label in CLASSES:
                assert float(row[f"p_{label}"]) == pytest.approx(float(expected[row["id"]][f"p_{label}"]), abs=1e-5)


def test_compare_names_the_features_that_are_not_the_papers(chain, rich):
    lines = output_of("compare", chain / "probe", rich[0]).splitlines()
    kinds = [line for line in lines if "probe (" in line]
    assert ["rich features" in line for line in kinds] == [False, True]
    assert "probe (logistic, rich features)" in kinds[1]


@pytest.mark.parametrize("classifier", ["adam", "knn"])
def test_probe_of_rich_features_takes_every_classifier_and_standardises(chain, tmp_path, classifier):
    words = ("--data-dir", chain / "data", "--checkpoint", chain / "pretrain", "--run-dir", tmp_path / "run")
    short = ("--epochs", 2) if classifier == "adam" else ("--neighbours", 5)
    output_of("probe", *words, "--features", "rich", "--classifier", classifier, *short, "--device", "cpu")
    assert (tmp_path / "run" / "head").is_dir() == (classifier == "adam")


def test_probe_of_rich_features_serves_subsets_of_leads(chain, tmp_path):
    words = ("--data-dir", chain / "data", "--random-encoder", "--run-dir", tmp_path / "run")
    dropout = ("--leads-dropout", 0.5, "--lead-subsets", "II,V1", "--epochs", 2)
    output_of("probe", *words, "--features", "rich", *dropout, "--device", "cpu")
    dataset = open_dataset(chain / "data").select_leads("II,V1")
    (tmp_path / "files").mkdir()
    np.save(tmp_path / "files" / "0.npy", dataset[0].signal)
    about = ("--file-leads", "II,V1", "--file-sampling-rate", dataset.sampling_rate, "--device", "cpu")
    output_of("predict", tmp_path / "files", "--classifier", tmp_path / "run", *about, "--out", tmp_path / "a.csv")
    (row,) = read_table(tmp_path / "a.csv")
    assert (row["leads"], row["error"]) == ("II,V1", "")
    output_of("export", tmp_path / "run", "--out", tmp_path / "model.onnx")
    exported_words = ("--classifier", tmp_path / "model.onnx", *about[:-2])
    output_of("predict", tmp_path / "files", *exported_words, "--out", tmp_path / "b.csv")
    (exported,) = read_table(tmp_path / "b.csv")
    for label in CLASSES:
        assert float(exported[f"p_{label}"]) == pytest.approx(float(row[f"p_{label}"]), abs=1e-4)


def test_probe_of_rich_features_refuses_z_scores(place, tmp_path):
    data = other_data(tmp_path / "data")
    words = classify_words("probe", place, tmp_path / "to")
    refusal = refused(*words, "--data-dir", data, "--features", "rich")
    assert f"features: rich has the leads' amplitudes in mV, but {data} holds z-scores" in refusal
    assert not (tmp_path / "to").exists()
    refusal = refused(*words, "--features", "rich", "--standardise")
    assert "standardise: has no effect with features rich" in refusal


def test_predict_by_rich_features_refuses_a_z_score(chain, rich, tmp_path):
    dataset = open_dataset(chain / "data")
    signal = dataset[0].signal
    np.save(tmp_path / "0.npy", (signal - signal.mean()) / signal.std())
    words = ("--file-leads", ",".join(dataset.leads), "--file-sampling-rate", dataset.sampling_rate, "--device", "cpu")
    refusal = refused("predict", tmp_path / "0.npy", "--classifier", rich[0], *words)
    assert "the signal is a z-score" in refusal


def test_export_of_rich_features_gives_the_probabilities_of_the_test(chain, rich, tmp_path):
    output_of("export", rich[0], "--out", tmp_path / "model.onnx")
    output_of("predict", chain / "data", "--classifier", tmp_path / "model.onnx", "--out", tmp_path / "a.csv")
    answers = {row["record"]: row for row in read_table(tmp_path / "a.csv")}
    for row in read_table(rich[0] / "predictions.csv"):
        for label in CLASSES:
            assert float(answers[row["id"]][f"p_{label}"]) == pytest.approx(float(row[f"p_{label}"]), abs=1e-4)
    words = ("embed", chain / "data", "--checkpoint", tmp_path / "model.onnx", "--out", tmp_path / "b.csv")
    assert "computes rich; give --features rich" in refused(*words)
    output_of(*words, "--features", "rich")
    assert len([name for name in read_table(tmp_path / "b.csv")[0] if name[1:].isdigit()]) == 8 * 258


def test_probe_does_not_go_on_with_other_features(chain, tmp_path):
    words = ("probe", "--data-dir", chain / "data", "--checkpoint", chain / "pretrain", "--run-dir", tmp_path / "run")
    series = (*words, "--seeds", 0, 1, "--classifier", "logistic", "--c", 0.01, "--device", "cpu")
    output_of(*series)
    refusal = refused(*series, "--features", "rich", "--resume")
    assert f"resume: --features is rich but was paper in {tmp_path / 'run'}" in refusal
    output_of(*series, "--features", "rich", "--overwrite")
    assert "resume: --features is paper but was rich" in refused(*series, "--resume")
    output_of(*series, "--features", "rich", "--resume")
