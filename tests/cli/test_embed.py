"""lfbt embed with bad input: status 2, one line on stderr that names the fault, and nothing written."""

import json
import pickle
import shutil

import numpy as np
import pytest
from tests.helpers_cli import SHORT, Harmful, classify_words, embed_words, everything, other_data, refused, run


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
        said = refused(*words, "--checkpoint", tmp_path / "bad")
        assert message in said
        assert str(tmp_path / "bad") in said or "leads" in said
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
    said = refused("embed", "--data-dir", data, "--checkpoint", fitted, "--out", tmp_path / "to", "--leads", "II,V1")
    assert "takes II,III,V1,V2,V3,V4,V5,V6 in this order, not II,V1" in said
    assert not (tmp_path / "to").exists()
