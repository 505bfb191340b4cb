"""`lfbt benchmark`: score a frozen encoder by a protocol of the field, beside published figures."""

from __future__ import annotations

from collections.abc import Sequence

from lfbt.cli.output import Output
from lfbt.cli.parsing import parse_settings
from lfbt.protocols.benchmarking import BenchmarkSettings, benchmark
from lfbt.utils.progress import write_line

EXAMPLES = (
    "lfbt benchmark ptbxl downloads/ptb-xl benchmark/ptbxl --checkpoint runs/pretrain",
    "lfbt benchmark ptbxl downloads/ptb-xl benchmark/ptbxl --checkpoint runs/pretrain --protocol attentive \\\n"
    "  --tasks statements diagnostic --fraction 0.01 0.1 1",
    "lfbt benchmark cpsc2018 downloads/cpsc2018 benchmark/cpsc2018",
)


def parse(words: Sequence[str]) -> BenchmarkSettings:
    """Parse the words after the command."""
    positional = {"data": "DATA", "download": "FROM", "out": "TO"}
    return parse_settings(BenchmarkSettings, "benchmark", words, EXAMPLES, positional=positional)


def run(words: Sequence[str]) -> Output:
    """Run the trials, their progress on stderr."""
    settings = parse(words)
    tables, values = benchmark(settings, log=write_line)
    return Output(tables, {"out": settings.out, **values})
