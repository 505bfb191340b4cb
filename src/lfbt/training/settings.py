"""How an encoder is pretrained: settings and presets."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal, get_args

from lfbt.errors import LfbtError
from lfbt.losses.lfbt import check_gamma
from lfbt.losses.objectives import METHODS, Objective
from lfbt.losses.simclr import check_temperature
from lfbt.models.projector import parse_projector
from lfbt.runs.trackers import Tracker, check_trackers
from lfbt.signal import Normalisation
from lfbt.training.augmentation import LONGEST_TIME_OUT, SHORTEST_CROP
from lfbt.training.distributed import BatchNorm as BatchNorm
from lfbt.training.distributed import Precision as Precision
from lfbt.training.distributed import check_batch_norm
from lfbt.utils.validation import check_range

Preset = Literal["paper", "small"]
Schedule = Literal["constant", "cosine"]


@dataclasses.dataclass(frozen=True)
class PretrainSettings:
    """How an encoder is pretrained. Defaults are the paper's."""

    data_dir: tuple[Path, ...]
    """Data sets to learn from: packed ones, or the authors' folders."""
    run_dir: Path
    """New folder for the encoder, the history and the settings; to resume, the run's own."""
    preset: Preset = "paper"
    """Named defaults for the settings below. paper: as published. small: for few records or no GPU."""
    epochs: int = 200
    """Passes over the records."""
    batch_size: int = 128
    """Records of a batch over all processes, at most; batches of an epoch are of one size."""
    learning_rate: float = 1e-3
    """Adam's rate."""
    schedule: Schedule = "constant"
    """The rate over time: constant, or a cosine from the rate to zero."""
    warmup_epochs: float = 0.0
    """Epochs over which the rate rises from zero first."""
    weight_decay: float = 0.0
    """Part of the weights, times the rate, taken off at each step (AdamW); norms and biases keep theirs."""
    objective: Objective = "lfbt"
    """What is learned by; others than lfbt are there to compare it with. Plain Barlow Twins per lead is --gamma 1."""
    gamma: float = 0.8
    """Of lfbt: weight of the intra-lead loss, in [0, 1]; the inter-lead loss has the rest."""
    lambd: float = 0.0051
    """Of lfbt: weight of the off-diagonal terms."""
    temperature: float = 0.1
    """Of simclr and lead-contrastive: what cosines are divided by, in [0.001, 100]."""
    shortest_crop: float = SHORTEST_CROP
    """Of the views: the shortest part of a record that is cut out and stretched to the whole length."""
    longest_time_out: float = LONGEST_TIME_OUT
    """Of the views: the longest part of one that is set to zero."""
    projector: str = "2048-2048-2048"
    """Sizes of the projectors' layers."""
    width: float = 0.125
    """Factor on VGG16's channels; 0.125 gives 64 features a lead."""
    normalisation: Normalisation = "record"
    """The z-score of every input: over the record, per lead, or none."""
    leads: tuple[str, ...] = ()
    """Leads to learn, by name, comma-separated; all of the data set's if none are named."""
    splits: tuple[Literal["train", "val", "test"], ...] = ("train",)
    """Splits of the data sets to learn from. Unlabelled data sets are all train."""
    exclude: Path | None = None
    """File of records not to learn from: a CSV with a column id, as `lfbt check --out` writes it, or an id a line."""
    allow_test_records: bool = False
    """Learn from test records, too: of split test, or copies of those of the data sets or of --quality-data."""
    seed: int = 0
    """Seed of weights, order and views."""
    split_seed: int = 0
    """Seed of the split of class folders without split folders."""
    device: str = "auto"
    """auto, cpu or cuda."""
    precision: Precision = "fp32"
    """fp32, or bf16 or fp16 for the products of matrices; the loss and its statistics stay in fp32."""
    batch_norm: BatchNorm = "global"
    """With several processes: statistics of the whole batch, or of each process's part of it."""
    low_memory: bool = False
    """Compute the encoders' activations twice instead of keeping them: the same but for rounding, with less memory."""
    workers: int = 2
    """Threads that read batches ahead."""
    print_freq: int = 0
    """Steps between printed losses; 0 prints those of epochs only."""
    save_steps: int = 0
    """Steps between checkpoints, besides those by time; 0 for none."""
    save_minutes: float = 10.0
    """Minutes between checkpoints; 0 for none by time. The end is always saved."""
    keep: int = 2
    """Checkpoints that are kept, the last ones."""
    quality_data: Path | None = None
    """Labelled data set; the encoder is probed in closed form on its training and validation records, never on test."""
    quality_every: int = 5
    """Epochs between looks at the encoder's quality, besides the first and the last, from step 50 on; 0 never looks."""
    trackers: tuple[Tracker, ...] = ()
    """Also tell these of the run; each is an extra: pip install 'lfbt[tensorboard]'."""
    resume: bool = False
    """Go on with the run in the run folder from its last checkpoint; begin where there is none."""


_SMALL: dict[str, Any] = {
    "preset": "small",
    "epochs": 120,
    "batch_size": 64,
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "warmup_epochs": 3.0,
    "projector": "512-512-512",
    "normalisation": "none",
}


def preset_settings(preset: Preset, data_dir: tuple[Path, ...], run_dir: Path) -> PretrainSettings:
    """The settings that `preset` stands for. Raises LfbtError for a preset that is none."""
    if preset == "paper":
        return PretrainSettings(data_dir, run_dir)
    if preset == "small":
        return PretrainSettings(data_dir, run_dir, **_SMALL)
    raise LfbtError(f"preset: {preset!r} is not one of paper, small")


def _check(settings: PretrainSettings) -> None:
    if settings.objective not in METHODS:
        raise LfbtError(f"objective: {settings.objective!r} is not one of {', '.join(METHODS)}")
    check_gamma(settings.gamma)
    check_temperature(settings.temperature)
    parse_projector(settings.projector)
    if settings.schedule not in get_args(Schedule):
        raise LfbtError(f"schedule: {settings.schedule!r} is not one of {', '.join(get_args(Schedule))}")
    check_range("epochs", settings.epochs, "[1, inf)")
    check_range("batch-size", settings.batch_size, "[2, inf)")
    check_range("learning-rate", settings.learning_rate, "(0, 1000]")
    check_range("lambd", settings.lambd, "[0, inf)")
    check_range("shortest-crop", settings.shortest_crop, "[0.1, 1]")
    check_range("longest-time-out", settings.longest_time_out, "[0, 0.9]")
    check_range("warmup-epochs", settings.warmup_epochs, f"[0, {settings.epochs})", "it must end before --epochs")
    check_range("seed", settings.seed, "[0, 4294967295]")
    check_range("workers", settings.workers, "[0, inf)")
    check_range("weight-decay", settings.weight_decay, "[0, 1]")
    check_range("print-freq", settings.print_freq, "[0, inf)")
    check_range("save-steps", settings.save_steps, "[0, inf)")
    check_range("save-minutes", settings.save_minutes, "[0, inf)")
    check_range("keep", settings.keep, "[1, inf)")
    check_range("quality-every", settings.quality_every, "[0, inf)")
    check_batch_norm(settings.batch_norm)
    check_trackers(settings.trackers)
