"""`lfbt reproduce`: run the paper's complete protocol, or resume it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import tyro

from lfbt.cli.parsing import parse_settings
from lfbt.paper.reproduction import ReproduceSettings, quick_defaults, reproduce

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


def run(words: Sequence[str]) -> None:
    """Run the stages, their progress on stderr, and print the tables."""
    print(reproduce(parse(words), log=lambda line: print(line, file=sys.stderr, flush=True)))
