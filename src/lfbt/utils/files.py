"""Files: written whole or not at all, never over other results; JSON is read as typed dataclasses."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import functools
import glob
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, TypeVar

import msgspec

from lfbt.errors import LfbtError
from lfbt.utils.interrupts import TerminatedError
from lfbt.utils.opening import read_text
from lfbt.utils.targets import check_creatable, write_error

T = TypeVar("T")

#: The key of a file's format version. Files that were written before there was one have the first.
FORMAT = "format"
_FIRST_FORMAT = 1

#: Pattern of the names of files and folders that are not complete yet.
PARTIAL = ".*.partial-*"

# How JSON escapes the halves of a surrogate pair begin.
_HALF = "\\ud"


def check_unoccupied(folder: Path) -> None:
    """Raise LfbtError unless `folder` is absent or an empty folder."""
    if folder.exists() and not folder.is_dir():
        raise LfbtError(f"{folder}: is a file, not a folder; name a new or empty folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise LfbtError(f"{folder}: holds other results already; name a new or empty folder")


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What a command writes into a folder: a manifest in JSON with ``lfbt_version``, and patterns of all files.

    needed: names of those without which the results are incomplete.
    """

    manifest: str
    files: tuple[str, ...]
    needed: tuple[str, ...] = ()


def check_replaceable(folder: Path, outputs: Outputs) -> None:
    """Raise LfbtError unless `folder` is absent or empty, or holds `outputs` of lfbt and nothing else.

    Never for a link, the home folder, the current one, or one that these are in.
    """
    if folder.is_symlink():
        raise LfbtError(f"overwrite: {folder} is a link; name the folder that it leads to")
    if not (folder.is_dir() and any(folder.iterdir())):
        check_unoccupied(folder)
        return
    if any(place.resolve().is_relative_to(folder.resolve()) for place in (Path.home(), Path.cwd())):
        raise LfbtError(f"overwrite: {folder} is, or holds, the home folder or the current one; name another folder")
    manifest = folder / outputs.manifest
    if not manifest.is_file() or "lfbt_version" not in read_json(manifest):
        raise LfbtError(
            f"overwrite: {folder} has no {outputs.manifest} of lfbt, so it holds other results; name a new folder"
        )
    allowed = (*outputs.files, outputs.manifest)
    places = {str(PurePath(name).parent) for name in allowed}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        is_folder = path.is_dir() and any(_matches(name, place) for place in places)
        if path.is_symlink() or not (is_folder or (path.is_file() and any(_matches(name, form) for form in allowed))):
            raise LfbtError(
                f"overwrite: {folder} also holds {name}, which is none of the files that are replaced; move it away, "
                "or name a new folder"
            )


def _matches(name: PurePath, form: str) -> bool:
    """Whether a relative path has the form, in which ``*`` stands for a part of a name."""
    return len(name.parts) == len(PurePath(form).parts) and name.match(form)


def restore_replaced(folder: Path) -> None:
    """Put back the results in `folder` that a process was replacing when it was killed."""
    if _replaced(folder).exists():
        with holding(folder):
            _restore(folder)


def check_distinct(name: str, paths: Iterable[Path]) -> None:
    """Raise LfbtError where two of `paths` are the same place; `name` is the setting that has them."""
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise LfbtError(f"{name}: {path} is named twice; name each once")
        seen.add(path.resolve())


