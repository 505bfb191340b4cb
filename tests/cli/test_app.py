"""The command line from end to end on tiny synthetic records, its help, presets, and that runs can be repeated."""

import contextlib
import csv
import dataclasses
import io
import json
import math
import re
import subprocess
import sys
import typing

import numpy as np
import pytest
import torch
from tests.helpers_model import literal_encoder

import lfbt
from lfbt.cli.app import COMMANDS, main
from lfbt.data.dataset import open_dataset
from lfbt.data.records import PrepareSettings
from lfbt.evaluation.settings import FinetuneSettings, ProbeSettings
from lfbt.inference.embedding import EmbedSettings
from lfbt.models.pretrained import load_encoder
from lfbt.paper.reproduction import ReproduceSettings, quick_defaults
from lfbt.recording import PAPER_LEADS
from lfbt.sources import SOURCES
from lfbt.training.settings import PretrainSettings, preset_settings

CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")


def lfbt_says(*words):
    """What the command printed to stdout; it must end well and say nothing on stderr but what a bar says."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        main([str(word) for word in words])
    assert "rror" not in err.getvalue()
    return out.getvalue()


def read(path):
    return json.loads(path.read_text())


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


PRETRAIN = ("--epochs", 2, "--batch-size", 32, "--projector", "32-32-32", "--workers", 0, "--device", "cpu")
CLASSIFY = ("--epochs", 2, "--batch-size", 32, "--workers", 0, "--device", "cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with every step's results in a folder of its own, and what was said on the way."""
    place = tmp_path_factory.mktemp("cli")
    data = ("--data-dir", place / "data")
    encoder = ("--checkpoint", place / "pretrain")
    options = ("--records", 70, "--n-samples", 128, "--workers", 1)
    said = {
        "data": lfbt_says("prepare", "synthetic", place / "download", place / "data", *options),
        "pretrain": lfbt_says("pretrain", *data, "--run-dir", place / "pretrain", *PRETRAIN),
        "probe": lfbt_says("probe", *data, *encoder, "--run-dir", place / "probe", *CLASSIFY),
        "random": lfbt_says("probe", *data, "--random-encoder", "--run-dir", place / "random", *CLASSIFY),
        "finetune": lfbt_says("finetune", *data, *encoder, "--run-dir", place / "finetune", *CLASSIFY),
        "scratch": lfbt_says("finetune", *data, "--from-scratch", "--run-dir", place / "scratch", *CLASSIFY),
        "embed": lfbt_says("embed", *data, "--checkpoint", place / "random", "--out", place / "embed"),
    }
    (place / "said.json").write_text(json.dumps(said))
    return place


# --- end to end ---


def test_prepare_says_what_the_data_set_holds(place):
    said = read(place / "said.json")["data"]
    manifest = read(place / "data" / "dataset.json")
    assert manifest["synthetic"] is True
    assert (manifest["source"]["name"], manifest["source"]["options"]["records"]) == ("synthetic", 70)
    assert f"{manifest['records']} records of {manifest['patients']} patients. Labels: SYNTHETIC" in said
    for split, counts in manifest["counts"].items():
        line = ", ".join(f"{name} {count}" for name, count in counts.items())
        assert re.search(rf"^  {split} +{sum(counts.values())}  \({line}\)$", said, re.MULTILINE)
    for reason, count in manifest["dropped"].items():
        assert f"  dropped {count}: {reason}" in said
    assert manifest["records"] + sum(manifest["dropped"].values()) == 70


def test_pretraining_leaves_an_encoder_its_history_and_its_settings(place):
    run = place / "pretrain"
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert all(math.isfinite(line["loss"]) for line in lines)
    settings = read(run / "settings.json")
    assert (settings["epochs"], settings["gamma"], settings["lambd"]) == (2, 0.8, 0.0051)
    config = read(run / "encoder" / "config.json")
    assert (config["leads"], config["n_samples"], config["sampling_rate"]) == (list(PAPER_LEADS), 128, 12.8)
    said = read(place / "said.json")["pretrain"]
    assert f"use it with --checkpoint {run}" in said


