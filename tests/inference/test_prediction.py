"""Answers piece by piece and pooled, against means and softmax written out."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lfbt.errors import LfbtError
from lfbt.inference.prediction import (
    ServedSubset,
    embedding_columns,
    embedding_rows,
    iterate_answers,
    prediction_columns,
    prediction_rows,
    probabilities_of,
    thresholds_for,
)
from lfbt.inference.recordings import Pieces
from lfbt.models.config import EncoderConfig


class MeanModel:
    """Two classes, whose logits are the means of the two leads; 64 features a lead, all the mean of it."""

    def __init__(self, exclusive=True, thresholds=(None, None)):
        self.config = EncoderConfig(("II", "V1"), 6.4, 64)
        self.classes, self.exclusive, self.thresholds = ("A", "B"), exclusive, thresholds
        self.subsets: tuple[ServedSubset, ...] = ()
        self.features_per_lead, self.needs_voltages, self.most_at_once = 64, False, 1
        self.batches = []

    def compute(self, signals):
        self.batches.append(len(signals))
        means = signals.mean(axis=2).astype(np.float32)
        return np.repeat(means, 64, axis=1), means


class SubsetModel(MeanModel):
    """Lead II suffices; the logits are the mean of the leads that are there, and minus it."""

    def __init__(self):
        super().__init__(thresholds=(0.1, 0.2))
        self.subsets = (ServedSubset(("II",), (0.0, None)),)

    def compute(self, signals):
        embeddings, _ = super().compute(signals)
        means = np.nanmean(signals, axis=(1, 2))
        return embeddings, np.stack([means, -means], axis=1).astype(np.float32)


def recording(name, *means, reason=""):
    signals = np.array([np.repeat([[a], [b]], 64, axis=1) for a, b in means], np.float32).reshape(-1, 2, 64)
    return Pieces(f"{name}.hea", name, "p", signals, tuple(range(len(means))), (), reason)


@pytest.fixture
def _two_threads(set_threads):
    set_threads(2)


@pytest.mark.parametrize("most_at_once", [1, 2])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
@pytest.mark.usefixtures("_two_threads")
def test_iterate_answers_gives_each_recording_its_pieces(batch_size, most_at_once):
    model = MeanModel()
    model.most_at_once = most_at_once
    given_ = [recording("a", (1, 2)), recording("b"), recording("c", (3, 4), (5, 6), (7, 8)), recording("d", (9, 0))]
    answers = list(iterate_answers(given_, model, batch_size))
    assert [one.pieces.id for one in answers] == list("abcd")
    assert [one.logits.tolist() for one in answers] == [[[1, 2]], [], [[3, 4], [5, 6], [7, 8]], [[9, 0]]]
    assert [one.embeddings.shape for one in answers] == [(1, 128), (0, 128), (3, 128), (1, 128)]


def test_iterate_answers_computes_in_batches():
    model = MeanModel()
    list(iterate_answers([recording(str(i), (0, 0)) for i in range(10)], model, 4))
    assert model.batches == [4, 4, 2]


class TwoAtOnce(MeanModel):
    """Says with how many of PyTorch's threads it computes, and waits until a second batch is computed meanwhile."""

    def __init__(self):
        super().__init__()
        self.most_at_once, self.threads, self.both = 2, [], threading.Barrier(2, timeout=60)

    def compute(self, signals):
        self.threads.append(torch.get_num_threads())
        self.both.wait()
        return super().compute(signals)


@pytest.mark.usefixtures("_two_threads")
def test_iterate_answers_computes_batches_at_once_with_a_thread_each():
    model = TwoAtOnce()
    answers = iterate_answers((recording(str(i), (i, 0)) for i in range(8)), model, 2)
    assert [one.logits[0, 0] for one in answers] == list(range(8))
    assert (model.threads, torch.get_num_threads()) == ([1, 1, 1, 1], 2)


@pytest.mark.usefixtures("_two_threads")
def test_iterate_answers_of_one_batch_takes_all_threads_and_starts_none():
    class Model(TwoAtOnce):
        def compute(self, signals):
            self.threads.append((torch.get_num_threads(), threading.current_thread() is threading.main_thread()))
            return MeanModel.compute(self, signals)

    model = Model()
    assert len(list(iterate_answers([recording("a", (1, 2)), recording("b", (3, 4))], model, 2))) == 2
    assert model.threads == [(2, True)]


