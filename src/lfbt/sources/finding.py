"""What sources share: finding files below a folder, reading tables, and errors about what is missing."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from lfbt.errors import LfbtError
from lfbt.io import CLINICAL_FORMATS
from lfbt.sources.synthesis import MARKER


def files_below(folder: Path) -> list[Path]:
    """List all files below `folder`, sorted by path, without hidden files and folders (``.name``).

    Folders that are links are followed, each folder once: one that is there without a link is not listed again. Raises
    LfbtError if `folder` is not a folder or a part of it cannot be entered.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise LfbtError(f"folder: {folder} {what}; give the folder that holds the download")
    found: list[Path] = []
    seen: set[str] = set()
    starts = [folder]
    while starts:
        links: list[Path] = []
        for start in starts:
            for parent, folders, names in os.walk(start, onerror=_cannot_enter):
                real = os.path.realpath(parent)
                folders[:] = [name for name in folders if not name.startswith(".") and real not in seen]
                if real in seen:
                    continue
                seen.add(real)
                links += [Path(parent, name) for name in folders if Path(parent, name).is_symlink()]
                found += [Path(parent, name) for name in names if not name.startswith(".")]
        # After all that is there without a link.
        starts = sorted(links)
    return sorted(found, key=lambda file: file.parts)


def _cannot_enter(error: OSError) -> None:
    raise LfbtError(f"folder: {error.filename} cannot be entered ({error.strerror}); make it readable") from error


def relative_id(file: Path, folder: Path) -> str:
    """Return the path of `file` below `folder` without its suffix, with ``/`` between parts."""
    return file.relative_to(folder).with_suffix("").as_posix()


def not_found(folder: Path, files: Sequence[Path], source: str, expected: str) -> LfbtError:
    """Make the error for a folder without what `source` expects: what it holds, and which source may fit instead."""
    counts = Counter(file.suffix.lower() or "(no suffix)" for file in files)
    held = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(6)) or "no files"
    fitting = fitting_source(files)
    if fitting == source:
        advice = "complete the download"
    elif fitting:
        advice = f"the source {fitting} might fit"
    else:
        advice = "give another folder"
    return LfbtError(f"source {source}: {folder} holds {held}, but not {expected}; {advice}")


def fitting_source(files: Iterable[Path]) -> str:
    """Recognise the source whose published form `files` have; an empty string if there is none."""
    names = {file.name for file in files}
    suffixes = {Path(name).suffix.lower() for name in names}
    for table, source in (
        (MARKER, "synthetic"),
        ("ptbxl_database.csv", "ptbxl"),
        ("REFERENCE.csv", "cpsc2018"),
        ("Diagnostics.xlsx", "chapman"),
    ):
        if table in names:
            return source
    if {".hea", ".mat"} <= suffixes:
        return "challenge"
    return "folder" if suffixes & {".hea", ".npy", ".csv", *CLINICAL_FORMATS} else ""


def only_file(files: Sequence[Path], name: str, folder: Path, source: str) -> Path:
    """Find the one file called `name`. Raises LfbtError if there is none, or more than one."""
    found = [file for file in files if file.name == name]
    if not found:
        raise not_found(folder, files, source, name)
    if len(found) > 1:
        raise LfbtError(f"source {source}: {name} is a duplicate, as {found[0]} and {found[1]}; give the folder of one")
    return found[0]


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV table with a header row: every cell as stripped text, an absent cell as empty text.

    Raises LfbtError if the file is not such a table or lacks one of `columns`.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            names = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = names
            absent = [column for column in columns if column not in names]
            if absent:
                raise LfbtError(
                    f"table {path}: no column {', '.join(absent)} among {', '.join(names) or 'none'}; add it"
                )
            return [{name: row[name].strip() for name in names} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LfbtError(f"table {path}: cannot be read ({error}); give a CSV file in UTF-8") from error


def check_unique(ids: Iterable[str], what: str) -> None:
    """Raise LfbtError if a name is a duplicate among `ids`, which are the records of `what`."""
    duplicates = [name for name, count in Counter(ids).items() if count > 1]
    if duplicates:
        raise LfbtError(f"{what}: record {duplicates[0]} is a duplicate ({len(duplicates)} such); keep one of each")
