"""Embeddings of files: those of the prepared data set."""

import numpy as np
import pandas as pd
from tests.factories import waves, write_checkpoint, write_packed

from lfbt.inference.embedding import embed
from lfbt.inference.embedding_folder import EmbedSettings
from lfbt.inference.embedding_table import embed_inputs
from lfbt.inference.recordings import FileSettings
from lfbt.models.pretrained import load_encoder


def test_embed_inputs_gives_the_embeddings_of_the_data_set(tmp_path):
    signals = waves([0, 1, 2, 0])
    data = write_packed(tmp_path / "data", signals)
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    (tmp_path / "files").mkdir()
    for row, signal in enumerate(signals):
        np.save(tmp_path / "files" / f"{row}.npy", signal)
    expected = embed(data, checkpoint, device="cpu")
    files = FileSettings("II,V1", 6.4)
    for place in (data, tmp_path / "files"):
        out = tmp_path / f"{place.name}.csv"
        report = embed_inputs(EmbedSettings((), out, checkpoint, (place,), files=files, device="cpu"))
        assert (report.answered, report.failed) == (4, 0)
        np.testing.assert_allclose(pd.read_csv(out).filter(regex=r"^e\d+$"), expected, atol=1e-6)


def test_embed_inputs_takes_some_leads(tmp_path):
    np.save(tmp_path / "a.npy", waves([1])[0][1:])
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    of_v1 = load_encoder(checkpoint).select_leads(("V1",))
    expected = embed(waves([1])[:, 1:], of_v1, leads="V1", sampling_rate=6.4, device="cpu")
    settings = EmbedSettings(
        (),
        tmp_path / "a.csv",
        checkpoint,
        (tmp_path / "a.npy",),
        leads=("V1",),
        files=FileSettings("V1", 6.4),
        device="cpu",
    )
    embed_inputs(settings)
    np.testing.assert_allclose(pd.read_csv(tmp_path / "a.csv").filter(regex=r"^e\d+$"), expected, atol=1e-6)
