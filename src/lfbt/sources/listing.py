"""What is published of a source, and what it finds in a folder: recordings not read yet, and those ruled out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from lfbt.errors import UnreadableError
from lfbt.recording import Recording

SPLITS = ("train", "val", "test")
_PHYSIONET = "https://physionet.org/"
# A licence that asks for an account.
_RESTRICTED = "PhysioNet Restricted"


@dataclasses.dataclass(frozen=True)
class Published:
    """A published data set.

    Parameters
    ----------
    where : str
        Its address.
    licence : str
        Under which it is published.
    records : int
        How many there are.
    patients : int or None
        How many are told apart; None where none are, so that each record counts as a patient.
    labels : str
        What the source can give as labels; the first is the default.
    gigabytes : float or None
        Size of the download as its page states it; None where it is not known for certain.
    tried
        What the source was tried on: some of the published files, their tables only, or files that the tests write in
        the published form.
    part : str
        On PhysioNet, the folder of the download that is needed; empty for all of it.
    """

    where: str
    licence: str
    records: int
    patients: int | None
    labels: str
    gigabytes: float | None = None
    tried: Literal["real files", "real tables, written files", "written files", "nothing"] = "nothing"
    part: str = ""

    def commands(self, source: str) -> list[str]:
        """List the commands to download the data set, as PhysioNet shows them, and to prepare it as `source`."""
        if self.where.startswith(_PHYSIONET):
            address = f"{self.where.replace('/content/', '/files/')}{self.part}"
            folder = address.removeprefix("https://").rstrip("/")
            account = "--user NAME --ask-password " if self.licence.startswith(_RESTRICTED) else ""
            download = f"wget -r -N -c -np {account}{address}"
        else:
            folder = f"downloads/{source}"
            download = f"# {self.where}: download all files, and unpack them in {folder}"
        return [download, f"lfbt prepare {source} {folder} data/{source}"]


# With slots, because there may be a million.
@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A recording that is listed but not read, with what the source's tables state of it.

    Parameters
    ----------
    id, patient : str
        Names of the recording and of its patient.
    file : Path
        The file that `reader` reads.
    reader : callable
        A function of a module, or a `functools.partial` of one, so that an entry can be sent to a worker process.
    labels : tuple of str
        Class names under the source's label rule.
    split : str
        The official split, or empty.
    n_samples : int or None
        The length that the source's tables state, which that of the file must equal.
    sex : str
        ``female`` or ``male``; empty where it is not known.
    age : float or None
        In years, where it is known.
    """

    id: str
    patient: str
    file: Path
    reader: Callable[[Path], Recording]
    labels: tuple[str, ...] = ()
    split: str = ""
    n_samples: int | None = None
    sex: Literal["", "female", "male"] = ""
    age: float | None = None

    def read(self) -> Recording:
        """Read the recording and add what the tables state of it. Raises UnreadableError."""
        recording = self.reader(self.file)
        found = recording.signal.shape[1]
        if self.n_samples not in (None, found):
            raise UnreadableError(
                f"file {self.file}: has {found} samples, but the table of the download says {self.n_samples}"
            )
        return dataclasses.replace(recording, id=self.id, patient=self.patient, labels=self.labels)


@dataclasses.dataclass(frozen=True, slots=True)
class Dropped:
    """A recording, or a piece of one, that is not in the data set, and the reason."""

    id: str
    file: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Listing:
    """The recordings that a source found in a folder.

    Parameters
    ----------
    entries : list of Entry
        In a stable order, with unique ids.
    classes : tuple of str
        The names that labels may have, in column order; empty without labels.
    label_rule : str
        One sentence on how the labels were derived.
    dropped : list of Dropped
        Recordings that the tables alone rule out.
    assumption : str
        What is taken for granted because the download does not say it, or contradicts itself; a sentence, or empty.
    in_mv : bool
        Whether its recordings are in mV, and not z-scores over the whole data set.
    """

    entries: list[Entry]
    classes: tuple[str, ...]
    label_rule: str
    dropped: list[Dropped] = dataclasses.field(default_factory=list)
    assumption: str = ""
    in_mv: bool = True
