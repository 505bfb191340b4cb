"""`lfbt check`: look for faults in data sets."""

from __future__ import annotations

from collections.abc import Sequence

from lfbt.audit.checks import CheckSettings, check, report_text
from lfbt.cli.parsing import parse_settings

EXAMPLES = (
    "lfbt check data/ptbxl",
    "lfbt check data/ningbo data/ptbxl --out check",
)
_FAULTY_STATUS = 1


def parse(words: Sequence[str]) -> CheckSettings:
    """Parse the words after the command."""
    return parse_settings(CheckSettings, "check", words, EXAMPLES, positional={"data": "DIR"})


def run(words: Sequence[str]) -> None:
    """Check data sets and print the findings; exit with status 1 where one is an error."""
    settings = parse(words)
    report = check(settings)
    print(report_text(report))
    if settings.out is not None:
        print(settings.out)
    if report.n_errors:
        raise SystemExit(_FAULTY_STATUS)
