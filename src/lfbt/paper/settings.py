"""The settings of a reproduction, and the stages whose result each of them changes."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Any

from lfbt.data.records import MAX_SAMPLES
from lfbt.errors import LfbtError
from lfbt.paper.protocol import GAMMAS
from lfbt.training.settings import PROJECTOR_FORM, parse_projector
from lfbt.utils.settings import Range, Seed, list_fields


class Stages:
    """The stages whose result a setting changes, by their folder; it may not change once these have begun."""

    def __init__(self, *folders: str) -> None:
        self.folders = folders


@dataclasses.dataclass(frozen=True)
class ReproduceSettings:
    """What is reproduced, and from what. Defaults are the paper's."""

    out: Path
    """Folder for all stages and the tables: a new one, or to go on with, one that this command began."""
    ningbo: Annotated[Path | None, Stages("data/ningbo")] = None
    """Download of Ningbo (Challenge 2021 or ecg-arrhythmia), to pretrain on; other records in it are passed over."""
    ptbxl: Annotated[Path | None, Stages("data/ptbxl")] = None
    """Download of PTB-XL."""
    cpsc2018: Annotated[Path | None, Stages("data/cpsc2018")] = None
    """Download of CPSC2018."""
    chapman: Annotated[Path | None, Stages("data/chapman")] = None
    """Download of Chapman-Shaoxing from figshare."""
    encoders: Annotated[tuple[Path, ...], Stages("pretrain", "probe", "finetune")] = ()
    """Instead of pretraining, the encoders of gamma 0.8 and 0.6: run folders, encoder folders, the authors' .pth, or
    lfbt-small, which comes with lfbt."""
    seeds: tuple[Seed, ...] = (0,)
    """Seeds of probes and fine-tunings, each a trial of its own; pretraining has seed 0."""
    quick: Annotated[bool, Stages("data", "pretrain", "probe", "finetune", "scratch")] = False
    """Other defaults below and pretraining's preset small: all of it in minutes, to see that it works. No result."""
    most_records: Annotated[int, Range("[0, 1000000000]"), Stages("data")] = 0
    """Recordings of each download to use at most, chosen by chance; 0 uses all."""
    n_samples: Annotated[int, Range(f"[32, {MAX_SAMPLES}]"), Stages("data")] = 2048
    """Samples of a record of ten seconds."""
    pretrain_epochs: Annotated[int, Range("[1, 1000000]"), Stages("pretrain")] = 200
    """Passes over the records in pretraining."""
    projector: Annotated[str, PROJECTOR_FORM, Stages("pretrain")] = "2048-2048-2048"
    """Sizes of the projectors' layers."""
    batch_size: Annotated[int, Range("[2, 1000000]"), Stages("pretrain", "probe", "finetune", "scratch")] = 128
    """Records of a batch, at most, in every training."""
    probe_epochs: Annotated[int, Range("[1, 1000000]"), Stages("probe")] = 100
    """Passes over the features of the training records."""
    finetune_epochs: Annotated[int, Range("[1, 1000000]"), Stages("finetune", "scratch")] = 100
    """Passes over the training records in fine-tuning and from scratch."""
    finetune_learning_rate: Annotated[float, Range("(0, 1000]"), Stages("finetune", "scratch")] = 1e-4
    """Adam's rate in fine-tuning and from scratch."""
    skip_unreadable: Annotated[bool, Stages("data")] = False
    """Drop files that cannot be read, with the reason, instead of stopping at the first."""
    exclude: Annotated[Path | None, Stages("pretrain")] = None
    """Records of Ningbo to leave out of pretraining: a file as `lfbt check` writes it, or with an id a line."""
    allow_test_records: bool = False
    """Score encoders although test records are among those that they were pretrained on; the table says so."""
    low_memory: bool = False
    """Pretrain with activations computed twice instead of kept."""
    device: str = "auto"
    """auto, cpu or cuda."""
    workers: Annotated[int, Range("[1, 1024]")] = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
    """Processes that prepare."""

    def check(self) -> None:
        """Raise LfbtError for what a stage would refuse only after hours."""
        parse_projector(self.projector)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            given = " ".join(map(str, self.seeds)) or "none given"
            raise LfbtError(f"seeds: {given}; give one or more from 0 on, each once")
        if self.encoders and self.ningbo:
            raise LfbtError("encoders: they stand for pretraining; give either --ningbo or --encoders")
        if len(self.encoders) not in (0, len(GAMMAS)):
            raise LfbtError(f"encoders: {len(self.encoders)} given; give two, of gamma {GAMMAS[0]} and {GAMMAS[1]}")


_QUICK: dict[str, Any] = {
    "most_records": 400,
    "n_samples": 512,
    "pretrain_epochs": 8,
    "projector": "256-256-256",
    "batch_size": 64,
    "finetune_epochs": 4,
    "finetune_learning_rate": 1e-3,
}


def quick_defaults(settings: ReproduceSettings) -> ReproduceSettings:
    """Replace the sizes in `settings` by those of a quick trial."""
    return dataclasses.replace(settings, **_QUICK)


def affected_stages() -> dict[str, tuple[str, ...]]:
    """Return the settings that change a result by name, each with the folders of the stages concerned."""
    return {
        field.name: item.folders
        for field in list_fields(ReproduceSettings)
        for item in field.metadata
        if isinstance(item, Stages)
    }
