"""Chapman-Shaoxing as published on figshare: one CSV a record and a workbook of diagnoses."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import ClassVar, Literal

from lfbt.errors import LfbtError
from lfbt.io import isolated, read_csv
from lfbt.recording import STANDARD_LEADS
from lfbt.sources.finding import check_unique, files_below, not_found, only_file, unique_names
from lfbt.sources.listing import Dropped, Entry, Listing, Published

Labels = Literal["merged", "rhythm", "none"]

#: The rhythms of each merged class, as in the data set's paper. Sinus irregularity is SA in Diagnostics.xlsx and SI in
#: RhythmNames.xlsx.
MERGED = {
    "AFIB": ("AFIB", "AF"),
    "GSVT": ("SVT", "AT", "SAAWR", "ST", "AVNRT", "AVRT"),
    "SB": ("SB",),
    "SR": ("SR", "SA"),
}
_MERGED_OF = {rhythm: name for name, rhythms in MERGED.items() for rhythm in rhythms}
_RULES = {
    "merged": "the Rhythm of Diagnostics.xlsx merged to "
    + "; ".join(f"{name} ({', '.join(rhythms)})" for name, rhythms in MERGED.items()),
    "rhythm": "the Rhythm of Diagnostics.xlsx as it stands there (SI as SA)",
    "none": "no labels were read",
}


@dataclasses.dataclass(frozen=True)
class Chapman:
    """Chapman-Shaoxing, as unpacked from figshare: Diagnostics.xlsx and one CSV a record (ECGData or ECGDataDenoised).

    The CSV files are in microvolts at 500 Hz, with or without a header row of lead names. No patients are published:
    each record counts as one. There is no official split.
    """

    published: ClassVar[Published] = Published(
        where="https://doi.org/10.6084/m9.figshare.c.4560497",
        licence="CC BY 4.0",
        records=10_646,
        patients=None,
        labels="merged (4 rhythms), rhythm (11), none",
        tried="real tables, written files",
    )
    labels: Labels = "merged"
    """What the labels are: the paper's four merged rhythms, the eleven rhythms, or none."""

    def listing(self, folder: Path) -> Listing:
        """List the records of the download in `folder`. Raises LfbtError if it is not one."""
        files = files_below(folder)
        table = only_file(files, "Diagnostics.xlsx", folder, "chapman")
        rhythm_of = _rhythm_of(table)
        by_name = unique_names((f for f in files if f.suffix.lower() == ".csv" and f.stem in rhythm_of), "chapman")
        if not by_name:
            raise not_found(folder, files, "chapman", "any record that Diagnostics.xlsx names, one .csv each")
        reader = functools.partial(read_csv, leads=STANDARD_LEADS, sampling_rate=500.0, unit="uV")
        class_of = {"merged": _MERGED_OF, "rhythm": {rhythm: rhythm for rhythm in _MERGED_OF}, "none": {}}[self.labels]
        entries = [
            Entry(name, name, by_name[name], reader, (class_of[rhythm],) if class_of else ())
            for name, rhythm in rhythm_of.items()
            if name in by_name
        ]
        dropped = [Dropped(name, f"{name}.csv", "file absent") for name in rhythm_of if name not in by_name]
        return Listing(entries, tuple(dict.fromkeys(class_of.values())), _RULES[self.labels], dropped)


def _rhythm_of(table: Path) -> dict[str, str]:
    """Read the rhythm of every record from Diagnostics.xlsx, in its order."""
    names, rhythms = _read_columns(table, ("FileName", "Rhythm"))
    rhythms = ["SA" if rhythm == "SI" else rhythm for rhythm in rhythms]
    check_unique(names, f"table {table}")
    for name, rhythm in zip(names, rhythms, strict=True):
        if rhythm not in _MERGED_OF:
            raise LfbtError(f"table {table}: record {name} has rhythm {rhythm!r}; allowed: {', '.join(_MERGED_OF)}")
    return dict(zip(names, rhythms, strict=True))


@isolated()
def _read_columns(table: Path, names: tuple[str, ...]) -> list[list[str]]:
    """Read columns of a workbook by their names, as stripped text."""
    import pandas as pd

    try:
        rows = pd.read_excel(table, engine="openpyxl", dtype=str, keep_default_na=False)
    except Exception as error:
        raise LfbtError(f"table {table}: cannot be read as a workbook ({error}); download it again") from error
    absent = [name for name in names if name not in rows.columns]
    if absent:
        present = ", ".join(map(str, rows.columns)) or "none"
        raise LfbtError(f"table {table}: no column {', '.join(absent)} among {present}; download it again")
    return [[str(cell).strip() for cell in rows[name]] for name in names]