@contextlib.contextmanager
def atomic_folder(
    folder: Path,
    can_go_on: Callable[[Path], bool] = lambda _: False,
    *,
    replaces: Outputs | None = None,
    is_held: bool = False,
) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to `folder` when the block succeeds, and removed otherwise.

    The temporary folder is locked. What a killed process has left in it is removed, unless the block goes on with it;
    after SIGTERM or SIGHUP it is kept where the block can.

    Parameters
    ----------
    folder
        Absent, or an empty folder.
    can_go_on
        Whether the block can go on with what a killed process has left in the temporary folder.
    replaces
        What `folder` may hold, to be replaced when the block succeeds; until then it stays as it is.
    is_held
        Whether the caller holds it, by `holding`.

    Yields
    ------
    Path
        A folder beside it to write to.

    Raises
    ------
    LfbtError
        When `folder` exists and is not empty or not to be replaced, and when another process is writing it.
    """
    check = check_unoccupied if replaces is None else functools.partial(check_replaceable, outputs=replaces)
    check_creatable(folder)
    folder = folder.absolute()
    partial = folder.with_name(f".{folder.name}.partial-folder")
    with contextlib.nullcontext() if is_held else holding(folder):
        _restore(folder)
        check(folder)
        is_kept = False
        try:
            partial.mkdir(parents=True, exist_ok=True)
            if not can_go_on(partial):
                for path in partial.iterdir():
                    if path.is_dir() and not path.is_symlink():
                        shutil.rmtree(path)
                    else:
                        path.unlink()
            yield partial
            # Something may have been put there meanwhile.
            if replaces is not None:
                check(folder)
            _move_into_place(partial, folder, replaces is not None)
        except TerminatedError as stop:
            is_kept = can_go_on(partial)
            if is_kept:
                stop.add_note(f"what is done is kept in {partial}; the same command goes on")
            raise
        except OSError as error:
            # Others may be about what is read.
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise write_error(folder, error) from error
            raise
        finally:
            if not is_kept:
                shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder that is being written, which lies beside it, as long as the block runs.

    Raises LfbtError where another process does.
    """
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_name(f".{folder.name}.partial-lock")
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        if _lock(descriptor) is False:
            os.close(descriptor)
            raise _held(folder)
        if _is_open_at(descriptor, path):
            break
        # Its owner has removed it meanwhile.
        os.close(descriptor)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def check_unheld(folder: Path) -> None:
    """Raise LfbtError where another process holds a folder by `holding`."""
    folder = folder.absolute()
    path = folder.with_name(f".{folder.name}.partial-lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return
    is_free = _lock(descriptor) is not False
    os.close(descriptor)
    if not is_free:
        raise _held(folder)


def _held(folder: Path) -> LfbtError:
    return LfbtError(f"{folder}: another process is writing it now; wait for its end, or name another folder")


def _is_open_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one at a path."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))


def _move_into_place(partial: Path, folder: Path, overwrite: bool) -> None:
    """Rename `partial` to `folder`; what is there is removed afterwards, or put back where that fails."""
    if not (overwrite and folder.is_dir()):
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
        return
    old = _replaced(folder)
    folder.rename(old)
    try:
        partial.rename(folder)
    except BaseException:
        old.rename(folder)
        raise
    shutil.rmtree(old)


def _replaced(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.partial-replaced")


def _restore(folder: Path) -> None:
    """Put back what a process was replacing when it was killed, or remove it where the new is there."""
    old = _replaced(folder)
    if not old.is_dir() or old.is_symlink():
        return
    if folder.exists():
        shutil.rmtree(old)
    else:
        old.rename(folder)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` when the block succeeds; the file has then reached the disk.

    What killed processes have left of the same file is removed first.

    Parameters
    ----------
    path
        The file to write; one that is there is replaced, in one step.

    Yields
    ------
    Path
        A path beside it to write to.

    Raises
    ------
    LfbtError
        When the file cannot be written.
    """
    try:
        with _held_partial(path) as partial:
            yield partial
            _sync(partial)
            partial.replace(path)
            _sync(path.parent)
    except OSError as error:
        raise write_error(path, error) from error


@contextlib.contextmanager
def _held_partial(path: Path) -> Iterator[Path]:
    """Yield the path of a new file beside `path`, which this process holds a lock on until it is moved or removed.

    Files of the same kind that nobody holds are removed: they are left by processes that were killed. Numbers of
    processes do not tell, for in each container they begin anew.
    """
    begin = f".{path.name}.partial-"
    for left in path.parent.glob(f"{glob.escape(begin)}*") if path.parent.is_dir() else ():
        # What cannot be removed does no harm.
        with contextlib.suppress(OSError):
            if re.fullmatch("[0-9]+|[0-9a-f]{16}", left.name.removeprefix(begin)):
                _remove_unheld(left)
    while True:
        partial = path.with_name(begin + secrets.token_hex(8))
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        _lock(descriptor)
        if _is_open_at(descriptor, partial):
            break
        # Another process has taken it for one that nobody holds.
        os.close(descriptor)
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)
        os.close(descriptor)


def _remove_unheld(left: Path) -> None:
    """Remove a regular file unless a process holds it."""
    if not stat.S_ISREG(left.lstat().st_mode):
        return
    descriptor = os.open(left, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if _lock(descriptor):
            left.unlink()
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Hold an open file until it is closed. False where another process does, None where the disk has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as indented JSON, whole or not at all."""
    with atomic_file(path) as partial:
        text = json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"
        # Bytes of names that are no UTF-8 have no place in JSON.
        partial.write_bytes(text.encode("utf-8", "replace"))


def read_json(path: Path) -> dict[str, Any]:
    """Read the JSON object in `path`. Raises LfbtError, naming the file, when it is absent or holds none."""
    try:
        content = decode_json(read_text(path))
    except LfbtError:
        raise
    except OSError as error:
        raise LfbtError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise LfbtError(f"{path}: is not JSON ({error}); it was cut short or edited") from error
    if not isinstance(content, dict):
        raise LfbtError(f"{path}: holds {type(content).__name__}, not a JSON object")
    return content


def decode_json(text: str) -> Any:
    """Decode JSON.

    Raises ValueError or RecursionError for what is none, for an object with a name twice, and for halves of characters.
    """
    content = json.loads(text, object_pairs_hook=_as_object)
    if _HALF in text.lower():
        # No file in UTF-8, and no terminal, can hold half of a surrogate pair.
        json.dumps(content, ensure_ascii=False).encode()
    return content


def _as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return content


def parse_json(content: Any, kind: type[T], path: Path, remedy: str, format_version: int = _FIRST_FORMAT) -> T:
    """Convert the JSON `content` of `path` to the dataclass `kind`; keys that it does not have are passed over.

    Raises LfbtError that names the file, the field, what was wrong with it, and the `remedy`; also for a format that
    is newer than `format_version`.
    """
    version = content.get(FORMAT, _FIRST_FORMAT) if isinstance(content, dict) else _FIRST_FORMAT
    if not isinstance(version, int) or version > format_version:
        raise LfbtError(f"{path}: has format {version!r}, but this lfbt reads up to {format_version}; update lfbt")
    try:
        return msgspec.convert(content, kind)
    except (msgspec.ValidationError, UnicodeEncodeError, RecursionError) as error:
        raise LfbtError(f"{path}: {_as_field(str(error))}; {remedy}") from error


def load_json(path: Path, kind: type[T], remedy: str, format_version: int = _FIRST_FORMAT) -> T:
    """Read the JSON file `path` as the dataclass `kind`. Raises LfbtError as `read_json` and `parse_json` do."""
    return parse_json(read_json(path), kind, path, remedy, format_version)


def save_json(path: Path, content: Any, format_version: int = _FIRST_FORMAT) -> None:
    """Write the dataclass `content` with its format version, whole or not at all."""
    write_json(path, {FORMAT: format_version, **dataclasses.asdict(content)})


def _as_field(text: str) -> str:
    """Msgspec's message with the field first: ``Expected `str`, got `int` - at `$.data.hash``` → ``data.hash: …``."""
    what, _, place = text.partition(" - at ")
    field = place.strip("`").removeprefix("$").removeprefix(".")
    return f"field {field}: {what}" if field else what
