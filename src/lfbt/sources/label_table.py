"""A user's table of patients, labels and splits, joined to the records of a folder."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lfbt.errors import LfbtError
from lfbt.sources.finding import MISSING, clean_id, fold_name, fold_names, note_spelling, read_table
from lfbt.sources.listing import SPLITS, Dropped, Entry, Listing
from lfbt.sources.table_labels import read_labels
from lfbt.utils.figures import format_count

_COLUMNS = ("record", "patient", "label", "split")
# Other names that people give these columns, in lower case and without what is no letter.
_NOUNS = {
    "patient": "patient pat subject subj person participant proband case mrn pid paciente paziente individual animal "
    "pt fall pseudonym surname lastname familyname nachname",
    "label": "label class classe diagnosis diagnose diagnosi dx diag target rhythm rhythmus befund finding category "
    "annotation outcome superclass",
    "split": "split fold stratfold cvfold partition subset dataset set traintest",
    "record": "record recording file filename filepath path",
}
_ENDINGS = "id no nr num number nummer numero key code name identifier uid"
_BEGINNINGS = "id codigo cod code num numero nr no nummer"
_BEFORE, _AFTER = (words.replace(" ", "|") for words in (_BEGINNINGS, _ENDINGS))
_ALSO_CALLED = {
    column: re.compile(rf"({_BEFORE})?({nouns.replace(' ', '|')})(en|s)?({_AFTER})?s?")
    for column, nouns in _NOUNS.items()
}
# Words in the names of ids, and ids themselves: P001, a3-f9, 10000032, 007; no age, date or year.
_OF_IDS = frozenset(f"{_ENDINGS} cod codigo hash".split())
_ID = re.compile(r"0\d+|\d{5,}|(?=.*\d)(?=.*[A-Za-z])[\w-]+", re.ASCII)
# Words in the names of columns whose values many patients share, and days without separators.
_SHARED = (
    "device machine model manufacturer software firmware version hospital site centre center clinic ward room "
    "department physician doctor cardiologist operator technician zip plz postcode date day month year icd"
)
_DAY = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
# 1.23457E+11 for 123456789012.
_ROUNDED = re.compile(r"\d([.,]\d+)?e\+\d+")
# Of the patients of a table, on average at most.
_RECORDS_OF_A_PATIENT = 20
_ALSO_RECORD = re.compile("(ecg|exam|study)(id|name|no|nr|number|file)|id|name|filename(hr|lr)")


def apply_table(entries: Sequence[Entry], table: Path, folder: Path) -> Listing:
    """Take patients, labels and splits of `entries` from a table.

    Parameters
    ----------
    entries
        The records of `folder`.
    table
        CSV file with a column ``record``, each an id or the stem of one file, and perhaps ``patient``, ``label``
        (several separated by ``;``, or a column of 0 and 1 a class) and ``split``. Other columns are named as an
        assumption.
    folder
        The folder of the records.

    Returns
    -------
    Listing
        The entries that are in the table; the others, and rows without a record, are dropped.

    Raises
    ------
    LfbtError
        For a column that is likely one of these under another name or by its values, a record named twice, patients or
        labels that differ in spelling only or stand for a missing value, patients of merged cells or rounded numbers,
        labels that are likely separated otherwise, no label at all, another split, and a table without a record of
        `folder`.
    """
    rows = read_table(table, [])
    unused = _check_columns(list(rows[0]) if rows else [], table)
    by_name = _by_name(entries)
    names = [row["record"] if row["record"] in by_name else clean_id(row["record"]) for row in rows]
    patients = [clean_id(row.get("patient", "")) for row in rows]
    _check_spelling(patients, "patient", table)
    labels_of, rule, note, unused = read_labels(rows, unused, table)
    _check_spelling([label for labels in labels_of for label in labels], "label", table)
    if rows and "patient" not in rows[0]:
        _refuse_shared_ids(rows, unused, labels_of, table)
    folded = fold_names(by_name)
    otherwise: list[str] = []
    row_of: dict[str, tuple[str, tuple[str, ...], str]] = {}
    dropped = []
    for name, patient, labels, row in zip(names, patients, labels_of, rows, strict=True):
        id = by_name.get(name)
        if id is None and fold_name(name) in folded:
            id = by_name[folded[fold_name(name)]]
            otherwise.append(f"{name} for {folded[fold_name(name)]}")
        if id is None:
            dropped.append(Dropped(name, name, "file absent"))
        elif id in row_of:
            raise LfbtError(f"table {table}: record {name} is a duplicate; keep one row a record")
        else:
            row_of[id] = patient, labels, row.get("split", "")
    kept = []
    for entry in entries:
        if entry.id not in row_of:
            dropped.append(Dropped(entry.id, entry.file.relative_to(folder).as_posix(), "not in the table"))
            continue
        patient, labels, split = row_of[entry.id]
        if split not in ("", *SPLITS):
            raise LfbtError(f"table {table}: record {entry.id} has split {split!r}; allowed: {', '.join(SPLITS)}")
        if not patient and entry.id in patients:
            raise LfbtError(
                f"table {table}: record {entry.id} has no patient, and would count as one by its own name, but "
                f"{entry.id} is a patient of other records; fill the cell"
            )
        kept.append(dataclasses.replace(entry, patient=patient or entry.id, labels=labels, split=split))
    _check_merged(patients, table)
    if not kept:
        example = entries[0].id
        bare = {name.lstrip("0") for name in by_name}
        lost = next((name for name in names if name in bare), "")
        raise LfbtError(
            f"table {table}: none of its {len(rows)} rows names a record of {folder}, such as {example}"
            + (f"; {lost} lacks zeros at its start, so write the column record as text" if lost else "")
        )
    classes = tuple(sorted({label for entry in kept for label in entry.labels}))
    if "label" in rows[0] and not classes:
        raise LfbtError(f"table {table}: its column label is empty for all records; fill it, or remove the column")
    assumptions = [] if "patient" in rows[0] else [f"{table.name} has no column patient, so each record is a patient"]
    unknown = sum(not row_of[entry.id][0] for entry in kept)
    if 0 < unknown < len(kept):
        assumptions.append(f"{format_count(unknown, 'record')} without a patient in {table.name} counts as one each")
    if unused:
        assumptions.append(f"columns of {table.name} that are not used: {', '.join(unused)}")
    assumptions += filter(None, (note, note_spelling(otherwise, table)))
    return Listing(kept, classes, rule, dropped, "; ".join(assumptions))


def likely_columns(names: Iterable[str]) -> dict[str, str]:
    """Return the names that are likely those of a table's columns, with the columns, but for exact ones.

    >>> likely_columns(["PatientNr", "label", "age"])
    {'PatientNr': 'patient'}
    """
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub("[^a-z]", "", name.lower())
        for column, also in _ALSO_CALLED.items():
            if name not in _COLUMNS and also.fullmatch(plain):
                found.setdefault(name, column)
        if _ALSO_RECORD.fullmatch(plain):
            found.setdefault(name, "record")
    return found


def _check_columns(names: Sequence[str], table: Path) -> list[str]:
    """The columns that are not used. Raises LfbtError for one that is likely meant to be."""
    for name, column in likely_columns(names).items():
        if column not in names:
            raise LfbtError(
                f"table {table}: column {name!r} is likely {column}, but not called so; rename it to {column} or, "
                "if it is something else, to another name"
            )
    if "record" not in names:
        raise LfbtError(
            f"table {table}: no column record among {', '.join(names) or 'none'}; add the ids or names of the files"
        )
    return [name for name in names if name not in _COLUMNS]


def _check_spelling(names: Iterable[str], what: str, table: Path) -> None:
    """Raise LfbtError for names that differ in case, blanks or leading zeros only, and for words for missing values.

    Patients may not differ in other signs only, either.
    """
    known: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"\s+", "", name).casefold()
        if what == "patient" and _ROUNDED.fullmatch(plain):
            raise LfbtError(
                f"table {table}: patient {name!r} is a number that a spreadsheet has rounded, so that several patients "
                "may be one; write the column as text"
            )
        if plain in MISSING:
            raise LfbtError(f"table {table}: {what} {name!r} stands for a missing value; leave the cell empty")
        if what == "patient":
            # P-1 and P_1 and P1; but 1-23 is not 12-3.
            plain = re.sub(r"(?<=\d)[\W_]+(?=\d)", "-", plain)
            plain = re.sub(r"(?<!\d)[\W_]|[\W_](?!\d)", "", plain) or plain
        plain = re.sub(r"(?<!\d)0+(?=\d)", "", plain)
        if known.setdefault(plain, name) != name:
            raise LfbtError(
                f"table {table}: {what}s {known[plain]!r} and {name!r} differ in spelling only; write one {what} alike "
                f"in all rows, and two {what}s so that they cannot be taken for one"
            )


def _check_merged(patients: Sequence[str], table: Path) -> None:
    """Raise LfbtError where empty cells are likely of the patient above, as of merged cells that were saved as CSV.

    There each patient is in one cell only, the first has one, and at least a third of the cells are empty.
    """
    given = [patient for patient in patients if patient]
    if patients and patients[0] and len(set(given)) == len(given) and 3 * (len(patients) - len(given)) >= len(patients):
        row = patients.index("")
        raise LfbtError(
            f"table {table}: row {row + 1} has no patient, and no patient is named twice, as where the cells of a "
            f"patient were merged; write the patient, likely {patients[row - 1]}, into each row, or, if such records "
            "are of unknown patients, their names"
        )


def _refuse_shared_ids(
    rows: Sequence[Mapping[str, str]], unused: Sequence[str], labels: Sequence[tuple[str, ...]], table: Path
) -> None:
    """Raise LfbtError for a column that is likely the patients', by its values, which several records share."""
    n_classes = len({label for of_record in labels for label in of_record})
    for name in unused:
        values = [row[name] for row in rows if row[name]]
        n_values = len(set(values))
        shared = max(n_classes + 1, 2, len(values) / _RECORDS_OF_A_PATIENT) <= n_values < len(values)
        words = {word.lower() for word in re.findall("[A-Z]?[a-z]+|[A-Z]+", name)}
        is_common = words & set(_SHARED.split()) or all(_DAY.fullmatch(value) for value in values)
        by_value = not is_common and all(_ID.fullmatch(value) for value in values)
        if shared and (words & _OF_IDS or by_value):
            raise LfbtError(
                f"table {table}: no column patient, but records share values of {name!r}, such as "
                f"{next(value for value in values if values.count(value) > 1)!r}, as those of one patient do; rename "
                "it to patient if they are, or add that column, or remove this one"
            )


def _by_name(entries: Sequence[Entry]) -> dict[str, str]:
    """Map the names that a table may use to ids: each id itself, and the stems and file names that are unique."""
    named: dict[str, set[str]] = {}
    for entry in entries:
        stem = entry.id.rsplit("/", 1)[-1]
        for name in (stem, f"{entry.id}{entry.file.suffix}", f"{stem}{entry.file.suffix}"):
            named.setdefault(name, set()).add(entry.id)
    unique = {name: next(iter(ids)) for name, ids in named.items() if len(ids) == 1}
    return unique | {entry.id: entry.id for entry in entries}
