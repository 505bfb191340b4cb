"""Files in, answers out: what `lfbt predict` and `lfbt embed FILE` do."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, TextIO

from lfbt.data.dataset import Dataset
from lfbt.errors import FinishedError, LfbtError
from lfbt.inference.answer_table import Row, check_table, comparing_table, stream_writer, writing_table
from lfbt.inference.loading import load_model
from lfbt.inference.prediction import (
    iterate_answers,
    prediction_columns,
    prediction_rows,
    served_leads,
)
from lfbt.inference.recordings import FileSettings, fit_dataset, iterate_pieces, list_recordings, read_list
from lfbt.inference.watching import Answering, WatchSettings, watch_folder
from lfbt.utils.files import holding
from lfbt.utils.settings import Affects, Range, validate

# The input that stands for a list of paths on stdin.
_STDIN = Path("-")


@dataclasses.dataclass(frozen=True)
class AnswerSettings:
    """Which recordings are answered, and where the answers go."""

    inputs: Annotated[tuple[Path, ...], Affects.LOCATION] = ()
    """Files, folders or prepared data sets; - for a list of paths on stdin, one a line, or with NULs between
    them."""
    out: Annotated[Path | None, Affects.LOCATION] = None
    """New file .csv, .jsonl (a line of JSON a recording) or .parquet; without it the table is printed."""
    overwrite: Annotated[bool, Affects.RUNTIME] = False
    """Replace the file if it has answers of lfbt, once the new ones are complete; never another file."""
    per_piece: bool = False
    """Also a row for each piece of a recording that is longer than the encoder's duration."""
    batch_size: Annotated[int, Range("[1, 1000000]"), Affects.RUNTIME] = 64
    """Pieces that are computed at a time."""
    watching: WatchSettings = dataclasses.field(default_factory=WatchSettings)


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
    rows: Sequence[Row] = dataclasses.field(default_factory=list)


def write_predictions(settings: PredictSettings, stream: TextIO | None = None) -> AnswerReport:
    """Write the class probabilities of recordings, a row a recording.

    Parameters
    ----------
    settings
        Recordings, classifier and file.
    stream
        See `answer`.

    Returns
    -------
    AnswerReport
        How many there are.

    Raises
    ------
    FinishedError
        Where the file is there, with these answers, and all recordings have one.
    LfbtError
        For a classifier that is none, a file that is there with other answers, a data set that does not fit, and where
        no recording can be answered.
    """
    validate(settings)
    if settings.classifier is None:
        raise LfbtError(
            "classifier: required, but not given; give the run folder of lfbt probe or finetune, or an .onnx file"
        )
    check_answers(settings.answers)
    model = load_model(settings.classifier, settings.device)
    rows = functools.partial(prediction_rows, model=model, per_piece=settings.answers.per_piece)
    columns = prediction_columns(model.classes, settings.answers.per_piece, bool(model.subsets))
    answering = Answering(model, settings.files, rows, columns, settings.classifier, served_leads(model))
    return answer(settings.answers, answering, stream)


def check_answers(settings: AnswerSettings) -> None:
    """Raise LfbtError, before a model is loaded, for a table that cannot be written and for settings that exclude."""
    if settings.watching.watch is not None:
        if settings.overwrite:
            raise LfbtError("overwrite: has no effect with --watch, which adds to what is there; leave it out")
        if settings.inputs:
            raise LfbtError("watch: inputs are given as well; give one of the two")
    elif settings.out is not None:
        check_table(settings.out, settings.overwrite)
    elif settings.overwrite:
        raise LfbtError("overwrite: has no effect without --out; leave it out")


def answer(settings: AnswerSettings, answering: Answering, stream: TextIO | None = None) -> AnswerReport:
    """Answer all recordings and write the rows of each; nothing where none can be answered.

    Raises FinishedError where the file has these rows, and all are answers, and LfbtError.

    stream: where the rows go as CSV, from the first answer on, where no file is named; without it they are returned.
    """
    check_answers(settings)
    if settings.watching.watch is not None:
        watch_folder(settings.watching, settings.out, answering, settings.batch_size)
    model, files, columns = answering.model, answering.files, answering.columns
    inputs = list(_inputs(settings.inputs))
    if not inputs:
        raise LfbtError("inputs: none given; name files, folders or data sets, or - for a list on stdin")
    recordings = list_recordings(inputs, files)
    for item in recordings:
        if isinstance(item, Dataset):  # before any recording is read
            fit_dataset(item, model.config, answering.served)
    pieces = iterate_pieces(recordings, model.config, files, answering.served, model.needs_voltages)
    answered = failed = 0
    first, is_there = "", False
    kept: list[Row] = []
    with contextlib.ExitStack() as stack:
        write: Callable[[Row], None] = kept.append
        if settings.out is not None:
            stack.enter_context(holding(settings.out))
            check_answers(settings)
            is_there = settings.out.exists() and not settings.overwrite
            open_table = comparing_table if is_there else writing_table
            write = stack.enter_context(open_table(settings.out, columns))
        elif stream is not None:
            write = stream_writer(stream, columns)
        for one in iterate_answers(pieces, model, settings.batch_size):
            if one.pieces.reason:
                failed += 1
                place, reason = one.pieces.file or one.pieces.id, one.pieces.reason
                first = first or (reason if place in reason else f"{place}: {reason}")
            else:
                answered += 1
            for row in answering.rows(one):
                write(row)
        if not answered:
            raise LfbtError(f"no recording could be answered; the first: {first}" if first else "no recording found")
    if settings.out is not None and is_there and not failed:
        raise FinishedError(settings.out)
    return AnswerReport(answered, failed, first, columns, kept)


def _inputs(inputs: tuple[Path, ...]) -> Iterator[Path]:
    for path in inputs:
        if path == _STDIN:
            if isinstance(sys.stdin, io.TextIOWrapper):
                # A carriage return may be part of a name.
                sys.stdin.reconfigure(newline="")
            # None where it is closed.
            yield from read_list(sys.stdin or ())
        else:
            yield path
