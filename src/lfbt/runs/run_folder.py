"""Run folders: their settings in ``settings.json``, and the lock that gives a folder to one run at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lfbt.errors import FinishedError, LfbtError
from lfbt.utils.files import (
    FORMAT,
    PARTIAL,
    Outputs,
    check_replaceable,
    check_unheld,
    check_unoccupied,
    parse_json,
    read_json,
    write_json,
)
from lfbt.utils.finished import differences
from lfbt.utils.opening import read_bytes
from lfbt.utils.targets import check_creatable

SETTINGS = "settings.json"
_FORMAT = 1

CHECKPOINTS = "checkpoints"
#: The last encoder.
ENCODER_FOLDER = "encoder"
#: The encoder of the epoch with the best quality.
BEST_ENCODER_FOLDER = "encoder-best"
#: The report of a finished run.
REPORT = "report.html"
_LOCK = ".lock"

# Files of a run that its report, or a comparison with others, follows from.
_RESULTS = (".json", ".jsonl", ".csv", ".safetensors")

# `is_running` holds the lock for an instant.
_PATIENCE_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """The settings of a run by name, and the data that they were applied to.

    Parameters
    ----------
    lfbt_version
        The version that started the run.
    settings
        Every setting by its name.
    kind
        ``pretrain``, or that of the trials of a series: ``probe``, ``finetune`` or ``scratch``.
    records
        Number of records that are learned from.
    data_hash, records_hash, quality_hash
        Hashes of the data set, of the records chosen from it, and of the quality data.
    encoder
        Hash of the weights of the encoder that a series starts from; None for random encoders.
    processes
        Number of processes, where the result depends on it.
    synthetic, names_assumed
        Whether the data set is synthetic, and whether its lead names and rate are assumptions.
    """

    lfbt_version: str
    settings: dict[str, Any]
    kind: str = "pretrain"
    records: int | None = None
    data_hash: str | None = None
    records_hash: str | None = None
    quality_hash: str | None = None
    encoder: str | None = None
    processes: int | None = None
    synthetic: bool = False
    names_assumed: bool = False

    def __repr__(self) -> str:
        return f"RunSettings({self.kind}, lfbt {self.lfbt_version}, {len(self.settings)} settings)"

    def to_dict(self) -> dict[str, Any]:
        """Return all of it side by side, as the file has it: plain JSON values."""
        if self.kind == "pretrain":
            names = ["records", "data_hash", "synthetic", "names_assumed", "quality_hash"]
            names += [name for name in ("records_hash", "processes") if getattr(self, name) is not None]
        else:
            names = ["kind", "data_hash", "encoder"]
        known = {name: getattr(self, name) for name in names}
        content = {"lfbt_version": self.lfbt_version} | self.settings | known
        plain: dict[str, Any] = json.loads(json.dumps(content, default=str))
        return plain

    def compared(self) -> dict[str, Any]:
        """Return what must be the same when the run is resumed: its kind, then settings, then what these led to."""
        content = {"kind": self.kind} | self.to_dict()
        not_compared = ("lfbt_version", "synthetic", "names_assumed")
        return {name: value for name, value in content.items() if name not in not_compared}

    def save(self, folder: Path) -> None:
        """Write ``settings.json`` in `folder`, complete or not at all."""
        write_json(folder / SETTINGS, {FORMAT: _FORMAT, **self.to_dict()})

    @classmethod
    def load(cls, folder: Path) -> RunSettings:
        """Read ``settings.json`` in `folder`.

        Raises
        ------
        LfbtError
            For a file that cannot be read, lacks a field, or has a newer format; the message names file and field.
        """
        return cls.from_dict(read_json(folder / SETTINGS), folder / SETTINGS)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], path: Path) -> RunSettings:
        """Create from the content of the file `path`. Raises LfbtError as `load` does."""
        own = {field.name for field in dataclasses.fields(cls)} - {"settings"} | {FORMAT}
        known = {name: value for name, value in content.items() if name in own}
        settings = {name: value for name, value in content.items() if name not in own}
        remedy = "it was edited, or is another program's"
        return parse_json(known | {"settings": settings}, cls, path, remedy, _FORMAT)


@contextlib.contextmanager
def acquire_run_folder(
    folder: Path,
    settings: RunSettings,
    free: frozenset[str],
    resume: bool,
    replaces: Outputs | None = None,
    is_finished: Callable[[], bool] = lambda: False,
) -> Iterator[bool]:
    """Hold `folder` for a run while the block runs, and write its settings where it is new.

    A run that was begun with the same settings and data goes on. A new folder that holds no more than its settings when
    the block ends is removed again.

    Parameters
    ----------
    folder
        The run folder; created where it is absent.
    settings
        The settings of the run.
    free
        Names of the settings that may differ from those that the run was started with.
    resume
        Whether the run in `folder`, if there is one, may get more epochs, which are then written to its settings,
        where `is_lengthened` says so; and is to be held where it is finished, too.
    replaces
        What a run in `folder` may consist of, to be removed first.
    is_finished
        Whether the run that is there has nothing left to do.

    Yields
    ------
    bool
        Whether `folder` holds a run to continue.

    Raises
    ------
    FinishedError
        For a run with the same settings and data that is finished, unless it is to resume.
    LfbtError
        For a folder that another run holds, that has other results, or whose run had other settings.
    """
    check_creatable(folder, in_place=True)
    check = functools.partial(_refuse_another, folder, resume)
    if replaces is not None:
        check = functools.partial(_check_removable, folder, settings, replaces)
    check()
    # Where a single trial is being computed, it is written at its end.
    check_unheld(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=_PATIENCE_SECONDS)
    except Timeout:
        raise LfbtError(f"{folder}: another run is going on there; wait for its end, or name another folder") from None
    try:
        try:
            check_unheld(folder)
        except LfbtError:
            _remove_if_empty(folder)
            raise
        # Another run may have begun and ended while this one waited.
        check()
        if replaces is not None:
            _remove_run(folder)
        _remove_partial_files(folder)
        resuming = (folder / SETTINGS).is_file()
        if resuming:
            started_with = RunSettings.load(folder)
            if resume:
                _check_same(settings, started_with, free, folder)
            else:
                _refuse_other(settings, started_with, free, folder)
                if is_finished():
                    raise FinishedError(folder)
            if is_lengthened(settings, started_with):
                more = {"epochs": settings.settings["epochs"]}
                dataclasses.replace(started_with, settings=started_with.settings | more).save(folder)
        else:
            settings.save(folder)
        try:
            yield resuming
        finally:
            _remove_if_empty(folder)
    finally:
        lock.release()


def check_run_folder(folder: Path, resume: bool, overwrite: bool) -> None:
    """Raise LfbtError, before any work, where no run can go on or begin in `folder`.

    Only `acquire_run_folder` knows whether a run that is there may be replaced, and is the same.
    """
    check_creatable(folder, in_place=True)
    if not overwrite:
        _refuse_another(folder, resume)


def began_with(folder: Path, name: str) -> bool | None:
    """Whether the run in `folder` was begun by a version that has the setting `name`; None without a run."""
    begun = folder / SETTINGS
    return name in read_json(begun) if begun.is_file() else None


def check_resume(resume: bool, overwrite: bool) -> None:
    """Raise LfbtError where a run is both to go on and to be removed."""
    if resume and overwrite:
        raise LfbtError("overwrite: removes the run that --resume goes on with; give one of the two")


def _check_removable(folder: Path, settings: RunSettings, outputs: Outputs) -> None:
    """Raise LfbtError unless `folder` is new, or holds a run of the same command and nothing else."""
    if folder.is_dir() and not folder.is_symlink() and all(path.name == _LOCK for path in folder.iterdir()):
        return
    # What a killed process was writing is the run's own.
    unfinished = (PARTIAL, f"*/{PARTIAL}", f"{PARTIAL}/*", f"{PARTIAL}/*/*")
    check_replaceable(folder, dataclasses.replace(outputs, files=(*outputs.files, _LOCK, *unfinished)))
    if not (folder / SETTINGS).is_file():
        return
    kind = RunSettings.load(folder).kind
    if (kind == "pretrain") != (settings.kind == "pretrain"):
        raise LfbtError(f"overwrite: {folder} holds a run of {kind}, not of {settings.kind}; name a new folder")


def _remove_run(folder: Path) -> None:
    """Remove a run; its settings last, so that it can be told for one should this be killed."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == SETTINGS):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()


