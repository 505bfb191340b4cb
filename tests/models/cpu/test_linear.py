"""Linear layers by oneDNN: against double precision, with gradients, and where PyTorch's own layer is taken."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lfbt.models.cpu import linear as module
from lfbt.models.cpu.linear import has_onednn, linear


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("shape", [(5, 7), (2, 5, 7), (2, 128, 64), (1, 1)])
@pytest.mark.parametrize("n_out", [1, 33])
def test_linear_and_its_gradients_are_those_of_double_precision(shape, n_out):
    x, weight, gradient = normal(*shape), normal(n_out, shape[-1], seed=1), normal(*shape[:-1], n_out, seed=2)

    def outcome(function: Callable[..., Tensor], dtype: torch.dtype) -> list[Tensor]:
        leaves = [tensor.detach().to(dtype, copy=True).requires_grad_() for tensor in (x, weight)]
        y = function(*leaves)
        return [y.detach(), *torch.autograd.grad(y, leaves, gradient.to(dtype))]

    for ours, theirs in zip(outcome(linear, torch.float32), outcome(F.linear, torch.float64), strict=True):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))


def test_linear_leaves_out_gradients_that_nobody_takes():
    x, weight = normal(4, 3), normal(2, 3, seed=1).requires_grad_()
    linear(x, weight).sum().backward()
    torch.testing.assert_close(weight.grad, x.sum(dim=0).expand(2, 3))


def test_linear_is_pytorchs_in_double_precision_under_autocast_and_without_onednn(monkeypatch):
    x, weight = normal(4, 3), normal(2, 3, seed=1)
    monkeypatch.setattr(module, "_product", lambda *_: pytest.fail("oneDNN's was called"))
    assert torch.equal(linear(x.double(), weight.double()), F.linear(x.double(), weight.double()))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(linear(x, weight), F.linear(x, weight))
    monkeypatch.setattr(module, "has_onednn", lambda: False)
    assert torch.equal(linear(x, weight), F.linear(x, weight))


def test_has_onednn_is_false_where_the_product_is_absent_or_wrong(monkeypatch):
    def absent(*_):
        raise AttributeError

    for product in (absent, lambda a, b: a @ b.t() + 1):
        monkeypatch.setattr(module, "_product", product)
        assert not has_onednn.__wrapped__()


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch is built without oneDNN")
def test_a_pytorch_with_onednn_is_found_to_have_it():
    assert has_onednn()
