"""`lfbt export`: write a classifier or an encoder as one ONNX file."""

from __future__ import annotations

from collections.abc import Sequence

from lfbt.cli.output import Output
from lfbt.cli.parsing import parse_settings
from lfbt.inference.export import ExportSettings, write_onnx
from lfbt.utils.figures import format_count

EXAMPLES = (
    "lfbt export runs/finetune --out model.onnx",
    "lfbt export runs/probe --out model.onnx --variant float16",
    "lfbt export lfbt-small --out encoder.onnx",
)


def parse(words: Sequence[str]) -> ExportSettings:
    """Parse the words after the command."""
    return parse_settings(ExportSettings, "export", words, EXAMPLES, inputs="checkpoint")


def run(words: Sequence[str]) -> Output:
    """Export a model."""
    exported = write_onnx(parse(words))
    what = f"classes {','.join(exported.classes)}" if exported.classes else "embeddings only, without a classifier"
    leads = format_count(len(exported.leads), "lead")
    if exported.lead_subsets:
        leads += f", or {' or '.join(map(','.join, exported.lead_subsets))}"
    text = (
        f"{exported.out}: {what}; {leads}, {exported.variant}, "
        f"{exported.megabytes:g} MB, opset {exported.opset}; differs from PyTorch by {exported.difference:.1e} at most"
    )
    return Output(text, vars(exported))
