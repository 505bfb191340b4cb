"""Pretraining by the authors' flags; `lfbt pretrain` has more."""

import argparse
from pathlib import Path

from lfbt.cli.errors import is_main, reporting_errors, set_flags
from lfbt.data.layouts import check_n_leads, open_dataset
from lfbt.runs.run_folder import ENCODER_FOLDER
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import PretrainSettings
from lfbt.utils.memory import keep_freed_memory

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="packed data set, or DIR/samples/*.npy")
parser.add_argument("--num-leads", type=int, default=8, metavar="N", help="leads that the data set must have")
parser.add_argument("--workers", type=int, default=6, metavar="N", help="threads that read batches ahead")
parser.add_argument("--epochs", type=int, default=200, metavar="N", help="passes over the records")
parser.add_argument("--batch-size", type=int, default=128, metavar="N", help="records of a batch")
parser.add_argument("--learning-rate", type=float, default=1e-3, metavar="LR", help="Adam's rate, constant")
parser.add_argument("--gamma", type=float, default=0.8, metavar="L", help="weight of the intra-lead loss")
parser.add_argument("--lambd", type=float, default=0.0051, metavar="L", help="weight of the off-diagonal terms")
parser.add_argument("--projector", default="2048-2048-2048", metavar="MLP", help="sizes of the projectors' layers")
parser.add_argument("--print-freq", type=int, default=100, metavar="N", help="steps between printed losses")
# Not one of the authors' flags, so it is not among those listed; a run that was stopped names it.
parser.add_argument("--resume", action="store_true", help=argparse.SUPPRESS)
parser.add_argument("--checkpoint-dir", type=Path, default=Path("./checkpoint/"), metavar="DIR", help="new run folder")

if __name__ == "__main__":
    given = vars(parser.parse_args())
    keep_freed_memory()
    with reporting_errors():
        set_flags({name: f"--{name.replace('_', '-')}" for name in given})
        check_n_leads(open_dataset(given["data_dir"]), given.pop("num_leads"))
        folders = {"data_dir": (given.pop("data_dir"),), "run_dir": given.pop("checkpoint_dir")}
        run_dir = Pretrainer(PretrainSettings.create(**folders, **given)).run()
        if is_main():
            print(f"the encoder is in {run_dir / ENCODER_FOLDER}")
