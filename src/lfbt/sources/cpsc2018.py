"""CPSC2018 as published by the China Physiological Signal Challenge 2018."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

from lfbt.errors import LfbtError
from lfbt.io import read_cpsc_mat
from lfbt.sources.finding import check_labelled, files_below, not_found, read_table, unique_names
from lfbt.sources.listing import Dropped, Entry, Listing, Published

Labels = Literal["diagnosis", "none"]

#: The classes of the published codes 1 to 9.
CLASSES = ("Normal", "AF", "I-AVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE")
_CLASS_OF = {str(code): name for code, name in enumerate(CLASSES, start=1)}
_RULES = {
    "diagnosis": "First_label, Second_label and Third_label of REFERENCE.csv as filled in, codes 1 to 9 as "
    + ", ".join(CLASSES)
    + "; a label given twice counts as two",
    "none": "no labels were read",
}


@dataclasses.dataclass(frozen=True)
class Cpsc2018:
    """CPSC2018, as unpacked from the challenge's site: REFERENCE.csv and A0001.mat ... in any sub-folders.

    No patients are published: each record counts as one. There is no official split.
    """

    published: ClassVar[Published] = Published(
        where="http://2018.icbeb.org/Challenge.html",
        licence="open for research",
        records=6_877,
        patients=None,
        labels="diagnosis (9), none",
        tried="real files",
    )
    labels: Labels = "diagnosis"
    """What the labels are: the nine diagnoses, or none."""

    def listing(self, folder: Path) -> Listing:
        """List the records of the download in `folder`. Raises LfbtError if it is not one."""
        files = files_below(folder)
        tables = [file for file in files if file.name == "REFERENCE.csv"]
        if not tables:
            raise not_found(folder, files, "cpsc2018", "REFERENCE.csv")
        labels_of = _labels_of(tables)
        by_name = unique_names((f for f in files if f.suffix.lower() == ".mat" and f.stem in labels_of), "cpsc2018")
        if not by_name:
            raise not_found(folder, files, "cpsc2018", "any record that REFERENCE.csv names, such as A0001.mat")
        wanted = self.labels != "none"
        entries = [
            Entry(name, name, by_name[name], read_cpsc_mat, labels if wanted else ())
            for name, labels in labels_of.items()
            if name in by_name
        ]
        check_labelled(entries, self.labels, folder)
        dropped = [Dropped(name, f"{name}.mat", "file absent") for name in labels_of if name not in by_name]
        return Listing(entries, CLASSES if wanted else (), _RULES[self.labels], dropped)


def _labels_of(tables: list[Path]) -> dict[str, tuple[str, ...]]:
    """Read the labels of every record in `tables`, which may repeat a record but not contradict each other.

    A label that a row gives twice (A0953 of the published table) is kept twice: 6,400 rows have one label filled in.
    """
    labels_of: dict[str, tuple[str, ...]] = {}
    columns = ["First_label", "Second_label", "Third_label"]
    for table in tables:
        for row in read_table(table, ["Recording", *columns]):
            name, found = row["Recording"], []
            for code in filter(None, (row[column].removesuffix(".0") for column in columns)):
                if code not in _CLASS_OF:
                    raise LfbtError(f"table {table}: record {name} has label {code!r}; allowed: 1 to 9")
                found.append(_CLASS_OF[code])
            labels = tuple(sorted(found, key=CLASSES.index))
            if labels_of.setdefault(name, labels) != labels:
                raise LfbtError(f"table {table}: record {name} has two rows with different labels; keep one of them")
    return labels_of