def _refuse_another(folder: Path, resume: bool) -> None:
    """Raise LfbtError unless `folder` is new or empty or holds a run."""
    names = [path.name for path in folder.iterdir() if not path.match(PARTIAL)] if folder.is_dir() else []
    holds_something = any(name != _LOCK for name in names)
    if SETTINGS in names:
        return
    if (holds_something and not resume) or (folder.exists() and not folder.is_dir()):
        check_unoccupied(folder)
    if holds_something:
        raise LfbtError(f"resume: {folder} holds no run that goes on; name the folder of one, or a new one")


def _remove_partial_files(folder: Path) -> None:
    """Remove what a run was writing when it was killed; only the holder of the lock writes here."""
    for place in (folder, *(folder / name for name in (CHECKPOINTS, ENCODER_FOLDER, BEST_ENCODER_FOLDER))):
        for partial in place.glob(PARTIAL):
            if partial.is_file():
                partial.unlink()


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder with nothing but settings and lock in it."""
    # An error here must not hide why the run ended.
    with contextlib.suppress(OSError):
        if {path.name for path in folder.iterdir()} <= {SETTINGS, _LOCK}:
            (folder / SETTINGS).unlink(missing_ok=True)
            (folder / _LOCK).unlink(missing_ok=True)
            folder.rmdir()


def _refuse_other(settings: RunSettings, started_with: RunSettings, free: frozenset[str], folder: Path) -> None:
    """Raise LfbtError unless a run was begun with the same settings and data: only then it goes on unasked."""
    now = {name: value for name, value in settings.compared().items() if name not in free}
    differing = list(differences(now, started_with.compared()))
    if differing:
        # A run of another kind has other settings, too.
        what = differing[0] if settings.kind != started_with.kind else ", ".join(differing)
        remedy = "go on with --resume" if is_lengthened(settings, started_with) else "replace it with --overwrite"
        raise LfbtError(f"{folder}: holds another run already ({what}); {remedy}, or name a new folder")


def _check_same(settings: RunSettings, started_with: RunSettings, free: frozenset[str], folder: Path) -> None:
    now, was = settings.compared(), started_with.compared()
    free |= {"epochs"} if is_lengthened(settings, started_with) else set()
    names = [name for name in now if name not in free and (name not in was or was[name] != now[name])]
    # A run of another kind has other settings, too.
    names = ["kind"] if "kind" in names else names
    if names and names[0] not in was:
        raise LfbtError(
            f"resume: {folder} was begun by lfbt {started_with.lfbt_version}, which had no setting {names[0]}; begin a "
            "new run"
        )
    if names:
        differing = ", ".join(differences({name: now[name] for name in names}, was))
        more = ""
        if {"epochs", "seeds", "fraction"} & set(names):
            why = "a run cannot be extended"
            if "epochs" in names and settings.kind == "pretrain":
                is_constant = was.get("schedule") == "constant"
                why = (
                    "a run cannot be shortened"
                    if is_constant
                    else "a rate of schedule cosine depends on the last epoch"
                )
            more = f"; {why}, so for others begin a new one in a new folder"
        raise LfbtError(f"resume: {differing} in {folder}; give the run's own settings{more}")


def is_lengthened(settings: RunSettings, started_with: RunSettings) -> bool:
    """Whether a pretraining is given more epochs than it was started with, and its learning rate permits that.

    A constant rate, after a warm-up or not, is the same in each epoch whichever is the last; one that falls is not.
    """
    now, was = settings.settings, started_with.settings
    return (
        settings.kind == started_with.kind == "pretrain"
        and now.get("schedule") == was.get("schedule") == "constant"
        and isinstance(begun := was.get("epochs"), int)
        and now["epochs"] > begun
    )


def hash_runs(folders: Iterable[Path]) -> list[str]:
    """Hash the name, settings, history, results and encoders of each of some run folders."""
    hashes = []
    for folder in folders:
        digest = hashlib.sha256(folder.resolve().name.encode(errors="surrogateescape"))
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.suffix in _RESULTS and CHECKPOINTS not in name.parts and not path.match(PARTIAL) and path.is_file():
                digest.update(f"{name}\0".encode(errors="surrogateescape"))
                digest.update(hashlib.sha256(read_bytes(path)).digest())
        hashes.append(digest.hexdigest())
    return hashes


def is_running(folder: Path) -> bool:
    """Whether a run holds `folder` now. Raises OSError where the lock cannot be tried."""
    if not (folder / _LOCK).exists():
        return False
    lock = FileLock(folder / _LOCK)
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True
