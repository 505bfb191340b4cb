"""PhysioNet/CinC Challenge 2020 and 2021: WFDB records whose headers carry SNOMED CT codes; Ningbo is a part of it."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from lfbt.errors import LfbtError
from lfbt.io import read_wfdb
from lfbt.sources.finding import files_below, fitting_source, not_found, read_table, relative_id
from lfbt.sources.listing import Dropped, Entry, Listing

Labels = Literal["none", "codes", "mapping"]

_RULES = {
    "none": "no labels were read",
    "codes": "the codes of the header's Dx comment (SNOMED CT; acronyms in early releases), each code a class",
    "mapping": "the codes of the header's Dx comment, mapped to classes by {}; codes without a class are ignored",
}
_DX = re.compile(r"^#[ \t]*Dx[ \t]*:(.*)$", re.MULTILINE | re.IGNORECASE)
# What a header may have in place of a code.
_NO_CODES = ("", "unknown", "nan", "none")
# The Shaoxing and Ningbo hospitals were published together: 10,646 records of Chapman-Shaoxing, then 34,905 of Ningbo.
_NINGBO = range(10647, 45552)


@dataclasses.dataclass(frozen=True)
class Challenge:
    """PhysioNet/CinC Challenge 2020 or 2021, any part of it: .hea headers with signal files, in any sub-folders.

    No patients are published: each record counts as one. There is no official split.
    """

    labels: Labels = "none"
    """What the labels are: none, each SNOMED CT code a class, or the classes of a mapping."""
    mapping: Path | None = None
    """For labels mapping: a CSV file with the columns code and class; several codes may map to one class."""

    def listing(self, folder: Path) -> Listing:
        """List the records of the download in `folder`. Raises LfbtError if it is not one."""
        return _listing(folder, "challenge", self.labels, self.mapping)


@dataclasses.dataclass(frozen=True)
class Ningbo:
    """Ningbo First Hospital, the paper's pretraining set: the records JS10647 to JS45551 of the Challenge 2021.

    Also in the PhysioNet download ecg-arrhythmia. Other records in the folder, such as those of Chapman-Shaoxing
    (JS00001 to JS10646), are skipped. No patients are published: each record counts as one.
    """

    labels: Labels = "none"
    """What the labels are: none, each SNOMED CT code a class, or the classes of a mapping."""
    mapping: Path | None = None
    """For labels mapping: a CSV file with the columns code and class; several codes may map to one class."""

    def listing(self, folder: Path) -> Listing:
        """List the Ningbo records of the download in `folder`. Raises LfbtError if there are none."""
        return _listing(folder, "ningbo", self.labels, self.mapping)


def _listing(folder: Path, source: Literal["challenge", "ningbo"], labels: Labels, mapping: Path | None) -> Listing:
    if (labels == "mapping") != (mapping is not None):
        raise LfbtError(f"labels: {labels} with mapping {mapping}; give a mapping with labels mapping, and only then")
    files = files_below(folder)
    # A synthetic download in the form of the Challenge is accepted, though its marker fits another source.
    if any(file.name == "ptbxl_database.csv" for file in files):
        fitting = fitting_source(files)
        raise LfbtError(f"source {source}: {folder} is a download of {fitting}; prepare it with that source")
    headers = [
        file for file in files if file.suffix.lower() == ".hea" and (source == "challenge" or is_ningbo(file.stem))
    ]
    if not headers:
        wanted = "any WFDB header (.hea)" if source == "challenge" else "any header JS10647.hea to JS45551.hea"
        raise not_found(folder, files, source, wanted)
    class_of = _class_of(mapping) if mapping else None
    times = Counter(header.stem for header in headers)
    entries, dropped = [], []
    seen: set[str] = set()
    for header in headers:
        name = header.stem
        id = name if times[name] == 1 else relative_id(header, folder)
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
    if labels == "codes":
        classes = tuple(sorted(seen, key=_by_number))
    else:
        classes = tuple(dict.fromkeys(class_of.values())) if class_of else ()
    return Listing(entries, classes, _RULES[labels].format(mapping and mapping.name), dropped)


def is_ningbo(name: str) -> bool:
    """Whether a record name of the Challenge is one of Ningbo First Hospital: JS10647 to JS45551."""
    return re.fullmatch(r"JS\d{5}", name) is not None and int(name[2:]) in _NINGBO


def dx_codes(header: Path) -> tuple[str, ...]:
    """Read the codes in a header's ``#Dx:`` comments, each once, sorted by number. Raises OSError.

    Early releases of the CPSC2018 part have acronyms (RBBB) instead of SNOMED CT numbers; these come last.
    """
    text = header.read_text(encoding="utf-8", errors="replace")
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
        code, name = row["code"], row["class"]
        if not code or not name or ";" in name:
            raise LfbtError(
                f"mapping {mapping}: code {code!r} with class {name!r}; each row needs a code and a name without ;"
            )
        if class_of.setdefault(code, name) != name:
            raise LfbtError(f"mapping {mapping}: code {code} has two classes, {class_of[code]} and {name}; keep one")
    if not class_of:
        raise LfbtError(f"mapping {mapping}: it has no rows; add a code and its class")
    return class_of
