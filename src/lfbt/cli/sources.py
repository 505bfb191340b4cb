"""`lfbt sources`: list the published data sets that can be prepared."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tyro

from lfbt.cli.parsing import parse_settings
from lfbt.errors import LfbtError
from lfbt.sources import SOURCES, published_as
from lfbt.utils.tables import as_text

EXAMPLES = (
    "lfbt sources",
    "lfbt sources mimic-iv-ecg",
)


@dataclasses.dataclass(frozen=True)
class SourcesSettings:
    """Which source to list."""

    name: tyro.conf.Positional[str] = ""
    """Source to list, by its name in `lfbt prepare`; all published ones by default."""


def parse(words: Sequence[str]) -> SourcesSettings:
    """Parse the words after the command."""
    return parse_settings(SourcesSettings, "sources", words, EXAMPLES, positional={"name": "SOURCE"})


def run(words: Sequence[str]) -> None:
    """Print the list of sources."""
    print(as_text(list_sources(parse(words).name)))


def list_sources(name: str = "") -> list[list[str]]:
    """List a header row, and a row of text for one source or each. Raises LfbtError if `name` is not published."""
    published = {source: found for source in SOURCES if (found := published_as(source))}
    if name and name not in published:
        raise LfbtError(f"source: {name!r} is not one of the published data sets {', '.join(published)}")
    rows = [["source", "records", "patients", "licence", "labels", "where"]]
    for source, found in published.items():
        patients = "not published" if found.patients is None else f"{found.patients:,}"
        if name in ("", source):
            rows.append([source, f"{found.records:,}", patients, found.licence, found.labels, found.where])
    return rows
