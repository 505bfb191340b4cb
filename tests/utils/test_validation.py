"""Ranges of numbers: their ends, and the message."""

import pytest

from lfbt.errors import LfbtError
from lfbt.utils.validation import check_range


@pytest.mark.parametrize(
    ("allowed", "inside", "outside"),
    [
        ("[0, 1)", [0, 0.5, 0.999], [-1e-9, 1, 2, float("nan"), float("inf")]),
        ("(0, 1]", [1e-9, 1], [0, -1, 1.0001, float("nan")]),
        ("(0, inf)", [1e-300, 1e300], [0, float("inf"), float("nan"), -1]),
        ("[2, inf)", [2, 3, 10**9], [1, -2, float("nan")]),
    ],
)
def test_check_range_includes_and_excludes_ends_as_written(allowed, inside, outside):
    for value in inside:
        check_range("name", value, allowed)
    for value in outside:
        with pytest.raises(LfbtError) as caught:
            check_range("name", value, allowed, "so it is")
        assert str(caught.value) == f"name: {value} is outside {allowed}; so it is"


@pytest.mark.parametrize("value", ["0.5", None, True, [0.5], 1j])
def test_check_range_refuses_what_is_no_number(value):
    with pytest.raises(LfbtError) as caught:
        check_range("name", value, "[0, 1]")
    assert str(caught.value) == f"name: {value!r} is not a number"
