"""`lfbt report`: turn run folders into tables, plots and one HTML file."""

from __future__ import annotations

from collections.abc import Sequence

from lfbt.cli.output import Output
from lfbt.cli.parsing import parse_settings
from lfbt.reports.page import ReportSettings, report
from lfbt.utils.figures import format_figure
from lfbt.utils.tables import terminal_width

EXAMPLES = (
    "lfbt report runs/probe runs/random runs/finetune",
    "lfbt report runs/pretrain runs/probe --out reports/first",
)


def parse(words: Sequence[str]) -> ReportSettings:
    """Parse the words after the command."""
    return parse_settings(ReportSettings, "report", words, EXAMPLES, positional={"runs": "RUN"})


def run(words: Sequence[str]) -> Output:
    """Write a report."""
    page, table = report(parse(words))
    lines = (
        [table.to_string(index=False, float_format=format_figure, line_width=terminal_width())] if len(table) else []
    )
    return Output("\n".join([*lines, str(page)]), {"page": page, "table": table.to_dict("records")})
