"""Embeddings of records: those of plain layers, in the order of the rows, and given up when asked."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.factories import KINDS, waves, write_checkpoint
from tests.literal import literal_embeddings, z_score

from lfbt.data.dataset import from_arrays
from lfbt.errors import LfbtError
from lfbt.models.feature_maps import PAPER, RICH
from lfbt.models.features import compute_embeddings, embed_voltages
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


def literal_rich(encoder, voltages):
    """Rich features ``[records, leads × 258]`` of mV: convolution by convolution, lead by lead, in double precision."""
    x, columns = torch.from_numpy(z_score(voltages)).double(), []
    for lead, one in enumerate(encoder.encoders.values()):
        activations, ends = x[:, lead, None], []
        for i, (convolution, norm) in enumerate(one.pairs()):
            y = F.conv1d(activations, convolution.weight.double(), convolution.bias.double(), padding=1)
            mean, variance = (value.double()[:, None] for value in (norm.running_mean, norm.running_var))
            y = (y - mean) / (variance + norm.eps).sqrt() * norm.weight.double()[:, None] + norm.bias.double()[:, None]
            activations = y.clamp(min=0)
            if i in (1, 3, 6, 9, 12):
                activations = F.max_pool1d(activations, 2)
                ends.append(activations)
        for end in ends[3:]:
            columns += [end.sum(dim=2) / end.shape[2], end.max(dim=2).values]
        own = voltages[:, lead].astype(np.float64)
        columns.append(torch.from_numpy(np.stack([np.log(own.std(axis=1)), own.max(axis=1) - own.min(axis=1)], axis=1)))
    return torch.cat(columns, dim=1).detach().numpy()


@pytest.mark.parametrize("is_fused", [True, False])
def test_compute_embeddings_of_rich_features_equals_plain_layers_on_both_paths(encoder, monkeypatch, is_fused):
    """The amplitudes are of the voltages before the z-score, whose loudness is that of the records."""
    signals = waves(KINDS) * np.linspace(0.2, 3, len(KINDS), dtype=np.float32)[:, None, None]
    if not is_fused:
        monkeypatch.setattr(encoder, "_can_be_fused", lambda _: False)
    rows = np.array([5, 0, 47, 3])
    embeddings = compute_embeddings(encoder, dataset_of(signals), rows, CPU, 0, features=RICH).numpy()
    expected = literal_rich(encoder, signals[rows])
    assert embeddings.shape == expected.shape == (4, 2 * 258)
    np.testing.assert_allclose(embeddings, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_rich_features_of_permuted_leads_are_permuted(encoder):
    signals = waves(KINDS[:6])
    of_leads = embed_voltages(encoder, signals, RICH).unflatten(1, (2, -1))
    swapped = embed_voltages(encoder.select_leads("V1,II"), signals[:, ::-1].copy(), RICH).unflatten(1, (2, -1))
    np.testing.assert_allclose(swapped.flip(1).numpy(), of_leads.numpy(), rtol=0, atol=1e-5)


def test_embed_voltages_leaves_an_absent_lead_nan_and_normalises_by_the_others(encoder):
    signals = waves(KINDS[:4])
    signals[1, 1] = np.nan
    found = embed_voltages(encoder, signals, RICH).unflatten(1, (2, -1)).numpy()
    assert np.isnan(found[1, 1]).all()
    assert np.isfinite(found[[0, 2, 3]]).all()
    alone = embed_voltages(encoder.select_leads("II"), signals[1:2, :1], RICH).numpy()
    np.testing.assert_allclose(found[1, 0], alone[0], rtol=0, atol=1e-5)


def test_compute_embeddings_refuses_amplitudes_of_z_scores(encoder):
    dataset = dataclasses.replace(dataset_of(waves(KINDS)), in_mv=False)
    assert compute_embeddings(encoder, dataset, np.arange(2), CPU, 0, features=PAPER).shape == (2, 128)
    with pytest.raises(LfbtError, match=r"features: rich has the leads' amplitudes in mV, but .* holds z-scores"):
        compute_embeddings(encoder, dataset, np.arange(2), CPU, 0, features=RICH)


def test_compute_embeddings_refuses_features_that_are_not_finite_by_record(tmp_path):
    encoder: Any = load_encoder(write_checkpoint(tmp_path / "encoder"))
    with torch.no_grad():
        # Finite, and beyond float32 once it is multiplied.
        encoder.encoders["V1"].convolutions[0].weight.fill_(3e38)
        encoder.encoders["V1"].norms[0].running_var.fill_(1e-30)
    data = from_arrays(waves(KINDS), ("II", "V1"), 6.4)
    with pytest.raises(LfbtError, match="the features of record 3 are NaN or infinite"):
        compute_embeddings(encoder, data, np.array([3, 4]), torch.device("cpu"), 0)
