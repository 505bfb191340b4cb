"""`lfbt probe`: score a frozen encoder with a linear classifier."""

from __future__ import annotations

from collections.abc import Sequence

from lfbt.cli.finished import add_report
from lfbt.cli.output import Output
from lfbt.cli.parsing import parse_settings
from lfbt.cli.trials import summary
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import ProbeSettings

EXAMPLES = (
    "lfbt probe --data-dir data/ptbxl --checkpoint runs/pretrain --run-dir runs/probe",
    "lfbt probe --data-dir data/ptbxl --random-encoder --run-dir runs/random",
    "lfbt probe --data-dir data/ptbxl --checkpoint runs/pretrain --run-dir runs/curve \\\n"
    "  --fraction 0.1 0.2 0.5 1.0 --seeds 0 1 2",
    "lfbt probe --data-dir data/ptbxl --checkpoint runs/pretrain --run-dir runs/leads \\\n"
    "  --lead-subsets each limb chest II,V1 --leads-dropout 0.5",
)


def parse(words: Sequence[str]) -> ProbeSettings:
    """Parse the words after the command."""
    return parse_settings(ProbeSettings, "probe", words, EXAMPLES)


def run(words: Sequence[str]) -> Output:
    """Probe an encoder."""
    settings = parse(words)
    trials = run_probe(settings)
    page = add_report(settings.trials.run_dir)
    values = {"run_dir": settings.trials.run_dir, "report": page, "trials": [trial.to_dict() for trial in trials]}
    return Output(summary(trials, settings.trials.run_dir), values)
