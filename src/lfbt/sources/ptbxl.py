"""PTB-XL as published on PhysioNet: two tables, and WFDB records at 500 and 100 Hz."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from lfbt.errors import LfbtError
from lfbt.io import read_wfdb
from lfbt.sources.finding import check_labelled, check_unique, clean_id, files_below, not_found, only_file, read_table
from lfbt.sources.listing import Dropped, Entry, Listing, Published

Labels = Literal["superclass", "subclass", "diagnostic", "form", "rhythm", "statements", "none"]

SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
_RULES = {
    "superclass": "the diagnostic superclasses of all diagnostic SCP codes of a record, whatever their likelihood",
    "subclass": "the diagnostic subclasses of all diagnostic SCP codes of a record, whatever their likelihood",
    "diagnostic": "the diagnostic SCP codes of a record, whatever their likelihood",
    "form": "the SCP codes of a record that state a form, whatever their likelihood",
    "rhythm": "the SCP codes of a record that state a rhythm, whatever their likelihood",
    "statements": "all SCP codes of a record, whatever their likelihood",
    "none": "no labels were read",
}
# The folds that the authors of PTB-XL recommend: all records of 9 and 10 were validated by people.
_SPLITS = {str(fold): "train" for fold in range(1, 9)} | {"9": "val", "10": "test"}
_SEXES: dict[str, Literal["", "female", "male"]] = {"0": "male", "1": "female"}
# The table has 300 for those over 89, so that nobody is recognised by their age.
_OVER_89, _OLDEST = 300.0, 90.0


@dataclasses.dataclass(frozen=True)
class PtbXl:
    """PTB-XL, as unpacked from PhysioNet: ptbxl_database.csv, scp_statements.csv and records500 or records100.

    The official folds are the split (1-8 train, 9 val, 10 test), patients are those of the table. The 500 Hz records
    are read where there are any, otherwise those of 100 Hz.
    """

    published: ClassVar[Published] = Published(
        where="https://physionet.org/content/ptb-xl/1.0.3/",
        licence="CC BY 4.0",
        records=21_799,
        patients=18_869,
        labels="superclass (5), subclass (23), diagnostic (44), form (19), rhythm (12), statements (71), none",
        gigabytes=3.0,
        tried="real files",
    )
    labels: Labels = "superclass"
    """What the labels are: the 5 diagnostic superclasses, the subclasses, the diagnostic, form or rhythm statements,
    all 71 statements, or none."""

    def listing(self, folder: Path) -> Listing:
        """List the records of the download in `folder`. Raises LfbtError if it is not one."""
        files = files_below(folder)
        table = only_file(files, "ptbxl_database.csv", folder, "ptbxl")
        class_of = _class_of(_statements(files, folder), self.labels)
        rows = read_table(table, ["ecg_id", "patient_id", "scp_codes", "strat_fold", "filename_lr", "filename_hr"])
        check_unique((row["ecg_id"] for row in rows), f"table {table}")
        present = {file for file in files if file.suffix == ".hea"}
        for column in ("filename_hr", "filename_lr"):
            paths = [table.parent / f"{row[column]}.hea" for row in rows]
            if any(path in present for path in paths):
                break
        else:
            raise not_found(folder, files, "ptbxl", "any record that ptbxl_database.csv names, such as records500/")
        classes = _classes(class_of, self.labels)
        entries, dropped = [], []
        for row, path in zip(rows, paths, strict=True):
            if path not in present:
                dropped.append(Dropped(row["ecg_id"], f"{row[column]}.hea", "file absent"))
                continue
            found = set() if self.labels == "none" else {class_of[code] for code in _codes(row, class_of, table)}
            entries.append(
                Entry(
                    id=row["ecg_id"],
                    patient=_patient(row, table),
                    file=path,
                    reader=read_wfdb,
                    labels=tuple(name for name in classes if name in found),
                    split=_split(row, table),
                    sex=_SEXES.get(row.get("sex", "").removesuffix(".0"), ""),
                    age=_age(row.get("age", "")),
                )
            )
        check_labelled(entries, self.labels, folder)
        return Listing(entries, classes if self.labels != "none" else (), _RULES[self.labels], dropped)


def read_classes(folder: Path, labels: Labels) -> tuple[dict[str, str], tuple[str, ...]]:
    """Read what a label rule makes of the SCP codes of a download.

    Parameters
    ----------
    folder : Path
        The download.
    labels : str
        The label rule, other than none.

    Returns
    -------
    class_of : dict
        The class of every SCP code, empty where it has none.
    classes : tuple of str
        The classes in column order.

    Raises
    ------
    LfbtError
        Where the folder has no table of statements, or one that lacks a column.
    """
    class_of = _class_of(_statements(files_below(folder), folder), labels)
    return class_of, _classes(class_of, labels)


def _statements(files: Sequence[Path], folder: Path) -> Path:
    return only_file(files, "scp_statements.csv", folder, "ptbxl")


def _classes(class_of: dict[str, str], labels: Labels) -> tuple[str, ...]:
    return SUPERCLASSES if labels == "superclass" else tuple(dict.fromkeys(filter(None, class_of.values())))


def _class_of(table: Path, labels: Labels) -> dict[str, str]:
    """Read the class of every SCP code, in the table's order; empty for a code that has none under `labels`."""
    # A column that says with 1.0 which codes are of a kind.
    marked = labels if labels in ("form", "rhythm") else "diagnostic"
    rows = read_table(table, [marked, "diagnostic_class", "diagnostic_subclass"])
    code_column = next(iter(rows[0])) if rows else ""
    if labels == "statements":
        return {row[code_column]: row[code_column] for row in rows}
    column = {"subclass": "diagnostic_subclass", "diagnostic": code_column, "form": code_column, "rhythm": code_column}
    class_of = {
        row[code_column]: row[column.get(labels, "diagnostic_class")] if row[marked] in ("1", "1.0") else ""
        for row in rows
    }
    unknown = sorted(set(class_of.values()) - {"", *SUPERCLASSES})
    if labels == "superclass" and unknown:
        raise LfbtError(f"table {table}: diagnostic_class {unknown[0]!r} is not one of {', '.join(SUPERCLASSES)}")
    return class_of


