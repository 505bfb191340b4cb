"""Projectors: equality with plain stacks of layers, each view by itself, and standardised projections."""

import pytest
import torch
import torch.nn.functional as F
from tests.literal import literal_projector
from tests.models.helpers import signals_of
from tests.outputs import assert_same_tensors
from torch import nn

from lfbt.models.encoder import EncoderConfig
from lfbt.models.projector import Projector, Projectors
from lfbt.training.train_state import create_train_state
from lfbt.utils.tensors import seeded


def assert_close(mine, literal, what=""):
    """Double precision through several layers: sums in another order differ by about 1e-13 of their size."""
    torch.testing.assert_close(mine, literal, rtol=1e-9, atol=1e-11, msg=lambda text: f"{what} {text}")


@pytest.mark.parametrize("sizes", [(12,), (12, 20), (12, 16, 20)])
def test_projectors_equal_plain_stacks_of_layers(sizes):
    """Projections and gradients, lead by lead."""
    projectors = Projectors(3, 10, sizes).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in projectors.named_parameters():
            if "linears" not in name:
                parameter.copy_(0.5 + torch.rand(parameter.shape, generator=generator, dtype=torch.float64))
    features = signals_of(7, 3, 10).requires_grad_()
    target = signals_of(7, 3, sizes[-1], seed=1)
    stacks = [literal_projector(projector) for projector in projectors.projectors]
    expected = torch.stack([stack(features[:, lead]) for lead, stack in enumerate(stacks)], dim=1)
    result = projectors(features)
    assert result.shape == (7, 3, sizes[-1])
    assert_close(result, expected)

    (mine,) = torch.autograd.grad((result * target).sum(), features, retain_graph=True)
    (literal,) = torch.autograd.grad((expected * target).sum(), features, retain_graph=True)
    assert_close(mine, literal)
    (result * target).sum().backward()
    (expected * target).sum().backward()
    for projector, stack in zip(projectors.projectors, stacks, strict=True):
        assert isinstance(projector, Projector)
        linears = [layer for layer in stack if isinstance(layer, nn.Linear)]
        norms = [layer for layer in stack if isinstance(layer, nn.BatchNorm1d) and layer.affine]
        for mine, linear in zip(projector.linears, linears, strict=True):
            assert_close(mine.weight.grad, linear.weight.grad)
        for scale, shift, norm in zip(projector.scales, projector.shifts, norms, strict=True):
            assert_close(scale.grad, norm.weight.grad)
            assert_close(shift.grad, norm.bias.grad)


def test_projectors_normalise_each_view_by_itself():
    """Both in one product, each with its own batch statistics; a weight's gradient is that of both together."""
    projectors, one_by_one = Projectors(2, 10, (12, 20)).double(), Projectors(2, 10, (12, 20)).double()
    one_by_one.load_state_dict(projectors.state_dict())
    views, target = signals_of(3, 7, 2, 10), signals_of(3, 7, 2, 20, seed=1)
    together = projectors(views)
    expected = torch.stack([one_by_one(view) for view in views])
    assert_close(together, expected)
    (together * target).sum().backward()
    (expected * target).sum().backward()
    for mine, other in zip(projectors.parameters(), one_by_one.parameters(), strict=True):
        assert_close(mine.grad, other.grad)


@pytest.mark.parametrize("training", [True, False])
def test_projectors_standardise_over_the_batch(training):
    """Zero mean, and unit variance but for batch normalisation's 1e-5 beside variances of 30 or more."""
    projectors = Projectors(2, 10, (12,)).double().train(training)
    z = projectors(50 * signals_of(9, 2, 10))
    torch.testing.assert_close(z.mean(dim=0), torch.zeros(2, 12, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(z.var(dim=0, correction=0), torch.ones(2, 12, dtype=torch.float64), rtol=0, atol=1e-6)
    assert not list(projectors.buffers())


def test_projectors_that_are_not_standardised_lack_the_last_norm():
    """As a plain stack without it, from the same weights as with it."""
    with seeded(3):
        projectors = Projectors(2, 10, (12, 20), standardised=False).double()
    with seeded(3):
        standard = Projectors(2, 10, (12, 20)).double()
    assert_same_tensors(dict(projectors.state_dict()), dict(standard.state_dict()))
    features = torch.randn(7, 2, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    stacks = [literal_projector(projector)[:-1] for projector in projectors.projectors]
    expected = torch.stack([stack(features[:, lead]) for lead, stack in enumerate(stacks)], dim=1)
    torch.testing.assert_close(projectors(features), expected)
    normed = F.batch_norm(expected.flatten(1), None, None, training=True).view_as(expected)
    torch.testing.assert_close(standard(features), normed)
    assert (expected.var(dim=0) < 0.5).any()


def test_projectors_in_half_precision_return_single():
    train_state = create_train_state(
        EncoderConfig(("II", "V1"), 6.4, 64), (16, 12), learning_rate=1e-3, standardised=False
    )
    views = torch.randn(2, 5, 2, 64, generator=torch.Generator().manual_seed(0))
    features = train_state.encoder(views).detach()
    exact = train_state.projectors(features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = train_state.projectors(features)
    assert half.dtype == torch.float32
    assert not torch.equal(half, exact)
    torch.testing.assert_close(half, exact, rtol=0, atol=0.05)


def test_projectors_start_as_linear_layers_do():
    """Every lead drawn apart, uniform within ± 1/sqrt(inputs); norms at one and zero."""
    with seeded(0):
        projectors = Projectors(2, 25, (400, 30))
    for i, n_in in enumerate((25, 400)):
        state = projectors.state_dict()
        weight = torch.stack([state[f"projectors.{lead}.linears.{i}.weight"] for lead in range(2)])
        bound = n_in**-0.5
        assert 0.99 * bound < weight.max() <= bound
        assert -bound <= weight.min() < -0.99 * bound
        assert not torch.isclose(weight[0], weight[1]).all()
        # The variance of a uniform distribution, from 10,000 draws or more.
        assert weight.var().item() == pytest.approx(bound**2 / 3, rel=0.05)
    for name, tensor in projectors.state_dict().items():
        assert "linears" in name or (tensor == (1 if "scales" in name else 0)).all()