@pytest.mark.parametrize(
    ("run", "kind", "checkpoint", "method"),
    [
        ("probe", "probe", "pretrain", "LFBT"),
        ("random", "probe", None, "random"),
        ("finetune", "finetune", "pretrain", "LFBT"),
        ("scratch", "scratch", None, "random"),
    ],
)
def test_a_classifier_leaves_its_results(place, run, kind, checkpoint, method):
    results = read(place / run / "results.json")
    dataset = open_dataset(place / "data")
    assert (results["kind"], results["synthetic"]) == (kind, True)
    assert (results["encoder"]["checkpoint"], results["encoder"]["history"]["method"]) == (checkpoint, method)
    assert results["leads"] == list(PAPER_LEADS)
    assert results["data"]["classes"] == list(CLASSES)
    labels = np.array([label for (label,) in dataset.labels])
    for split, counts in results["data"]["counts"].items():
        assert counts == {name: int((labels[dataset.rows(split)] == name).sum()) for name in CLASSES}
    test = dataset.rows("test")
    predictions = table(place / run / "predictions.csv")
    assert [row["id"] for row in predictions] == [dataset.ids[row] for row in test]
    assert [row["label"] for row in predictions] == labels[test].tolist()
    probabilities = np.array([[float(row[f"p_{name}"]) for name in CLASSES] for row in predictions])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    right = probabilities.argmax(axis=1) == [CLASSES.index(label) for label in labels[test]]
    assert results["test"]["accuracy"] == pytest.approx(right.mean())
    lines = [json.loads(line) for line in (place / run / "history.jsonl").read_text().splitlines()]
    losses = [line["val_loss"] for line in lines]
    assert len(losses) == 2
    assert (results["chosen"]["epoch"], results["val_loss"]) == (losses.index(min(losses)) + 1, min(losses))
    said = read(place / "said.json")[run]
    assert f"{kind}, epoch {results['chosen']['epoch']}" in said
    assert f"SYNTHETIC data, {len(test)} test records: macro AUROC {results['test']['auroc']:.4f}" in said
    for name in CLASSES:
        assert re.search(rf"^  {name} +\d+ records  AUROC ", said, re.MULTILINE)


def test_a_probe_leaves_its_features_and_embed_writes_the_same(place):
    embeddings = np.load(place / "embed" / "embeddings.npy")
    dataset = open_dataset(place / "data")
    assert embeddings.shape == (len(dataset), 512)
    assert np.abs(np.diff(embeddings, axis=0)).max(axis=1).min() > 0.1
    for split in ("train", "val", "test"):
        rows = dataset.rows(split)
        np.testing.assert_allclose(np.load(place / "random" / f"X_{split}.npy"), embeddings[rows], rtol=1e-4, atol=1e-5)
        numbers = dataset.targets()[rows].argmax(axis=1)
        np.testing.assert_array_equal(np.load(place / "random" / f"y_{split}.npy"), numbers)
    records = table(place / "embed" / "records.csv")
    assert [(row["id"], row["split"]) for row in records] == list(zip(dataset.ids, dataset.split, strict=True))
    assert [row["labels"] for row in records] == [label for (label,) in dataset.labels]
    assert f"embeddings of {len(dataset)} records, 512 columns" in read(place / "said.json")["embed"]


def test_embed_writes_the_probabilities_of_a_classifier(place):
    found = {row["id"]: row for row in table(place / "embed" / "probabilities.csv")}
    predictions = table(place / "random" / "predictions.csv")
    assert len(found) == len(open_dataset(place / "data"))
    assert len({row["p_NORM"] for row in predictions}) == len(predictions)
    for row in predictions:
        for name in CLASSES:
            assert float(found[row["id"]][f"p_{name}"]) == pytest.approx(float(row[f"p_{name}"]), abs=1e-5)


def test_embed_names_the_checkpoint_it_used(place, tmp_path):
    words = ("--data-dir", place / "data", "--checkpoint", place / "finetune", "--out", tmp_path / "embed")
    lfbt_says("embed", *words)
    assert read(tmp_path / "embed" / "embed.json")["encoder"]["checkpoint"] == "finetune"


