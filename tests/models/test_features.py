"""Embeddings of records: those of plain layers, in the order of the rows, and given up when asked."""

import numpy as np
import pytest
import torch
from tests.factories import KINDS, waves, write_checkpoint
from tests.literal import literal_embeddings

from lfbt.data.dataset import from_arrays
from lfbt.models.features import compute_embeddings
from lfbt.models.pretrained import load_encoder

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_encoder(write_checkpoint(tmp_path_factory.mktemp("features") / "encoder"))


def dataset_of(signals):
    return from_arrays(signals, ("II", "V1"), 6.4)


@pytest.mark.parametrize("workers", [0, 2])
def test_compute_embeddings_equals_plain_layers_in_the_order_of_the_rows(encoder, workers):
    signals, rows = waves(KINDS), np.array([5, 0, 47, 3])
    embeddings = compute_embeddings(encoder.train(), dataset_of(signals), rows, CPU, workers)
    assert embeddings.shape == (4, 128)
    assert not embeddings.requires_grad
    assert not encoder.training
    expected = literal_embeddings(encoder, signals[rows])
    # Single precision keeps five digits of the largest feature.
    np.testing.assert_allclose(embeddings.numpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_compute_embeddings_of_no_rows_is_empty(encoder):
    assert compute_embeddings(encoder, dataset_of(waves(KINDS)), np.array([], dtype=np.int64), CPU, 0).shape == (0,)


def test_compute_embeddings_returns_what_it_has_once_it_is_to_give_up(encoder):
    """Asked before each of three batches."""
    answers = iter([False, True])
    dataset = dataset_of(waves([i % 3 for i in range(300)]))
    embeddings = compute_embeddings(encoder, dataset, np.arange(300), CPU, 0, give_up=lambda: next(answers))
    assert 0 < len(embeddings) < 300
    assert torch.equal(embeddings, compute_embeddings(encoder, dataset, np.arange(len(embeddings)), CPU, 0))