def _codes(row: dict[str, str], class_of: dict[str, str], table: Path) -> list[str]:
    """Parse the SCP codes of a record."""
    try:
        codes = list(ast.literal_eval(row["scp_codes"]).keys())
    except (ValueError, SyntaxError, AttributeError, TypeError, RecursionError, MemoryError) as error:
        raise LfbtError(
            f"table {table}: scp_codes {row['scp_codes']!r} of record {row['ecg_id']} is not a dict of codes; "
            "use the table as published"
        ) from error
    for code in codes:
        if code not in class_of:
            raise LfbtError(
                f"table {table}: record {row['ecg_id']} has SCP code {code!r}, which scp_statements.csv lacks; "
                "use the two tables of one release"
            )
    return codes


def _patient(row: dict[str, str], table: Path) -> str:
    """Read the patient's number, which the published table has as 15709.0."""
    number = clean_id(row["patient_id"])
    if not number.isdecimal():
        raise LfbtError(
            f"table {table}: patient_id {row['patient_id']!r} of record {row['ecg_id']} is not a whole number; "
            "use the table as published"
        )
    return str(int(number))


def _age(text: str) -> float | None:
    """Read an age in years, 90 for over 89; None for what is none.

    >>> _age("56.0"), _age("300"), _age("")
    (56.0, 90.0, None)
    """
    try:
        age = float(text)
    except ValueError:
        return None
    return _OLDEST if age == _OVER_89 else age if 0 <= age < _OLDEST else None


def _split(row: dict[str, str], table: Path) -> str:
    """Read the official split of a record's fold."""
    fold = row["strat_fold"].removesuffix(".0")
    if fold not in _SPLITS:
        raise LfbtError(
            f"table {table}: strat_fold {fold!r} of record {row['ecg_id']} is not 1 to 10; use the table as published"
        )
    return _SPLITS[fold]
