"""`lfbt predict`: class probabilities of recordings."""

from __future__ import annotations

from collections.abc import Sequence

from lfbt.cli.answers import check_watching, output_of, stream_of
from lfbt.cli.output import Output
from lfbt.cli.parsing import parse_settings
from lfbt.inference.answering import PredictSettings, write_predictions

EXAMPLES = (
    "lfbt predict --classifier runs/finetune ecg.dcm",
    "lfbt predict --classifier model.onnx recordings/ --out predictions.csv",
    "lfbt predict --classifier runs/finetune --watch inbox --out predictions.jsonl",
    "lfbt predict --classifier runs/finetune ecg.csv --file-leads I,II,V1 --file-sampling-rate 500 --file-unit uV",
)


def parse(words: Sequence[str]) -> PredictSettings:
    """Parse the words after the command."""
    return parse_settings(PredictSettings, "predict", words, EXAMPLES, inputs="inputs")


def run(words: Sequence[str]) -> Output:
    """Write or print predictions; the status is 1 where some recordings have none."""
    settings = parse(words)
    answers = settings.answers
    check_watching(answers.watching, answers.out)
    return output_of(write_predictions(settings, stream_of(answers.out)), answers.out)
