"""`lfbt embed`: write embeddings of recordings, or of data sets."""

from __future__ import annotations

from collections.abc import Sequence

from lfbt.cli.answers import check_watching, output_of, stream_of
from lfbt.cli.output import Output
from lfbt.cli.parsing import parse_settings
from lfbt.errors import LfbtError
from lfbt.inference.embed_settings import EmbedSettings
from lfbt.inference.embedding_table import embed_inputs
from lfbt.runs.encoder_folder import is_bundled
from lfbt.utils.figures import format_count
from lfbt.utils.progress import write_line

EXAMPLES = (
    "lfbt embed ecg.dcm --out embedding.csv",
    "lfbt embed recordings/ --checkpoint runs/pretrain --missing-leads nan --out embeddings.parquet",
    "lfbt embed --watch inbox --out embeddings.jsonl",
    "lfbt embed --data-dir data/a data/b --checkpoint runs/finetune --out embeddings",
)


def parse(words: Sequence[str]) -> EmbedSettings:
    """Parse the words after the command."""
    return parse_settings(EmbedSettings, "embed", words, EXAMPLES, inputs="inputs")


def run(words: Sequence[str]) -> Output:
    """Write embeddings; the status is 1 where some recordings have none."""
    settings = parse(words)
    if is_bundled(settings.checkpoint):
        write_line(f"checkpoint: {settings.checkpoint}, the encoder that comes with lfbt")
    has_files = bool(settings.inputs) or settings.watching.watch is not None
    if has_files and settings.data_dir:
        other = "inputs are" if settings.inputs else "watch is"
        raise LfbtError(f"data_dir: {other} given as well; name data sets by one of the two")
    if has_files:
        check_watching(settings.watching, settings.out)
        return output_of(embed_inputs(settings, stream_of(settings.out)), settings.out)
    if not settings.data_dir:
        raise LfbtError(
            "inputs: none given; name files, folders or data sets, - for a list on stdin, or data sets by data_dir"
        )
    # PyTorch takes seconds, which an .onnx file need not wait for.
    from lfbt.inference.embedding_folder import write_embeddings

    embedded = write_embeddings(settings)
    columns = len(embedded.leads) * embedded.n_features
    text = (
        f"{settings.out}: embeddings of {format_count(embedded.records, 'record')}, {format_count(columns, 'column')}"
    )
    return Output(text, {"out": settings.out, **vars(embedded)})
