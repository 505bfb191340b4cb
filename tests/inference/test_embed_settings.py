"""The settings of `lfbt embed`: those that the room's users know as of `embedding`."""

from pathlib import Path

from lfbt.inference.embed_settings import EmbedSettings
from lfbt.inference.embedding import EmbedSettings as OfEmbedding
from lfbt.runs.encoder_folder import BUNDLED


def test_embed_settings_default_to_the_encoder_that_comes_with_lfbt():
    assert OfEmbedding is EmbedSettings
    assert EmbedSettings().checkpoint == Path(BUNDLED)
