"""Collectives for data-parallel training: sums, rows, and batch statistics over all processes.

All processes call the same functions in the same order, and PyTorch's default process group is set up before.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def shard_sizes(n_records: int, n_processes: int) -> list[int]:
    """Divide records among processes: sizes that differ by one at most, the larger ones first.

    Examples
    --------
    >>> shard_sizes(7, 3)
    [3, 2, 2]
    """
    return [n_records // n_processes + (rank < n_records % n_processes) for rank in range(n_processes)]


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """Replace `tensor` by its sum over all processes, in place."""
    dist.all_reduce(tensor)
    return tensor


def all_gather_rows(tensor: Tensor, sizes: Sequence[int]) -> Tensor:
    """Gather the rows of all processes in the order of ranks, `sizes` of each. The result has no gradient."""
    own = tensor.new_zeros(max(sizes), *tensor.shape[1:])
    own[: len(tensor)] = tensor
    parts = [torch.empty_like(own) for _ in sizes]
    dist.all_gather(parts, own)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


def moment_sums(n_values: int, mean: Tensor, variance: Tensor) -> Tensor:
    """Number, sums and sums of squares of values, to be reduced over processes: ``[1 + 2 channels]``, double."""
    mean, variance = mean.double(), variance.double()
    return torch.cat([mean.new_full((1,), n_values), n_values * mean, n_values * (variance + mean.square())])


def moments_of(sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Number of values, means and biased variances of the channels, from reduced `moment_sums`."""
    n_values, (mean, square) = sums[0], (sums[1:] / sums[0]).chunk(2)
    return n_values, mean, (square - mean.square()).clamp(min=0)


def sync_batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    scale: Tensor | None,
    shift: Tensor | None,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Batch normalisation in training, as `F.batch_norm`, with statistics over the records of all processes.

    On a GPU it is PyTorch's SyncBatchNorm, which does not run on a CPU.

    Parameters
    ----------
    x : Tensor
        The process's own records ``[records, channels, …]``.
    running_mean, running_var : Tensor or None
        ``[channels]``, updated in place.
    scale, shift : Tensor or None
        ``[channels]``; their gradients are those of the process's own records.
    momentum, eps : float
        As in `F.batch_norm`.

    Returns
    -------
    Tensor
        As `x`, normalised.
    """
    if x.device.type == "cuda":
        return _by_pytorch(x, running_mean, running_var, scale, shift, momentum, eps)
    normalised, n_values, mean, variance = _SyncStandardise.apply(x, eps)  # type: ignore[no-untyped-call]
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            unbiased = variance * (n_values / (n_values - 1))
            for running, value in ((running_mean, mean), (running_var, unbiased)):
                running.lerp_(value.to(running.dtype), momentum)
    if scale is None or shift is None:
        return normalised  # type: ignore[no-any-return]
    return torch.addcmul(_of_channels(shift, x), normalised, _of_channels(scale, x))


def _by_pytorch(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    scale: Tensor | None,
    shift: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor:
    tracked = running_mean is not None
    norm = _sync_batch_norm(x.shape[1], eps, momentum, scale is not None, tracked)
    given = {"weight": scale, "bias": shift, "running_mean": running_mean, "running_var": running_var}
    tensors = {name: tensor for name, tensor in given.items() if tensor is not None}
    if tracked:
        tensors["num_batches_tracked"] = torch.zeros((), dtype=torch.long, device=x.device)
    return torch.func.functional_call(norm, tensors, (x,))  # type: ignore[no-any-return]


@functools.cache
def _sync_batch_norm(channels: int, eps: float, momentum: float, affine: bool, tracked: bool) -> nn.SyncBatchNorm:
    """PyTorch's module, without tensors of its own."""
    return nn.SyncBatchNorm(channels, eps, momentum, affine, tracked, device="meta").train()


class _SyncStandardise(torch.autograd.Function):
    """Zero mean and unit variance of each channel over all processes; also number of values, means and variances."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        over = _all_but_channels(x)
        variance, mean = torch.var_mean(x, dim=over, correction=0)
        n_values, mean, variance = moments_of(all_reduce_sum(moment_sums(x.numel() // x.shape[1], mean, variance)))
        inverse_std = (variance + eps).rsqrt().to(x.dtype)
        normalised = (x - _of_channels(mean.to(x.dtype), x)) * _of_channels(inverse_std, x)
        ctx.save_for_backward(normalised, inverse_std, n_values)
        ctx.mark_non_differentiable(n_values, mean, variance)
        return normalised, n_values, mean, variance

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, None]:
        normalised, inverse_std, n_values = ctx.saved_tensors
        over = _all_but_channels(gradient)
        sums = torch.stack([gradient.sum(over), (gradient * normalised).sum(over)]).double()
        of_gradient, of_product = (all_reduce_sum(sums) / n_values).to(gradient.dtype)
        centred = gradient - _of_channels(of_gradient, gradient) - normalised * _of_channels(of_product, gradient)
        return centred * _of_channels(inverse_std, gradient), None


def _all_but_channels(x: Tensor) -> list[int]:
    return [0, *range(2, x.ndim)]


def _of_channels(values: Tensor, x: Tensor) -> Tensor:
    """`values` ``[channels]`` in a shape that broadcasts with x ``[records, channels, …]``."""
    return values.view(-1, *[1] * (x.ndim - 2))


def broadcast_buffers(module: nn.Module) -> None:
    """Overwrite every process's buffers, such as running statistics, with the main one's."""
    for buffer in module.buffers():
        dist.broadcast(buffer, 0)


def gather_batch(z1: Tensor, z2: Tensor, sizes: Sequence[int] | None) -> tuple[Tensor, Tensor]:
    """Gather the projections ``[B, leads, D]`` of all processes; a gradient flows to the process's own rows only.

    sizes: number of records of each process; None where there is one, whose projections are returned as they are.
    """
    if sizes is None:
        return z1, z2
    own = torch.stack([z1, z2], dim=1)
    parts = list(all_gather_rows(own.detach(), sizes).split(list(sizes)))
    parts[dist.get_rank()] = own
    all_1, all_2 = torch.cat(parts).unbind(1)
    return all_1, all_2
