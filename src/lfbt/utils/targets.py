"""Whether results can be written to a place, found out before the work is done whose results they are."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from lfbt.errors import LfbtError

# The room that any result takes.
_ROOM = 1 << 20


def check_creatable(target: Path, in_place: bool = False) -> None:
    """Raise LfbtError where no file or folder can be made at `target`.

    A file is made beside it, as for the results, and removed; one that a killed process has left is taken for it.

    Parameters
    ----------
    target : Path
        The file or the folder; that it is free is checked elsewhere.
    in_place : bool
        Whether it is a folder that is written into where it is: it may be a mount point or a link to a folder.
    """
    try:
        os.fspath(target).encode()
    except UnicodeEncodeError as error:
        raise LfbtError(
            f"{target}: its name is not UTF-8, and cannot be named in the files that are written; name another"
        ) from error
    target = target.absolute()
    place = target
    if not (in_place and target.is_dir()):
        if target.is_symlink():
            raise LfbtError(f"{target}: is a link; name what it leads to, or another")
        # Unlike the method of a path, false of one that is renamed meanwhile.
        if os.path.ismount(target):
            raise LfbtError(
                f"{target}: is a mount point, which finished results cannot take the place of; name a folder in it, "
                f"such as {target / 'results'}"
            )
        place = target.parent
    absent = [target.name]
    while not os.path.lexists(place):
        absent.append(place.name)
        place = place.parent
    try:
        # As long as the name of what is not complete yet, and the same for all processes.
        trial = place / f".{max(absent, key=len)}.partial-{0:016}"
        descriptor = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(bytes(_ROOM))
        finally:
            # Another process may have removed it by now.
            trial.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(target, error) from error


def write_error(path: Path, error: Exception) -> LfbtError:
    """Describe a full disk or missing permissions as an error to raise."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    remedy = "make room there, or fix its permissions"
    if isinstance(error, OSError) and error.errno in (errno.ENOTDIR, errno.ENAMETOOLONG, errno.EROFS, errno.ELOOP):
        remedy = "name another place"
    return LfbtError(f"{path}: cannot be written ({reason}); {remedy}")
