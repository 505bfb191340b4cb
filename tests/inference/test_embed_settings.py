"""The settings of `lfbt embed`."""

from pathlib import Path

import pytest

from lfbt.errors import LfbtError
from lfbt.inference.embed_settings import EmbedSettings
from lfbt.runs.encoder_folder import BUNDLED
from lfbt.utils.settings import validate


def test_embed_settings_default_to_the_encoder_that_comes_with_lfbt():
    assert EmbedSettings().checkpoint == Path(BUNDLED)


def test_embed_settings_know_what_missing_leads_may_become():
    validate(EmbedSettings(missing_leads="nan"))
    with pytest.raises(LfbtError, match=r"^missing_leads: 'zero' is not one of refuse, nan"):
        validate(EmbedSettings(missing_leads="zero"))  # type: ignore[arg-type]
