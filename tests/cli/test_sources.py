"""``lfbt sources``: the list of published data sets, and that of the documentation."""

from pathlib import Path

import pytest
from tests.cli.helpers import output_of, refused

from lfbt.cli import prepare
from lfbt.cli.sources import list_commands, list_sources
from lfbt.sources import SOURCES
from lfbt.utils.tables import as_markdown

ROOT = Path(__file__).resolve().parents[2]


def test_sources_lists_every_published_data_set():
    head, *rows = output_of("sources").split("\n\n")[0].splitlines()
    assert head.split() == ["source", "records", "patients", "licence", "labels", "GB", "tried", "on", "where"]
    assert [row.split()[0] for row in rows] == [name for name in SOURCES if name not in ("folder", "synthetic")]
    assert all("https://" in row or "http://" in row for row in rows)


def test_sources_lists_the_one_named():
    _, mimic, _, *commands = output_of("sources", "mimic-iv-ecg").splitlines()
    assert mimic.split()[:5] == ["mimic-iv-ecg", "800,035", "161,352", "ODbL", "1.0"]
    assert mimic.split()[-5:-1] == ["none", "90.4", "written", "files"]
    assert commands == [
        "wget -r -N -c -np https://physionet.org/files/mimic-iv-ecg/1.0/",
        "lfbt prepare mimic-iv-ecg physionet.org/files/mimic-iv-ecg/1.0 data/mimic-iv-ecg",
    ]
    _, chapman, _, *commands = output_of("sources", "chapman").splitlines()
    assert commands == [
        "# https://doi.org/10.6084/m9.figshare.c.4560497: download all files, and unpack them in downloads/chapman",
        "lfbt prepare chapman downloads/chapman data/chapman",
    ]
    _, georgia, _, download, last = output_of("sources", "georgia").splitlines()
    assert "see page" in georgia
    assert download == "wget -r -N -c -np https://physionet.org/files/challenge-2021/1.0.3/training/georgia/"
    assert last == "lfbt prepare georgia physionet.org/files/challenge-2021/1.0.3/training/georgia data/georgia"
    assert chapman.startswith("chapman  10,646   not published  CC BY 4.0  merged (4 rhythms), rhythm (11), none")


@pytest.mark.parametrize("name", ["ptb-xl", "folder", "synthetic"])
def test_sources_refuses_what_is_not_published(name):
    message = refused("sources", name)
    assert message.startswith(f"source: {name!r} is not one of the published data sets ptbxl, cpsc2018, ")


def test_documentation_has_the_list_of_sources():
    assert as_markdown(list_sources()) in (ROOT / "docs" / "sources.md").read_text()


@pytest.mark.parametrize("row", list_sources()[1:], ids=lambda row: row[0])
def test_documentation_has_a_page_of_each_source_with_what_is_published_and_the_commands(row):
    name, records, patients, licence, labels, _, tried, where = row
    page = (ROOT / "docs" / "datasets" / f"{name}.md").read_text()
    facts = {"source": f"`{name}`", "records": records, "licence": licence, "labels": labels, "tried on": tried}
    assert all(f"| {fact} | {value} |" in page for fact, value in facts.items())
    assert f"| patients | {patients}" in page
    assert f"<{where}>" in page
    assert "\n".join(["```bash", *list_commands(name), "```"]) in page
    assert f"(datasets/{name}.md)" in (ROOT / "docs" / "sources.md").read_text()


def test_sources_commands_to_prepare_are_taken_by_prepare():
    for command in list_commands():
        if not command.startswith(("wget ", "# ")):
            program, command_name, *words = command.split()
            assert (program, command_name) == ("lfbt", "prepare")
            assert prepare.parse(words).target == Path("data") / words[0]
