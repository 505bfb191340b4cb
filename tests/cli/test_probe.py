"""``lfbt probe``: what it writes, and what it refuses."""

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
