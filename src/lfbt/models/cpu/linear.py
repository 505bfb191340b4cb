"""Linear layers in single precision on a CPU by oneDNN.

PyTorch's builds for x86 compute them by MKL, which took twice as long as oneDNN on the AMD processor of the benchmarks.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """Multiply inputs by the weights of a linear layer without a bias; gradients can be taken once.

    Parameters
    ----------
    x : Tensor
        ``[..., in]``.
    weight : Tensor
        ``[out, in]``.

    Returns
    -------
    Tensor
        ``[..., out]``: ``x @ weight.T``, as `torch.nn.functional.linear` computes it but for rounding.

    Examples
    --------
    >>> linear(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([[11.]])
    """
    single = x.dtype == weight.dtype == torch.float32 and x.device.type == weight.device.type == "cpu"
    if not single or torch.is_autocast_enabled("cpu") or not has_onednn():
        return F.linear(x, weight)
    product: Tensor = _Linear.apply(x.flatten(0, -2), weight)  # type: ignore[no-untyped-call]
    return product.view(*x.shape[:-1], -1)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        of_x, of_weight = ctx.needs_input_grad
        return (
            _product(gradient, weight.t()) if of_x else None,
            _product(gradient.t(), x.t()) if of_weight else None,
        )


def _product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b.T``, where either may be a transposed view."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
    return product


@functools.cache
def has_onednn() -> bool:
    """Whether PyTorch has oneDNN's product, and it is right: its compiler uses it, but no documented function does."""
    a, b = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3)
    try:
        return torch.equal(_product(a, b), a @ b.t()) and torch.equal(_product(b, a), b @ a.t())
    except (AttributeError, RuntimeError):
        return False
