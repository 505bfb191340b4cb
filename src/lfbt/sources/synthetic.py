"""Synthetic ECG as a source: generated once in the published form of PTB-XL, then listed as PTB-XL is."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from lfbt.errors import LfbtError
from lfbt.sources.listing import Listing
from lfbt.sources.ptbxl import PtbXl
from lfbt.sources.synthesis import MARKER, marker_content, write_ptbxl
from lfbt.utils.files import atomic_folder, read_json
from lfbt.utils.settings import Range, Seed, check_range

Labels = Literal["superclass", "none"]


@dataclasses.dataclass(frozen=True)
class Synthetic:
    """Synthetic 12-lead ECG for trials and tests: no patient's data, and no evidence about real ECG.

    The records are written to FROM, in the published form of PTB-XL, if that folder is absent or empty. Records that
    are there already must have been generated with the same number and seed.
    """

    records: Annotated[int, Range("[1, 99999]")] = 600
    """How many records to generate."""
    seed: Seed = 0
    """Seed of all randomness."""
    labels: Labels = "superclass"
    """What the labels are: the five superclasses of PTB-XL, or none."""

    def listing(self, folder: Path) -> Listing:
        """List the synthetic records in `folder`, written there first if it is absent or empty. Raises LfbtError."""
        check_range("seed", self.seed, "[0, 4294967295]")
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            with atomic_folder(folder) as unfinished:
                write_ptbxl(unfinished, self.records, self.seed)
        if not (folder / MARKER).is_file():
            raise LfbtError(f"synthetic: {folder} holds no synthetic records (no {MARKER}); give a new or empty folder")
        found, wanted = read_json(folder / MARKER), marker_content(self.records, self.seed)
        if found != wanted:
            raise LfbtError(
                f"synthetic: {folder} was generated with {_as_text(found)}, not {_as_text(wanted)}; ask for those or "
                "give a new or empty folder"
            )
        listing = PtbXl(labels=self.labels).listing(folder)
        return dataclasses.replace(listing, label_rule=f"SYNTHETIC ECG, not patients: {listing.label_rule}")


def _as_text(marker: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in marker.items())
