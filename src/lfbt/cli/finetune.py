"""`lfbt finetune`: train encoder and classifier together."""

from __future__ import annotations

from collections.abc import Sequence

from lfbt.cli.errors import is_main
from lfbt.cli.finished import add_report
from lfbt.cli.output import Output
from lfbt.cli.parsing import parse_settings
from lfbt.cli.trials import summary
from lfbt.evaluation.fine_tuning import run_finetune
from lfbt.evaluation.settings import FinetuneSettings

EXAMPLES = (
    "lfbt finetune --data-dir data/ptbxl --checkpoint runs/pretrain --run-dir runs/finetune",
    "lfbt finetune --data-dir data/ptbxl --from-scratch --run-dir runs/scratch",
    "lfbt finetune --data-dir data/ptbxl --checkpoint runs/pretrain --run-dir runs/few \\\n"
    "  --fraction 0.1 --seeds 0 1 2 --epochs 50",
    "lfbt finetune --data-dir data/ptbxl --checkpoint runs/pretrain --run-dir runs/any-leads \\\n"
    "  --lead-subsets II limb chest --leads-dropout 0.5",
)


def parse(words: Sequence[str]) -> FinetuneSettings:
    """Parse the words after the command."""
    return parse_settings(FinetuneSettings, "finetune", words, EXAMPLES)


def run(words: Sequence[str]) -> Output | None:
    """Train a classifier."""
    settings = parse(words)
    trials = run_finetune(settings)
    if not is_main():
        return None
    page = add_report(settings.trials.run_dir)
    values = {"run_dir": settings.trials.run_dir, "report": page, "trials": [trial.to_dict() for trial in trials]}
    return Output(summary(trials, settings.trials.run_dir), values)
