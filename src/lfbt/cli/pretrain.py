"""`lfbt pretrain`: learn an encoder from records without labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tyro

from lfbt.cli.errors import is_main
from lfbt.cli.finished import add_report
from lfbt.cli.output import Output
from lfbt.cli.parsing import parse_settings, value_of
from lfbt.models.config import EncoderCard
from lfbt.runs.run_folder import BEST_ENCODER_FOLDER, ENCODER_FOLDER
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import DataSettings, PretrainSettings, apply_preset, shorten_warmup
from lfbt.utils.figures import format_figure

EXAMPLES = (
    "lfbt pretrain --data-dir data/ningbo --run-dir runs/pretrain",
    "lfbt pretrain --data-dir data/a data/b --run-dir runs/small --preset small",
    "lfbt pretrain --data-dir data/ningbo --run-dir runs/pretrain --resume",
    "lfbt pretrain --data-dir data/ningbo --run-dir runs/limb --leads II,III --gamma 0.6",
)


def parse(words: Sequence[str]) -> PretrainSettings:
    """Parse the words after the command."""
    # The preset sets the defaults of the other options, so it is read before them.
    preset: Any = value_of("--preset", words, "paper")
    default = apply_preset(PretrainSettings(DataSettings(tyro.MISSING), tyro.MISSING), preset)
    settings = parse_settings(PretrainSettings, "pretrain", words, EXAMPLES, default=default)
    return settings if value_of("--warmup-epochs", words, "") else shorten_warmup(settings)


def run(words: Sequence[str]) -> Output | None:
    """Pretrain an encoder."""
    run_dir = Pretrainer(parse(words)).run()
    if not is_main():
        return None
    encoder, best = run_dir / ENCODER_FOLDER, run_dir / BEST_ENCODER_FOLDER
    lines = [f"{run_dir}: the encoder is in {encoder}; use it with --checkpoint {run_dir}"]
    values: dict[str, Any] = {"run_dir": run_dir, "encoder": encoder, "best": None}
    if best.is_dir():
        history = EncoderCard.load(best).history
        epoch, auroc = history["epochs_done"], history["val_auroc"]
        lines.append(
            f"{best}: the best encoder, of epoch {epoch}, validation AUROC {format_figure(auroc)}; use it with "
            f"--checkpoint {best}"
        )
        values["best"] = {"encoder": best, "epoch": epoch, "val_auroc": auroc}
    return Output("\n".join(lines), values | {"report": add_report(run_dir)})
