"""Whether encoders that learned in bf16 are as good as those of float32: real ECGs, the preset `small`, several seeds.

    python -m benchmarks.precision_quality --data ../shared/data --out precision-quality --epochs 30

Every seed is trained in both precisions, on the records of `benchmarks.objectives`. The score is that of
`benchmarks.small_preset`: a logistic regression on frozen features in ten patient-disjoint folds of PTB-XL's folds 1 to
9, averaged over ten assignments of the patients. Finished parts are kept: the same command resumes.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from pathlib import Path

from benchmarks.bundled_figures import N_SAMPLES
from benchmarks.objectives import prepared
from benchmarks.small_preset import score
from lfbt.data.layouts import open_dataset
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import Precision, PretrainSettings
from lfbt.utils.tables import as_markdown

_PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def main() -> None:
    """Train what is not trained yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder for data sets and runs")
    parser.add_argument("--epochs", type=int, default=None, help="of each run; those of the preset by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="a run of each in both precisions")
    words = parser.parse_args()
    warnings.filterwarnings("ignore", "The least populated class", UserWarning)
    prepared(words.data, words.out, N_SAMPLES)
    data = words.out / "data"
    dataset = open_dataset(data / "ptbxl")
    changes = {} if words.epochs is None else {"epochs": words.epochs}
    lines, found = [], {}
    for seed in words.seeds:
        for precision in _PRECISIONS:
            run_dir = words.out / f"{precision}-{seed}-{words.epochs}"
            settings = PretrainSettings.create(
                (data / "cinc2011", data / "challenge"), run_dir, "small", seed=seed, precision=precision, resume=True,
                quality_every=0, **changes,
            )  # fmt: skip
            Pretrainer(settings).run()
            found[seed, precision] = score(run_dir, dataset)
            figures = [*found[seed, precision].macro(), *found[seed, precision].macro(without="HYP")]
            lines.append([f"seed {seed}, {precision}", *(f"{figure:.3f}" for figure in figures)])
    heads = ["", "macro AUROC", "macro AUPRC", "AUROC without HYP", "AUPRC without HYP"]
    print(as_markdown([heads, *lines]))
    for i, name in enumerate(heads[1:3]):
        single, half = ([found[seed, precision].macro()[i] for seed in words.seeds] for precision in _PRECISIONS)
        difference = statistics.mean(half) - statistics.mean(single)
        spread = max(single) - min(single)
        print(f"\n{name}: bf16 − fp32 {difference:+.4f}; seeds of fp32 differ by {spread:.4f}")


if __name__ == "__main__":
    main()
