"""`lfbt compare`: compare runs on the test split."""

from __future__ import annotations

from collections.abc import Sequence

from lfbt.cli.output import Output
from lfbt.cli.parsing import parse_settings
from lfbt.reports.comparison import CompareSettings, run_comparison

EXAMPLES = (
    "lfbt compare runs/random runs/probe",
    "lfbt compare runs/random runs/probe --out comparison",
    "lfbt compare runs/a runs/b runs/c --metrics auroc f1 --baseline runs/b --draws 10000",
)


def parse(words: Sequence[str]) -> CompareSettings:
    """Parse the words after the command."""
    return parse_settings(CompareSettings, "compare", words, EXAMPLES, positional={"runs": "RUN"})


def run(words: Sequence[str]) -> Output:
    """Compare runs."""
    settings = parse(words)
    table, rows = run_comparison(settings)
    text = table + ("" if settings.out is None else f"\n{settings.out}")
    return Output(text, {"rows": rows, "n_draws": settings.draws, "seed": settings.seed, "out": settings.out})
