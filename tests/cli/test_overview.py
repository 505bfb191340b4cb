"""The list of commands, and the nearest name to a misspelt one."""

import pytest
from tests.cli.helpers import output_of

import lfbt
from lfbt.cli.overview import COMMANDS, overview, suggest


def test_overview_lists_names_with_their_meanings_in_one_column():
    assert overview("lfbt X", {"a": "First.", "longer": "Second."}).splitlines() == [
        f"lfbt {lfbt.__version__}: {lfbt.__doc__}",
        "",
        "Usage: lfbt X [OPTIONS]",
        "",
        "  a       First.",
        "  longer  Second.",
        "",
        "`lfbt X --help` lists the options of one, with defaults and units.",
    ]


@pytest.mark.parametrize(
    ("word", "near"),
    [("prob", "probe"), ("run", "runs"), ("repot", "report"), ("frobnicate", None), ("", None)],
)
def test_suggest_returns_the_nearest_name_or_none(word, near):
    assert suggest(word, COMMANDS) == near


def test_the_list_of_commands_names_what_stands_without_one():
    text = output_of("--help")
    assert text.splitlines()[-1].startswith("`lfbt --version` and `lfbt --print-completion bash`")
