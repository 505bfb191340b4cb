"""ZZU pECG, the paediatric ECG database of Zhengzhou University, as published on figshare: a table and WFDB records."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

from lfbt.errors import LfbtError
from lfbt.io import read_wfdb
from lfbt.sources.finding import check_labelled, check_unique, files_below, iter_table, not_found, only_file, patient_id
from lfbt.sources.listing import Dropped, Entry, Listing, Published

_TABLE = "AttributesDictionary.csv"
_RULES = {
    "findings": f"the entries of AHA_code in {_TABLE}, each once: codes, or words where the AHA has no code; what "
    "follows a + (a modifier) is left out",
    "none": "no labels were read",
}


@dataclasses.dataclass(frozen=True)
class Zzu:
    """ZZU pECG, as unpacked from figshare: AttributesDictionary.csv and Child_ecg/P00/P00001/P00001_E01.hea ....

    The ECGs of children, 5 to 120 s at 500 Hz. Patients are the Patient_ID of the table. 1,856 records lack V2, V4 and
    V6, and are dropped unless --leads asks for none of these.
    """

    published: ClassVar[Published] = Published(
        where="https://doi.org/10.6084/m9.figshare.27078763",
        licence="CC BY 4.0",
        records=14_190,
        patients=11_643,
        labels="none, findings (AHA codes)",
        tried="written files",
    )
    labels: Literal["none", "findings"] = "none"
    """What the labels are: none, or the findings by their AHA codes; nearly all records have several."""

    def listing(self, folder: Path) -> Listing:
        """List the records of the download in `folder`. Raises LfbtError if it is not one."""
        files = files_below(folder)
        table = only_file(files, _TABLE, folder, "zzu")
        present = set(files)
        entries, dropped = [], []
        columns = ["ECG_ID", "Patient_ID", "Filename", "Sampling_point", "AHA_code"]
        for name, patient, path, n_samples, codes in iter_table(table, columns):
            # P00/P00001/P00001_E01: a shifted column would exchange patients.
            if path.split("/")[-2:] != [patient, name] or ".." in path.split("/"):
                raise LfbtError(
                    f"table {table}: Filename {path!r} is not that of ECG_ID {name!r} and Patient_ID {patient!r}; "
                    "download the table again"
                )
            header = table.parent / "Child_ecg" / f"{path}.hea"
            if header not in present:
                dropped.append(Dropped(name, f"Child_ecg/{path}.hea", "file absent"))
            elif not n_samples.isdecimal():
                raise LfbtError(f"table {table}: record {name} has Sampling_point {n_samples!r}, which is not a number")
            else:
                labels = _findings(codes) if self.labels != "none" else ()
                entries.append(
                    Entry(name, patient_id(patient, table, name), header, read_wfdb, labels, n_samples=int(n_samples))
                )
        if not entries:
            raise not_found(folder, files, "zzu", f"any record that {_TABLE} names, below Child_ecg/")
        check_unique((entry.id for entry in entries), f"table {table}")
        check_labelled(entries, self.labels, folder)
        classes = tuple(sorted({label for entry in entries for label in entry.labels}))
        return Listing(entries, classes, _RULES[self.labels], dropped)


def _findings(codes: str) -> tuple[str, ...]:
    """Read the findings of ``'C21';'L145+Modifier362';'Left ventricular high voltage'``.

    >>> _findings("'C21';'L145+Modifier362';'Left ventricular high voltage'")
    ('C21', 'L145', 'Left ventricular high voltage')
    """
    names = (part.strip().strip("'").partition("+")[0].strip() for part in codes.split(";"))
    return tuple(dict.fromkeys(name for name in names if name not in ("", "Null")))
