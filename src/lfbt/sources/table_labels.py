"""Labels in a user's table: a column of names, or a column of 0 and 1 for each class."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from lfbt.errors import LfbtError
from lfbt.sources.finding import clean_id

Labels = list[tuple[str, ...]]

_FLAGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
# Columns of 0 and 1 that are no classes.
_OF_PERSONS = re.compile("(sex|gender|sexe|sexo|geschlecht|male|female)", re.IGNORECASE)
# What separates labels elsewhere, and is seldom in the name of one; and whatever else could.
_SEPARATOR = re.compile(r"[,/|+&\\\t]")
_OTHER = re.compile(r"[^\w.]+|_")


def read_labels(
    rows: Sequence[Mapping[str, str]], others: Sequence[str], table: Path
) -> tuple[Labels, str, str, list[str]]:
    """Read the labels of each row.

    Parameters
    ----------
    rows
        Cells by column; labels are in the column ``label``, separated by ``;``. Without it, two or more columns of 0
        and 1 are classes, if these are all of `others` (but for the sex).
    others
        The columns that have no meaning by their names.
    table
        Where they are from, for messages.

    Returns
    -------
    list of tuple of str
        The labels of each row, sorted.
    str
        The label rule.
    str
        What is assumed, or empty.
    list of str
        Those of `others` that are no classes.

    Raises
    ------
    LfbtError
        For labels that are likely separated otherwise, and for columns of 0 and 1 among others.
    """
    if rows and "label" in rows[0]:
        labels = [tuple(sorted({clean_id(part) for part in row["label"].split(";")} - {""})) for row in rows]
        note = _check_separators(labels, table)
        return labels, f"the column label of {table.name}, several labels separated by a semicolon", note, list(others)
    candidates = [name for name in others if not _OF_PERSONS.fullmatch(name)]
    classes = [name for name in candidates if all(row[name].lower() in _FLAGS for row in rows)]
    if len(classes) < 2:
        return [()] * len(rows), f"no labels were read, as {table.name} has no column label", "", list(others)
    if classes != candidates:
        other = next(name for name in candidates if name not in classes)
        raise LfbtError(
            f"table {table}: no column label, but {', '.join(classes)} hold 0 and 1, as columns of classes do, beside "
            f"{other}, which does not; leave only one kind of them beside record, patient and split, or write the "
            "classes into a column label, as a;b"
        )
    if broken := [name for name in classes if ";" in name]:
        raise LfbtError(f"table {table}: the column {broken[0]!r} cannot be a class, as ; separates labels; rename it")
    if not any(_FLAGS[row[name].lower()] for row in rows for name in classes):
        raise LfbtError(f"table {table}: no column label, and {', '.join(classes)} are 0 for all records; fill one")
    labels = [tuple(sorted(name for name in classes if _FLAGS[row[name].lower()])) for row in rows]
    rule = f"the columns {', '.join(classes)} of {table.name}, a class each, where they are 1"
    return labels, rule, "", [name for name in others if name not in classes]


def _check_separators(labels: Labels, table: Path) -> str:
    """Name the labels that hold what separates labels elsewhere. Raises LfbtError where it likely does so here."""
    counts = Counter(label for of_row in labels for label in of_row)
    parts_of = {label: _parts(_SEPARATOR, label) for label in counts}
    used = Counter(part for parts in parts_of.values() for part in set(parts))
    for label, parts in parts_of.items():
        if label[:1] + label[-1:] in ("[]", "{}", "()"):
            raise LfbtError(f"table {table}: label {label!r} is written as a list; write {';'.join(parts)!r}")
        shared = len(parts) > 1 and any(used[part] > 1 for part in parts)
        words = _parts(_OTHER, label)
        if shared or (len(words) > 1 and all(word in counts for word in words)):
            several = ";".join(parts if shared else words)
            raise LfbtError(
                f"table {table}: label {label!r} is likely several, as other rows have a part of it; write "
                f"{several!r}, or, if it is one, name it without a separator"
            )
    kept = [label for label, parts in parts_of.items() if len(parts) > 1]
    return f"one label each: {', '.join(map(repr, kept[:5]))}; only ; separates labels" if kept else ""


def _parts(separator: re.Pattern[str], label: str) -> list[str]:
    """The names between separators, without brackets and quotes."""
    return [part for piece in separator.split(label) if (part := piece.strip(" []{}()'\""))]
