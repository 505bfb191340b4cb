"""Files in, answers out: what `lfbt predict` and `lfbt embed FILE` do."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from lfbt.errors import LfbtError
from lfbt.inference.answer_table import check_table, writing_table
from lfbt.inference.loading import load_model
from lfbt.inference.prediction import (
    Answer,
    Model,
    iterate_answers,
    prediction_columns,
    prediction_rows,
    served_leads,
)
from lfbt.inference.recordings import FileSettings, ServedLeads, iterate_pieces, list_recordings, read_list
from lfbt.utils.settings import Affects, Range, validate

# The input that stands for a list of paths on stdin.
_STDIN = Path("-")


@dataclasses.dataclass(frozen=True)
class AnswerSettings:
    """Which recordings are answered, and where the answers go."""

    inputs: Annotated[tuple[Path, ...], Affects.LOCATION] = ()
    """Files, folders or prepared data sets; - for a list of paths on stdin, one a line."""
    out: Annotated[Path | None, Affects.LOCATION] = None
    """New file .csv, .jsonl (a line of JSON a recording) or .parquet; without it the table is printed, at the end."""
    per_piece: bool = False
    """Also a row for each piece of a recording that is longer than the encoder's duration."""
    batch_size: Annotated[int, Range("[1, inf)"), Affects.RUNTIME] = 64
    """Pieces that are computed at a time."""


@dataclasses.dataclass(frozen=True)
class PredictSettings:
    """How recordings are classified."""

    answers: AnswerSettings = AnswerSettings()
    classifier: Annotated[Path | None, Affects.LOCATION] = None
    """The run folder of a probe or a fine-tuning, or a classifier exported as an .onnx file. Required."""
    files: FileSettings = dataclasses.field(default_factory=FileSettings)
    device: Annotated[str, Affects.RUNTIME] = "auto"
    """auto, cpu or cuda."""


@dataclasses.dataclass(frozen=True)
class AnswerReport:
    """How many recordings were answered, of the others the first with its reason, and the rows that no file has."""

    answered: int
    failed: int
    first_failure: str = ""
    columns: list[str] = dataclasses.field(default_factory=list)
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)


def write_predictions(settings: PredictSettings) -> AnswerReport:
    """Write the class probabilities of recordings, a row a recording.

    Parameters
    ----------
    settings
        Recordings, classifier and file.

    Returns
    -------
    AnswerReport
        How many there are.

    Raises
    ------
    LfbtError
        For a classifier that is none, an output that is there already, a data set that does not fit, and where no
        recording can be answered.
    """
    validate(settings)
    if settings.classifier is None:
        raise LfbtError(
            "classifier: required, but not given; give the run folder of lfbt probe or finetune, or an .onnx file"
        )
    model = load_model(settings.classifier, settings.device)
    rows = functools.partial(prediction_rows, model=model, per_piece=settings.answers.per_piece)
    columns = prediction_columns(model.classes, settings.answers.per_piece, bool(model.subsets))
    return answer(settings.answers, settings.files, model, rows, columns, served_leads(model))


def answer(
    settings: AnswerSettings,
    files: FileSettings,
    model: Model,
    rows: Callable[[Answer], Iterator[dict[str, Any]]],
    columns: list[str],
    served: ServedLeads | None = None,
) -> AnswerReport:
    """Answer all recordings and write the rows of each; nothing where none can be answered. Raises LfbtError."""
    if settings.out is not None:
        check_table(settings.out)
    inputs = list(_inputs(settings.inputs))
    if not inputs:
        raise LfbtError("inputs: none given; name files, folders or data sets, or - for a list on stdin")
    pieces = iterate_pieces(list_recordings(inputs, files), model.config, files, served or ServedLeads())
    answered = failed = 0
    first = ""
    kept: list[dict[str, Any]] = []
    with contextlib.nullcontext(kept.append) if settings.out is None else writing_table(settings.out, columns) as write:
        for one in iterate_answers(pieces, model, settings.batch_size):
            if one.pieces.reason:
                failed += 1
                first = first or f"{one.pieces.file or one.pieces.id}: {one.pieces.reason}"
            else:
                answered += 1
            for row in rows(one):
                write(row)
        if not answered:
            raise LfbtError(f"no recording could be answered; the first: {first}" if first else "no recording found")
    return AnswerReport(answered, failed, first, columns, kept)


def _inputs(inputs: tuple[Path, ...]) -> Iterator[Path]:
    for path in inputs:
        if path == _STDIN:
            yield from read_list(sys.stdin)
        else:
            yield path
