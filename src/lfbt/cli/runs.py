"""`lfbt runs`: list run folders."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import tyro

from lfbt.cli.output import Output
from lfbt.cli.parsing import parse_settings
from lfbt.reports.run_list import list_runs
from lfbt.reports.run_table import runs_table
from lfbt.utils.tables import terminal_width

EXAMPLES = (
    "lfbt runs",
    "lfbt runs runs/ptbxl",
)


@dataclasses.dataclass(frozen=True)
class ListSettings:
    """Where to look for run folders."""

    folder: tyro.conf.Positional[Path] = Path()
    """Folder with run folders in it, at any depth."""


def parse(words: Sequence[str]) -> ListSettings:
    """Parse the words after the command."""
    return parse_settings(ListSettings, "runs", words, EXAMPLES, positional={"folder": "DIR"})


def run(words: Sequence[str]) -> Output:
    """List run folders."""
    folder = parse(words).folder
    runs = list_runs(folder)
    return Output(runs_table(runs, folder, terminal_width()), {"runs": runs})
