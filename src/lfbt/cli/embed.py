"""`lfbt embed`: write embeddings of records."""

from __future__ import annotations

from collections.abc import Sequence

from lfbt.cli.output import Output
from lfbt.cli.parsing import parse_settings
from lfbt.inference.embedding import EmbedSettings, write_embeddings
from lfbt.utils.figures import format_count

EXAMPLES = (
    "lfbt embed --data-dir data/ptbxl --checkpoint runs/pretrain --out embeddings",
    "lfbt embed --data-dir data/a data/b --checkpoint runs/finetune --out probabilities",
    "lfbt embed --data-dir data/ptbxl --checkpoint runs/pretrain --out embeddings-II --leads II",
)


def parse(words: Sequence[str]) -> EmbedSettings:
    """Parse the words after the command."""
    return parse_settings(EmbedSettings, "embed", words, EXAMPLES)


def run(words: Sequence[str]) -> Output:
    """Write embeddings."""
    settings = parse(words)
    embedded = write_embeddings(settings)
    columns = len(embedded.leads) * embedded.n_features
    text = (
        f"{settings.out}: embeddings of {format_count(embedded.records, 'record')}, {format_count(columns, 'column')}"
    )
    return Output(text, {"out": settings.out, **vars(embedded)})
