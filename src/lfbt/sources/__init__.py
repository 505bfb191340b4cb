"""Sources of recordings: published downloads and a user's own files. Each lists the recordings in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from lfbt.sources.challenge import Arrhythmia, Challenge, CpscExtra, Georgia, Ningbo
from lfbt.sources.chapman import Chapman
from lfbt.sources.code import Code15, CodeTest, SamiTrop
from lfbt.sources.cpsc2018 import Cpsc2018
from lfbt.sources.echonext import EchoNext
from lfbt.sources.folder import Folder, signal_files, table_column
from lfbt.sources.incart import Incart
from lfbt.sources.listing import Listing, Published
from lfbt.sources.mimic_iv_ecg import MimicIvEcg
from lfbt.sources.ptb import Ptb
from lfbt.sources.ptbxl import PtbXl
from lfbt.sources.sph import Sph
from lfbt.sources.synthetic import Synthetic
from lfbt.sources.zzu import Zzu

__all__ = [
    "SOURCES",
    "Arrhythmia",
    "Challenge",
    "Chapman",
    "Code15",
    "CodeTest",
    "Cpsc2018",
    "CpscExtra",
    "EchoNext",
    "Folder",
    "Georgia",
    "Incart",
    "MimicIvEcg",
    "Ningbo",
    "Ptb",
    "PtbXl",
    "Published",
    "SamiTrop",
    "Source",
    "Sph",
    "Synthetic",
    "Zzu",
    "listing",
    "ptbxl",
    "published_as",
    "signal_files",
    "synthesis",
    "synthetic_downloads",
    "table_column",
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
    "arrhythmia": Arrhythmia,
    "georgia": Georgia,
    "cpsc-extra": CpscExtra,
    "mimic-iv-ecg": MimicIvEcg,
    "code15": Code15,
    "code-test": CodeTest,
    "sami-trop": SamiTrop,
    "sph": Sph,
    "ptb": Ptb,
    "incart": Incart,
    "zzu": Zzu,
    "echonext": EchoNext,
    "folder": Folder,
    "synthetic": Synthetic,
}


def published_as(name: str) -> Published | None:
    """Return what is published of a source; None for a user's own files and synthetic ECG."""
    published: Published | None = getattr(SOURCES[name], "published", None)
    return published
