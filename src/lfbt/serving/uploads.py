"""Files of an upload, in a folder: their names are the client's, their paths are not."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from lfbt.errors import LfbtError

_HEADER = ".hea"
# Characters that a name keeps; no whitespace, which ends a file's name in a WFDB header.
_UNSAFE = re.compile(r"[^\w.+-]")
_LONGEST = 100


class Upload(NamedTuple):
    """A file as a client sent it, with the name that it gave."""

    name: str
    file: BinaryIO


def safe_name(name: str) -> str:
    """Return the name under which a file is stored.

    Names of letters, digits and ``. _ + -`` stay as they are, so that WFDB headers find their signal files; other
    characters become ``_``.

    Raises
    ------
    LfbtError
        For a name that is empty, long, begins with a dot, or has a separator of folders or a control character.

    Examples
    --------
    >>> safe_name("00001_hr.hea"), safe_name("ECG of 3 May.dcm")
    ('00001_hr.hea', 'ECG_of_3_May.dcm')
    >>> safe_name("../a.hea")
    Traceback (most recent call last):
    lfbt.errors.LfbtError: files: '../a.hea' is no plain file name; send it without folders, leading dots and ...
    """
    stored = _UNSAFE.sub("_", name)
    # Bytes count on disk.
    is_long = len(stored.encode("utf-8", "replace")) > _LONGEST
    if not name or name.startswith(".") or set(name) & set("/\\") or not name.isprintable() or is_long:
        raise LfbtError(
            f"files: {name!a} is no plain file name; send it without folders, leading dots and control "
            f"characters, {_LONGEST} characters at most"
        )
    return stored


def save_uploads(folder: Path, uploads: Sequence[Upload]) -> tuple[Path, str]:
    """Write the files of one recording into an empty folder.

    Returns
    -------
    Path
        The file to read: the only one, or the WFDB header among several.
    str
        The name that the client gave it.

    Raises
    ------
    LfbtError
        For names that are refused or the same, and for files that are not one recording.
    """
    names = [safe_name(upload.name) for upload in uploads]
    if len({name.casefold() for name in names}) < len(names):
        raise LfbtError(f"files: two have the same name, among {', '.join(names)}")
    for name, upload in zip(names, uploads, strict=True):
        with (folder / name).open("xb") as file:
            shutil.copyfileobj(upload.file, file)
    main = _main_file(names)
    others = [name for name in names if name != main]
    if others:
        named = _words(folder / main)
        foreign = [name for name in others if name not in named]
        if foreign:
            raise LfbtError(f"files: {', '.join(foreign)} is not named by the header {main}; send one recording")
    return folder / main, uploads[names.index(main)].name


def _main_file(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    headers = [name for name in names if name.lower().endswith(_HEADER)]
    if len(headers) == 1:
        return headers[0]
    raise LfbtError(
        f"files: {len(names)} files with {len(headers)} WFDB headers ({_HEADER}); send one recording: one file, or a "
        "header with its signal files"
    )


def _words(header: Path) -> set[str]:
    """The first word of each line of a header, which names a signal file."""
    lines = header.read_text("utf-8", "replace").splitlines()
    return {line.split(maxsplit=1)[0] for line in lines if line.strip()}
