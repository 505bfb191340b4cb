"""What sources share: finding files below a folder, reading tables, and errors about what is missing."""

from __future__ import annotations

import codecs
import csv
import fnmatch
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lfbt.errors import LfbtError
from lfbt.io import CLINICAL_FORMATS
from lfbt.sources.listing import Entry
from lfbt.sources.synthesis import MARKER
from lfbt.utils.figures import format_count
from lfbt.utils.opening import open_text, read_bytes, shown_name

# What programs write for a missing value, and spreadsheets for one that they could not compute.
MISSING = frozenset(("na", "n/a", "nan", "null", "none", "nil", "-", "--", "?", "<na>", "#n/a", "missing", "unknown"))
MISSING |= {"#ref!", "#name?", "#value!", "#num!", "#div/0!", "#null!", "#bezug!", "#wert!", "#nv"}


def files_below(folder: Path) -> list[Path]:
    """List all files below `folder`, sorted by path, without hidden files and folders (``.name``).

    Folders that are links are followed, each folder once: one that is there without a link is not listed again. Raises
    LfbtError if `folder` is not a folder or a part of it cannot be entered.
    """
    check_folder(folder)
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


def check_folder(folder: Path) -> None:
    """Raise LfbtError unless `folder` is a folder."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise LfbtError(f"folder: {folder} {what}; give the folder that holds the download")


def _cannot_enter(error: OSError) -> None:
    raise LfbtError(f"folder: {error.filename} cannot be entered ({error.strerror}); make it readable") from error


def relative_id(file: Path, folder: Path) -> str:
    """Return the path of `file` below `folder` without its suffix, with ``/`` between parts."""
    return shown_name(file.relative_to(folder).with_suffix("").as_posix())


def not_found(folder: Path, files: Sequence[Path], source: str, expected: str) -> LfbtError:
    """Make the error for a folder without what `source` expects: what it holds, and what may fit instead."""
    counts = Counter(file.suffix.lower() or "(no suffix)" for file in files)
    held = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(6)) or "no files"
    fitting = fitting_source(files)
    above = download_above(folder)
    if above and fitting in ("", "folder", "challenge", above[0]):
        advice = f"{folder} is a part of {above[1]}, a download of {above[0]}; give that folder"
        advice += "" if above[0] == source else ", to that source"
    elif fitting == source:
        advice = "complete the download"
    elif fitting:
        advice = f"the source {fitting} might fit: lfbt prepare {fitting} {folder} TO"
    else:
        advice = "give another folder"
    return LfbtError(f"source {source}: {folder} holds {held}, but not {expected}; {advice}")


# The first bytes of .xlsx, .ods and .xls.
_WORKBOOKS = (b"PK\3\4", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
# The files by which a download is recognised, all of them: names, or names in a folder, with wildcards.
_MARKERS = (
    ((MARKER,), "synthetic"),
    (("ptbxl_database.csv",), "ptbxl"),
    (("REFERENCE.csv",), "cpsc2018"),
    (("Diagnostics.xlsx",), "chapman"),
    (("record_list.csv",), "mimic-iv-ecg"),
    (("exams_part*.hdf5",), "code15"),
    (("exams_part*.zip",), "code15"),
    (("ecg_tracings.hdf5",), "code-test"),
    (("exams.hdf5",), "sami-trop"),
    (("exams.zip",), "sami-trop"),
    (("metadata.csv", "code.csv"), "sph"),
    (("AttributesDictionary.csv", "ECGCode.csv"), "zzu"),
    (("[Ee]cho[Nn]ext_metadata_100k.csv",), "echonext"),
    (("patient[0-9][0-9][0-9]/s*.hea",), "ptb"),
    (("I[0-9][0-9].hea",), "incart"),
    (("ConditionNames_SNOMED-CT.csv",), "arrhythmia"),
)


# How far above a record its download's own files are: files/p1000/p10000032/s40689238/ of MIMIC-IV-ECG.
_LEVELS = 5


def recognise_download(files: Iterable[Path]) -> str:
    """Recognise the source that has published `files`, by names that no other has; an empty string if none has."""
    ends = [f"/{file.parent.name}/{file.name}" for file in files]
    matching = (source for globs, source in _MARKERS if all(fnmatch.filter(ends, f"*/{glob}") for glob in globs))
    return next(matching, "")


def fitting_source(files: Iterable[Path]) -> str:
    """Recognise the source whose published form `files` have; an empty string if there is none."""
    files = list(files)
    if source := recognise_download(files):
        return source
    suffixes = {file.suffix.lower() for file in files}
    if {".hea", ".mat"} <= suffixes:
        return "challenge"
    return "folder" if suffixes & {".hea", ".npy", ".csv", *CLINICAL_FORMATS} else ""


def download_above(folder: Path) -> tuple[str, Path] | None:
    """Find the folder, some levels above `folder`, that is a download by its own files, and its source."""
    for parent in list(folder.absolute().parents)[:_LEVELS]:
        try:
            files = list(parent.iterdir())
        except OSError:
            continue
        source = recognise_download(files)
        if source:
            return source, parent
    return None


def fold_name(name: str) -> str:
    r"""Write the name of a file as those are compared that differ in slashes and case only.

    >>> fold_name(r".\A\R1.hea")
    'a/r1.hea'
    """
    return name.replace("\\", "/").removeprefix("./").casefold()


def fold_names(names: Iterable[str]) -> dict[str, str]:
    """Map what `fold_name` makes of `names` to these, where only one gives it."""
    folded: dict[str, set[str]] = {}
    for name in names:
        folded.setdefault(fold_name(name), set()).add(name)
    return {name: alike.pop() for name, alike in folded.items() if len(alike) == 1}


def note_spelling(otherwise: Sequence[str], table: Path) -> str:
    """Say how many files `table` writes otherwise, each as ``A.HEA for a.hea``; nothing for none."""
    if not otherwise:
        return ""
    count = format_count(len(otherwise), "file")
    return f"{table.name} writes {count} in another case or with backslashes, such as {otherwise[0]}"


def only_file(files: Sequence[Path], name: str, folder: Path, source: str, *, any_case: bool = False) -> Path:
    """Find the one file called `name`, or so in any case. Raises LfbtError if there is none, or more than one."""
    found = [file for file in files if (file.name.lower() == name.lower() if any_case else file.name == name)]
    if not found:
        raise not_found(folder, files, source, name)
    if len(found) > 1:
        raise LfbtError(f"source {source}: {name} is a duplicate, as {found[0]} and {found[1]}; give the folder of one")
    return found[0]


def unique_names(files: Iterable[Path], source: str) -> dict[str, Path]:
    """Map the names of `files`, without suffix, to them. Raises LfbtError if two have the same name."""
    file_of: dict[str, Path] = {}
    for file in files:
        other = file_of.setdefault(file.stem, file)
        if other != file:
            raise LfbtError(
                f"source {source}: record {file.stem} is a duplicate, as {other} and {file}; move one of them out of "
                "the folder"
            )
    return file_of


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV table with a header row: every cell as stripped text.

    What separates cells, a comma, semicolon or tab, is what the header has most of. Text is UTF-8, UTF-16 with its
    mark, or else Windows-1252.

    Raises LfbtError if the file is not such a table, lacks one of `columns`, has a column twice, or a row with more
    or fewer cells than the header.
    """
    try:
        with open_text(path, _encoding(path), newline="") as file:
            reader = csv.DictReader(file, delimiter=_separator(file.readline()))
            file.seek(0)
            names = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = names
            _places(path, names, columns)
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise LfbtError(f"table {path}: column {twice[0]!r} is there twice; rename or remove one")
            rows = []
            for row in reader:
                if None in row:
                    raise LfbtError(
                        f"table {path}: line {reader.line_num} has more than the {len(names)} cells of the header; put "
                        'a cell with a comma between quotes, as "a, b"; if R put row numbers there, name their column'
                    )
                if None in row.values():
                    raise LfbtError(
                        f"table {path}: line {reader.line_num} has fewer than the {len(names)} cells of the header; "
                        "complete it, with empty cells between commas"
                    )
                rows.append({name: row[name].strip() for name in names})
            return rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable_table(path, error) from error


