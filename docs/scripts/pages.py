"""Pages of the site whose text is kept elsewhere in the repository, and links that lead to these.

A hook of MkDocs: `mkdocs.yml` names this file.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
#: Files outside docs/, by their place in the repository, and the pages that they become.
TEXTS = {
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "src/lfbt/models/bundled/lfbt-small/README.md": "lfbt-small.md",
}
SCRIPTS = {f"examples/{path.name}": f"examples/{path.stem}.md" for path in sorted((ROOT / "examples").glob("*.py"))}
PAGES = TEXTS | SCRIPTS | {"Dockerfile": "dockerfile.md"}
_SOURCES = {page: place for place, page in PAGES.items()}
_LINK = re.compile(r"(?<!!)(\[[^\]]*\]\()([^)#:\s]+)")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for place, page in PAGES.items():
        text = (ROOT / place).read_text(encoding="utf-8")
        if place not in TEXTS:
            language = "python" if place in SCRIPTS else "dockerfile"
            text = f"# {Path(place).name}\n\n```{language}\n{text}```\n"
        files.append(File.generated(config, page, content=_FRONT_MATTER.sub("", text)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Make links that leave docs/, and those of pages from elsewhere, links of the site."""
    name = page.file.src_uri
    return _LINK.sub(lambda link: link[1] + _as_site_link(link[2], name), markdown)


def _as_site_link(target: str, page: str) -> str:
    place = _SOURCES.get(page, f"docs/{page}")
    in_repository = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
    if in_repository in PAGES:
        in_site = PAGES[in_repository]
    elif in_repository.startswith("docs/"):
        in_site = in_repository.removeprefix("docs/")
    else:
        return target
    return posixpath.relpath(in_site, posixpath.dirname(page) or ".")
