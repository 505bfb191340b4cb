"""``lfbt embed``: what it prints and writes, and what it refuses."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.cli.helpers import (
    CLASSIFY_SHORT,
    SHORT,
    classify_words,
    embed_words,
    everything,
    other_data,
    output_of,
    read_json,
    refused,
    run,
)
from tests.literal import literal_encoder
from tests.outputs import read_table

from lfbt.data.layouts import open_dataset
from lfbt.models.pretrained import load_encoder


class Harmful:
    """A pickled object that would leave a file behind if it were ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")


def broken_config(folder, change):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def text_file(folder):
    shutil.rmtree(folder)
    folder.write_text("hello")


def pickled(folder):
    shutil.rmtree(folder)
    folder.write_bytes(pickle.dumps(Harmful(folder.parent / "harm")))


def emptied(folder):
    shutil.rmtree(folder)
    folder.mkdir()


#: What is done to a good encoder folder, and words of the message.
CHECKPOINTS = {
    "text file": (text_file, "is not a checkpoint of the LFBT authors"),
    "pickle": (pickled, "is not a checkpoint of the LFBT authors"),
    "empty folder": (emptied, "is not an encoder; give a run folder"),
    "no JSON": (lambda d: (d / "config.json").write_text("{"), "config.json: is not JSON"),
    "empty config": (lambda d: (d / "config.json").write_text("{}"), "does not describe an encoder"),
    "no leads": (lambda d: broken_config(d, {"leads": None}), "does not describe an encoder"),
    "leads twice": (lambda d: broken_config(d, {"leads": ["II", "II"]}), "II is named twice"),
    "normalisation": (lambda d: broken_config(d, {"normalisation": "max"}), "'max' is not one of record, lead, none"),
    "width": (lambda d: broken_config(d, {"width": 0.25}), "does not hold the weights that its config.json describes"),
    "other leads": (lambda d: broken_config(d, {"leads": ["II"]}), "does not hold the weights"),
    "no weights": (lambda d: (d / "model.safetensors").unlink(), "model.safetensors: is not there"),
    "cut weights": (lambda d: cut(d / "model.safetensors"), "is not a complete safetensors file"),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_embed_and_probe_refuse_what_is_not_a_checkpoint(place, tmp_path, name):
    corrupt, message = CHECKPOINTS[name]
    shutil.copytree(place / "run" / "encoder", tmp_path / "bad")
    corrupt(tmp_path / "bad")
    before = everything(tmp_path)
    for words in (embed_words(place, tmp_path / "to"), classify_words("probe", place, tmp_path / "to")):
        refusal = refused(*words, "--checkpoint", tmp_path / "bad")
        assert message in refusal
        assert str(tmp_path / "bad") in refusal or "leads" in refusal
    assert everything(tmp_path) == before


def test_embed_refuses_another_number_of_leads_even_with_allow_mismatch(place, tmp_path):
    data = other_data(tmp_path / "data", leads=3)
    assert "does not fit" in refused(*embed_words(place, tmp_path / "to"), "--data-dir", data, "--allow-mismatch")


def test_embed_never_unpickles_objects_in_npy_files(place, tmp_path):
    data = other_data(tmp_path / "data")
    np.save(data / "val" / "b" / "1.npy", np.array([Harmful(tmp_path / "harm")]), allow_pickle=True)
    assert "is not a .npy array of numbers" in refused(*embed_words(place, tmp_path / "to"), "--data-dir", data)
    assert not (tmp_path / "harm").exists()


def test_embed_refuses_fewer_leads_than_the_classifier_has(place, tmp_path):
    data = other_data(tmp_path / "data")
    fitted = tmp_path / "fitted"
    words = ("probe", "--data-dir", data, "--checkpoint", place / "run", "--run-dir", fitted, *SHORT)
    assert run(*words)[0] == 0
    refusal = refused("embed", "--data-dir", data, "--checkpoint", fitted, "--out", tmp_path / "to", "--leads", "II,V1")
    assert "takes II,III,V1,V2,V3,V4,V5,V6 in this order, not II,V1" in refusal
    assert not (tmp_path / "to").exists()


def test_embed_writes_the_features_of_a_probe(chain):
    embeddings = np.load(chain / "embed" / "embeddings.npy")
    dataset = open_dataset(chain / "data")
    assert embeddings.shape == (len(dataset), 512)
    assert np.abs(np.diff(embeddings, axis=0)).max(axis=1).min() > 0.1
    for split in ("train", "val", "test"):
        rows = dataset.rows(split)
        np.testing.assert_allclose(np.load(chain / "random" / f"X_{split}.npy"), embeddings[rows], rtol=1e-4, atol=1e-5)
        numbers = dataset.targets()[rows].argmax(axis=1)
        np.testing.assert_array_equal(np.load(chain / "random" / f"y_{split}.npy"), numbers)
    records = read_table(chain / "embed" / "records.csv")
    assert [(row["id"], row["split"]) for row in records] == list(zip(dataset.ids, dataset.split, strict=True))
    assert [row["labels"] for row in records] == [label for (label,) in dataset.labels]
    assert f"embeddings of {len(dataset)} records, 512 columns" in read_json(chain / "outputs.json")["embed"]


def test_embed_writes_the_probabilities_of_a_classifier(chain):
    found = {row["id"]: row for row in read_table(chain / "embed" / "probabilities.csv")}
    predictions = read_table(chain / "random" / "predictions.csv")
    assert len(found) == len(open_dataset(chain / "data"))
    assert len({row["p_NORM"] for row in predictions}) == len(predictions)
    for row in predictions:
        for name in CLASSES:
            assert float(found[row["id"]][f"p_{name}"]) == pytest.approx(float(row[f"p_{name}"]), abs=1e-5)


def test_embed_names_the_checkpoint_it_used(chain, tmp_path):
    words = ("--data-dir", chain / "data", "--checkpoint", chain / "finetune", "--out", tmp_path / "embed")
    output_of("embed", *words)
    assert read_json(tmp_path / "embed" / "embed.json")["encoder"]["checkpoint"] == "finetune"


def test_embed_and_probe_use_the_encoders_of_named_leads_in_the_order_given(chain, tmp_path):
    data, encoder = ("--data-dir", chain / "data"), ("--checkpoint", chain / "random" / "encoder")
    output_of("probe", *data, *encoder, "--run-dir", tmp_path / "probe", "--leads", "II,V1", *CLASSIFY_SHORT)
    output_of("embed", *data, *encoder, "--out", tmp_path / "embed", "--leads", "v1,ii")
    assert read_json(tmp_path / "probe" / "results.json")["leads"] == ["II", "V1"]
    assert read_json(tmp_path / "embed" / "embed.json")["leads"] == ["V1", "II"]
    signals = np.load(chain / "data" / "signals.npy")[:, [0, 2]]
    mean, std = signals.mean(axis=(1, 2), keepdims=True), signals.std(axis=(1, 2), keepdims=True)
    z_scored = torch.from_numpy((signals - mean) / (std + np.float32(1e-5)))
    encoders = load_encoder(chain / "random").encoders
    with torch.no_grad():
        stacks = [literal_encoder(encoders[lead]).eval() for lead in ("II", "V1")]
        ii, v1 = (stack(z_scored[:, i : i + 1]).numpy() for i, stack in enumerate(stacks))
    found = np.load(tmp_path / "embed" / "embeddings.npy")
    np.testing.assert_allclose(found, np.concatenate([v1, ii], axis=1), rtol=1e-4, atol=1e-5)
    test = open_dataset(chain / "data").rows("test")
    found = np.load(tmp_path / "probe" / "X_test.npy")
    np.testing.assert_allclose(found, np.concatenate([ii, v1], axis=1)[test], rtol=1e-4, atol=1e-5)


def test_embed_without_inputs_says_so_whatever_the_output(tmp_path):
    for out in ((), ("--out", tmp_path / "a.csv"), ("--out", tmp_path / "a")):
        message = refused("embed", "--checkpoint", tmp_path, *out)
        assert message.startswith("inputs: none given; name files, folders or data sets, - for a list on stdin")
        assert message.endswith("or data sets by --data-dir")
