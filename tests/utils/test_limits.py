"""Bounds of files that are read, and the variables that change them."""

import pytest

from lfbt.errors import LfbtError, UnreadableError
from lfbt.utils.limits import (
    MAX_FILE_BYTES,
    MAX_READ_MEMORY,
    MAX_READ_SECONDS,
    check_limits,
    most_bytes,
    most_memory,
    most_seconds,
)


def test_the_bounds_grow_with_the_file():
    assert most_bytes() == 4 << 30
    assert most_memory(0) == 1 << 30
    assert most_memory(10**6) == (1 << 30) + 32 * 10**6
    assert most_seconds(10**6) == 61


def test_a_variable_sets_a_bound_and_an_empty_one_none(monkeypatch):
    monkeypatch.setenv(MAX_FILE_BYTES, "5")
    monkeypatch.setenv(MAX_READ_MEMORY, str(10**9))
    monkeypatch.setenv(MAX_READ_SECONDS, "3")
    check_limits()
    assert (most_bytes(), most_memory(2), most_seconds(10**6)) == (5, 10**9 + 64, 4)
    monkeypatch.setenv(MAX_FILE_BYTES, "")
    assert most_bytes() == 4 << 30


@pytest.mark.parametrize("value", ["0", "-1", "4G", "1e9", "1.5", " 5", "٣", "9" * 16, "9" * 5000, "none"])
def test_a_variable_that_is_no_number_is_refused_by_its_name(monkeypatch, value):
    monkeypatch.setenv(MAX_FILE_BYTES, value)
    with pytest.raises(LfbtError, match=r"^LFBT_MAX_FILE_BYTES: .* is no whole number .* for 4294967296$") as raised:
        most_bytes()
    assert not isinstance(raised.value, UnreadableError)  # files are not skipped for it


@pytest.mark.parametrize(
    ("variable", "least", "most"),
    [(MAX_FILE_BYTES, 1, 10**15), (MAX_READ_MEMORY, 1 << 28, 10**15), (MAX_READ_SECONDS, 1, 10**6)],
)
def test_a_number_that_no_reader_or_timer_can_take_is_refused(monkeypatch, variable, least, most):
    for value in (least, most):
        monkeypatch.setenv(variable, str(value))
        check_limits()
    for value in (least - 1, most + 1):
        monkeypatch.setenv(variable, str(value))
        with pytest.raises(LfbtError, match=f"^{variable}: '{value}' is no whole number from {least} to {most};"):
            check_limits()


@pytest.mark.parametrize(("length", "shown"), [(40, "x" * 40), (41, f"{'x' * 40}…")])
def test_a_long_value_is_not_shown_as_a_whole(monkeypatch, length, shown):
    monkeypatch.setenv(MAX_FILE_BYTES, "x" * length)
    with pytest.raises(LfbtError, match=f"'{shown}' is no whole number"):
        check_limits()


def test_no_file_is_so_large_that_no_timer_can_count_its_seconds(monkeypatch):
    monkeypatch.setenv(MAX_READ_SECONDS, str(10**6))
    assert most_seconds(10**15) == 2 * 10**6
