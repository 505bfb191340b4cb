"""`lfbt serve`: answer recordings over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

from lfbt.cli.output import Output
from lfbt.cli.parsing import parse_settings
from lfbt.serving.server import serve
from lfbt.serving.settings import ServeSettings

EXAMPLES = (
    "lfbt serve --classifier runs/finetune",
    "lfbt serve --classifier runs/finetune --neighbours data/ptbxl --port 8080",
    "lfbt serve --checkpoint lfbt-small",
)


def parse(words: Sequence[str]) -> ServeSettings:
    """Parse the words after the command."""
    return parse_settings(ServeSettings, "serve", words, EXAMPLES)


def run(words: Sequence[str]) -> Output | None:
    """Serve until a signal; there is nothing to print then."""
    serve(parse(words))
    return None
