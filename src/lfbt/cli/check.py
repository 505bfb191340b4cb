"""`lfbt check`: look for faults in data sets."""

from __future__ import annotations

from collections.abc import Sequence

from lfbt.audit.checks import CheckSettings, check, report_text, summarise
from lfbt.cli.output import Output
from lfbt.cli.parsing import parse_settings

EXAMPLES = (
    "lfbt check data/ptbxl",
    "lfbt check data/ningbo data/ptbxl --out check",
)
_FAULTY_STATUS = 1


def parse(words: Sequence[str]) -> CheckSettings:
    """Parse the words after the command."""
    return parse_settings(CheckSettings, "check", words, EXAMPLES, positional={"data": "DIR"})


def run(words: Sequence[str]) -> Output:
    """Check data sets; status 1 where a finding is an error."""
    settings = parse(words)
    report = check(settings)
    text = report_text(report, settings.out) + ("" if settings.out is None else f"\n{settings.out}")
    values = summarise(report) | {"messages": [finding.message for finding in report.findings], "out": settings.out}
    return Output(text, values, _FAULTY_STATUS if report.n_errors else 0)
