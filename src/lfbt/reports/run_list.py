"""The run folders below a folder: how far each is, what it came to, and what sets it apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lfbt.errors import LfbtError
from lfbt.runs.history import PretrainingEpoch, read_history
from lfbt.runs.results import RESULTS, SERIES_TABLE
from lfbt.runs.run_folder import ENCODER_FOLDER, is_running
from lfbt.runs.settings import SETTINGS
from lfbt.utils.json_files import read_json
from lfbt.utils.tables import as_text

# What every run has its own of, or what says nothing of how it learned.
_NEVER_SHOWN = {
    "lfbt_version", "run_dir", "device", "low_memory", "workers", "print_freq", "save_steps", "save_minutes", "keep",
    "quality_data", "quality_every", "trackers", "exclude", "allow_test_records", "checkpoint", "resume",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """One run. epoch: those done, or the kept one; loss: the last, or of the kept epoch; quality: in words.

    Trials are runs of their own; the folder of several is one while not all of them are finished.

    state: running, finished or stopped, which goes on with ``--resume``; not known where the lock is another user's.
    """

    folder: Path
    kind: str
    state: str
    epoch: str
    loss: float | None
    quality: str
    settings: dict[str, Any]
    differs: str = ""


def list_runs(folder: Path) -> list[RunSummary]:
    """All runs in `folder` and below, by name, each with the settings in which not all of its kind agree.

    Quality is of validation records, never of test. Raises LfbtError when there is none.
    """
    if not folder.is_dir():
        raise LfbtError(f"runs: {folder} is not a folder; name one with run folders in it")
    found_here = {path.parent for name in (SETTINGS, RESULTS) for path in folder.rglob(name)}
    # What begins with a dot is not whole yet.
    places = {place for place in found_here if not place.name.startswith(".")}
    found = [summary for place in sorted(places) if (summary := _summary(place)) is not None]
    if not found:
        raise LfbtError(f"runs: {folder} holds no run of lfbt pretrain, probe or finetune")
    return [dataclasses.replace(run, differs=_differing(run, found)) for run in found]


def _summary(folder: Path) -> RunSummary | None:
    """The run in `folder`; None where the files are another program's."""
    name, of = (RESULTS, _of_classifier) if (folder / RESULTS).is_file() else (SETTINGS, _of_pretraining)
    try:
        content = read_json(folder / name)
    except LfbtError:
        return None
    if "lfbt_version" not in content:
        return None
    if name == SETTINGS and content.get("kind", "pretrain") != "pretrain":
        # Finished trials are in folders below.
        is_whole = (folder / SERIES_TABLE).is_file()
        return None if is_whole else RunSummary(folder, content["kind"], _state(folder, False), "-", None, "-", {})
    return of(folder, content)


def _state(folder: Path, is_finished: bool) -> str:
    try:
        return "running" if is_running(folder) else "finished" if is_finished else "stopped"
    except OSError:
        return "not known"


def _of_pretraining(folder: Path, settings: dict[str, Any]) -> RunSummary:
    history, n_epochs = read_history(folder, PretrainingEpoch), settings.get("epochs", 0)
    state = _state(folder, _epochs_saved(folder) == n_epochs)
    loss = history[-1].loss if history else None
    return RunSummary(folder, "pretrain", state, f"{len(history)}/{n_epochs}", loss, _quality(history), settings)


def _epochs_saved(folder: Path) -> int | None:
    """Epochs that the encoder has, as it was last saved."""
    try:
        epochs: int | None = read_json(folder / ENCODER_FOLDER / "config.json")["history"]["epochs_done"]
    except (LfbtError, KeyError, TypeError):
        return None
    return epochs


def _quality(history: Sequence[PretrainingEpoch]) -> str:
    """The best validation AUROC and its epoch, or else the last rank of the features."""
    scored = [(line.val_auroc, line.epoch) for line in history if line.val_auroc is not None]
    if scored:
        auroc, epoch = max(scored, key=lambda found: found[0])
        return f"val AUROC {auroc:.4f} (epoch {epoch})"
    ranks = [line.rank for line in history if line.rank is not None]
    return f"rank {ranks[-1]:.1f}" if ranks else "-"


def _of_classifier(folder: Path, results: dict[str, Any]) -> RunSummary:
    try:
        auroc = (results["val"] or {}).get("auroc")
        own = {
            "fraction": results["fraction"],
            "seeds": results["seed"],
            "lead_subsets": results["lead_subset"] or "all",
        }
        settings = results["settings"] | own | {"encoder": results["encoder"]["checkpoint"] or "random"}
        has_epoch = not results["folds"] and "epoch" in results["chosen"]
        epoch = f"{results['chosen']['epoch']}/{settings['epochs']}" if has_epoch else "-"
        quality = "-" if auroc is None else f"val AUROC {auroc:.4f}"
        return RunSummary(folder, results["kind"], "finished", epoch, results["val_loss"], quality, settings)
    except (KeyError, TypeError) as error:
        raise LfbtError(f"{folder / RESULTS}: is no result of lfbt ({type(error).__name__}: {error})") from error


def _differing(run: RunSummary, runs: Sequence[RunSummary]) -> str:
    alike = [other.settings for other in runs if other.kind == run.kind]
    names = [
        name
        for name in run.settings
        if name not in _NEVER_SHOWN and any(other.get(name) != run.settings[name] for other in alike if other)
    ]
    return " ".join(f"{name}={_short(run.settings[name])}" for name in names)


def _short(value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 24 else text[:21] + "..."


def runs_table(runs: Sequence[RunSummary], below: Path) -> str:
    """`runs` as lines of aligned columns."""
    rows = [("run", "kind", "state", "epoch", "loss", "quality", "settings that differ")]
    for run in runs:
        name = run.folder.relative_to(below).as_posix() if run.folder != below else run.folder.resolve().name
        loss = "-" if run.loss is None else f"{run.loss:.4g}"
        rows.append((name, run.kind, run.state, run.epoch, loss, run.quality, run.differs))
    return as_text(rows)