def test_named_leads_use_their_own_encoders_in_the_order_given(place, tmp_path):
    data, encoder = ("--data-dir", place / "data"), ("--checkpoint", place / "random" / "encoder")
    lfbt_says("probe", *data, *encoder, "--run-dir", tmp_path / "probe", "--leads", "II,V1", *CLASSIFY)
    lfbt_says("embed", *data, *encoder, "--out", tmp_path / "embed", "--leads", "v1,ii")
    assert read(tmp_path / "probe" / "results.json")["leads"] == ["II", "V1"]
    assert read(tmp_path / "embed" / "embed.json")["leads"] == ["V1", "II"]
    signals = np.load(place / "data" / "signals.npy")[:, [0, 2]]
    mean, std = signals.mean(axis=(1, 2), keepdims=True), signals.std(axis=(1, 2), keepdims=True)
    z_scored = torch.from_numpy((signals - mean) / (std + np.float32(1e-5)))
    encoders = load_encoder(place / "random").encoders
    with torch.no_grad():
        stacks = [literal_encoder(encoders[lead]).eval() for lead in ("II", "V1")]
        ii, v1 = (stack(z_scored[:, i : i + 1]).numpy() for i, stack in enumerate(stacks))
    found = np.load(tmp_path / "embed" / "embeddings.npy")
    np.testing.assert_allclose(found, np.concatenate([v1, ii], axis=1), rtol=1e-4, atol=1e-5)
    test = open_dataset(place / "data").rows("test")
    found = np.load(tmp_path / "probe" / "X_test.npy")
    np.testing.assert_allclose(found, np.concatenate([ii, v1], axis=1)[test], rtol=1e-4, atol=1e-5)


def test_a_fraction_of_the_training_labels_is_stratified(place, tmp_path):
    words = ("--data-dir", place / "data", "--checkpoint", place / "pretrain", "--run-dir", tmp_path / "run")
    lfbt_says("probe", *words, *CLASSIFY, "--fraction", 0.5, "--num-classes", 5)
    dataset = open_dataset(place / "data")
    label_of = {name: label for name, (label,) in zip(dataset.ids, dataset.labels, strict=True)}
    patient_of = dict(zip(dataset.ids, dataset.patients, strict=True))
    whole, half = (table(folder / "splits.csv") for folder in (place / "probe", tmp_path / "run"))
    assert [row for row in half if row["split"] != "train"] == [row for row in whole if row["split"] != "train"]
    ids, chosen = ([row["id"] for row in rows if row["split"] == "train"] for rows in (whole, half))
    patients = {patient_of[name] for name in chosen}
    assert chosen == [name for name in ids if patient_of[name] in patients]
    for label in CLASSES:
        of_label = {patient_of[name] for name in ids if label_of[name] == label}
        assert len(of_label & patients) == math.ceil(len(of_label) / 2)


def test_several_data_sets_are_pretrained_on_together(place, tmp_path):
    two = ("--data-dir", place / "data", place / "data")
    splits = ("--splits", "val", "test", "--allow-test-records")
    lfbt_says("pretrain", *two, "--run-dir", tmp_path / "run", *PRETRAIN, "--batch-size", 20, *splits)
    assert read(tmp_path / "run" / "settings.json")["records"] == 2 * len(
        open_dataset(place / "data").rows("val", "test")
    )
    assert read(tmp_path / "run" / "encoder" / "config.json")["history"]["splits"] == ["val", "test"]