@pytest.mark.usefixtures("_two_threads")
def test_iterate_answers_raises_what_the_model_raises_and_reads_no_more_than_it_computes():
    class Model(TwoAtOnce):
        def compute(self, signals):
            raise LfbtError(f"signals: {signals[0, 0, 0]:g}")

    def recordings():
        for i in range(100):
            read.append(i)
            yield recording(str(i), (i, 0))

    read: list[int] = []
    before = threading.active_count()
    with pytest.raises(LfbtError, match="signals: 0"):
        list(iterate_answers(recordings(), Model(), 1))
    assert (len(read), threading.active_count()) == (3, before)


def test_prediction_rows_pool_by_the_mean_of_logits():
    (answer,) = iterate_answers([recording("a", (2, 0), (0, 1))], MeanModel())
    pooled, first, second = prediction_rows(answer, MeanModel(), per_piece=True)
    # Means 1 and 0.5.
    assert pooled["p_A"] == pytest.approx(np.exp(1) / (np.exp(1) + np.exp(0.5)), rel=1e-12)
    assert first["p_A"] == pytest.approx(np.exp(2) / (np.exp(2) + 1), rel=1e-12)
    assert (pooled["pieces"], first["piece"], second["piece"], second["predicted"]) == (2, 0, 1, "B")
    assert "piece" not in pooled
    assert list(prediction_rows(answer, MeanModel(), per_piece=False)) == [pooled]


@pytest.mark.parametrize(
    ("exclusive", "thresholds", "predicted", "above"),
    [
        (True, (0.74, 0.2), "A", "B"),
        (True, (None, None), "A", ""),
        (False, (0.7, 0.2), "A;B", "A;B"),
        (False, (0.74, 0.2), "B", "B"),
        (False, (None, 0.7), "A", ""),
    ],
)
def test_prediction_rows_apply_the_thresholds(exclusive, thresholds, predicted, above):
    """Softmax of (1, 0) is 0.731, 0.269; its sigmoids are 0.731, 0.5."""
    model = MeanModel(exclusive, thresholds)
    (answer,) = iterate_answers([recording("a", (1, 0))], model)
    (row,) = prediction_rows(answer, model, per_piece=False)
    assert (row["predicted"], row["above_threshold"]) == (predicted, above)


def test_rows_of_a_recording_without_pieces_have_its_reason():
    model = MeanModel()
    (answer,) = iterate_answers([recording("a", reason="flat: II")], model)
    (row,) = prediction_rows(answer, model, per_piece=True)
    assert row == {"file": "a.hea", "record": "a", "patient": "p", "pieces": 0, "notes": "", "error": "flat: II"}
    assert list(embedding_rows(answer, per_piece=True)) == [row]


def test_embedding_rows_are_means_and_pieces():
    (answer,) = iterate_answers([recording("a", (2, 0), (0, 1))], MeanModel())
    pooled, first, _ = embedding_rows(answer, per_piece=True)
    assert [pooled["e0"], pooled["e127"], first["e0"], first["e127"]] == [1, 0.5, 2, 0]
    assert set(pooled) | {"piece"} == set(embedding_columns(128, per_piece=True))
    assert set(pooled) == set(embedding_columns(128, per_piece=False))


def test_prediction_columns_are_those_of_the_rows():
    (answer,) = iterate_answers([recording("a", (2, 0))], MeanModel())
    pooled, first = prediction_rows(answer, MeanModel(), per_piece=True)
    assert set(first) == set(prediction_columns(("A", "B"), per_piece=True))
    assert set(pooled) == set(prediction_columns(("A", "B"), per_piece=False))


@given(st.lists(st.floats(-700, 700), min_size=2, max_size=6))
def test_probabilities_are_finite_and_exclusive_ones_add_up_to_1(logits):
    exclusive = probabilities_of(np.array(logits), exclusive=True)
    assert exclusive.sum() == pytest.approx(1)
    several = probabilities_of(np.array(logits), exclusive=False)
    np.testing.assert_allclose(several, [1 / (1 + np.exp(-x)) for x in logits], rtol=1e-12)
    assert ((exclusive >= 0) & (exclusive <= 1) & (several >= 0) & (several <= 1)).all()


def test_thresholds_for_are_those_of_the_leads_that_are_used():
    model = SubsetModel()
    assert thresholds_for(model, ("II",)) == (0.0, None)
    assert thresholds_for(model, ("II", "V1")) == thresholds_for(model, ()) == (0.1, 0.2)
