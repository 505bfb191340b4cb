"""What the tests of the commands share."""

import json

import pytest
from tests.cli.helpers import CLASSIFY_SHORT, PRETRAIN_SHORT, output_of

from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.models.encoder import EncoderConfig, random_encoder
from lfbt.models.pretrained import save_encoder
from lfbt.recording import PAPER_LEADS
from lfbt.sources import PtbXl
from lfbt.sources.synthesis import write_ptbxl


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """What is good: a download, a data set of 34 or more records, and a run folder with an encoder that fits it."""
    place = tmp_path_factory.mktemp("bad")
    write_ptbxl(place / "download", 40, 0)
    prepare_dataset(PtbXl(), "ptbxl", place / "download", place / "data", PrepareSettings(n_samples=128, workers=1))
    encoder = random_encoder(EncoderConfig(PAPER_LEADS, sampling_rate=12.8, n_samples=128), 0)
    save_encoder(place / "run" / "encoder", encoder, {"method": "random"})
    return place


@pytest.fixture(scope="session")
def chain(tmp_path_factory):
    """Every step's results in a folder of its own, and in outputs.json what the commands printed."""
    chain = tmp_path_factory.mktemp("cli")
    data = ("--data-dir", chain / "data")
    encoder = ("--checkpoint", chain / "pretrain")
    options = ("--records", 70, "--n-samples", 128, "--workers", 1)
    outputs = {
        "data": output_of("prepare", "synthetic", chain / "download", chain / "data", *options),
        "pretrain": output_of("pretrain", *data, "--run-dir", chain / "pretrain", *PRETRAIN_SHORT),
        "probe": output_of("probe", *data, *encoder, "--run-dir", chain / "probe", *CLASSIFY_SHORT),
        "random": output_of("probe", *data, "--random-encoder", "--run-dir", chain / "random", *CLASSIFY_SHORT),
        "finetune": output_of("finetune", *data, *encoder, "--run-dir", chain / "finetune", *CLASSIFY_SHORT),
        "scratch": output_of("finetune", *data, "--from-scratch", "--run-dir", chain / "scratch", *CLASSIFY_SHORT),
        "embed": output_of("embed", *data, "--checkpoint", chain / "random", "--out", chain / "embed"),
    }
    (chain / "outputs.json").write_text(json.dumps(outputs))
    return chain
