"""What a run was told and what it learns from: ``settings.json``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from lfbt.utils.json_files import FORMAT, parse, read_json, write_json

SETTINGS = "settings.json"
_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """The settings of a run by name, and what they were applied to.

    kind: pretrain, or that of a series of trials; data_hash, records_hash, quality_hash, encoder: hashes of the data
    set, of the records chosen of it, of the quality data and of an encoder's weights; records: how many are learned
    from; processes: how many, where the result hangs on it.
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
        """All of it side by side, as the file has it: plain JSON values."""
        if self.kind == "pretrain":
            names = ["records", "data_hash", "synthetic", "names_assumed", "quality_hash"]
            names += [name for name in ("records_hash", "processes") if getattr(self, name) is not None]
        else:
            names = ["kind", "data_hash", "encoder"]
        known = {name: getattr(self, name) for name in names}
        content = {"lfbt_version": self.lfbt_version} | self.settings | known
        plain: dict[str, Any] = json.loads(json.dumps(content, default=str))
        return plain

    def save(self, folder: Path) -> None:
        """Write ``settings.json`` in `folder`, whole or not at all."""
        write_json(folder / SETTINGS, {FORMAT: _FORMAT, **self.to_dict()})

    @classmethod
    def load(cls, folder: Path) -> RunSettings:
        """Read ``settings.json`` in `folder`. Raises LfbtError that names the file and the field."""
        path = folder / SETTINGS
        content = read_json(path)
        own = {field.name for field in dataclasses.fields(cls)} - {"settings"}
        settings = {name: value for name, value in content.items() if name not in own and name != FORMAT}
        known = {name: value for name, value in content.items() if name in own or name == FORMAT}
        return parse(known | {"settings": settings}, cls, path, "it was edited, or is another program's", _FORMAT)
