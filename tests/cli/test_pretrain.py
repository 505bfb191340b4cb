"""``lfbt pretrain``: what it prints and writes, and what it refuses."""

import json
import math
import shutil

import numpy as np
import pytest
from tests.cli.helpers import (
    PRETRAIN_SHORT,
    everything,
    other_data,
    output_of,
    pretrain_words,
    read_json,
    refused,
    run,
)

from lfbt.data.layouts import open_dataset
from lfbt.recording import PAPER_LEADS
from lfbt.training.settings import PretrainSettings

#: Options of pretrain and words of the message.
PRETRAIN = {
    "gamma above": (("--gamma", 1.5), "gamma: 1.5 is outside [0, 1]"),
    "gamma below": (("--gamma", -0.1), "gamma: -0.1 is outside [0, 1]"),
    "gamma NaN": (("--gamma", "nan"), "gamma: nan is outside [0, 1]"),
    "batch of 1": (("--batch-size", 1), "batch-size: 1 is outside [2, 1000000]"),
    "batch too large": (("--batch-size", 1000), "batch-size: 1000 is more than the"),
    "unknown lead": (("--leads", "II,V9"), "lead V9: not in the data set"),
    "no epoch": (("--epochs", 0), "epochs: 0 is outside"),
    "projector": (("--projector", "2048x3"), "projector: '2048x3' is not a list of layer sizes"),
    "lambd": (("--lambd", -1), "lambd: -1.0 is outside"),
    "shortest crop": (("--shortest-crop", 0.05), "shortest-crop: 0.05 is outside [0.1, 1]"),
    "longest time-out": (("--longest-time-out", 1), "longest-time-out: 1.0 is outside [0, 0.9]"),
    "rate": (("--learning-rate", 0), "learning-rate: 0.0 is outside"),
    "warm-up": (("--warmup-epochs", 1), "warmup-epochs: 1.0 is outside [0, 1)"),
    "width": (("--width", 0), "width: 0.0 is outside"),
    "seed": (("--seed", -1), "seed: -1 is outside"),
    "device": (("--device", "abacus"), "device: 'abacus' cannot be used"),
    "preset": (("--preset", "huge"), "preset: 'huge' is not one of paper, small"),
    "precision": (("--precision", "fp16"), "precision: fp16 needs a GPU"),
    "quality data": (("--quality-data", "absent"), "absent is not a folder: it does not exist; give a packed data set"),
    "no data": (("--data-dir",), "data-dir: none given"),
    "absent data": (("--data-dir", "absent"), "absent is not a folder: it does not exist; give a packed data set"),
    "test records": (("--splits", "train", "test"), "splits: test is among them"),
    "exclude": (("--exclude", "absent.csv"), "exclude: absent.csv cannot be read"),
}


@pytest.mark.parametrize("name", PRETRAIN)
def test_pretrain_refuses_and_writes_nothing(place, tmp_path, name):
    options, message = PRETRAIN[name]
    assert message in refused(*pretrain_words(place, tmp_path / "to"), "--batch-size", 16, *options)
    assert everything(tmp_path) == []


@pytest.mark.parametrize("shape", [(8,), (1, 8, 128), (8, 129)], ids=str)
def test_pretrain_names_a_file_of_another_shape(place, tmp_path, shape):
    data = other_data(tmp_path / "data")
    np.save(data / "val" / "b" / "1.npy", np.ones(shape, dtype=np.float32))
    refusal = refused(*pretrain_words(place, tmp_path / "to"), "--data-dir", data)
    assert f"{data}/val/b/1.npy: " in refusal
    assert not (tmp_path / "to").exists()


def test_pretrain_writes_an_encoder_its_history_and_its_settings(chain):
    run = chain / "pretrain"
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert all(math.isfinite(line["loss"]) for line in lines)
    settings = read_json(run / "settings.json")
    assert (settings["epochs"], settings["gamma"], settings["lambd"]) == (2, 0.8, 0.0051)
    config = read_json(run / "encoder" / "config.json")
    assert (config["leads"], config["n_samples"], config["sampling_rate"]) == (list(PAPER_LEADS), 128, 12.8)
    output = read_json(chain / "outputs.json")["pretrain"]
    assert f"use it with --checkpoint {run}" in output


def test_pretrain_learns_from_several_data_sets_together(chain, tmp_path):
    shutil.copytree(chain / "data", tmp_path / "copy")
    two = ("--data-dir", chain / "data", tmp_path / "copy")
    splits = ("--splits", "val", "test", "--allow-test-records")
    output_of("pretrain", *two, "--run-dir", tmp_path / "run", *PRETRAIN_SHORT, "--batch-size", 20, *splits)
    assert read_json(tmp_path / "run" / "settings.json")["records"] == 2 * len(
        open_dataset(chain / "data").rows("val", "test")
    )
    assert read_json(tmp_path / "run" / "encoder" / "config.json")["history"]["splits"] == ["val", "test"]


def test_pretrain_gives_the_same_weights_again(chain, tmp_path):
    output_of("pretrain", "--data-dir", chain / "data", "--run-dir", tmp_path / "again", *PRETRAIN_SHORT)
    once, again = (folder / "encoder" / "model.safetensors" for folder in (chain / "pretrain", tmp_path / "again"))
    assert again.read_bytes() == once.read_bytes()


@pytest.mark.parametrize("first", [True, False])
def test_pretrain_takes_explicit_options_over_a_preset(chain, tmp_path, first):
    preset = ("--preset", "small")
    mine = ("--epochs", 1, "--batch-size", 20, "--projector", "32-32", "--warmup-epochs", 0.5)
    words = (*preset, *mine) if first else (*mine, *preset)
    output_of("pretrain", "--data-dir", chain / "data", "--run-dir", tmp_path / "run", *words)
    settings = read_json(tmp_path / "run" / "settings.json")
    small = PretrainSettings.create((), tmp_path, "small").optimizer
    assert (settings["epochs"], settings["batch_size"], settings["projector"]) == (1, 20, "32-32")
    assert (settings["preset"], settings["warmup_epochs"]) == ("small", 0.5)
    assert (settings["learning_rate"], settings["schedule"]) == (small.learning_rate, small.schedule)


