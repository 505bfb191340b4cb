"""`lfbt reproduce`: run the paper's complete protocol, or resume it."""

from __future__ import annotations

from collections.abc import Sequence

import tyro

from lfbt.cli.output import Output
from lfbt.cli.parsing import parse_settings
from lfbt.paper.reproduction import ReproduceSettings, quick_defaults, reproduce
from lfbt.utils.progress import write_line

EXAMPLES = (
    "lfbt reproduce --out reproduction --ningbo downloads/ningbo --ptbxl downloads/ptb-xl \\\n"
    "  --cpsc2018 downloads/cpsc2018 --chapman downloads/chapman",
    "lfbt reproduce --out trial --ningbo downloads/ningbo --ptbxl downloads/ptb-xl --quick",
    "lfbt reproduce --out published --ptbxl downloads/ptb-xl \\\n"
    "  --encoders weights/gamma-0.8.pth weights/gamma-0.6.pth",
)


def parse(words: Sequence[str]) -> ReproduceSettings:
    """Parse the words after the command."""
    default = ReproduceSettings(out=tyro.MISSING)
    # It sets the defaults of the other options, so it is looked for before them.
    if "--quick" in words:
        default = quick_defaults(default)
    return parse_settings(ReproduceSettings, "reproduce", words, EXAMPLES, default=default)


def run(words: Sequence[str]) -> Output:
    """Run the stages, their progress on stderr."""
    settings = parse(words)
    tables = reproduce(settings, log=write_line)
    return Output(tables, {"out": settings.out, "tables": tables})
