"""Steps of learning: how far they go, what they leave alone, and that a recorded one is the same."""

import math

import pytest
import torch

from lfbt.losses.lfbt import lfbt_loss
from lfbt.models.encoder import EncoderConfig
from lfbt.training.precision import MixedPrecision
from lfbt.training.steps import RecordedStep, Steps, train_step
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


def test_train_step_returns_the_mean_over_pairs_of_views():
    three = torch.cat([views(), views()[:1] - 1])
    z = new_state().model(three)
    expected = sum(distance(z[i], z[j], None)[0].item() for i, j in ((0, 1), (0, 2), (1, 2))) / 3
    state = new_state()
    assert train_step(three, state.model, state.optimizer, distance) == [pytest.approx(expected, rel=1e-6), 2.0]


def test_train_step_learns_nothing_from_a_loss_that_is_not_finite():
    state = create_train_state(EncoderConfig(("II", "V1"), 6.4, 64), (16, 16), 1e-3, seed=1)
    before = [parameter.detach().clone() for parameter in state.model.parameters()]
    with pytest.raises(FloatingPointError, match="nan"):
        train_step(views(), state.model, state.optimizer, lambda z1, z2, sizes: (z1.sum() * math.nan,))
    assert all(torch.equal(now, then) for now, then in zip(state.model.parameters(), before, strict=True))


CPU = MixedPrecision("fp32", torch.device("cpu"))


def new_state():
    return create_train_state(EncoderConfig(("II", "V1"), 6.4, 64), (16, 16), 1e-3, seed=1)


def loss(z1, z2, sizes):
    assert sizes is None
    return lfbt_loss(z1, z2)


def recorder(model):
    """Stands in for CUDA graphs: what is repeated writes result and gradients to where they were when recorded."""

    def record(passes, device):
        assert device == torch.device("cpu")
        for _ in range(2):
            passes()
        result = passes()
        kept = [parameter.grad for parameter in model.parameters()]

        def replay():
            now = passes()
            for parameter, gradient in zip(model.parameters(), kept, strict=True):
                gradient.copy_(parameter.grad)
                # A graph knows nothing of what a parameter refers to.
                parameter.grad = None
            return result.copy_(now)

        return replay

    return record


def batches(*sizes, n_views=2):
    generator = torch.Generator().manual_seed(2)
    return [torch.randn((n_views, size, 2, 64), generator=generator) for size in sizes]


@pytest.mark.parametrize("n_views", [2, 3])
def test_recorded_steps_learn_bit_for_bit_what_train_step_does(monkeypatch, n_views):
    """Also with smaller batches between them, which are not recorded."""
    given = batches(5, 5, 3, 5, 3, 5, n_views=n_views)
    plain, other = new_state(), new_state()
    monkeypatch.setattr("lfbt.training.steps.record_graph", recorder(other.model))
    steps = Steps(other.model, other.optimizer, loss, CPU, recorded_size=5)
    for batch in given:
        assert steps(batch, None) == train_step(batch, plain.model, plain.optimizer, loss)
    for name, tensor in plain.state().items():
        assert torch.equal(other.state()[name], tensor), name


def test_recording_a_step_learns_nothing(monkeypatch):
    state, untouched = new_state(), new_state()
    monkeypatch.setattr("lfbt.training.steps.record_graph", recorder(state.model))
    RecordedStep(views(), state.model, state.optimizer, loss, CPU)
    assert all(torch.equal(state.state()[name], tensor) for name, tensor in untouched.state().items())
    assert all(parameter.grad is None for parameter in state.model.parameters())


def test_a_recorded_step_learns_nothing_from_a_loss_that_is_not_finite(monkeypatch):
    state = new_state()
    monkeypatch.setattr("lfbt.training.steps.record_graph", recorder(state.model))
    step = RecordedStep(views(), state.model, state.optimizer, loss, CPU)
    before = {name: parameter.detach().clone() for name, parameter in state.model.named_parameters()}
    with pytest.raises(FloatingPointError, match="nan"):
        step(views() * math.nan)
    assert all(torch.equal(parameter, before[name]) for name, parameter in state.model.named_parameters())


def test_steps_are_not_recorded_where_memory_does_not_suffice(monkeypatch):
    def too_large(passes, device):
        passes()
        raise torch.OutOfMemoryError

    monkeypatch.setattr("lfbt.training.steps.record_graph", too_large)
    plain, other = new_state(), new_state()
    steps = Steps(other.model, other.optimizer, loss, CPU, recorded_size=5)
    for batch in batches(5, 5):
        assert steps(batch, None) == train_step(batch, plain.model, plain.optimizer, loss)
    assert all(torch.equal(other.state()[name], tensor) for name, tensor in plain.state().items())
