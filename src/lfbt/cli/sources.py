"""`lfbt sources`: list the published data sets that can be prepared."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tyro

from lfbt.cli.output import Output
from lfbt.cli.parsing import parse_settings
from lfbt.errors import LfbtError
from lfbt.sources import SOURCES, Published, published_as
from lfbt.utils.tables import as_text, terminal_width

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


def run(words: Sequence[str]) -> Output:
    """List sources, and the commands to download and prepare each."""
    name = parse(words).name
    text = "\n".join([as_text(list_sources(name), terminal_width()), "", *list_commands(name)])
    known = {source: vars(found) | {"commands": found.commands(source)} for source, found in _published(name).items()}
    return Output(text, {"sources": known})


def list_sources(name: str = "") -> list[list[str]]:
    """List a header row, and a row of text for one source or each. Raises LfbtError if `name` is not published."""
    rows = [["source", "records", "patients", "licence", "labels", "GB", "tried on", "where"]]
    for source, found in _published(name).items():
        patients = "not published" if found.patients is None else f"{found.patients:,}"
        size = "see page" if found.gigabytes is None else f"{found.gigabytes:g}"
        row = [source, f"{found.records:,}", patients, found.licence, found.labels, size, found.tried, found.where]
        rows.append(row)
    return rows


def list_commands(name: str = "") -> list[str]:
    """List the commands that download and prepare one source or each. Raises LfbtError as `list_sources` does."""
    return [line for source, found in _published(name).items() for line in found.commands(source)]


def _published(name: str) -> dict[str, Published]:
    """What is published of one source, or of each."""
    published = {source: found for source in SOURCES if (found := published_as(source))}
    if name and name not in published:
        raise LfbtError(f"source: {name!r} is not one of the published data sets {', '.join(published)}")
    return {name: published[name]} if name else published
