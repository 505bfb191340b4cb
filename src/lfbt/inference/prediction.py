"""Answers about recordings: embeddings and class probabilities, piece by piece and pooled."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lfbt.inference.recordings import Pieces
from lfbt.models.config import EncoderConfig
from lfbt.signal import Signal


class Model(Protocol):
    """An encoder, perhaps with a classifier, of whatever library computes it."""

    @property
    def config(self) -> EncoderConfig:
        """What the encoder takes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty without a classifier."""

    @property
    def exclusive(self) -> bool:
        """Whether a recording has exactly one class."""

    @property
    def thresholds(self) -> tuple[float | None, ...]:
        """From which probability on a class is predicted, kept from validation; None where there is none."""

    def compute(self, signals: Signal) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Compute embeddings ``[pieces, leads × features]`` and logits ``[pieces, classes]`` of normalised signals."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a model says of a recording.

    Parameters
    ----------
    pieces : Pieces
        The recording, without its signals.
    embeddings : ndarray of float32, ``[pieces, leads × features]``
    logits : ndarray of float32, ``[pieces, classes]``
    """

    pieces: Pieces
    embeddings: NDArray[np.float32]
    logits: NDArray[np.float32]


def iterate_answers(recordings: Iterable[Pieces], model: Model, batch_size: int = 64) -> Iterator[Answer]:
    """Compute the answers to recordings, in order and in batches of pieces.

    Parameters
    ----------
    recordings : iterable of Pieces
        From `lfbt.inference.recordings.iterate_pieces`.
    model : Model
        What computes.
    batch_size : int
        Pieces of a batch; a recording is not divided, so there may be more.

    Yields
    ------
    Answer
        Of each recording, also of those without pieces, with no rows.
    """
    waiting: list[Pieces] = []
    for pieces in recordings:
        waiting.append(pieces)
        if sum(len(one.signals) for one in waiting) >= batch_size:
            yield from _answer(waiting, model)
            waiting = []
    yield from _answer(waiting, model)


def _answer(recordings: Sequence[Pieces], model: Model) -> Iterator[Answer]:
    config = model.config
    n_features = len(config.leads) * config.n_features
    embeddings, logits = np.empty((0, n_features), np.float32), np.empty((0, len(model.classes)), np.float32)
    if any(len(one.signals) for one in recordings):
        embeddings, logits = model.compute(np.concatenate([one.signals for one in recordings]))
    start = 0
    for one in recordings:
        end = start + len(one.signals)
        yield Answer(dataclasses.replace(one, signals=one.signals[:0]), embeddings[start:end], logits[start:end])
        start = end


def probabilities_of(logits: NDArray[np.floating[Any]], exclusive: bool) -> NDArray[np.float64]:
    """Convert logits ``[..., classes]`` to probabilities, which of exclusive classes add up to 1.

    >>> probabilities_of(np.array([0.0, 0.0]), exclusive=True).tolist()
    [0.5, 0.5]
    """
    values = logits.astype(np.float64)
    if exclusive:
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
        shares: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
        return shares
    # Without an overflow of exp for large negative logits.
    sigmoid: NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -values))
    return sigmoid


def prediction_columns(classes: Sequence[str], per_piece: bool) -> list[str]:
    """Return the columns of a table of predictions."""
    piece = ["piece"] if per_piece else []
    of_classes = [*(f"p_{name}" for name in classes), "predicted", "above_threshold"]
    return ["file", "record", "patient", *piece, "pieces", *of_classes, "notes", "error"]


def embedding_columns(n_features: int, per_piece: bool) -> list[str]:
    """Return the columns of a table of embeddings of `n_features` numbers."""
    piece = ["piece"] if per_piece else []
    return ["file", "record", "patient", *piece, "pieces", *(f"e{i}" for i in range(n_features)), "notes", "error"]


def prediction_rows(answer: Answer, model: Model, per_piece: bool) -> Iterator[dict[str, Any]]:
    """Make the rows of a recording in a table of predictions: pooled by the mean of logits, then perhaps of each piece.

    ``predicted`` is the most probable of exclusive classes, else the classes that reach their thresholds, or 0.5
    without one; ``above_threshold`` are those that reach the thresholds kept from validation.
    """
    for row, logits in _rows(answer, answer.logits, per_piece):
        if logits is None:
            yield row
            continue
        probabilities = probabilities_of(logits, model.exclusive)
        reached = [
            threshold is not None and p >= threshold
            for p, threshold in zip(probabilities, model.thresholds, strict=True)
        ]
        above = [name for name, is_above in zip(model.classes, reached, strict=True) if is_above]
        if model.exclusive:
            predicted = [model.classes[int(np.argmax(probabilities))]]
        else:
            limits = [0.5 if threshold is None else threshold for threshold in model.thresholds]
            predicted = [name for name, p, at in zip(model.classes, probabilities, limits, strict=True) if p >= at]
        row |= {f"p_{name}": float(p) for name, p in zip(model.classes, probabilities, strict=True)}
        yield row | {"predicted": ";".join(predicted), "above_threshold": ";".join(above)}


def embedding_rows(answer: Answer, per_piece: bool) -> Iterator[dict[str, Any]]:
    """Make the rows of a recording in a table of embeddings: their mean over pieces, then perhaps of each piece."""
    for row, embedding in _rows(answer, answer.embeddings, per_piece):
        yield row | {f"e{i}": float(value) for i, value in enumerate(() if embedding is None else embedding)}


def _rows(
    answer: Answer, values: NDArray[np.float32], per_piece: bool
) -> Iterator[tuple[dict[str, Any], NDArray[np.float32] | None]]:
    """What all rows of a recording have, with the mean of `values` over pieces, and then perhaps those of each."""
    pieces = answer.pieces
    row: dict[str, Any] = {"file": pieces.file, "record": pieces.id, "patient": pieces.patient, "pieces": len(values)}
    row |= {"notes": "; ".join(pieces.notes), "error": pieces.reason}
    yield row, values.mean(axis=0) if len(values) else None
    for number, value in zip(pieces.numbers, values, strict=True) if per_piece else ():
        yield row | {"piece": number, "pieces": 1}, value
