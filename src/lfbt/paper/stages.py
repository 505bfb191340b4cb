"""The stages of a reproduction: preparations, pretrainings and classifiers, each with a folder of its own."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lfbt.data.manifest import MANIFEST, DatasetManifest
from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.evaluation.fine_tuning import run_finetune
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import FinetuneSettings, ProbeSettings
from lfbt.models.pretrained import CONFIG, load_history
from lfbt.paper.protocol import GAMMAS, LABELLED, Cell, list_cells
from lfbt.paper.settings import ReproduceSettings
from lfbt.runs.results import RESULTS
from lfbt.runs.run_folder import ENCODER_FOLDER
from lfbt.sources import SOURCES, Source
from lfbt.sources.listing import Listing
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import PretrainSettings


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of the protocol.

    Parameters
    ----------
    folder
        Its folder below the reproduction's.
    description
        What is done in it, as text.
    is_done
        Whether its result is complete.
    run
        Runs it; a pretraining that was interrupted is resumed.
    """

    folder: str
    description: str
    is_done: Callable[[], bool]
    run: Callable[[], object]


def list_stages(settings: ReproduceSettings, names: Sequence[str]) -> list[Stage]:
    """List all stages for the data sets `names`, in the order in which they are run."""
    stages = [_preparation(settings, name) for name in names]
    if not settings.encoders:
        stages += [_pretraining(settings, gamma) for gamma in GAMMAS]
    cells = list_cells([name for name in names if name in LABELLED])
    for kind in ("probe", "finetune", "scratch"):
        stages += [
            _classification(settings, cell, seed) for seed in settings.seeds for cell in cells if cell.kind == kind
        ]
    return stages


# --- data ---


def data_folder(settings: ReproduceSettings, name: str) -> Path:
    """Return the folder of the prepared data set `name`."""
    return settings.out / "data" / name


def load_manifest(settings: ReproduceSettings, name: str) -> DatasetManifest:
    """Read the manifest of the prepared data set `name`."""
    return DatasetManifest.load(data_folder(settings, name))


def create_source(settings: ReproduceSettings, name: str) -> Source:
    """Create the source `name`, with a part of its recordings where not all are used."""
    return Part(SOURCES[name](), settings.most_records) if settings.most_records else SOURCES[name]()


@dataclasses.dataclass(frozen=True)
class Part:
    """A source with at most `most_records` recordings of another, chosen by chance."""

    source: Source
    most_records: int

    def listing(self, folder: Path) -> Listing:
        """List the chosen recordings, in the source's order."""
        listing = self.source.listing(folder)
        chosen = np.sort(np.random.default_rng(0).permutation(len(listing.entries))[: self.most_records])
        return dataclasses.replace(listing, entries=[listing.entries[i] for i in chosen])


def _preparation(settings: ReproduceSettings, name: str) -> Stage:
    folder = data_folder(settings, name)
    options = PrepareSettings(
        n_samples=settings.n_samples,
        shortest=0.0,  # as the paper, which pads short pieces
        skip_unreadable=settings.skip_unreadable,
        workers=settings.workers,
    )
    run = functools.partial(
        prepare_dataset, create_source(settings, name), name, getattr(settings, name), folder, options
    )
    return Stage(f"data/{name}", f"prepare {name}", (folder / MANIFEST).is_file, run)


# --- pretraining ---


def _pretraining(settings: ReproduceSettings, gamma: float) -> Stage:
    folder = _pretraining_folder(settings, gamma)

    def is_done() -> bool:
        saved = folder / ENCODER_FOLDER
        return (saved / CONFIG).is_file() and load_history(saved).get("epochs_done") == settings.pretrain_epochs

    def run() -> Path:
        return Pretrainer(pretrain_settings(settings, gamma)).run()

    return Stage(f"pretrain/{folder.name}", f"pretrain γ {gamma}", is_done, run)


def _pretraining_folder(settings: ReproduceSettings, gamma: float) -> Path:
    return settings.out / "pretrain" / f"gamma-{gamma}"


def pretrain_settings(settings: ReproduceSettings, gamma: float) -> PretrainSettings:
    """Create the settings of the pretraining with γ `gamma`; it is resumed where its folder exists."""
    data, folder = data_folder(settings, "ningbo"), _pretraining_folder(settings, gamma)
    preset = "small" if settings.quick else "paper"
    warmup_epochs = PretrainSettings.create(data, folder, preset).optimizer.warmup_epochs
    batch_size, epochs = settings.batch_size, settings.pretrain_epochs
    if settings.quick:
        batch_size = min(batch_size, load_manifest(settings, "ningbo").records or batch_size)
    return PretrainSettings.create(
        data,
        folder,
        preset,
        gamma=gamma,
        epochs=epochs,
        batch_size=batch_size,
        projector=settings.projector,
        warmup_epochs=min(warmup_epochs, epochs / 4),
        exclude=settings.exclude,
        allow_test_records=settings.allow_test_records,
        low_memory=settings.low_memory,
        device=settings.device,
        resume=folder.exists(),
    )


# --- classifiers ---


def trial_folder(settings: ReproduceSettings, cell: Cell, seed: int) -> Path:
    """Return the folder of a classifier."""
    return settings.out / cell.kind / f"{cell.name}-seed-{seed}"


def _classification(settings: ReproduceSettings, cell: Cell, seed: int) -> Stage:
    folder = trial_folder(settings, cell, seed)
    encoder = None
    if cell.gamma is not None:
        encoders = settings.encoders or [_pretraining_folder(settings, gamma) for gamma in GAMMAS]
        encoder = encoders[GAMMAS.index(cell.gamma)]
    common: dict[str, Any] = {
        "data_dir": data_folder(settings, cell.data),
        "run_dir": folder,
        "checkpoint": encoder,
        "fraction": (cell.fraction,),
        "seeds": (seed,),
        "batch_size": settings.batch_size,
        "allow_test_records": settings.allow_test_records,
        "device": settings.device,
    }
    run: Callable[[], object]
    if cell.kind == "probe":
        run = functools.partial(run_probe, ProbeSettings.create(**common, epochs=settings.probe_epochs))
    else:
        tuning = FinetuneSettings.create(
            **common,
            epochs=settings.finetune_epochs,
            learning_rate=settings.finetune_learning_rate,
            from_scratch=cell.kind == "scratch",
        )
        run = functools.partial(run_finetune, tuning)
    gamma = "" if cell.gamma is None else f" γ {cell.gamma}"
    fraction = "" if cell.kind == "probe" else f" fraction {cell.fraction:g}"
    description = f"{cell.kind} {cell.data}{gamma}{fraction} seed {seed}"
    return Stage(f"{cell.kind}/{folder.name}", description, (folder / RESULTS).is_file, run)
