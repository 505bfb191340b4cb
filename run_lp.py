"""Linear probing by the authors' flags; `lfbt probe` has more."""

import argparse
from pathlib import Path

from lfbt.cli.errors import reporting_errors, set_flags
from lfbt.cli.trials import summary
from lfbt.data.layouts import check_n_leads, open_dataset
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import ProbeSettings
from lfbt.utils.memory import keep_freed_memory

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="packed data set, or class folders")
parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR", help="run folder, encoder folder or .pth")
parser.add_argument("--num-classes", type=int, required=True, metavar="N", help="classes that the data set must have")
parser.add_argument("--feat-dir", type=Path, default=Path("./features/"), metavar="DIR", help="new folder for features")
parser.add_argument("--num-leads", type=int, default=8, metavar="N", help="leads that the data set must have")
parser.add_argument("--workers", type=int, default=6, metavar="N", help="threads that read batches ahead")
parser.add_argument("--epochs", type=int, default=100, metavar="N", help="passes over the training records")
parser.add_argument("--batch-size", type=int, default=128, metavar="N", help="records of a batch")
parser.add_argument("--learning-rate", type=float, default=1e-3, metavar="LR", help="Adam's rate, constant")

if __name__ == "__main__":
    given = vars(parser.parse_args())
    keep_freed_memory()
    with reporting_errors():
        set_flags({name: f"--{name.replace('_', '-')}" for name in given})
        check_n_leads(open_dataset(given["data_dir"]), given.pop("num_leads"))
        rate = (given.pop("learning_rate"),)
        settings = ProbeSettings.create(run_dir=given.pop("feat_dir"), learning_rate=rate, **given)
        print(summary(run_probe(settings), settings.trials.run_dir))
