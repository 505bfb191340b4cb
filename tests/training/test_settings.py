"""Settings of pretraining: presets, ranges, keyword arguments."""

import pytest

from lfbt.errors import LfbtError
from lfbt.training.settings import parse_projector


@pytest.mark.parametrize(
    ("text", "sizes"), [("2048-2048-2048", (2048, 2048, 2048)), ("16", (16,)), ("512-256", (512, 256))]
)
def test_parse_projector_splits_sizes(text, sizes):
    assert parse_projector(text) == sizes


@pytest.mark.parametrize(
    "text", ["", "-", "16-", "-16", "16--16", "0", "16-0", "a", "16,16", "1.5", "16-x", " 16", "²"]
)
def test_parse_projector_refuses_other_text(text):
    with pytest.raises(LfbtError, match=r"projector: .* is not a list of layer sizes such as 2048-2048-2048"):
        parse_projector(text)