@pytest.mark.parametrize("given", [(), ("--warmup-epochs=0.125",)])
def test_pretrain_shortens_the_warmup_of_a_preset_and_says_so(chain, tmp_path, given):
    short = ("--preset", "small", "--epochs", 1, "--batch-size", 20, "--projector", "32-32", *given)
    status, _, err = run("pretrain", "--data-dir", chain / "data", "--run-dir", tmp_path / "run", *short)
    assert status == 0
    assert read_json(tmp_path / "run" / "settings.json")["warmup_epochs"] == (0.125 if given else 0.25)
    said = "warmup-epochs: 0.25 instead of the 3 of preset small, because it must end before --epochs 1\n"
    assert (said in err) == (not given)


def test_pretrain_refuses_a_warmup_that_was_given_and_does_not_end(tmp_path):
    words = ("--preset", "small", "--epochs", 2, "--warmup-epochs", 3)
    message = refused("pretrain", "--data-dir", "data", "--run-dir", tmp_path / "run", *words)
    assert message.startswith("--warmup-epochs: 3.0 is outside [0, 2)")


def test_pretrain_refuses_one_data_set_twice(chain, tmp_path):
    two = ("--data-dir", chain / "data", f"{chain}/../{chain.name}/data")
    message = refused("pretrain", *two, "--run-dir", tmp_path / "run", *PRETRAIN_SHORT)
    assert message.endswith(f"{chain.name}/data is named twice; name each once")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--objective", "simclr", "--gamma", 0.6), "--gamma: has no effect with objective simclr, only with lfbt"),
        (("--objective=vicreg", "--lambd=0.1"), "--lambd: has no effect with objective vicreg, only with lfbt"),
        (
            ("--temperature", 0.1),
            "--temperature: has no effect with objective lfbt, only with simclr or lead-contrastive",
        ),
    ],
)
def test_pretrain_refuses_options_without_effect(tmp_path, words, message):
    assert (
        refused("pretrain", "--data-dir", "data", "--run-dir", tmp_path / "run", *words) == f"{message}; leave it out"
    )


def test_pretrain_resumes_a_run_that_was_begun_with_an_option_without_effect(chain, tmp_path):
    words = ("pretrain", "--data-dir", chain / "data", "--run-dir", tmp_path / "run", *PRETRAIN_SHORT)
    output_of(*words, "--objective", "simclr")
    settings = read_json(tmp_path / "run" / "settings.json")
    (tmp_path / "run" / "settings.json").write_text(json.dumps(settings | {"gamma": 0.6}))
    status, _, err = run(*words, "--objective", "simclr", "--gamma", 0.6, "--resume")
    assert (status, f"{tmp_path / 'run'} is finished: all 2 epochs were done before" in err) == (0, True)


def test_resume_names_all_settings_that_differ(chain, tmp_path):
    shutil.copytree(chain / "pretrain", tmp_path / "run")
    words = ("pretrain", "--data-dir", chain / "data", "--run-dir", tmp_path / "run", *PRETRAIN_SHORT)
    message = refused(*words, "--epochs", 1, "--seed", 4, "--resume")
    assert message == (
        f"--resume: --epochs is 1 but was 2, --seed is 4 but was 0 in {tmp_path / 'run'}; give the run's own settings; "
        "a run cannot be shortened, so for others begin a new one in a new folder"
    )


def test_pretrain_ends_with_the_best_encoder(chain, tmp_path):
    words = ("pretrain", "--data-dir", chain / "data", "--run-dir", tmp_path / "run", *PRETRAIN_SHORT)
    last = output_of(*words, "--quality-data", chain / "data").splitlines()[-1]
    auroc = json.loads((tmp_path / "run" / "history.jsonl").read_text().splitlines()[-1])["val_auroc"]
    best = tmp_path / "run" / "encoder-best"
    assert last == (
        f"{best}: the best encoder, of epoch 2, validation AUROC {auroc:.4f}; use it with --checkpoint {best}"
    )


def test_pretrain_lengthens_a_finished_run(chain, tmp_path):
    shutil.copytree(chain / "pretrain", tmp_path / "run")
    words = ("pretrain", "--data-dir", chain / "data", "--run-dir", tmp_path / "run", *PRETRAIN_SHORT)
    assert "all 2 epochs were done before; for more give more --epochs\n" in run(*words, "--resume")[2]
    output_of(*words, "--epochs", 3, "--resume")
    assert len((tmp_path / "run" / "history.jsonl").read_text().splitlines()) == 3
    assert read_json(tmp_path / "run" / "settings.json")["epochs"] == 3


def test_pretrain_lengthens_a_run_whose_warmup_was_shortened(chain, tmp_path):
    """The warm-up stays that of the epochs that it was begun with, and again when it is resumed once more."""
    short = ("--preset", "small", "--schedule", "constant", "--projector", "8-8", "--workers", 0, "--device", "cpu")
    words = ("pretrain", "--data-dir", chain / "data", "--run-dir", tmp_path / "run", "--batch-size", 32, *short)
    assert run(*words, "--epochs", 1)[0] == 0
    for epochs in (2, 2, 3):
        assert run(*words, "--epochs", epochs, "--resume")[0] == 0
        settings = read_json(tmp_path / "run" / "settings.json")
        assert (settings["epochs"], settings["warmup_epochs"]) == (epochs, 0.25)
