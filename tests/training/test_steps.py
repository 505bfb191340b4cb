"""One step of learning: how far it goes, and what it leaves alone."""

import math

import pytest
import torch

from lfbt.models.encoder import EncoderConfig
from lfbt.training.steps import train_step
from lfbt.training.train_state import create_train_state


def views():
    return torch.randn((2, 5, 2, 64), generator=torch.Generator().manual_seed(0))


def distance(z1, z2, sizes):
    return ((z1 - z2) ** 2).mean(), torch.tensor(2.0)


def test_train_step_learns_and_returns_the_loss_before_it():
    state = create_train_state(EncoderConfig(("II", "V1"), 6.4, 64), (16, 16), 1e-3, seed=1)
    before = [parameter.detach().clone() for parameter in state.model.parameters()]
    first, other = train_step(views(), state.model, state.optimizer, distance)
    second, _ = train_step(views(), state.model, state.optimizer, distance)
    assert other == 2.0
    assert second < first
    assert any(not torch.equal(now, then) for now, then in zip(state.model.parameters(), before, strict=True))


def test_train_step_learns_nothing_from_a_loss_that_is_not_finite():
    state = create_train_state(EncoderConfig(("II", "V1"), 6.4, 64), (16, 16), 1e-3, seed=1)
    before = [parameter.detach().clone() for parameter in state.model.parameters()]
    with pytest.raises(FloatingPointError, match="nan"):
        train_step(views(), state.model, state.optimizer, lambda z1, z2, sizes: (z1.sum() * math.nan,))
    assert all(torch.equal(now, then) for now, then in zip(state.model.parameters(), before, strict=True))
