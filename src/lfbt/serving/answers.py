"""A recording in, its answer out: read in a process, computed one at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from lfbt.drawing.ecg_paper import draw_ecg
from lfbt.errors import LfbtError
from lfbt.inference.prediction import (
    Answer,
    Model,
    embedding_rows,
    iterate_answers,
    prediction_rows,
    served_leads,
    thresholds_for,
)
from lfbt.inference.recordings import FileSettings, ServedLeads, as_arguments, iterate_pieces
from lfbt.recording import Recording
from lfbt.serving.metrics import Metrics
from lfbt.serving.neighbours import TrainingRecords
from lfbt.serving.reading import Reader
from lfbt.serving.schemas import (
    ClassesOut,
    Embedding,
    NeighbourOut,
    PieceEmbedding,
    PiecePrediction,
    Prediction,
)
from lfbt.serving.settings import LimitSettings
from lfbt.serving.uploads import Upload, save_uploads
from lfbt.utils.settings import validate

_N_NEIGHBOURS = 5
# The fields of a form, which commands call by other names.
_FIELDS = ("leads", "sampling_rate", "unit")


class BusyError(Exception):
    """An upload has waited too long."""


@dataclasses.dataclass(frozen=True)
class Question:
    """An upload: its files, what these do not state, and what is asked; `until`: the latest time to begin with it."""

    uploads: Sequence[Upload]
    files: FileSettings
    per_piece: bool
    drawing: bool
    until: float


class Answerer:
    """A model with the processes that read for it. It is closed at the end, which ends these.

    `predict` and `embed` are called in its `threads`, of which there are as many as processes.

    Parameters
    ----------
    model : Model
        What computes.
    limits : LimitSettings
        How many processes there are, and what they take.
    neighbours : TrainingRecords, optional
        Where the nearest are looked for.
    """

    def __init__(self, model: Model, limits: LimitSettings, neighbours: TrainingRecords | None = None) -> None:
        self.model = model
        self.metrics = Metrics()
        self._neighbours = neighbours
        self._all = [Reader(limits) for _ in range(limits.workers)]
        self._readers: queue.SimpleQueue[Reader] = queue.SimpleQueue()
        for reader in self._all:
            self._readers.put(reader)
        self.threads = ThreadPoolExecutor(limits.workers, "lfbt-answer")
        self._computing = threading.Lock()
        # Libraries compile and allocate at the first call, which no client should wait for.
        model.compute(np.zeros((1, len(model.config.leads), model.config.n_samples), np.float32))

    @property
    def restarts(self) -> int:
        """How many processes had to be replaced."""
        return sum(reader.restarts for reader in self._all)

    def close(self) -> None:
        """End the threads, once they have answered what they have begun, and the processes."""
        self.threads.shutdown(cancel_futures=True)
        for reader in self._all:
            reader.close()

    def predict(self, question: Question) -> Prediction:
        """Classify a recording.

        Raises
        ------
        LfbtError
            In the words of the form, for a recording that cannot be answered.
        BusyError
            Where it has waited too long.
        """
        answer, known = self._answer(question, served_leads(self.model))
        pooled, *pieces = prediction_rows(answer, self.model, question.per_piece)
        thresholds = thresholds_for(self.model, answer.pieces.leads_used)
        of_pieces = [PiecePrediction(piece=row["piece"], **self._classes(row).model_dump()) for row in pieces]
        return Prediction(
            **known,
            **self._classes(pooled).model_dump(),
            thresholds=dict(zip(self.model.classes, thresholds, strict=True)),
            exclusive=self.model.exclusive,
            of_pieces=of_pieces if question.per_piece else None,
        )

    def embed(self, question: Question) -> Embedding:
        """Compute the embedding of a recording, which needs all leads; raises as `predict`."""
        answer, known = self._answer(question, ServedLeads())
        pooled, *pieces = embedding_rows(answer, question.per_piece)
        n = answer.embeddings.shape[1]
        of_pieces = [PieceEmbedding(piece=row["piece"], embedding=[row[f"e{i}"] for i in range(n)]) for row in pieces]
        return Embedding(
            **known,
            embedding=[pooled[f"e{i}"] for i in range(n)],
            encoder_leads=list(self.model.config.leads),
            of_pieces=of_pieces if question.per_piece else None,
        )

    def _classes(self, row: dict[str, Any]) -> ClassesOut:
        return ClassesOut(
            probabilities={name: row[f"p_{name}"] for name in self.model.classes},
            # A label has no semicolon: it separates them in all tables.
            predicted=[name for name in row["predicted"].split(";") if name],
            above_threshold=[name for name in row["above_threshold"].split(";") if name],
        )

    def _answer(self, question: Question, served: ServedLeads) -> tuple[Answer, dict[str, Any]]:
        """The answer to a recording, and what is known of it."""
        began = time.monotonic()
        if began > question.until:
            raise BusyError
        with _in_words_of_the_form():
            validate(question.files)
            recording, name = self._read(question)
            pieces = list(
                iterate_pieces([recording], self.model.config, question.files, served, self.model.needs_voltages)
            )
            with self._computing:
                (answer,) = iterate_answers(pieces, self.model)
            if answer.pieces.reason:
                raise LfbtError(answer.pieces.reason)
        known: dict[str, Any] = {
            "file": name,
            "record": answer.pieces.id,
            "patient": answer.pieces.patient,
            "leads": list(recording.leads),
            "leads_used": list(answer.pieces.leads_used),
            "sampling_rate": float(recording.sampling_rate),
            "seconds": recording.signal.shape[1] / float(recording.sampling_rate),
            "pieces": len(answer.embeddings),
            "notes": list(answer.pieces.notes),
        }
        # Those of training records are of all leads.
        if self._neighbours is not None and len(answer.pieces.leads_used) == len(self.model.config.leads):
            nearest = self._neighbours.nearest(answer.embeddings.mean(axis=0), _N_NEIGHBOURS)
            known["neighbours"] = [
                NeighbourOut(record=one.record, labels=list(one.labels), distance=one.distance) for one in nearest
            ]
        if question.drawing:
            known["drawing"] = draw_ecg(recording)
        self.metrics.count_answer(time.monotonic() - began)
        return answer, known

    def _read(self, question: Question) -> tuple[Recording, str]:
        """The recording of an upload, and the name of its file. Its folder is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="lfbt-serve-") as place:
            path, name = save_uploads(Path(place), question.uploads)
            reader = self._readers.get()
            try:
                return reader.read(path, question.files), name
            except LfbtError as error:
                raise type(error)(str(error).replace(f"{place}/", "")) from error
            finally:
                self._readers.put(reader)


@contextlib.contextmanager
def _in_words_of_the_form() -> Iterator[None]:
    """Have errors call fields by the names that the form has for them."""
    try:
        yield
    except LfbtError as error:
        raise type(error)(as_arguments(str(error))) from error


def fields_named(message: str) -> list[str]:
    """List the fields of the form that a message is about.

    >>> fields_named("sampling_rate: none given, but ecg.npy does not state its own; give it in Hz, such as 500")
    ['sampling_rate']
    """
    start = message.partition(":")[0]
    named = [start] if start in (*_FIELDS, "files") else []
    # What no ECG has: the unit may be another, or the voltages meant.
    return named or [name for name in ("unit", "allow_implausible") if re.search(rf"\b{name}\b", message)]
