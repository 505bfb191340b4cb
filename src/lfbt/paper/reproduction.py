"""The paper's protocol from its downloads, stage by stage: ``lfbt reproduce``."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import lfbt
from lfbt.audit.fingerprints import compute_fingerprints
from lfbt.audit.leakage import check_copies, exclude_records
from lfbt.data.layouts import open_dataset
from lfbt.errors import LfbtError
from lfbt.models.pretrained import load_encoder
from lfbt.paper.protocol import DOWNLOADS, GAMMAS, LABELLED
from lfbt.paper.settings import ReproduceSettings, affected_stages, quick_defaults
from lfbt.paper.stages import Stage, create_source, data_folder, list_stages, load_manifest
from lfbt.paper.tables import sizes_table, write_tables
from lfbt.runs.encoder_folder import is_bundled
from lfbt.utils.files import PARTIAL, parse_json, read_json, write_json
from lfbt.utils.interrupts import StoppedError
from lfbt.utils.settings import validate
from lfbt.utils.targets import check_creatable

__all__ = ["SETTINGS", "ReproduceSettings", "quick_defaults", "reproduce"]

#: The settings that a reproduction's folder was last run with.
SETTINGS = "reproduce.json"
_LOCK = ".lock"


@dataclasses.dataclass(frozen=True)
class _Earlier:
    """What is taken from an earlier call into the same folder, as `SETTINGS` has it."""

    ningbo: str | None
    ptbxl: str | None
    cpsc2018: str | None
    chapman: str | None
    encoders: list[str]
    allow_test_records: bool


def reproduce(settings: ReproduceSettings, log: Callable[[str], None] = print) -> str:
    """Run all stages that are not done yet, and write the tables.

    `out` holds ``data/``, ``pretrain/``, ``probe/``, ``finetune/`` and ``scratch/`` with a folder a stage, as
    `prepare`, `pretrain`, `probe` and `finetune` write them; and ``table.md``, ``table.txt``, ``table.csv`` and
    ``sizes.csv``. Called again it continues, also with more downloads or seeds than before. Downloads and encoders
    that were named before need not be named again.

    Parameters
    ----------
    settings
        What is reproduced, and from what.
    log
        Receives a line of progress for each stage.

    Returns
    -------
    str
        The tables as text.

    Raises
    ------
    LfbtError
        For settings out of range, or other than those of stages that have begun; a folder in use by another process;
        and all that the stages raise it for.
    StoppedError
        When a signal has ended pretraining.
    """
    validate(settings)
    with _acquire_folder(settings.out):
        settings = _restore_settings(settings)
        names = [name for name in DOWNLOADS if getattr(settings, name) or _has_begun(settings, f"data/{name}")]
        _check_sufficient(settings, names)
        stages = list_stages(settings, names)
        for name in names:
            if not _has_begun(settings, f"data/{name}"):
                # A wrong download must fail before hours of work, and before anything is written.
                create_source(settings, name).listing(getattr(settings, name))
        write_json(settings.out / SETTINGS, {"lfbt_version": lfbt.__version__, **dataclasses.asdict(settings)})
        for number, stage in enumerate(stages, start=1):
            _run(stage, f"[{number}/{len(stages)}] {stage.description}", log)
            if number == len(names):  # the last preparation
                _report_sizes(settings, names, log)
                if not all(stage.is_done() for stage in stages if stage.folder.startswith("pretrain/")):
                    _check_no_test_records(settings, names)
        return write_tables(settings, names)


def _run(stage: Stage, line: str, log: Callable[[str], None]) -> None:
    if stage.is_done():
        log(f"{line}: done before")
        return
    log(f"{line} ...")
    start = time.monotonic()
    try:
        stage.run()
    except StoppedError:
        raise StoppedError(f"stopped in {stage.folder} and saved; the same command goes on") from None
    except KeyboardInterrupt as stop:
        # In place of what the stage says: what it has half done is removed when the command begins again.
        stop.__notes__ = ["finished stages are kept; the same command goes on"]
        raise
    log(f"{line}: {time.monotonic() - start:.0f} s")


def _check_sufficient(settings: ReproduceSettings, names: Sequence[str]) -> None:
    """Raise LfbtError unless there is something to pretrain on and to score, and given encoders fit the records."""
    if not settings.encoders and "ningbo" not in names:
        raise LfbtError("ningbo: nothing to pretrain on; give --ningbo DOWNLOAD, or --encoders with two that are there")
    if not set(names) & set(LABELLED):
        raise LfbtError("nothing to score encoders on; give one or more of --ptbxl, --cpsc2018, --chapman")
    for gamma, path in zip(GAMMAS, settings.encoders, strict=False):
        config = load_encoder(path).config
        if config.n_samples != settings.n_samples:
            raise LfbtError(
                f"n_samples: {settings.n_samples}, but the encoder of gamma {gamma}, {path}, has {config.n_samples}; "
                f"give --n-samples {config.n_samples}"
            )


@contextlib.contextmanager
def _acquire_folder(out: Path) -> Iterator[None]:
    """Lock `out` for this process and remove what a killed one left half-written; an `out` without results is removed.

    Raises LfbtError when another process has it, or when it holds anything else.
    """
    if out.exists() and not out.is_dir():
        raise LfbtError(f"out: {out} is a file, not a folder; name a new folder")
    others = [path for path in out.iterdir() if path.name != _LOCK and not path.match(PARTIAL)] if out.is_dir() else []
    if others and not (out / SETTINGS).is_file():
        raise LfbtError(f"out: {out} holds something else than a reproduction; name a new or empty folder")
    check_creatable(out, in_place=True)
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LfbtError(f"out: another process is at work in {out}; wait for its end, or name another folder") from None
    try:
        for place in (out, out / "data", *(out / kind for kind in ("probe", "finetune", "scratch"))):
            for half in place.glob(PARTIAL):
                shutil.rmtree(half) if half.is_dir() else half.unlink()
        yield
    finally:
        if not (out / SETTINGS).is_file():
            # A failure to clean up must not hide why the command ended.
            with contextlib.suppress(OSError):
                (out / _LOCK).unlink(missing_ok=True)
                out.rmdir()
        lock.release()


def _restore_settings(settings: ReproduceSettings) -> ReproduceSettings:
    """`settings` with the downloads and encoders that were named in an earlier call.

    Raises LfbtError where a setting differs from that of a stage that has begun.
    """
    downloads = {name: path and path.absolute() for name in DOWNLOADS for path in [getattr(settings, name)]}
    encoders = tuple(path if is_bundled(path) else path.absolute() for path in settings.encoders)
    exclude = settings.exclude and settings.exclude.absolute()
    settings = dataclasses.replace(settings, **downloads, encoders=encoders, exclude=exclude)
    if not (settings.out / SETTINGS).is_file():
        return settings
    earlier = read_json(settings.out / SETTINGS)
    absent = [name for name in (*DOWNLOADS, "encoders", "allow_test_records") if name not in earlier]
    if absent:
        raise LfbtError(f"{settings.out / SETTINGS}: does not name {absent[0]}; name another folder")
    begun_with = parse_json(earlier, _Earlier, settings.out / SETTINGS, "it was edited; name another folder")
    kept: dict[str, Any] = {
        name: Path(path) for name in LABELLED if (path := getattr(begun_with, name)) and not getattr(settings, name)
    }
    if not settings.ningbo and not settings.encoders:
        kept["ningbo"] = begun_with.ningbo and Path(begun_with.ningbo)
        kept["encoders"] = tuple(map(Path, begun_with.encoders))
    # Stages that were pretrained or scored with test records stay so.
    kept["allow_test_records"] = settings.allow_test_records or begun_with.allow_test_records
    settings = dataclasses.replace(settings, **kept)
    now = json.loads(json.dumps(dataclasses.asdict(settings), default=str))
    # Downloads last: where encoders take the place of Ningbo, that is what differs.
    for name, folders in sorted(affected_stages().items(), key=lambda item: item[0] in DOWNLOADS):
        begun = [folder for folder in folders if _has_begun(settings, folder)]
        if begun and now[name] != earlier.get(name):
            raise LfbtError(
                f"{name}: {_format_value(now[name])}, but {settings.out / begun[0]} was made with "
                f"{_format_value(earlier.get(name))}; give that, or name another folder"
            )
    return settings


def _format_value(value: Any) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _has_begun(settings: ReproduceSettings, folder: str) -> bool:
    """Whether there is anything of the stages in `folder`."""
    place = settings.out / folder
    return place.is_dir() and any(place.iterdir())


def _report_sizes(settings: ReproduceSettings, names: Sequence[str], log: Callable[[str], None]) -> None:
    manifests = {name: load_manifest(settings, name) for name in names}
    for row in sizes_table(manifests).to_dict("records"):
        unexpected = not row["as_published"] and not settings.most_records
        advice = "; a part of the download, or another release?" if unexpected else ""
        log(f"{'warning: ' if unexpected else ''}{row['data']}: {row['verdict']}{advice}")


def _check_no_test_records(settings: ReproduceSettings, names: Sequence[str]) -> None:
    """Raise LfbtError when test records are among those to pretrain on, before hours of pretraining."""
    if settings.allow_test_records:
        return
    folder = data_folder(settings, "ningbo")
    ningbo = open_dataset(folder)
    rows = ningbo.rows("train")
    if settings.exclude is not None:
        rows = exclude_records(ningbo, (folder,), rows, settings.exclude)
    labelled = [open_dataset(data_folder(settings, name)) for name in names if name in LABELLED]
    tests = [(dataset, dataset.rows("test")) for dataset in labelled]
    check_copies(compute_fingerprints(ningbo, rows), ningbo, rows, tests)
