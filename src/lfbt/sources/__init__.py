"""Sources of recordings: published downloads and a user's own files. Each lists the recordings in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from lfbt.sources.challenge import Challenge, Ningbo
from lfbt.sources.chapman import Chapman
from lfbt.sources.cpsc2018 import Cpsc2018
from lfbt.sources.folder import Folder
from lfbt.sources.listing import Listing
from lfbt.sources.ptbxl import PtbXl
from lfbt.sources.synthetic import Synthetic

__all__ = [
    "SOURCES",
    "Challenge",
    "Chapman",
    "Cpsc2018",
    "Folder",
    "Ningbo",
    "PtbXl",
    "Source",
    "Synthetic",
    "listing",
    "synthesis",
]


class Source(Protocol):
    """A source: a frozen dataclass of options that lists the recordings in a folder."""

    def listing(self, folder: Path) -> Listing:
        """List the recordings below `folder`, in a stable order. Raises LfbtError if it is not of this source."""
        ...


#: The sources by their names on the command line.
SOURCES: dict[str, type[Source]] = {
    "ptbxl": PtbXl,
    "cpsc2018": Cpsc2018,
    "chapman": Chapman,
    "ningbo": Ningbo,
    "challenge": Challenge,
    "folder": Folder,
    "synthetic": Synthetic,
}
