"""The contrast between leads: against loops that spell it out, by hand, and its temperature."""

import itertools
import math

import pytest
import torch
from tests.losses.helpers import SHAPES, cosine, random_pair, value_and_gradient

from lfbt.errors import LfbtError
from lfbt.losses.lead_contrastive import lead_contrastive_loss


def literal_lead_contrastive(z1, z2, temperature=0.1):
    """Pair by pair of different leads, record by record, in both directions."""
    n_records, n_leads, _ = z1.shape
    terms = []
    for i, j in itertools.permutations(range(n_leads), 2):
        for a in range(n_records):
            found = torch.exp(cosine(z1[a, i], z2[a, j]) / temperature)
            by_i = torch.stack([torch.exp(cosine(z1[a, i], z2[b, j]) / temperature) for b in range(n_records)])
            by_j = torch.stack([torch.exp(cosine(z1[b, i], z2[a, j]) / temperature) for b in range(n_records)])
            terms += [-torch.log(found / by_i.sum()), -torch.log(found / by_j.sum())]
    return torch.stack(terms).mean()


@pytest.mark.parametrize("shape", [*SHAPES])
def test_lead_contrastive_loss_equals_the_literal_form_in_value_and_gradient(shape):
    z1, z2 = random_pair(*shape)
    pairs = zip(
        value_and_gradient(lead_contrastive_loss, z1, z2),
        value_and_gradient(literal_lead_contrastive, z1, z2),
        strict=True,
    )
    for mine, literal in pairs:
        torch.testing.assert_close(mine, literal, rtol=1e-10, atol=1e-12)
        assert mine.abs().max() > 1e-6


@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
def test_lead_contrastive_loss_equals_the_literal_form_at_other_temperatures(temperature):
    views = random_pair(4, 3, 5)
    literals = value_and_gradient(literal_lead_contrastive, *views, temperature)
    for mine, literal in zip(value_and_gradient(lead_contrastive_loss, *views, temperature), literals, strict=True):
        torch.testing.assert_close(mine, literal, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.0, -0.1, 0.0009, 100.5, math.nan, math.inf])
def test_lead_contrastive_loss_refuses_a_temperature_out_of_range(temperature):
    z1, z2 = random_pair(4, 2, 3)
    message = rf"temperature: {temperature} is outside \[0.001, 100\]; SimCLR and CLOCS have"
    with pytest.raises(LfbtError, match=message):
        lead_contrastive_loss(z1, z2, temperature)


@pytest.mark.parametrize("temperature", [0.001, 100.0])
def test_lead_contrastive_loss_is_finite_at_the_ends_of_the_range(temperature):
    z1, z2 = random_pair(6, 3, 8, dtype=torch.float32)
    for value in value_and_gradient(lead_contrastive_loss, z1, z2.roll(1, 0), temperature):
        assert value.isfinite().all()


def test_lead_contrastive_loss_by_hand():
    """Two records of two leads: lead 0 in view 1 is lead 1 in view 2 and the reverse, and no lead is like itself."""
    e = torch.eye(4)
    z1 = torch.stack([torch.stack([e[0], e[2]]), torch.stack([e[1], e[3]])])
    z2 = z1.flip(1)
    assert (z1 * z2).sum() == 0
    assert lead_contrastive_loss(z1, z2, 0.5).item() == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-6)
    # Lead 0 of both records alike in view 1: of its similarities, rows 1 0 | 1 0, the columns cannot tell records.
    z1[1, 0] = e[0]
    rows = (math.log(1 + math.exp(-1)) + math.log(1 + math.e)) / 2
    columns = math.log(2)
    of_other_pair = math.log(1 + math.exp(-1))
    expected = ((rows + columns) / 2 + of_other_pair) / 2
    assert lead_contrastive_loss(z1, z2, 1.0).item() == pytest.approx(expected, rel=1e-6)


def test_lead_contrastive_loss_refuses_one_lead():
    with pytest.raises(LfbtError, match="objective: lead-contrastive was given 1 lead but needs two or more"):
        lead_contrastive_loss(*random_pair(5, 1, 6))
