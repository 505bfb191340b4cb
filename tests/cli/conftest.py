"""What the tests of the commands share."""

import pytest

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
