"""Errors caused by user input: one class catches them all, and it is a ValueError."""

import pickle
import re
import tomllib
from pathlib import Path

import pytest

import lfbt
from lfbt.errors import AbsentLeadError, LfbtError, UnreadableError


@pytest.mark.parametrize("kind", [LfbtError, UnreadableError, AbsentLeadError])
def test_lfbt_error_catches_every_kind_with_its_message(kind):
    for caught in (LfbtError, ValueError):
        with pytest.raises(caught, match=r"^lead V9: not in the file$"):
            raise kind("lead V9: not in the file")


def test_kinds_of_lfbt_error_do_not_catch_each_other():
    assert not issubclass(UnreadableError, AbsentLeadError)
    assert not issubclass(AbsentLeadError, UnreadableError)


@pytest.mark.parametrize("kind", [LfbtError, UnreadableError, AbsentLeadError])
def test_lfbt_error_crosses_processes(kind):
    """Worker processes of prepare send their errors to the main one."""
    error = pickle.loads(pickle.dumps(kind("a message")))  # noqa: S301
    assert type(error) is kind
    assert str(error) == "a message"


def test_lfbt_error_cuts_words_that_are_no_name_any_more():
    path = "/" + "p" * 248
    assert str(LfbtError(f"file {path}: absent")) == f"file {path}: absent"
    value = "a" * 100 + "b" * 1000 + "c" * 100
    assert str(LfbtError(f"projector: {value} is none")) == f"projector: {'a' * 100}...{'c' * 100} is none"


def test_lfbt_error_is_one_line_whatever_a_library_said():
    assert str(LfbtError("file a  b: no table (line 3\n\n  has 5 cells\r\n); cut it")) == (
        "file a  b: no table (line 3 has 5 cells ); cut it"
    )


def test_lfbt_error_is_at_the_face():
    assert lfbt.LfbtError is LfbtError


def test_messages_name_extras_that_the_package_has():
    root = Path(__file__).parents[1]
    extras = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    texts = [path.read_text(encoding="utf-8") for path in (root / "src").rglob("*.py")]
    named = {name for text in texts for name in re.findall(r"lfbt\[([a-z0-9]+)\]", text)}
    assert {"formats", "hdf5", "serve", "parquet"} <= named <= set(extras)
