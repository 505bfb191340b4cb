"""lfbt pretrain with bad input: status 2, one line on stderr that names the fault, and nothing written."""

import numpy as np
import pytest
from tests.helpers_cli import everything, other_data, pretrain_words, refused

#: Options of pretrain and words of the message.
PRETRAIN = {
    "gamma above": (("--gamma", 1.5), "gamma: 1.5 is outside [0, 1]"),
    "gamma below": (("--gamma", -0.1), "gamma: -0.1 is outside [0, 1]"),
    "gamma NaN": (("--gamma", "nan"), "gamma: nan is outside [0, 1]"),
    "batch of 1": (("--batch-size", 1), "batch-size: 1 is outside [2, inf)"),
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
    "quality data": (("--quality-data", "absent"), "absent is not a folder; give a packed data set"),
    "no data": (("--data-dir",), "data-dir: none given"),
    "absent data": (("--data-dir", "absent"), "absent is not a folder; give a packed data set"),
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
    said = refused(*pretrain_words(place, tmp_path / "to"), "--data-dir", data)
    assert f"{data}/val/b/1.npy: " in said
    assert not (tmp_path / "to").exists()
