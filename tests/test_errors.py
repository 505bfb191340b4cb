"""Kinds of errors: each is an LfbtError, and so a ValueError, for callers who know neither."""

import pytest

from lfbt.errors import AbsentLeadError, LfbtError, UnreadableError


@pytest.mark.parametrize("kind", [LfbtError, UnreadableError, AbsentLeadError])
def test_every_kind_of_error_is_an_lfbt_error_and_a_value_error(kind):
    with pytest.raises(LfbtError, match="a message"):
        raise kind("a message")
    assert issubclass(kind, ValueError)
