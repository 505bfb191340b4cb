"""The ECG data set of Shandong Provincial Hospital, as published on figshare: a table, and one HDF5 file a record."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import ClassVar, Literal

from lfbt.errors import LfbtError
from lfbt.io import read_hdf5
from lfbt.recording import STANDARD_LEADS
from lfbt.sources.finding import check_unique, files_below, iter_table, not_found, only_file, patient_id, unique_names
from lfbt.sources.listing import Dropped, Entry, Listing, Published

_RULES = {
    "statements": "the primary statements of AHA_Code in metadata.csv, by their AHA/ACC/HRS codes (1 is a normal ECG), "
    "each once; modifiers (+310) are left out",
    "none": "no labels were read",
}


@dataclasses.dataclass(frozen=True)
class Sph:
    """Shandong Provincial Hospital (SPH), as unpacked from figshare: metadata.csv and records/A00001.h5 ....

    The signals are in mV at 500 Hz and last 10 to 60 s. Patients are the Patient_ID of the table. records.tar.gz is a
    plain archive: tar -xf unpacks it. It needs pip install 'lfbt[hdf5]'.
    """

    published: ClassVar[Published] = Published(
        where="https://doi.org/10.6084/m9.figshare.c.5779802",
        licence="CC BY 4.0",
        records=25_770,
        patients=24_666,
        labels="statements (44 AHA codes), none",
        tried="written files",
    )
    labels: Literal["statements", "none"] = "statements"
    """What the labels are: the AHA codes of the primary statements, or none."""

    def listing(self, folder: Path) -> Listing:
        """List the records of the download in `folder`. Raises LfbtError if it is not one."""
        files = files_below(folder)
        table = only_file(files, "metadata.csv", folder, "sph")
        by_name = unique_names((file for file in files if file.suffix == ".h5"), "sph")
        if not by_name:
            raise not_found(folder, files, "sph", "any record that metadata.csv names, such as records/A00001.h5")
        reader = functools.partial(read_hdf5, dataset="ecg", leads=STANDARD_LEADS, sampling_rate=500.0, unit="mV")
        entries, dropped = [], []
        for name, codes, patient, n_samples in iter_table(table, ["ECG_ID", "AHA_Code", "Patient_ID", "N"]):
            labels = _statements(codes, table, name) if self.labels != "none" else ()
            if name not in by_name:
                dropped.append(Dropped(name, f"records/{name}.h5", "file absent"))
            elif not n_samples.isdecimal():
                raise LfbtError(f"table {table}: record {name} has N {n_samples!r}, which is not a number of samples")
            else:
                entries.append(
                    Entry(
                        name, patient_id(patient, table, name), by_name[name], reader, labels, n_samples=int(n_samples)
                    )
                )
        check_unique((entry.id for entry in entries), f"table {table}")
        classes = tuple(sorted({label for entry in entries for label in entry.labels}, key=int))
        return Listing(entries, classes, _RULES[self.labels], dropped)


def _statements(codes: str, table: Path, name: str) -> tuple[str, ...]:
    """Read the primary codes of ``60+310;147``: statements apart by ;, each a primary code and its modifiers."""
    primary = dict.fromkeys(statement.split("+")[0].strip() for statement in codes.split(";"))
    for code in primary:
        if not code.isdecimal():
            raise LfbtError(
                f"table {table}: record {name} has AHA_Code {codes!r}; a statement is a number, such as 60+310"
            )
    return tuple(sorted(primary, key=int))
