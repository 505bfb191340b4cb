"""Fine-tuning by the authors' flags; `lfbt finetune` has more."""

import argparse
from pathlib import Path

from lfbt.cli.errors import is_main, reporting_errors, set_flags
from lfbt.cli.trials import summary
from lfbt.evaluation.fine_tuning import run_finetune
from lfbt.evaluation.settings import FinetuneSettings
from lfbt.utils.memory import keep_freed_memory

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="packed data set, or class folders")
parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR", help="run folder, encoder folder or .pth")
parser.add_argument("--num-classes", type=int, required=True, metavar="N", help="classes that the data set must have")
parser.add_argument("--fraction", type=float, default=1.0, metavar="L", help="part of the training records used")
parser.add_argument("--model-dir", type=Path, default=Path("./model/"), metavar="DIR", help="new folder for the model")
parser.add_argument("--workers", type=int, default=6, metavar="N", help="threads that read batches ahead")
parser.add_argument("--epochs", type=int, default=100, metavar="N", help="passes over the training records")
parser.add_argument("--batch-size", type=int, default=128, metavar="N", help="records of a batch")
parser.add_argument("--learning-rate", type=float, default=1e-4, metavar="LR", help="Adam's rate, constant")

if __name__ == "__main__":
    given = vars(parser.parse_args())
    keep_freed_memory()
    with reporting_errors():
        set_flags({name: f"--{name.replace('_', '-')}" for name in given})
        fraction = (given.pop("fraction"),)
        settings = FinetuneSettings.create(run_dir=given.pop("model_dir"), fraction=fraction, **given)
        trials = run_finetune(settings)
        if is_main():
            print(summary(trials, settings.trials.run_dir))
