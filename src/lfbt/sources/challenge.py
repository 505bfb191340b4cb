"""PhysioNet/CinC Challenge 2020 and 2021, and its parts: WFDB records whose headers carry SNOMED CT codes."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal

from lfbt.errors import LfbtError
from lfbt.io import read_wfdb
from lfbt.sources.finding import (
    check_labelled,
    check_labels_file,
    clean_id,
    files_below,
    fitting_source,
    not_found,
    read_table,
    relative_id,
)
from lfbt.sources.listing import Dropped, Entry, Listing, Published
from lfbt.utils.figures import format_names
from lfbt.utils.opening import read_text

Labels = Literal["none", "codes", "mapping"]

_RULES = {
    "none": "no labels were read",
    "codes": "the codes of the header's Dx comment (SNOMED CT; acronyms in early releases), each code a class",
    "mapping": "the codes of the header's Dx comment, mapped to classes by {}; codes without a class are ignored",
}
_DX = re.compile(r"^#[ \t]*Dx[ \t]*:(.*)$", re.MULTILINE | re.IGNORECASE)
# What a header may have in place of a code.
_NO_CODES = ("", "unknown", "nan", "none")
# Downloads of WFDB records that tell patients apart, who would be lost here.
_WITH_PATIENTS = ("ptbxl", "mimic-iv-ecg", "ptb", "incart", "zzu")
# Published with a line feed lost, so that their headers have a line too few.
_CORRUPT = ("JS01052", "JS23074")
# Names that a message lists.
_LISTED = 10
_LABELS = "none, codes, mapping"
_CHALLENGE_2021 = "https://physionet.org/content/challenge-2021/1.0.3/"


@dataclasses.dataclass(frozen=True)
class Challenge:
    """PhysioNet/CinC Challenge 2020 or 2021, any part of it: .hea headers with signal files, in any sub-folders.

    No patients are published: each record counts as one. There is no official split.
    """

    published: ClassVar[Published] = Published(
        where=_CHALLENGE_2021,
        licence="CC BY 4.0",
        records=88_253,
        patients=None,
        labels=_LABELS,
        tried="real files",
    )
    name: ClassVar[str] = "challenge"
    #: The first and the last name of its records; None for any.
    names: ClassVar[tuple[str, str] | None] = None

    labels: Labels = "none"
    """What the labels are: none, each SNOMED CT code a class, or the classes of a mapping."""
    mapping: Path | None = None
    """For labels mapping: a CSV file with the columns code and class; several codes may map to one class."""

    def listing(self, folder: Path) -> Listing:
        """List the records of the download in `folder`. Raises LfbtError if there are none."""
        return _listing(folder, self)


@dataclasses.dataclass(frozen=True)
class Ningbo(Challenge):
    """Ningbo First Hospital, the paper's pretraining set: the records JS10647 to JS45551 of the Challenge 2021.

    Also in the PhysioNet download ecg-arrhythmia. Other records in the folder, such as those of Chapman-Shaoxing
    (JS00001 to JS10646), are skipped. No patients are published: each record counts as one.
    """

    published: ClassVar[Published] = dataclasses.replace(Challenge.published, records=34_905, part="training/ningbo/")
    name: ClassVar[str] = "ningbo"
    names: ClassVar[tuple[str, str] | None] = ("JS10647", "JS45551")


@dataclasses.dataclass(frozen=True)
class Georgia(Challenge):
    """Georgia 12-lead ECG database (G12EC), a part of the Challenge 2020 and 2021: the records E00001 to E10344.

    Other records in the folder are skipped. No patients are published: each record counts as one.
    """

    published: ClassVar[Published] = dataclasses.replace(Challenge.published, records=10_344, part="training/georgia/")
    name: ClassVar[str] = "georgia"
    names: ClassVar[tuple[str, str] | None] = ("E00001", "E10344")


@dataclasses.dataclass(frozen=True)
class CpscExtra(Challenge):
    """CPSC2018-Extra, the unused data of CPSC2018, a part of the Challenge 2020 and 2021: the records Q0001 to Q3581.

    Other records in the folder are skipped. No patients are published: each record counts as one.
    """

    published: ClassVar[Published] = dataclasses.replace(
        Challenge.published, records=3_453, part="training/cpsc_2018_extra/"
    )
    name: ClassVar[str] = "cpsc-extra"
    names: ClassVar[tuple[str, str] | None] = ("Q0001", "Q3581")


@dataclasses.dataclass(frozen=True)
class Arrhythmia(Challenge):
    """PhysioNet's ecg-arrhythmia, Chapman-Shaoxing and Ningbo together: WFDBRecords/01/010/JS00001.hea and so on.

    No patients are published: each record counts as one. The two records whose headers are corrupt as published,
    JS01052 and JS23074, are dropped.
    """

    published: ClassVar[Published] = dataclasses.replace(
        Challenge.published,
        where="https://physionet.org/content/ecg-arrhythmia/1.0.0/",
        records=45_152,
        tried="written files",
    )
    name: ClassVar[str] = "arrhythmia"
    names: ClassVar[tuple[str, str] | None] = ("JS00001", "JS45551")


def _listing(folder: Path, options: Challenge) -> Listing:
    source, labels, mapping = options.name, options.labels, options.mapping
    check_labels_file(labels, "mapping", mapping)
    files = files_below(folder)
    fitting = fitting_source(files)
    # A synthetic download in the form of the Challenge is accepted, though its marker fits another source.
    if fitting in _WITH_PATIENTS or any(file.name == "ptbxl_database.csv" for file in files):
        raise LfbtError(f"source {source}: {folder} is a download of {fitting}; prepare it with that source")
    names = options.names
    headers = [
        file for file in files if file.suffix.lower() == ".hea" and (names is None or _is_between(file.stem, *names))
    ]
    if not headers:
        wanted = f"any header {names[0]}.hea to {names[1]}.hea" if names else "any WFDB header (.hea)"
        raise not_found(folder, files, source, wanted)
    class_of = _class_of(mapping) if mapping else None
    times = Counter(header.stem for header in headers)
    entries, dropped = [], []
    seen: set[str] = set()
    for header in headers:
        name = header.stem
        id = name if times[name] == 1 else relative_id(header, folder)
        if source == "arrhythmia" and name in _CORRUPT and not _is_complete(header):
            dropped.append(Dropped(id, header.relative_to(folder).as_posix(), "header corrupt as published"))
            continue
        found: tuple[str, ...] = ()
        if labels != "none":
            try:
                codes = dx_codes(header)
            except OSError as error:
                dropped.append(Dropped(id, header.relative_to(folder).as_posix(), f"header unreadable: {error}"))
                continue
            found = codes if class_of is None else _ordered(class_of, codes)
            seen.update(codes)
        entries.append(Entry(id, name, header, read_wfdb, found))
    check_labelled(entries, labels, folder)
    if labels == "codes":
        classes = tuple(sorted(seen, key=_by_number))
    else:
        classes = tuple(dict.fromkeys(class_of.values())) if class_of else ()
    rule = _RULES[labels].format(mapping and mapping.name)
    if class_of is not None:
        given = {label for entry in entries for label in entry.labels}
        unmatched = [*(code for code in class_of if code not in seen), *(name for name in classes if name not in given)]
        rule += f"; no record has: {format_names(unmatched, _LISTED)}" if unmatched else ""
    return Listing(entries, classes, rule, dropped)


def _is_complete(header: Path) -> bool:
    """Whether a header has as many signal lines as its first line says."""
    lines = [line.split() for line in read_text(header, errors="replace").splitlines()]
    lines = [line for line in lines if line and not line[0].startswith("#")]
    return bool(lines) and len(lines[0]) > 1 and lines[0][1] == str(len(lines) - 1)


def _is_between(name: str, first: str, last: str) -> bool:
    """Whether a record name is one of a part of the Challenge, from `first` to `last`.

    >>> _is_between("JS45551", "JS10647", "JS45551"), _is_between("JS10646", "JS10647", "JS45551")
    (True, False)
    """
    prefix = first.rstrip("0123456789")
    is_alike = len(name) == len(first) and name.startswith(prefix) and name[len(prefix) :].isdecimal()
    return is_alike and first <= name <= last


def dx_codes(header: Path) -> tuple[str, ...]:
    """Read the codes in a header's ``#Dx:`` comments, each once, sorted by number. Raises OSError.

    Early releases of the CPSC2018 part have acronyms (RBBB) instead of SNOMED CT numbers; these come last.
    """
    text = read_text(header, errors="replace")
    codes = {code for line in _DX.findall(text) for code in re.split(r"[\s,;]+", line)}
    return tuple(sorted((code for code in codes if code.lower() not in _NO_CODES), key=_by_number))


def _by_number(code: str) -> tuple[bool, int, str]:
    """Sorting key of codes: numbers by value, then other codes."""
    number = int(code) if code.isdecimal() else 0
    return not code.isdecimal(), number, code


def _ordered(class_of: dict[str, str], codes: Iterable[str]) -> tuple[str, ...]:
    """List the classes of `codes`, each once, in the mapping's order."""
    found = {class_of[code] for code in codes if code in class_of}
    return tuple(name for name in dict.fromkeys(class_of.values()) if name in found)


def _class_of(mapping: Path) -> dict[str, str]:
    """Read the class of each code from a mapping file, in its order."""
    class_of: dict[str, str] = {}
    for row in read_table(mapping, ["code", "class"]):
        code, name = clean_id(row["code"]), row["class"]
        if not code or not name or ";" in name:
            raise LfbtError(
                f"mapping {mapping}: code {code!r} with class {name!r}; each row needs a code and a name without ;"
            )
        if class_of.setdefault(code, name) != name:
            raise LfbtError(f"mapping {mapping}: code {code} has two classes, {class_of[code]} and {name}; keep one")
    if not class_of:
        raise LfbtError(f"mapping {mapping}: it has no rows; add a code and its class")
    return class_of
