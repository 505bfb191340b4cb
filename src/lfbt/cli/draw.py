"""`lfbt draw`: write one ECG on grid paper, as SVG, PNG or PDF."""

from __future__ import annotations

from collections.abc import Sequence

from lfbt.cli.output import Output
from lfbt.cli.parsing import parse_settings
from lfbt.inference.drawing import DrawSettings, draw_file

EXAMPLES = (
    "lfbt draw ecg.dcm --out ecg.pdf",
    "lfbt draw recordings/00001_hr.hea",
    "lfbt draw data/ptbxl --record 9 --out 9.png",
    "lfbt draw ecg.csv --file-leads I,II,V1 --file-sampling-rate 500 --file-unit uV",
)


def parse(words: Sequence[str]) -> DrawSettings:
    """Parse the words after the command."""
    return parse_settings(DrawSettings, "draw", words, EXAMPLES, positional={"file": "FILE"})


def run(words: Sequence[str]) -> Output:
    """Draw a recording."""
    drawn = draw_file(parse(words))
    return Output("; ".join([f"{drawn.out}: record {drawn.record}, {drawn.scale}", *drawn.notes]), vars(drawn))
