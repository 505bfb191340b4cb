"""What processes that learn together tell each other: sums, rows, and the statistics of the batch that they share.

All of them call the same functions in the same order. PyTorch's default process group must have been set up.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def shard_sizes(n_records: int, n_processes: int) -> list[int]:
    """How many of `n_records` each process has: alike to one record, the larger parts first."""
    return [n_records // n_processes + (rank < n_records % n_processes) for rank in range(n_processes)]


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """`tensor` with the sum over all processes in its place."""
    dist.all_reduce(tensor)
    return tensor


def all_gather_rows(tensor: Tensor, sizes: Sequence[int]) -> Tensor:
    """The rows of all processes, in order of these, where each has as many as `sizes` says. No gradient passes."""
    most = max(sizes)
    own = tensor.new_zeros(most, *tensor.shape[1:])
    own[: len(tensor)] = tensor
    parts = [torch.empty_like(own) for _ in sizes]
    dist.all_gather(parts, own)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


def moment_sums(n_values: int, mean: Tensor, variance: Tensor) -> Tensor:
    """What has to be added up for the moments of a batch in several processes: ``[1 + 2 channels]``, double."""
    mean, variance = mean.double(), variance.double()
    return torch.cat([mean.new_full((1,), n_values), n_values * mean, n_values * (variance + mean.square())])


def moments_of(sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Number of values, means and biased variances of the channels, from `moment_sums` that were added up."""
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
    """`F.batch_norm` in training, with the statistics of the records ``[records, channels, …]`` of all processes.

    A gradient of `scale` or `shift` is the part of it that the process's own records have. On a GPU it is PyTorch's
    SyncBatchNorm, which has no form for a CPU.
    """
    if x.device.type == "cuda":
        return _by_pytorch(x, running_mean, running_var, scale, shift, momentum, eps)
    normalised, n_values, mean, variance = _SharedStandardise.apply(x, eps)  # type: ignore[no-untyped-call]
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
    """A module without tensors of its own."""
    return nn.SyncBatchNorm(channels, eps, momentum, affine, tracked, device="meta").train()


class _SharedStandardise(torch.autograd.Function):
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
    """Give every process the main one's buffers, such as running statistics that are each process's own."""
    for buffer in module.buffers():
        dist.broadcast(buffer, 0)


def gather_batch(z1: Tensor, z2: Tensor, sizes: Sequence[int] | None) -> tuple[Tensor, Tensor]:
    """The projections of all processes, of which the process's own have a gradient."""
    if sizes is None:
        return z1, z2
    own = torch.stack([z1, z2], dim=1)
    parts = list(all_gather_rows(own.detach(), sizes).split(list(sizes)))
    parts[dist.get_rank()] = own
    all_1, all_2 = torch.cat(parts).unbind(1)
    return all_1, all_2
