"""Settings from the words of a command line: nested classes, annotations, lead names, and errors of one line."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from lfbt.cli.parsing import parse_settings, value_of
from lfbt.errors import LfbtError
from lfbt.utils.settings import Affects, LeadNames, Range, Seed


@dataclasses.dataclass(frozen=True)
class Data:
    data_dir: tuple[Annotated[Path, Affects.LOCATION], ...]
    """Data sets."""
    leads: Annotated[tuple[str, ...], Affects.RESULT] = ()
    """Leads."""
    lead_subsets: tuple[tuple[str, ...], ...] = ()
    """Subsets."""


@dataclasses.dataclass(frozen=True)
class Loss:
    gamma: Annotated[float, Range("[0, 1]")] = 0.8
    """Weight."""
    objective: Literal["lfbt", "simclr"] = "lfbt"
    """What is learned by."""


@dataclasses.dataclass(frozen=True)
class Toy:
    run_dir: Annotated[Path, Affects.LOCATION]
    """New folder."""
    data: Data
    loss: Loss = dataclasses.field(default_factory=Loss)
    seeds: Annotated[tuple[Seed, ...], Affects.TRIAL] = (0,)
    """Seeds."""
    fraction: tuple[Annotated[float, Range("(0, 1]")], ...] = (1.0,)
    """Parts."""
    exclude: Annotated[Path | None, Affects.LOCATION] = None
    """File."""
    trackers: tuple[Literal["a", "b"], ...] = ()
    """Trackers."""
    resume: Annotated[bool, Affects.RUNTIME] = False
    """Go on."""


EXAMPLES = ("lfbt toy",)
GIVEN = ("--data-dir", "data", "--run-dir", "run")


def parse(*words: str, **options) -> Toy:
    return parse_settings(Toy, "toy", words, EXAMPLES, description="A toy.", **options)


def test_parse_settings_has_the_defaults_of_nested_settings():
    assert parse(*GIVEN) == Toy(Path("run"), Data((Path("data"),)))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--gamma", "0.6", "--objective", "simclr"), {"loss": Loss(0.6, "simclr")}),
        (("--gamma=0.6",), {"loss": Loss(0.6)}),
        (("--leads", "ii,v1"), {"data": Data((Path("data"),), leads=("II", "V1"))}),
        (
            ("--lead-subsets", "each", "limb", "II,V1"),
            {"data": Data((Path("data"),), lead_subsets=(("each",), ("limb",), ("II", "V1")))},
        ),
        (("--seeds", "0", "1", "2"), {"seeds": (0, 1, 2)}),
        (("--seeds", "-1"), {"seeds": (-1,)}),
        (("--fraction", "0.1", "1"), {"fraction": (0.1, 1.0)}),
        (("--exclude", "x.csv", "--resume"), {"exclude": Path("x.csv"), "resume": True}),
        (("--trackers", "a", "b"), {"trackers": ("a", "b")}),
        (("--run_dir", "other"), {"run_dir": Path("other")}),
    ],
    ids=str,
)
def test_parse_settings_sets_a_field_wherever_it_is_nested(words, expected):
    assert parse(*GIVEN, *words) == dataclasses.replace(Toy(Path("run"), Data((Path("data"),))), **expected)


def test_parse_settings_takes_defaults_from_settings():
    default = Toy(tyro.MISSING, Data(tyro.MISSING, leads=("II",)), Loss(0.5, "simclr"), seeds=(3, 4))
    given = parse(*GIVEN, "--gamma", "0.6", default=default)
    assert given == Toy(Path("run"), Data((Path("data"),), leads=("II",)), Loss(0.6, "simclr"), seeds=(3, 4))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*GIVEN, "--gama", "1"), "--gama: is not an option of `lfbt toy`; did you mean --gamma?"),
        ((*GIVEN, "--xyz=1"), "--xyz: is not an option of `lfbt toy`;"),
        (("--run-dir", "run"), "--data-dir DIR ...: required, but not given"),
        ((), "--run-dir DIR, --data-dir DIR ...: required, but not given"),
        ((*GIVEN, "--gamma", "much"), "--gamma: 'much' is not a number, in [0, 1]"),
        ((*GIVEN, "--gamma=much"), "--gamma: 'much' is not a number, in [0, 1]"),
        ((*GIVEN, "--gamma"), "--gamma: has no value; give --gamma X"),
        ((*GIVEN, "--seeds", "1", "x", "2"), "--seeds: 'x' is not a whole number, in [0, 4294967295]"),
        ((*GIVEN, "--objective", "vicreg"), "--objective: 'vicreg' is not one of lfbt, simclr"),
        ((*GIVEN, "--trackers", "a", "c"), "--trackers: 'c' is not one of a, b"),
        ((*GIVEN, "--resume", "stray"), "'stray' is neither an option nor the value of one"),
        ((*GIVEN, "--gamma", "1", "2"), "'2' is neither an option nor the value of one"),
    ],
    ids=str,
)
def test_parse_settings_names_the_option_the_value_and_what_is_allowed(words, message, capsys):
    with pytest.raises(LfbtError) as caught:
        parse(*words)
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith("`lfbt toy --help` lists the options")
    assert str(caught.value).count("\n") == 0
    # Nothing of tyro's own text comes through.
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("word", ["--run-dir", "--exclude", "--data-dir"])
def test_parse_settings_refuses_an_empty_path(word):
    """It would be the current folder: a shell gives it for a variable that is not set."""
    given = dict(zip(GIVEN[::2], GIVEN[1::2], strict=True)) | {word: ""}
    with pytest.raises(LfbtError) as caught:
        parse(*(part for pair in given.items() for part in pair))
    name = word.removeprefix("--").replace("-", "_")
    assert str(caught.value) == f"{name}: '' is not a path; is a variable empty?"


def test_parse_settings_keeps_a_path_that_is_no_name_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    for word, expected in (
        ("./owner/name", tmp_path / "owner" / "name"),
        ("owner/name", Path("owner/name")),
        ("./here", Path("here")),
        ("./a/b/c", Path("a/b/c")),
    ):
        assert parse(*GIVEN, "--exclude", word).exclude == expected


@pytest.mark.parametrize(
    ("leads", "message"), [("II,II", "leads: II is named twice in II,II"), ("", "leads: none given")]
)
def test_parse_settings_passes_on_what_is_wrong_with_leads(leads, message):
    with pytest.raises(LfbtError, match=message):
        parse(*GIVEN, "--leads", leads)


@dataclasses.dataclass(frozen=True)
class Places:
    source: Path
    """From."""
    target: Path
    """To."""
    loss: Loss = Loss()


@dataclasses.dataclass(frozen=True)
class Folders:
    folders: tuple[Path, ...]
    """Folders."""
    out: Path | None = None
    """New folder."""


def place(*words):
    return parse_settings(Places, "toy", words, EXAMPLES, description="", positional={"source": "FROM", "target": "TO"})


def test_parse_settings_takes_settings_by_position():
    assert place("a", "--gamma", "0.5", "b") == Places(Path("a"), Path("b"), Loss(0.5))
    for words in (("a", "b", "--out", "c"), ("--out", "c", "a", "b")):
        given = parse_settings(Folders, "toy", words, EXAMPLES, description="", positional={"folders": "DIR"})
        assert given == Folders((Path("a"), Path("b")), Path("c"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a",), "FROM TO: required, but not given"),
        ((), "FROM TO: required, but not given"),
        (("a", "b", "c"), "'c' is neither an option nor the value of one"),
        (("a", "b", "--source", "c"), "--source: is not an option of `lfbt toy`"),
    ],
    ids=str,
)
def test_parse_settings_names_absent_and_surplus_positions(words, message):
    with pytest.raises(LfbtError) as caught:
        place(*words)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_parse_settings_prints_help_before_anything_is_checked(word, capsys):
    with pytest.raises(SystemExit) as caught:
        parse("--gama", word)
    assert caught.value.code == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("usage: lfbt toy --run-dir DIR --data-dir DIR ... [OPTIONS]\n\nA toy.\n")
    for title in ("Options:", "Data:", "Loss:", "Examples:"):
        assert f"\n{title}\n" in captured.out
    assert captured.err == ""


def test_parse_settings_takes_lead_names_of_any_alias():
    @dataclasses.dataclass(frozen=True)
    class Leads:
        leads: LeadNames = ("II",)

    assert parse_settings(Leads, "toy", ("--leads", "avr"), EXAMPLES, description="") == Leads(("aVR",))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "paper"),
        (("--preset", "small"), "small"),
        (("--preset=small", "--epochs", "3"), "small"),
        (("--preset", "paper", "--preset", "small"), "small"),
        (("--epochs", "3", "--preset"), "paper"),
        (("--epochs", "--preset", "small"), "small"),
        (("preset", "small"), "paper"),
    ],
    ids=str,
)
def test_value_of_is_that_of_the_last_flag(words, expected):
    assert value_of("--preset", words, "paper") == expected


@pytest.mark.parametrize("names", [("a", "b"), ("--odd",)])
def test_parse_settings_takes_positions_after_a_lone_double_dash(names):
    given = parse_settings(Folders, "toy", ("--", *names), EXAMPLES, description="", positional={"folders": "DIR"})
    assert given == Folders(tuple(map(Path, names)))
