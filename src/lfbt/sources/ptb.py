"""The PTB Diagnostic ECG Database as published on PhysioNet: WFDB records of 15 leads, in a folder a patient."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import ClassVar, Literal

from lfbt.errors import LfbtError
from lfbt.io import read_wfdb
from lfbt.sources.finding import check_labelled, check_unique, files_below, not_found
from lfbt.sources.listing import Dropped, Entry, Listing, Published
from lfbt.utils.opening import read_text

_REASON = re.compile(r"^#[ \t]*Reason for admission[ \t]*:(.*)$", re.MULTILINE | re.IGNORECASE)
_RULES = {
    "diagnosis": "the Reason for admission in the header, as it stands there (; as a comma); n/a is no label",
    "none": "no labels were read",
}


@dataclasses.dataclass(frozen=True)
class Ptb:
    """PTB Diagnostic ECG Database, as unpacked from PhysioNet: patient001/s0010_re.hea ..., 32 to 120 s at 1000 Hz.

    A folder is a patient. The three Frank leads are left out. Signals are in two files each (.dat and .xyz), for which
    it needs pip install 'lfbt[formats]'.
    """

    published: ClassVar[Published] = Published(
        where="https://physionet.org/content/ptbdb/1.0.0/",
        licence="ODC-By 1.0",
        records=549,
        patients=290,
        labels="diagnosis, none",
        gigabytes=1.7,
        tried="written files",
    )
    labels: Literal["diagnosis", "none"] = "diagnosis"
    """What the labels are: the reason for admission, or none."""

    def listing(self, folder: Path) -> Listing:
        """List the records of the download in `folder`. Raises LfbtError if it is not one."""
        files = files_below(folder)
        headers = [file for file in files if file.suffix == ".hea" and re.fullmatch(r"patient\d{3}", file.parent.name)]
        if not headers:
            raise not_found(folder, files, "ptb", "any header in a patient's folder, such as patient001/s0010_re.hea")
        entries, dropped = [], []
        for header in headers:
            try:
                reasons = _reasons(header) if self.labels != "none" else []
            except OSError as error:
                dropped.append(Dropped(header.stem, str(header), f"header unreadable: {error}"))
                continue
            if len(reasons) > 1:
                reason = f"several reasons for admission: {' and '.join(map(repr, reasons))}"
                dropped.append(Dropped(header.stem, str(header), reason))
            else:
                labels = tuple(reason for reason in reasons if reason.lower() not in ("", "n/a"))
                entries.append(Entry(header.stem, header.parent.name, header, read_wfdb, labels))
        check_unique((entry.id for entry in entries), f"folder {folder}")
        check_labelled(entries, self.labels, folder)
        classes = tuple(sorted({label for entry in entries for label in entry.labels}))
        return Listing(entries, classes, _RULES[self.labels], dropped)


def _reasons(header: Path) -> list[str]:
    """Read each reason for admission in a header's comments. Raises OSError, and LfbtError if there is none."""
    found = _REASON.findall(read_text(header, errors="replace"))
    if not found:
        raise LfbtError(f"file {header}: no comment 'Reason for admission', which each header of PTB has")
    return list(dict.fromkeys(reason.strip().replace(";", ",") for reason in found))
