"""The settings of `lfbt embed`."""

from pathlib import Path
from typing import Any

import pytest

from lfbt.errors import LfbtError
from lfbt.inference.embed_settings import EmbedSettings
from lfbt.inference.recordings import FileSettings
from lfbt.inference.watching import WatchSettings
from lfbt.runs.encoder_folder import BUNDLED
from lfbt.utils.settings import validate


def test_embed_settings_default_to_the_encoder_that_comes_with_lfbt():
    assert EmbedSettings().checkpoint == Path(BUNDLED)


def test_embed_settings_know_what_missing_leads_may_become():
    validate(EmbedSettings(missing_leads="nan"))
    with pytest.raises(LfbtError, match=r"^missing_leads: 'zero' is not one of refuse, nan"):
        validate(EmbedSettings(missing_leads="zero"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"per_piece": True}, "per_piece: has an effect on inputs only"),
        ({"files": FileSettings(file_leads="II")}, "file_leads: has an effect on inputs only"),
        ({"files": FileSettings(file_sampling_rate=500.0)}, "file_sampling_rate: has an effect on inputs only"),
        ({"files": FileSettings(file_unit="uV")}, "file_unit: has an effect on inputs only"),
        ({"allow_mismatch": True}, None),
        ({"split_seed": 1}, None),
        ({"files": FileSettings(allow_implausible=True)}, None),
    ],
)
def test_embed_settings_refuse_what_has_no_effect_on_data_sets(changes: dict[str, Any], message):
    settings = EmbedSettings(data_dir=(Path("data"),), **changes)
    if message is None:
        validate(settings)
    else:
        with pytest.raises(LfbtError, match=f"^{message}"):
            validate(settings)


@pytest.mark.parametrize("where", [{"inputs": (Path("a.csv"),)}, {"watching": WatchSettings(Path())}])
def test_embed_settings_refuse_what_has_no_effect_on_inputs(where: dict[str, Any]):
    validate(EmbedSettings(**where, per_piece=True, files=FileSettings("II", 500.0, "uV")))
    for changes in ({"allow_mismatch": True}, {"split_seed": 1}):
        with pytest.raises(LfbtError, match=f"^{next(iter(changes))}: has an effect on data sets in data_dir only"):
            validate(EmbedSettings(**where, **changes))