@pytest.mark.parametrize("run", ["probe", "random", "finetune", "scratch"])
def test_the_same_command_gives_the_same_results(place, tmp_path, run):
    command = "probe" if run in ("probe", "random") else "finetune"
    start = {"random": ("--random-encoder",), "scratch": ("--from-scratch",)}.get(
        run, ("--checkpoint", place / "pretrain")
    )
    lfbt_says(command, "--data-dir", place / "data", *start, "--run-dir", tmp_path / "again", *CLASSIFY)
    once, again = read(place / run / "results.json"), read(tmp_path / "again" / "results.json")
    for key in ("test", "val", "chosen", "val_loss", "data", "encoder"):
        assert again[key] == once[key]
    for name in ("predictions.csv", "splits.csv", "history.jsonl", "encoder/model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (place / run / name).read_bytes()


def test_pretraining_again_gives_the_same_weights(place, tmp_path):
    lfbt_says("pretrain", "--data-dir", place / "data", "--run-dir", tmp_path / "again", *PRETRAIN)
    once, again = (folder / "encoder" / "model.safetensors" for folder in (place / "pretrain", tmp_path / "again"))
    assert again.read_bytes() == once.read_bytes()


# --- help, version, presets ---


def plain(text):
    """Help without its frame, line breaks and spaces."""
    return re.sub(r"[│─╭╮╰╯\s]", "", text)


def options_of(text):
    """Every option of a help text by its name, with all that is said of it."""
    parts = re.split(r"^[│ ] +(--[a-z][a-z0-9-]*)", text, flags=re.MULTILINE)[1:]
    return {name: plain(said) for name, said in zip(parts[::2], parts[1::2], strict=True)}


def help_of(*words):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as caught:
        main([*words, "--help"])
    assert caught.value.code in (None, 0)
    return out.getvalue()


def shown(default):
    if isinstance(default, tuple):
        # Names are one word; of numbers each is a word of its own, and words are joined in what help says.
        default = ("," if all(isinstance(one, str) for one in default) else "").join(map(str, default))
    return str(default)


def assert_defaults_shown(text, settings):
    """Every field of `settings` is an option of the help `text`, with its meaning and default."""
    options = options_of(text)
    for field in dataclasses.fields(settings):
        nested = typing.get_type_hints(settings)[field.name]
        if dataclasses.is_dataclass(nested):
            assert_defaults_shown(text, nested)
            continue
        said = options["--" + field.name.replace("_", "-")].replace("''", "")
        if field.default is not dataclasses.MISSING:
            assert f"(default:{shown(field.default)})" in said
        elif field.default_factory is not dataclasses.MISSING:
            assert f"(default:{shown(field.default_factory())})" in said
        else:
            assert "(required)" in said
        assert len(said) > 25


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        ("pretrain", PretrainSettings),
        ("probe", ProbeSettings),
        ("finetune", FinetuneSettings),
        ("embed", EmbedSettings),
        ("reproduce", ReproduceSettings),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_help_lists_every_option_with_its_default(command, settings):
    text = help_of(command)
    assert f"usage: lfbt {command}" in text
    assert_defaults_shown(text, settings)


@pytest.mark.parametrize("source", SOURCES)
def test_help_of_every_source_lists_its_own_options_and_the_common_ones(source):
    text = help_of("prepare", source)
    assert f"usage: lfbt prepare {source}" in text
    assert_defaults_shown(text, PrepareSettings)
    assert_defaults_shown(text, SOURCES[source])
    assert re.search(r"^[│ ] FROM +Folder with the download", text, re.MULTILINE)
    assert re.search(r"^[│ ] TO +New folder for the data set", text, re.MULTILINE)


@pytest.mark.parametrize("words", [(), ("-h",), ("--help",)], ids=str)
def test_without_a_command_all_are_listed(words):
    said = lfbt_says(*words)
    for name, what in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(what)}$", said, re.MULTILINE)


@pytest.mark.parametrize("words", [(), ("-h",), ("--help",)], ids=str)
def test_prepare_lists_its_sources(words):
    said = lfbt_says("prepare", *words)
    for name in SOURCES:
        assert re.search(rf"^  {name} +[A-Z]", said, re.MULTILINE)


def test_the_version_is_told_by_the_module_too():
    assert lfbt_says("--version") == f"lfbt {lfbt.__version__}\n"
    run = subprocess.run([sys.executable, "-m", "lfbt", "--version"], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == (f"lfbt {lfbt.__version__}\n", "")


def test_a_preset_changes_the_defaults_that_help_shows(tmp_path):
    small = preset_settings("small", (tmp_path,), tmp_path)
    assert (small.epochs, small.batch_size, small.projector) != (200, 128, "2048-2048-2048")
    for words in (("--preset", "small"), ("--preset=small",)):
        options = options_of(help_of("pretrain", *words))
        for field in dataclasses.fields(PretrainSettings):
            if field.name not in ("data_dir", "run_dir"):
                said = options["--" + field.name.replace("_", "-")].replace("''", "")
                assert f"(default:{shown(getattr(small, field.name))})" in said


def test_quick_changes_the_defaults_that_help_shows(tmp_path):
    paper = ReproduceSettings(tmp_path)
    changed = [field for field, value in vars(quick_defaults(paper)).items() if value != getattr(paper, field)]
    assert "most_records" in changed
    options = options_of(help_of("reproduce", "--quick"))
    for field in changed:
        assert f"(default:{getattr(quick_defaults(paper), field)})" in options["--" + field.replace("_", "-")]


@pytest.mark.parametrize("first", [True, False])
def test_explicit_options_win_over_a_preset(place, tmp_path, first):
    preset = ("--preset", "small")
    mine = ("--epochs", 1, "--batch-size", 20, "--projector", "32-32", "--warmup-epochs", 0.5)
    words = (*preset, *mine) if first else (*mine, *preset)
    lfbt_says("pretrain", "--data-dir", place / "data", "--run-dir", tmp_path / "run", *words)
    settings = read(tmp_path / "run" / "settings.json")
    small = preset_settings("small", (), tmp_path)
    assert (settings["epochs"], settings["batch_size"], settings["projector"]) == (1, 20, "32-32")
    assert (settings["preset"], settings["warmup_epochs"]) == ("small", 0.5)
    assert (settings["learning_rate"], settings["schedule"]) == (small.learning_rate, small.schedule)
