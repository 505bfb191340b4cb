"""The page: one file of HTML with its own style and script, which may load nothing and ask this server only."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import re

_FILE = "page.html"


def load_page() -> tuple[str, str]:
    """Load the page.

    Returns
    -------
    str
        HTML.
    str
        Its Content-Security-Policy, which allows its own style and script by their hashes, requests to the server it
        came from, and pictures that the script makes.
    """
    page = importlib.resources.files("lfbt.serving").joinpath(_FILE).read_text(encoding="utf-8")
    style, script = (_hashes(page, tag) for tag in ("style", "script"))
    policy = {
        "default-src": "'none'",
        "style-src": style,
        "script-src": script,
        "img-src": "blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return page, "; ".join(f"{name} {value}" for name, value in policy.items())


def _hashes(page: str, tag: str) -> str:
    """The sources of a policy that allow the elements `tag` of a page."""
    digests = [hashlib.sha256(text.encode()).digest() for text in re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
