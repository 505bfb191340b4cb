"""What a source finds in a folder: recordings not yet read, and those that were ruled out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from lfbt.recording import Recording


@dataclasses.dataclass(frozen=True)
class Entry:
    """A recording that a source has listed but not read: all that the source's tables say of it.

    `reader` is a function of a module (or a `functools.partial` of one), so that an entry can be sent to a worker
    process. `labels` are class names under the source's label rule; `split` is an official one or empty.
    """

    id: str
    patient: str
    file: Path
    reader: Callable[[Path], Recording]
    labels: tuple[str, ...] = ()
    split: str = ""

    def read(self) -> Recording:
        """The recording, with what the tables say of it. Raises UnreadableError."""
        recording = self.reader(self.file)
        return dataclasses.replace(recording, id=self.id, patient=self.patient, labels=self.labels)


@dataclasses.dataclass(frozen=True)
class Dropped:
    """A recording, or a piece of one, that does not reach the data set, and why."""

    id: str
    file: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a source found in a folder.

    entries: in a stable order, ids unique. classes: the names that labels may have, in column order; empty without
    labels. label_rule: one sentence that says how labels were made. dropped: what the tables alone rule out.
    """

    entries: list[Entry]
    classes: tuple[str, ...]
    label_rule: str
    dropped: list[Dropped] = dataclasses.field(default_factory=list)


SPLITS = ("train", "val", "test")
