"""`lfbt predict`: class probabilities of recordings."""

from __future__ import annotations

from collections.abc import Sequence

from lfbt.cli.answers import output_of
from lfbt.cli.output import Output
from lfbt.cli.parsing import parse_settings
from lfbt.inference.answering import PredictSettings, write_predictions

EXAMPLES = (
    "lfbt predict --classifier runs/finetune ecg.dcm",
    "lfbt predict --classifier model.onnx recordings/ --out predictions.csv",
    "lfbt predict --classifier runs/finetune - --out predictions.jsonl",
    "lfbt predict --classifier runs/finetune ecg.csv --file-leads I,II,V1 --file-sampling-rate 500 --file-unit uV",
)


def parse(words: Sequence[str]) -> PredictSettings:
    """Parse the words after the command."""
    return parse_settings(PredictSettings, "predict", words, EXAMPLES, inputs="inputs")


def run(words: Sequence[str]) -> Output:
    """Write or print predictions; the status is 1 where some recordings have none."""
    settings = parse(words)
    return output_of(write_predictions(settings), settings.answers.out)
