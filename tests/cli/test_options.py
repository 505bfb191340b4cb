"""The options of settings classes: names, types, placeholders, defaults and ranges."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from lfbt.cli.options import list_options, split_choices
from lfbt.utils.settings import Affects, LeadNames, Range, Seed


@dataclasses.dataclass(frozen=True)
class Inner:
    learning_rate: Annotated[float, Range("(0, inf)"), Affects.RUNTIME] = 1e-3
    """The
    rate."""
    fractions: tuple[Annotated[float, Range("(0, 1]")], ...] = (0.5, 1.0)
    leads: Annotated[LeadNames, Affects.LOCATION] = ("II", "V1")


@dataclasses.dataclass(frozen=True)
class Outer:
    data_dir: tuple[Annotated[Path, Affects.LOCATION], ...]
    """Data sets."""
    inner: Inner = dataclasses.field(default_factory=Inner)
    subsets: tuple[LeadNames, ...] = (("each",), ("II", "V1"))
    seed: Seed = 0
    epochs: Annotated[int | None, Range("[1, inf)")] = None
    kind: Literal["one", "other"] = "one"
    quick: bool = False
    careful: bool = True
    longest_out: float = 0.5


OPTIONS = {option.field.name: option for option in list_options(Outer)}


def test_list_options_takes_nested_settings_in_their_place():
    assert list(OPTIONS) == [
        "data_dir", "learning_rate", "fractions", "leads", "subsets", "seed", "epochs", "kind", "quick", "careful",
        "longest_out",
    ]  # fmt: skip
    assert {name for name, option in OPTIONS.items() if option.group == "inner"} == {
        "learning_rate", "fractions", "leads",
    }  # fmt: skip
    assert [name for name, option in OPTIONS.items() if option.required] == ["data_dir"]


@pytest.mark.parametrize(
    ("name", "flag", "metavar", "default", "allowed"),
    [
        ("data_dir", "--data-dir", "DIR ...", "", "allowed"),
        ("learning_rate", "--learning-rate", "RATE", "0.001", "a number, above 0"),
        ("fractions", "--fractions", "X ...", "0.5 1.0", "a number, in (0, 1]"),
        ("leads", "--leads", "LEAD,LEAD", "II,V1", "lead names such as II,V1"),
        ("subsets", "--subsets", "LEAD,LEAD ...", "each II,V1", "lead names such as II,V1"),
        ("seed", "--seed", "N", "0", "a whole number, in [0, 4294967295]"),
        ("epochs", "--epochs", "N", "", "a whole number, 1 or more"),
        ("kind", "--kind", "{one,other}", "one", "one of one, other"),
        ("quick", "--quick", "VALUE", "", "allowed"),
        ("careful", "--no-careful", "VALUE", "", "allowed"),
        ("longest_out", "--longest-out", "X", "0.5", "a number"),
    ],
)
def test_option_names_what_it_takes(name, flag, metavar, default, allowed):
    option = OPTIONS[name]
    assert (option.flag, option.metavar, option.shown_default, option.allowed) == (flag, metavar, default, allowed)


def test_option_has_its_docstring_on_one_line():
    assert OPTIONS["data_dir"].meaning == "Data sets."
    assert OPTIONS["learning_rate"].meaning == "The rate."
    assert OPTIONS["fractions"].meaning == ""


def test_list_options_reads_the_docstrings_of_derived_classes_and_of_none_without_source():
    fields: list[tuple[str, Any]] = [("inner", Inner)]
    derived = dataclasses.make_dataclass("derived", fields, bases=(Small,), frozen=True)
    meanings = {option.field.name: option.meaning for option in list_options(derived)}
    assert meanings == {"source": "Where from.", "learning_rate": "The rate.", "fractions": "", "leads": ""}


@dataclasses.dataclass(frozen=True)
class Small:
    source: Path
    """Where from."""


@pytest.mark.parametrize(
    ("name", "word", "accepted"),
    [
        ("seed", "1", True),
        ("seed", "-1", True),
        ("seed", "1.5", False),
        ("learning_rate", "1e-3", True),
        ("learning_rate", "fast", False),
        ("kind", "one", True),
        ("kind", "neither", False),
        ("data_dir", "anything", True),
    ],
)
def test_option_accepts_words_of_its_form(name, word, accepted):
    assert OPTIONS[name].accepts(word) is accepted


@pytest.mark.parametrize(
    ("meaning", "introduction", "meanings"),
    [
        ("How. a: well. b-c: badly.", "How. ", [("a", "well."), ("b-c", "badly.")]),
        ("a: well; b-c: badly", "", [("a", "well;"), ("b-c", "badly")]),
        ("How, as a: or not.", "How, as a: or not.", []),
        ("For a: only this.", "For a: only this.", []),
        ("How. a: well.", "How. a: well.", []),
    ],
)
def test_split_choices_finds_two_or_more_named_at_the_start_of_a_sentence(meaning, introduction, meanings):
    assert split_choices(meaning, ("a", "b-c")) == (introduction, meanings)


def test_option_says_whether_an_output_is_a_file_or_a_folder():
    @dataclasses.dataclass(frozen=True)
    class Outputs:
        out: Path | None = None

    (option,) = list_options(Outputs)
    for meaning, metavar in (
        ("New folder.", "DIR"),
        ("New file .csv.", "FILE"),
        ("Of inputs: new file; of data sets: new folder.", "PATH"),
    ):
        assert dataclasses.replace(option, meaning=meaning).metavar == metavar
