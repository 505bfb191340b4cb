"""The settings of a run and the data that they were applied to: ``settings.json``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lfbt.utils.json_files import FORMAT, parse, read_json, write_json

SETTINGS = "settings.json"
_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """The settings of a run by name, and the data that they were applied to.

    Parameters
    ----------
    lfbt_version
        The version that started the run.
    settings
        Every setting by its name.
    kind
        ``pretrain``, or that of the trials of a series: ``probe``, ``finetune`` or ``scratch``.
    records
        Number of records that are learned from.
    data_hash, records_hash, quality_hash
        Hashes of the data set, of the records chosen from it, and of the quality data.
    encoder
        Hash of the weights of the encoder that a series starts from; None for random encoders.
    processes
        Number of processes, where the result depends on it.
    synthetic, names_assumed
        Whether the data set is synthetic, and whether its lead names and rate are assumptions.
    """

    lfbt_version: str
    settings: dict[str, Any]
    kind: str = "pretrain"
    records: int | None = None
    data_hash: str | None = None
    records_hash: str | None = None
    quality_hash: str | None = None
    encoder: str | None = None
    processes: int | None = None
    synthetic: bool = False
    names_assumed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return all of it side by side, as the file has it: plain JSON values."""
        if self.kind == "pretrain":
            names = ["records", "data_hash", "synthetic", "names_assumed", "quality_hash"]
            names += [name for name in ("records_hash", "processes") if getattr(self, name) is not None]
        else:
            names = ["kind", "data_hash", "encoder"]
        known = {name: getattr(self, name) for name in names}
        content = {"lfbt_version": self.lfbt_version} | self.settings | known
        plain: dict[str, Any] = json.loads(json.dumps(content, default=str))
        return plain

    def compared(self) -> dict[str, Any]:
        """Return what must be the same when the run is resumed: its kind, then settings, then what these led to."""
        content = {"kind": self.kind} | self.to_dict()
        not_compared = ("lfbt_version", "synthetic", "names_assumed")
        return {name: value for name, value in content.items() if name not in not_compared}

    def save(self, folder: Path) -> None:
        """Write ``settings.json`` in `folder`, complete or not at all."""
        write_json(folder / SETTINGS, {FORMAT: _FORMAT, **self.to_dict()})

    @classmethod
    def load(cls, folder: Path) -> RunSettings:
        """Read ``settings.json`` in `folder`.

        Raises
        ------
        LfbtError
            For a file that cannot be read, lacks a field, or has a newer format; the message names file and field.
        """
        return cls.from_dict(read_json(folder / SETTINGS), folder / SETTINGS)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], path: Path) -> RunSettings:
        """Create from the content of the file `path`. Raises LfbtError as `load` does."""
        own = {field.name for field in dataclasses.fields(cls)} - {"settings"} | {FORMAT}
        known = {name: value for name, value in content.items() if name in own}
        settings = {name: value for name, value in content.items() if name not in own}
        remedy = "it was edited, or is another program's"
        return parse(known | {"settings": settings}, cls, path, remedy, _FORMAT)
