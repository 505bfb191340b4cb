"""Synthetic ECG as a source: written once in PTB-XL's published form, then listed as PTB-XL is."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from lfbt.errors import LfbtError
from lfbt.sources.listing import Listing
from lfbt.sources.ptbxl import PtbXl
from lfbt.sources.synthesis import MARKER, made_with, write_ptbxl
from lfbt.utils.files import atomic_folder
from lfbt.utils.json_files import read_json

Labels = Literal["superclass", "none"]


@dataclasses.dataclass(frozen=True)
class Synthetic:
    """Synthetic 12-lead ECG for trials and tests: no patient's data, and no evidence about real ECG.

    A folder that is absent or empty is filled first, in PTB-XL's published form; a folder that was filled before must
    have been filled with the same records and seed.
    """

    records: int = 600
    """How many records to write."""
    seed: int = 0
    """The seed of all randomness."""
    labels: Labels = "superclass"
    """What the labels are: the five superclasses of PTB-XL, or none."""

    def listing(self, folder: Path) -> Listing:
        """The synthetic records in `folder`, written there first if it is absent or empty. Raises LfbtError."""
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            with atomic_folder(folder) as unfinished:
                write_ptbxl(unfinished, self.records, self.seed)
        if not (folder / MARKER).is_file():
            raise LfbtError(f"synthetic: {folder} holds no synthetic records (no {MARKER}); give a new or empty folder")
        found, wanted = read_json(folder / MARKER), made_with(self.records, self.seed)
        if found != wanted:
            raise LfbtError(
                f"synthetic: {folder} was made with {_shown(found)}, not {_shown(wanted)}; ask for those or give a new "
                "or empty folder"
            )
        listing = PtbXl(labels=self.labels).listing(folder)
        return dataclasses.replace(listing, label_rule=f"SYNTHETIC ECG, not patients: {listing.label_rule}")


def _shown(marker: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in marker.items())
