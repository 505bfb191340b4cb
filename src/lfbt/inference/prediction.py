"""Answers about recordings: embeddings and class probabilities, piece by piece and pooled."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lfbt.inference.recordings import Pieces, ServedLeads
from lfbt.models.config import EncoderConfig
from lfbt.signal import Signal
from lfbt.utils.threads import start_pool


@dataclasses.dataclass(frozen=True)
class ServedSubset:
    """Leads that a classifier does with, in the encoder's order, and its thresholds for these, as `Model` has them."""

    leads: tuple[str, ...]
    thresholds: tuple[float | None, ...]


class Model(Protocol):
    """An encoder, perhaps with a classifier, of whatever library computes it."""

    @property
    def config(self) -> EncoderConfig:
        """What the encoder takes."""

    @property
    def features_per_lead(self) -> int:
        """The length of a lead's part of an embedding."""

    @property
    def needs_voltages(self) -> bool:
        """Whether answers depend on amplitudes, so that recordings of z-scores have none."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty without a classifier."""

    @property
    def exclusive(self) -> bool:
        """Whether a recording has exactly one class."""

    @property
    def thresholds(self) -> tuple[float | None, ...]:
        """From which probability on a class is predicted, kept from validation; None where there is none."""

    @property
    def subsets(self) -> tuple[ServedSubset, ...]:
        """The leads that suffice, besides all of them; none for most models."""

    @property
    def most_at_once(self) -> int:
        """How many threads may compute a batch each, of those that `lfbt.utils.threads.start_pool` starts."""

    def compute(self, signals: Signal) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Compute embeddings ``[pieces, leads × features]`` and logits ``[pieces, classes]`` of normalised signals.

        A lead that a piece does not have is NaN in all samples, and so are its features. Only models with `subsets`,
        and those asked for embeddings alone, get such pieces.
        """


def served_leads(model: Model) -> ServedLeads:
    """Return with which leads a model answers recordings."""
    subsets = tuple(subset.leads for subset in model.subsets)
    remedy = "for other leads train a classifier with --leads, or with --leads-dropout and --lead-subsets"
    return ServedLeads(subsets, "" if subsets else remedy)


def thresholds_for(model: Model, leads: Sequence[str]) -> tuple[float | None, ...]:
    """Return the thresholds of a model for recordings of which it uses `leads`."""
    return next((subset.thresholds for subset in model.subsets if subset.leads == tuple(leads)), model.thresholds)


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
    batches = _batches(recordings, batch_size)
    at_start = list(itertools.islice(batches, 2))
    # One batch is computed soonest by all threads together; of several each takes a thread, and none waits for another.
    pool = start_pool(model.most_at_once) if len(at_start) > 1 and model.most_at_once > 1 else None
    if pool is None:
        for batch in itertools.chain(at_start, batches):
            yield from _answer(batch, model)
        return
    in_work: collections.deque[Future[list[Answer]]] = collections.deque()
    try:
        for batch in itertools.chain(at_start, batches):
            in_work.append(pool.submit(_answer, batch, model))
            if len(in_work) > model.most_at_once:
                yield from in_work.popleft().result()
        while in_work:
            yield from in_work.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _batches(recordings: Iterable[Pieces], batch_size: int) -> Iterator[list[Pieces]]:
    """Recordings that have `batch_size` pieces or more together; the last ones may have fewer."""
    batch: list[Pieces] = []
    n_pieces = 0
    for pieces in recordings:
        batch.append(pieces)
        n_pieces += len(pieces.signals)
        if n_pieces >= batch_size:
            yield batch
            batch, n_pieces = [], 0
    if batch:
        yield batch


def _answer(recordings: Sequence[Pieces], model: Model) -> list[Answer]:
    n_features = len(model.config.leads) * model.features_per_lead
    embeddings, logits = np.empty((0, n_features), np.float32), np.empty((0, len(model.classes)), np.float32)
    if any(len(one.signals) for one in recordings):
        embeddings, logits = model.compute(np.concatenate([one.signals for one in recordings]))
    ends = np.cumsum([len(one.signals) for one in recordings])
    return [
        Answer(dataclasses.replace(one, signals=one.signals[:0]), embeddings[start:end], logits[start:end])
        for one, start, end in zip(recordings, ends - [len(one.signals) for one in recordings], ends, strict=True)
    ]


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


def prediction_columns(classes: Sequence[str], per_piece: bool, with_leads: bool = False) -> list[str]:
    """Return the columns of a table of predictions; `with_leads`: of a model that serves subsets of its leads."""
    of_classes = [*(f"p_{name}" for name in classes), "predicted", "above_threshold"]
    return [*_first_columns(per_piece, with_leads), *of_classes, "notes", "error"]


def embedding_columns(n_features: int, per_piece: bool, with_leads: bool = False) -> list[str]:
    """Return the columns of a table of embeddings of `n_features` numbers; `with_leads`: some leads may be absent."""
    return [*_first_columns(per_piece, with_leads), *_feature_columns(n_features), "notes", "error"]


def is_feature_column(name: str) -> bool:
    """Whether a column is that of a feature, in a table of embeddings.

    >>> is_feature_column("e12"), is_feature_column("error")
    (True, False)
    """
    return name[:1] == "e" and name[1:].isdecimal()


@functools.lru_cache(maxsize=1)
def _feature_columns(n_features: int) -> tuple[str, ...]:
    return tuple(f"e{i}" for i in range(n_features))


def _first_columns(per_piece: bool, with_leads: bool) -> list[str]:
    return [
        "file",
        "record",
        "patient",
        *(["piece"] if per_piece else []),
        "pieces",
        *(["leads"] if with_leads else []),
    ]


def prediction_rows(answer: Answer, model: Model, per_piece: bool) -> Iterator[dict[str, Any]]:
    """Make the rows of a recording in a table of predictions: pooled by the mean of logits, then perhaps of each piece.

    ``predicted`` is the most probable of exclusive classes, else the classes that reach their thresholds, or 0.5
    without one; ``above_threshold`` are those that reach the thresholds kept from validation. Of a model that serves
    subsets of its leads, ``leads`` are those used, and thresholds those of the subset.
    """
    thresholds = thresholds_for(model, answer.pieces.leads_used)
    for row, logits in _rows(answer, answer.logits, per_piece, with_leads=bool(model.subsets)):
        if logits is None:
            yield row
            continue
        probabilities = probabilities_of(logits, model.exclusive)
        reached = [
            threshold is not None and p >= threshold for p, threshold in zip(probabilities, thresholds, strict=True)
        ]
        above = [name for name, is_above in zip(model.classes, reached, strict=True) if is_above]
        if model.exclusive:
            predicted = [model.classes[int(np.argmax(probabilities))]]
        else:
            limits = [0.5 if threshold is None else threshold for threshold in thresholds]
            predicted = [name for name, p, at in zip(model.classes, probabilities, limits, strict=True) if p >= at]
        row |= {f"p_{name}": float(p) for name, p in zip(model.classes, probabilities, strict=True)}
        yield row | {"predicted": ";".join(predicted), "above_threshold": ";".join(above)}


def embedding_rows(answer: Answer, per_piece: bool, with_leads: bool = False) -> Iterator[dict[str, Any]]:
    """Make the rows of a recording in a table of embeddings: their mean over pieces, then perhaps of each piece.

    Columns of absent leads are left out.
    """
    for row, embedding in _rows(answer, answer.embeddings, per_piece, with_leads):
        if embedding is not None:
            names = _feature_columns(len(embedding))
            row |= zip(names, embedding.tolist(), strict=True)
            for absent in np.flatnonzero(np.isnan(embedding)):
                del row[names[absent]]
        yield row


def _rows(
    answer: Answer, values: NDArray[np.float32], per_piece: bool, with_leads: bool
) -> Iterator[tuple[dict[str, Any], NDArray[np.float32] | None]]:
    """What all rows of a recording have, with the mean of `values` over pieces, and then perhaps those of each."""
    pieces = answer.pieces
    row: dict[str, Any] = {"file": pieces.file, "record": pieces.id, "patient": pieces.patient, "pieces": len(values)}
    if with_leads:
        row["leads"] = ",".join(pieces.leads_used)
    row |= {"notes": "; ".join(pieces.notes), "error": pieces.reason}
    yield row, values.mean(axis=0) if len(values) else None
    for number, value in zip(pieces.numbers, values, strict=True) if per_piece else ():
        yield row | {"piece": number, "pieces": 1}, value
