"""The St Petersburg INCART 12-lead Arrhythmia Database as published on PhysioNet: half-hour WFDB records."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import ClassVar

from lfbt.errors import LfbtError
from lfbt.io import read_wfdb
from lfbt.sources.finding import check_unique, files_below, not_found
from lfbt.sources.listing import Dropped, Entry, Listing, Published
from lfbt.utils.opening import read_text

_PATIENT = re.compile(r"^#[ \t]*patient[ \t]+(\d+)[ \t]*$", re.MULTILINE | re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Incart:
    """St Petersburg INCART 12-lead Arrhythmia Database, as unpacked from PhysioNet: I01.hea to I75.hea, 257 Hz.

    Each record is half an hour of Holter ECG, which gives 180 records of ten seconds. Patients are the numbers in the
    headers, most with several records. Unlabelled: the annotations are of beats, not of records.
    """

    published: ClassVar[Published] = Published(
        where="https://physionet.org/content/incartdb/1.0.0/",
        licence="ODC-By 1.0",
        records=75,
        patients=32,
        labels="none",
        gigabytes=0.8,
        tried="written files",
    )

    def listing(self, folder: Path) -> Listing:
        """List the records of the download in `folder`. Raises LfbtError if it is not one."""
        files = files_below(folder)
        headers = [file for file in files if re.fullmatch(r"I\d\d\.hea", file.name)]
        if not headers:
            raise not_found(folder, files, "incart", "any header I01.hea to I75.hea")
        entries, dropped = [], []
        for header in headers:
            patients = _patients(header)
            if len(patients) > 1:
                dropped.append(Dropped(header.stem, str(header), f"several patients: {' and '.join(patients)}"))
            else:
                entries.append(Entry(header.stem, patients[0], header, read_wfdb))
        check_unique((entry.id for entry in entries), f"folder {folder}")
        return Listing(entries, (), "no labels were read", dropped)


def _patients(header: Path) -> list[str]:
    """Read each patient's number in a header's comments. Raises LfbtError if there is none."""
    try:
        found = _PATIENT.findall(read_text(header, errors="replace"))
    except OSError as error:
        raise LfbtError(f"file {header}: cannot be read ({error}); download it again") from error
    if not found:
        raise LfbtError(f"file {header}: no comment '# patient N', which tells the patient; download it again")
    return list(dict.fromkeys(f"patient{int(number):02d}" for number in found))
