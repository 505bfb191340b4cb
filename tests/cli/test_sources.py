"""``lfbt sources``: the list of published data sets, and that of the documentation."""

from pathlib import Path

import pytest
from tests.cli.helpers import output_of, refused

from lfbt.cli.sources import list_sources
from lfbt.sources import SOURCES
from lfbt.utils.tables import as_markdown

ROOT = Path(__file__).resolve().parents[2]


def test_sources_lists_every_published_data_set():
    head, *rows = output_of("sources").splitlines()
    assert head.split() == ["source", "records", "patients", "licence", "labels", "where"]
    assert [row.split()[0] for row in rows] == [name for name in SOURCES if name not in ("folder", "synthetic")]
    assert all("https://" in row or "http://" in row for row in rows)


def test_sources_lists_the_one_named():
    _, mimic = output_of("sources", "mimic-iv-ecg").splitlines()
    assert mimic.split()[:5] == ["mimic-iv-ecg", "800,035", "161,352", "ODbL", "1.0"]
    _, chapman = output_of("sources", "chapman").splitlines()
    assert chapman.startswith("chapman  10,646   not published  CC BY 4.0  merged (4 rhythms), rhythm (11), none")


@pytest.mark.parametrize("name", ["ptb-xl", "folder", "synthetic"])
def test_sources_refuses_what_is_not_published(name):
    message = refused("sources", name)
    assert message.startswith(f"source: {name!r} is not one of the published data sets ptbxl, cpsc2018, ")


def test_documentation_has_the_list_of_sources():
    assert as_markdown(list_sources()) in (ROOT / "docs" / "sources.md").read_text()
