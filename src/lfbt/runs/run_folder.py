"""A run folder of pretraining: its files, its history, and that one run only has it at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from lfbt.errors import LfbtError
from lfbt.runs.settings import SETTINGS, RunSettings
from lfbt.utils.files import PARTIAL, check_unoccupied

#: What a run folder of a classifier has instead, and the probabilities of its test records.
RESULTS = "results.json"
PREDICTIONS = "predictions.csv"
#: What the folder of several trials has once all of them are finished.
TABLE = "results.csv"
CHECKPOINTS = "checkpoints"
#: The encoder as it was last, and as it was when its quality was best.
ENCODER_FOLDER = "encoder"
BEST_ENCODER_FOLDER = "encoder-best"
_LOCK = ".lock"

# A look at whether a run goes on there holds the lock for an instant.
_PATIENCE_SECONDS = 2.0


@contextlib.contextmanager
def acquire_run_folder(folder: Path, settings: RunSettings, free: frozenset[str], resume: bool) -> Iterator[bool]:
    """Hold `folder` for a run with `settings`; says whether there is one to go on with.

    A new folder that holds no more than its settings when the block fails is removed again.

    Raises LfbtError for a folder that another run is in, that holds other results, or whose run had other settings.
    """
    _refuse_another(folder, resume)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=_PATIENCE_SECONDS)
    except Timeout:
        raise LfbtError(f"{folder}: another run is going on there; wait for its end, or name another folder") from None
    try:
        # Another run may have begun and ended while this one waited.
        _refuse_another(folder, resume)
        _remove_half_written(folder)
        there = (folder / SETTINGS).is_file()
        if there:
            _check_same(settings, RunSettings.load(folder), free, folder)
        else:
            settings.save(folder)
        try:
            yield there
        finally:
            _remove_if_nothing_came_of_it(folder)
    finally:
        lock.release()


def _refuse_another(folder: Path, resume: bool) -> None:
    """Raise LfbtError unless `folder` is new or empty or, to resume, holds a run."""
    names = [path.name for path in folder.iterdir() if not path.match(PARTIAL)] if folder.is_dir() else []
    holds_something = any(name != _LOCK for name in names)
    if SETTINGS in names and not resume:
        raise LfbtError(f"{folder}: holds a run already; go on with --resume, or name a new folder")
    if (holds_something and not resume) or (folder.exists() and not folder.is_dir()):
        check_unoccupied(folder)
    if holds_something and not (folder / SETTINGS).is_file():
        raise LfbtError(f"resume: {folder} holds no run that goes on; name the folder of one, or a new one")


def _remove_half_written(folder: Path) -> None:
    """Remove what a run was writing when it was killed; who holds the lock is the only one to write here."""
    for place in (folder, *(folder / name for name in (CHECKPOINTS, ENCODER_FOLDER, BEST_ENCODER_FOLDER))):
        for half in place.glob(PARTIAL):
            if half.is_file():
                half.unlink()


def _remove_if_nothing_came_of_it(folder: Path) -> None:
    # Whatever stands in the way here must not hide why the run ended.
    with contextlib.suppress(OSError):
        if {path.name for path in folder.iterdir()} <= {SETTINGS, _LOCK}:
            (folder / SETTINGS).unlink(missing_ok=True)
            (folder / _LOCK).unlink(missing_ok=True)
            folder.rmdir()


#: What may differ when a run goes on: none of these changes what is learned.
FREE_ON_RESUME = frozenset(
    {
        "lfbt_version", "data_dir", "run_dir", "device", "low_memory", "workers", "print_freq", "save_steps",
        "save_minutes", "keep", "quality_data", "quality_every", "trackers", "exclude", "allow_test_records",
    }
)  # fmt: skip


def _check_same(settings: RunSettings, earlier: RunSettings, free: frozenset[str], folder: Path) -> None:
    now, was = settings.to_dict(), earlier.to_dict()
    compared = [name for name in now if name not in free and name != "lfbt_version"]
    changed = [name for name in compared if now[name] != was.get(name)]
    if changed:
        name = changed[0]
        if name not in was:
            raise LfbtError(
                f"resume: {folder} was begun by lfbt {was.get('lfbt_version')}, which had no setting {name}; begin a "
                "new run"
            )
        raise LfbtError(
            f"resume: {name} is {now[name]} but was {was.get(name)} in {folder}; give the run's own settings"
        )


def is_running(folder: Path) -> bool:
    """Whether a run holds `folder` now. Raises OSError where that cannot be asked."""
    if not (folder / _LOCK).exists():
        return False
    lock = FileLock(folder / _LOCK)
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True
