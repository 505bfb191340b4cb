"""MIMIC-IV-ECG as published on PhysioNet: a table of records, and WFDB records at 500 Hz."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path, PurePosixPath
from typing import ClassVar

from lfbt.errors import LfbtError
from lfbt.io import read_wfdb
from lfbt.sources.finding import check_folder, check_unique, files_below, iter_table, not_found
from lfbt.sources.listing import Dropped, Entry, Listing, Published

_TABLE = "record_list.csv"


@dataclasses.dataclass(frozen=True)
class MimicIvEcg:
    """MIMIC-IV-ECG, as unpacked from PhysioNet: record_list.csv and files/p1000/.... Unlabelled, for pretraining.

    Patients are the subject_id of the table. The reports in machine_measurements.csv are the recorder's own text, and
    are not read. Records that record_list.csv names and the folder lacks are dropped, so that a part of the download
    can be prepared.
    """

    published: ClassVar[Published] = Published(
        where="https://physionet.org/content/mimic-iv-ecg/1.0/",
        licence="ODbL 1.0",
        records=800_035,
        patients=161_352,
        labels="none",
        gigabytes=90.4,
        tried="written files",
    )

    def listing(self, folder: Path) -> Listing:
        """List the records of the download in `folder`. Raises LfbtError if it is not one."""
        check_folder(folder)
        table = _find_table(folder)
        if table is None:
            raise not_found(folder, files_below(folder), "mimic-iv-ecg", _TABLE)
        entries, dropped = [], []
        for patient, study, path in iter_table(table, ["subject_id", "study_id", "path"]):
            # files/p1000/p10000032/s40689238/40689238: a shifted column would exchange patients.
            parts = PurePosixPath(path).parts
            if (
                not patient
                or parts[-3:] != (f"p{patient}", f"s{study}", study)
                or not {"..", "/", "//"}.isdisjoint(parts)
            ):
                raise LfbtError(
                    f"table {table}: path {path!r} is not that of study_id {study!r} and subject_id {patient!r}; "
                    "download the table again"
                )
            header = table.parent / f"{path}.hea"
            # Faster than to list the download, which has a folder for each record.
            if os.path.isfile(header):  # noqa: PTH113
                entries.append(Entry(study, patient, header, read_wfdb))
            else:
                dropped.append(Dropped(study, f"{path}.hea", "file absent"))
        if not entries:
            raise not_found(
                folder, files_below(folder), "mimic-iv-ecg", f"any record that {_TABLE} names, below files/"
            )
        check_unique((entry.id for entry in entries), f"table {table}")
        return Listing(entries, (), "no labels were read", dropped)


def _find_table(folder: Path) -> Path | None:
    """Find the table of records, from the top: below it are a million folders."""
    for parent, folders, names in os.walk(folder):
        if _TABLE in names:
            return Path(parent, _TABLE)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
    return None
