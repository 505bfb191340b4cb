"""VICReg's loss: against loops that spell it out, by hand, and the cheaper of two forms."""

import itertools

import pytest
import torch
from tests.losses.helpers import SHAPES, random_pair, value_and_gradient
from torch.utils.flop_counter import FlopCounterMode

from lfbt.losses.vicreg import covariance_term, variance_term, vicreg_loss


def literal_covariance(z):
    """The covariance of ``[B, D]``, entry by entry."""
    n_records, n_dims = z.shape
    means = [sum(z[:, a]) / n_records for a in range(n_dims)]
    entries = [
        sum((z[k, a] - means[a]) * (z[k, b] - means[b]) for k in range(n_records)) / (n_records - 1)
        for a in range(n_dims)
        for b in range(n_dims)
    ]
    return torch.stack(entries).view(n_dims, n_dims)


def literal_vicreg(z1, z2):
    """25 invariance, 25 variance and 1 covariance, dimension by dimension."""
    n_records = len(z1)
    total = torch.zeros((), dtype=z1.dtype)
    views = [z.reshape(n_records, -1) for z in (z1, z2)]
    n_dims = views[0].shape[1]
    for k, a in itertools.product(range(n_records), range(n_dims)):
        total = total + 25 * (views[0][k, a] - views[1][k, a]) ** 2 / (n_records * n_dims)
    for z in views:
        c = literal_covariance(z)
        for a in range(n_dims):
            spread = torch.sqrt(c[a, a] + 1e-4)
            total = total + 25 * (1 - spread if spread < 1 else 0 * spread) / n_dims / 2
            for b in range(n_dims):
                if b != a:
                    total = total + c[a, b] ** 2 / n_dims
    return total


@pytest.mark.parametrize("shape", [*SHAPES, (5, 1, 6)])
def test_vicreg_loss_equals_the_literal_form_in_value_and_gradient(shape):
    z1, z2 = random_pair(*shape)
    pairs = zip(value_and_gradient(vicreg_loss, z1, z2), value_and_gradient(literal_vicreg, z1, z2), strict=True)
    for mine, literal in pairs:
        torch.testing.assert_close(mine, literal, rtol=1e-10, atol=1e-12)
        assert mine.abs().max() > 1e-6


def test_vicreg_loss_by_hand():
    """Two records, one lead of two dimensions; variances 2 2 | 2 0, covariances 2 | 0, one difference of 2."""
    z1, z2 = torch.tensor([[[0.0, 0]], [[2, 2]]]), torch.tensor([[[0.0, 0]], [[2, 0]]])
    assert [variance_term(z[:, 0]).item() for z in (z1, z2)] == pytest.approx([0, (1 - 0.01) / 2], rel=1e-6)
    assert [covariance_term(z[:, 0]).item() for z in (z1, z2)] == pytest.approx([2 * 2**2 / 2, 0], rel=1e-6)
    expected = 25 * 2**2 / 4 + 25 * (0 + 0.495) / 2 + 4
    assert vicreg_loss(z1, z2).item() == pytest.approx(expected, rel=1e-6)


def test_vicreg_loss_of_equal_uncorrelated_views_is_zero():
    """Columns of a Hadamard matrix, of three leads: variances of 4/3."""
    z = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])[:, :, None]
    assert vicreg_loss(z, z).item() == 0


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (5, 5), (2, 30), (30, 2)])
def test_covariance_term_is_that_of_the_matrix_whichever_form_is_cheaper(shape):
    z = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    c = literal_covariance(z)
    expected = (c.square().sum() - c.diagonal().square().sum()) / shape[1]
    torch.testing.assert_close(covariance_term(z), expected, rtol=1e-11, atol=1e-14)
    with FlopCounterMode(display=False) as counter:
        covariance_term(z)
    assert counter.get_total_flops() == 2 * shape[0] * shape[1] * min(shape)
