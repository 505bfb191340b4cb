"""The documentation site: built without a warning, it loads nothing from a network and leaves out no public name."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import lfbt

ROOT = Path(__file__).resolve().parents[2]
#: What makes a browser load something: attributes of elements, and addresses in styles.
LOADED = re.compile(
    r"<(?:script|link|img|iframe|source|object)\b[^>]*\b(?:src|href|data)=[\"']?((?:https?:)?//[^\"'\s>]+)"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material", reason="mkdocs-material is not installed: pip install 'lfbt[docs]'")
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING -" not in done.stderr
    return folder


def test_pattern_of_what_is_loaded_finds_it():
    assert LOADED.findall('<script async src="https://x.org/y.js">') == ["https://x.org/y.js"]
    assert LOADED.findall("<link rel=stylesheet href=//x.org/y.css>") == ["//x.org/y.css"]
    assert not LOADED.findall('<a href="https://x.org"><img src="images/y.svg">')


def test_pages_load_nothing_from_a_network(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 50
    assert {page.name: found for page in pages if (found := LOADED.findall(page.read_text()))} == {}
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert not re.findall(r"(?:url\(|@import\s+)[\"']?(?:https?:)?//", styles)


def test_links_between_pages_lead_to_files(site):
    """MkDocs checks those in Markdown; these are all."""
    for page in site.rglob("*.html"):
        for target in re.findall(r"<a\b[^>]*\bhref=[\"']?([^\"'\s>#?]+)", page.read_text()):
            if not re.match(r"[a-z]+:", target) and page.name != "404.html":
                assert (page.parent / target).exists(), f"{page.relative_to(site)}: {target}"


def test_api_reference_has_every_public_name(site):
    page = (ROOT / "docs" / "api.md").read_text()
    assert sorted(re.findall(r"^::: lfbt\.(\w+)$", page, re.MULTILINE)) == sorted(lfbt.__all__)
    html = (site / "api.html").read_text()
    assert all(f'id="lfbt.{name}"' in html for name in lfbt.__all__)


def test_figures_are_made_by_the_script(tmp_path):
    runpy.run_path(str(ROOT / "docs" / "scripts" / "figures.py"))["main"](tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in (ROOT / "docs" / "images").glob("*.svg"))
    for name in names:
        assert ElementTree.parse(tmp_path / name).getroot().tag.endswith("svg")
        assert (tmp_path / name).stat().st_size < 250_000


def test_links_of_the_readme_lead_to_files():
    """On a code host, where the site is not."""
    for page in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / page).read_text()):
            assert re.match(r"https?:", target) or (ROOT / target).exists(), f"{page}: {target}"