def iter_table(path: Path, columns: Sequence[str]) -> Iterator[list[str]]:
    """Read some columns of a CSV table with a header row: a list of stripped text a row, in the order of `columns`.

    For tables that are too long for `read_table`; cells are separated by commas. Raises LfbtError as that does.
    """
    try:
        with open_text(path, "utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            names = next(reader, [])
            places = _places(path, names, columns)
            for row in filter(None, reader):
                if len(row) != len(names):
                    raise LfbtError(
                        f"table {path}: line {reader.line_num} has {len(row)} cells, not the {len(names)} of the "
                        "header; download it again"
                    )
                yield [row[place].strip() for place in places]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable_table(path, error) from error


def _encoding(path: Path) -> str:
    """The encoding of a table: spreadsheets also write UTF-16 and Windows-1252."""
    data = read_bytes(path)
    if data.startswith(_WORKBOOKS):
        raise LfbtError(f"table {path}: a workbook; save the sheet as CSV")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _separator(header: str) -> str:
    return max(",;\t", key=header.count)


def _places(path: Path, names: Sequence[str], columns: Sequence[str]) -> list[int]:
    """Where the `columns` are among `names`, the header row of a table. Raises LfbtError if one is not there."""
    names = [name.strip() for name in names]
    absent = [column for column in columns if column not in names]
    if absent:
        raise LfbtError(f"table {path}: no column {', '.join(absent)} among {', '.join(names) or 'none'}; add it")
    return [names.index(column) for column in columns]


def _unreadable_table(path: Path, error: Exception) -> LfbtError:
    return LfbtError(f"table {path}: cannot be read ({error}); give a CSV file in UTF-8")


def clean_id(name: str) -> str:
    """Write a name in one form of Unicode, and a whole number without the ``.0`` that spreadsheets add.

    >>> clean_id(" 17.0 "), clean_id("a.0")
    ('17', 'a.0')
    """
    name = unicodedata.normalize("NFC", name.strip())
    return name.split(".")[0] if re.fullmatch(r"\d+\.0*", name) else name


def patient_id(patient: str, table: Path, record: str) -> str:
    """Return the id of a record's patient, as `clean_id` writes it. Raises LfbtError if the table has none."""
    if not patient or patient.lower() in MISSING:
        raise LfbtError(f"table {table}: record {record} has patient {patient!r}, which is none; download it again")
    return clean_id(patient)


def parse_flag(value: str, table: Path, what: str) -> bool:
    """Read whether something is present. Raises LfbtError, which calls it `what`, unless `value` is true or false.

    >>> parse_flag("True", Path("table.csv"), "record 1"), parse_flag("0.0", Path("table.csv"), "record 2")
    (True, False)
    """
    flags = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
    if value.lower() not in flags:
        raise LfbtError(f"table {table}: {what} has {value!r}, which is neither True nor False, 1 nor 0")
    return flags[value.lower()]


def check_labelled(entries: Sequence[Entry], labels: str, folder: Path) -> None:
    """Raise LfbtError if `labels` were asked for, there are records, and none has one."""
    if labels != "none" and entries and not any(entry.labels for entry in entries):
        raise LfbtError(f"labels: {labels}, but no record of {folder} has a label; give labels none or another folder")


def check_labels_file(labels: str, name: str, file: Path | None) -> None:
    """Raise LfbtError where `labels` are to come from a file, the option `name`, and none is given; or the reverse."""
    if labels == name and file is None:
        raise LfbtError(f"{name}: none given, but labels {name} takes the labels from one; give it, too")
    if labels != name and file is not None:
        raise LfbtError(f"{name}: {file} has no effect with labels {labels}; give labels {name}, too, or leave it out")


def check_unique(ids: Iterable[str], what: str) -> None:
    """Raise LfbtError if a name is a duplicate among `ids`, which are the records of `what`."""
    duplicates = [name for name, count in Counter(ids).items() if count > 1]
    if duplicates:
        raise LfbtError(f"{what}: record {duplicates[0]} is a duplicate ({len(duplicates)} such); keep one of each")
