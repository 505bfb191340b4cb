"""The runs below a folder: their progress, their validation quality, and the settings in which they differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lfbt.errors import LfbtError
from lfbt.evaluation.settings import FinetuneSettings, ProbeSettings
from lfbt.models.config import EncoderCard
from lfbt.runs.history import HISTORY, PretrainingEpoch, read_history
from lfbt.runs.predictions import PREDICTIONS
from lfbt.runs.results import RESULTS, SERIES_TABLE, Results, Scores, describe_rare
from lfbt.runs.run_folder import ENCODER_FOLDER, SETTINGS, RunSettings, is_running
from lfbt.training.settings import PretrainSettings
from lfbt.utils.figures import ABSENT
from lfbt.utils.settings import Affects, names_affecting, names_without_effect

UNREADABLE = "unreadable"

_KINDS = (PretrainSettings, ProbeSettings, FinetuneSettings)
# As git shows them.
_HASH_LENGTH = 8


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """One run, or one trial of a series; a series itself only while not all of its trials are finished.

    Parameters
    ----------
    folder, kind
        Its folder; pretrain, probe, finetune or scratch.
    state
        ``running``, ``finished``, ``stopped`` (to be resumed with ``--resume``), ``unreadable`` (a file is missing or
        corrupt), or ``not known`` (the lock is another user's).
    epoch
        Epochs done of all, and for a classifier the one kept.
    loss
        Of the last epoch, or the validation loss of a classifier.
    quality
        Validation AUROC or rank of the features, as text.
    settings
        By name.
    val_auroc, test_auroc, test_auprc
        Of a classifier on its validation records, and on its test records, which are scored once.
    series
        Folder of the series that a trial is one of.
    differs
        The settings in which not all runs of the kind agree, as text; of an unreadable run the reason.
    """

    folder: Path
    kind: str
    state: str
    epoch: str = ABSENT
    loss: float | None = None
    quality: str = ABSENT
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    val_auroc: float | None = None
    test_auroc: float | None = None
    test_auprc: float | None = None
    series: Path | None = None
    differs: str = ""


def list_runs(folder: Path) -> list[RunSummary]:
    """List all runs in a folder and below it, by name.

    Raises
    ------
    LfbtError
        When there is none. A run that cannot be read is listed as ``unreadable``.
    """
    if not folder.is_dir():
        why = "" if folder.exists() else ": it does not exist"
        raise LfbtError(f"runs: {folder} is not a folder{why}; name one with run folders in it")
    found = {path.parent for name in (SETTINGS, RESULTS) for path in folder.rglob(name)}
    # A folder whose name begins with a dot is still being written.
    places = sorted(place for place in found if not place.name.startswith("."))
    runs = [run for place in places if (run := _summarise(place)) is not None]
    if not runs:
        raise LfbtError(f"runs: {folder} holds no run of lfbt pretrain, probe or finetune")
    return [run if run.state == UNREADABLE else dataclasses.replace(run, differs=_differing(run, runs)) for run in runs]


def _summarise(folder: Path) -> RunSummary | None:
    """The run in `folder`; None for a series whose trials are all finished, and for files of another program."""
    try:
        if (folder / RESULTS).is_file():
            return _summarise_classifier(folder, Results.load(folder))
        settings = RunSettings.load(folder)
        if settings.kind == "pretrain":
            return _summarise_pretraining(folder, settings)
    except (LfbtError, OSError, UnicodeError) as error:
        # Other programs have files of these names, too, but not these beside them.
        is_run = any((folder / name).is_file() for name in (HISTORY, PREDICTIONS))
        return RunSummary(folder, ABSENT, UNREADABLE, differs=str(error)) if is_run else None
    if (folder / SERIES_TABLE).is_file():
        return None
    return RunSummary(folder, settings.kind, _state(folder, is_finished=False))


def _state(folder: Path, is_finished: bool) -> str:
    try:
        return "running" if is_running(folder) else "finished" if is_finished else "stopped"
    except OSError:
        return "not known"


def _summarise_pretraining(folder: Path, run: RunSettings) -> RunSummary:
    history, n_epochs = read_history(folder, PretrainingEpoch), run.settings.get("epochs", 0)
    data = {
        "records": run.records,
        "data_hash": run.data_hash,
        "synthetic": run.synthetic,
        "names_assumed": run.names_assumed,
        "records_hash": run.records_hash,
        "processes": run.processes,
        "quality_hash": run.quality_hash,
    }
    return RunSummary(
        folder,
        run.kind,
        _state(folder, is_finished=_epochs_saved(folder) == n_epochs),
        epoch=f"{len(history)}/{n_epochs}",
        loss=history[-1].loss if history else None,
        quality=_quality(history),
        settings=run.settings | data,
    )


def _epochs_saved(folder: Path) -> int | None:
    """Epochs of the encoder as it was last saved."""
    try:
        epochs: int | None = EncoderCard.load(folder / ENCODER_FOLDER).history.get("epochs_done")
    except LfbtError:
        return None
    return epochs


def _quality(history: Sequence[PretrainingEpoch]) -> str:
    """The best validation AUROC and its epoch, or else the last rank of the features."""
    scored = [(line.val_auroc, line.epoch) for line in history if line.val_auroc is not None]
    if scored:
        auroc, epoch = max(scored, key=lambda found: found[0])
        return f"val AUROC {auroc:.4f} (epoch {epoch})"
    ranks = [line.rank for line in history if line.rank is not None]
    return f"rank {ranks[-1]:.1f}" if ranks else ABSENT


def _summarise_classifier(folder: Path, results: Results) -> RunSummary:
    trial = {
        "fraction": results.fraction,
        "seeds": results.seed,
        "lead_subsets": results.lead_subset or "all",
        "encoder": results.encoder.checkpoint or "random",
    }
    settings = results.settings | trial
    kept = results.chosen.get("epoch") if isinstance(results.chosen, dict) else None
    n_epochs = settings.get("epochs", 0)
    return RunSummary(
        folder,
        results.kind,
        "finished",
        epoch=ABSENT if kept is None else f"{n_epochs}/{n_epochs} (kept {kept:g})",
        loss=results.val_loss,
        quality=_val_auroc(results.val),
        settings=settings,
        val_auroc=None if results.val is None else results.val.auroc,
        test_auroc=results.test.auroc,
        test_auprc=results.test.auprc,
        series=_find_series(folder),
    )


def _find_series(folder: Path) -> Path | None:
    """The series that a trial is one of, finished or not."""
    parent = folder.resolve().parent
    if (parent / SERIES_TABLE).is_file():
        return folder.parent
    try:
        return folder.parent if RunSettings.load(parent).kind != "pretrain" else None
    except (LfbtError, OSError, UnicodeError):
        return None


def _val_auroc(val: Scores | None) -> str:
    if val is None or val.auroc is None:
        return ABSENT
    others = val.without_rare("auroc")
    return f"val AUROC {val.auroc:.4f}" + (
        "" if others is None else f" ({others:.4f} {describe_rare(val.rare_classes)})"
    )


def _differing(run: RunSummary, runs: Sequence[RunSummary]) -> str:
    alike = [other.settings for other in runs if other.kind == run.kind and other.settings]
    hidden = _never_shown().union(*(names_without_effect(kind, run.settings) for kind in _KINDS))
    names = [
        name
        for name, value in run.settings.items()
        if name not in hidden and any(other.get(name) != value for other in alike)
    ]
    return " ".join(f"{name}={_shorten(name, run.settings[name])}" for name in names)


def _never_shown() -> frozenset[str]:
    """Names of the settings that say where and how a run ran, not what it learned; the data set's folder is shown."""
    effects = (Affects.RUNTIME, Affects.PROCESS, Affects.LOCATION)
    return frozenset().union(*(names_affecting(kind, *effects) for kind in _KINDS)) - {"data_dir"}


def _shorten(name: str, value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    if name.endswith("_hash"):
        return text[:_HASH_LENGTH]
    return text if len(text) <= 24 else text[:21] + "..."
