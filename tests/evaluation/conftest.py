"""Noisy data sets of one and several labels, an encoder, and a command on them."""

from typing import Any

import numpy as np
import pytest
from tests.evaluation.helpers import PATIENTS, QUICK
from tests.factories import KINDS, waves, write_checkpoint, write_labelled, write_multi_label

from lfbt.evaluation.fine_tuning import run_finetune
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import FinetuneSettings, ProbeSettings

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
            run_finetune(FinetuneSettings.create(**(settings | TUNE | changes)))
        else:
            if changes.get("classifier", "adam") != "adam":
                settings = {name: value for name, value in settings.items() if name not in ("epochs", "batch_size")}
            run_probe(ProbeSettings.create(**(settings | changes)))
        return tmp_path / name

    return go


@pytest.fixture(params=["probe", "finetune"])
def command(request, data, checkpoint, tmp_path):
    """Probe or fine-tune into a folder that must not be there afterwards."""

    def go(**changes):
        random_start = changes.pop("random_start", False)
        rate = changes.pop("learning_rate", 1e-2)
        settings = QUICK | {"data_dir": data, "checkpoint": checkpoint, "run_dir": tmp_path / "run"} | changes
        if request.param == "probe":
            run_probe(ProbeSettings.create(**settings | {"random_encoder": random_start, "learning_rate": (rate,)}))
        else:
            run_finetune(FinetuneSettings.create(**settings | {"from_scratch": random_start, "learning_rate": rate}))

    return go
