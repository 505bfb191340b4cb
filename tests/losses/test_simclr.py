"""SimCLR's loss: against loops that spell it out, by hand, and its temperature."""

import math

import pytest
import torch
from tests.losses.helpers import SHAPES, cosine, random_pair, value_and_gradient

from lfbt.errors import LfbtError
from lfbt.losses.simclr import simclr_loss


def literal_simclr(z1, z2, temperature=0.1):
    """View by view: its similarity to the record's other view against those to all views but itself."""
    views = [*z1, *z2]
    n = len(views)
    total = torch.zeros((), dtype=z1.dtype)
    for i in range(n):
        exps = [torch.exp(cosine(views[i], views[k]) / temperature) for k in range(n) if k != i]
        found = torch.exp(cosine(views[i], views[(i + n // 2) % n]) / temperature)
        total = total - torch.log(found / torch.stack(exps).sum())
    return total / n


@pytest.mark.parametrize("shape", [*SHAPES, (5, 1, 6)])
def test_simclr_loss_equals_the_literal_form_in_value_and_gradient(shape):
    z1, z2 = random_pair(*shape)
    pairs = zip(value_and_gradient(simclr_loss, z1, z2), value_and_gradient(literal_simclr, z1, z2), strict=True)
    for mine, literal in pairs:
        torch.testing.assert_close(mine, literal, rtol=1e-10, atol=1e-12)
        assert mine.abs().max() > 1e-6


@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
def test_simclr_loss_equals_the_literal_form_at_other_temperatures(temperature):
    views = random_pair(4, 3, 5)
    literals = value_and_gradient(literal_simclr, *views, temperature)
    for mine, literal in zip(value_and_gradient(simclr_loss, *views, temperature), literals, strict=True):
        torch.testing.assert_close(mine, literal, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.0, -0.1, 0.0009, 100.5, math.nan, math.inf])
def test_simclr_loss_refuses_a_temperature_out_of_range(temperature):
    z1, z2 = random_pair(4, 2, 3)
    message = rf"temperature: {temperature} is outside \[0.001, 100\]; SimCLR and CLOCS have"
    with pytest.raises(LfbtError, match=message):
        simclr_loss(z1, z2, temperature)


@pytest.mark.parametrize("temperature", [0.001, 100.0])
def test_simclr_loss_is_finite_at_the_ends_of_the_range(temperature):
    z1, z2 = random_pair(6, 3, 8, dtype=torch.float32)
    for value in value_and_gradient(simclr_loss, z1, z2.roll(1, 0), temperature):
        assert value.isfinite().all()


def test_simclr_loss_by_hand():
    """Two records of two leads; with τ = 1, cosines 0.8 and 1 of a record's views, 0 of different records."""
    z1 = torch.tensor([[[3.0, 0], [0, 4]], [[0, 1], [0, 0]]])
    z2 = torch.tensor([[[0.0, 0], [0, 7]], [[0, 2], [0, 0]]])
    expected = (math.log(1 + 2 * math.exp(-0.8)) + math.log(1 + 2 * math.exp(-1))) / 2
    assert simclr_loss(z1, z2, 1.0).item() == pytest.approx(expected, rel=1e-6)
    # The views of one record are those of the other: 0 to be found, 1 and 0 beside it.
    swapped = torch.eye(2)[:, None]
    assert simclr_loss(swapped, swapped.flip(0), 1.0).item() == pytest.approx(math.log(2 + math.e), rel=1e-6)
