"""The encoders of all leads at once on a CPU: leads in parallel, few activations kept, the same values and gradients.

A lead's encoder is a chain of convolutions in channels-last layout with the functions of `layer_ops` between them.
Only the convolutions' outputs are kept for the backward pass; with `low_memory` nothing is, and the leads of a view are
computed again in the backward pass, two at a time. While there are fewer threads than leads and views, each of these is
computed by one thread, and values do not depend on the number of threads; more threads share the convolutions. With
batch statistics over several processes all leads are at the same layer at the same time, so that their sums are reduced
together.

Axes: V views, B records, L leads, T samples.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lfbt.models.cpu.layer_ops import activate, gradient_sums, input_gradient, moments
from lfbt.models.feature_maps import PAPER, FeatureMap
from lfbt.models.pooling import pool_over_time
from lfbt.utils.collectives import all_reduce_sum, moment_sums, moments_of
from lfbt.utils.threads import start_pool

# Leads at a time with low memory: one would leave a second core idle between the convolutions.
_LEADS_AT_ONCE = 2

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
#: A computation that yields local sums, and receives all-reduced ones.
_Steps = Generator[Tensor, Tensor, _Result]


class Layer(NamedTuple):
    """A convolution's weight ``[out, in, 3]`` and bias, the batch normalisation after it, and whether a pool follows.

    Training leaves the bias out, since batch normalisation cancels it; its gradient is zero.
    """

    weight: Tensor
    bias: Tensor
    scale: Tensor
    shift: Tensor
    eps: float
    pool: bool

    def detached(self, dtype: torch.dtype | None) -> Layer:
        """The layer without a gradient graph, its weight as `dtype` if there is one."""
        weight = self.weight.detach().to(dtype or self.weight.dtype)
        return Layer(weight, self.bias.detach(), self.scale.detach(), self.shift.detach(), self.eps, self.pool)

    def parameters(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The trained tensors."""
        return self.weight, self.bias, self.scale, self.shift


#: Mean and variance of every convolution's output.
Statistics = Sequence[tuple[Tensor, Tensor]]


def encode(
    signals: Tensor,
    leads: Sequence[Sequence[Layer]],
    statistics: Sequence[Statistics],
    dtype: torch.dtype | None = None,
    features: FeatureMap = PAPER,
) -> Tensor:
    """Features ``[records, leads, features]`` of ``[records, leads, samples]`` with given statistics, no gradient.

    dtype: of the convolutions and of what is between them; that of the signals by default. features: what is pooled of
    which blocks; a block ends with a pool.
    """

    def encode_lead(lead: int) -> Tensor:
        x = _samples(signals, lead, dtype)
        layers = [layer.detached(dtype) for layer in leads[lead]]
        means, variances = (list(of_layers) for of_layers in zip(*statistics[lead], strict=True))
        # One call for all layers: for a single record calls take longer than sums.
        bias = torch.cat([layer.bias for layer in layers])
        affines = _affines(layers, torch.cat(means) - bias, torch.cat(variances))
        block, pooled = 0, []
        for layer, affine in zip(layers, affines, strict=True):
            x = activate(_convolve(x, layer), *affine, layer.pool)
            block += layer.pool
            if layer.pool and block in features.blocks:
                pooled += pool_over_time(x, features.statistics, (1,), signals.dtype)
        return torch.cat(pooled, dim=1)

    with _parallel_map(_threads(signals), len(leads)) as parallel_map:
        return torch.stack(parallel_map(encode_lead, range(len(leads))), dim=1)


class Encoded(NamedTuple):
    """Features ``[views, records, leads, features]``, and the batch statistics that they were computed with.

    means, variances: ``[views, leads, channels of all layers]``, variances biased; n_records: number of records that
    the statistics cover.
    """

    features: Tensor
    means: Tensor
    variances: Tensor
    n_records: Tensor


def encode_in_training(
    views: Tensor,
    leads: Sequence[Sequence[Layer]],
    low_memory: bool = False,
    sync_batch_norm: bool = False,
    dtype: torch.dtype | None = None,
) -> Encoded:
    """Features of ``[views, records, leads, samples]`` with batch statistics; each view and lead has its own.

    The features can be differentiated, once, with respect to the layers' parameters. With `sync_batch_norm` the
    statistics cover the records of all processes, and the gradients are those of the process's own records. dtype: of
    the convolutions, their outputs and the gradients of these, as of `encode`; statistics and sums are in double
    precision, gradients of the parameters in theirs.
    """
    parameters = [tensor for lead in leads for layer in lead for tensor in layer.parameters()]
    with_gradient = torch.is_grad_enabled()
    return Encoded(*_Encode.apply(views, leads, low_memory, sync_batch_norm, dtype, with_gradient, *parameters))  # type: ignore[no-untyped-call]


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        views: Tensor,
        leads: Sequence[Sequence[Layer]],
        low_memory: bool,
        sync_batch_norm: bool,
        dtype: torch.dtype | None,
        with_gradient: bool,
        *_: Tensor,
    ) -> Any:
        leads = [[layer.detached(dtype) for layer in lead] for lead in leads]
        threads = min(_threads(views), _LEADS_AT_ONCE) if low_memory else _threads(views)

        def encode_task(task: tuple[int, int]) -> _Steps[tuple[list[Tensor], list[Tensor]]]:
            view, lead = task
            means: list[Tensor] = []
            variances: list[Tensor] = []
            outputs: list[Tensor] = []
            x = _samples(views[view], lead, dtype)
            for layer in leads[lead]:
                y = _convolve(x, layer)
                del x
                n_values, mean, variance = moments_of((yield moment_sums(y.shape[0] * y.shape[1], *moments(y))))
                x = activate(y, *_affine(layer, mean, variance), layer.pool)
                means.append(mean)
                variances.append(variance)
                n_records = n_values / y.shape[1]
                if with_gradient and not low_memory:
                    outputs.append(y)
                del y
            return [_mean(x, views), torch.cat(means), torch.cat(variances), n_records], outputs

        shape = (len(views), len(leads))
        at_once = None
        if sync_batch_norm:
            at_once = _LEADS_AT_ONCE if low_memory else len(views) * len(leads)
        results = _run_tasks(encode_task, _tasks(*shape), threads, at_once)
        features, means, variances, n_records = (
            torch.stack(of_tasks).unflatten(0, shape) for of_tasks in zip(*(ends for ends, _ in results), strict=True)
        )  # V L …
        n_records = n_records[0, 0].clone()
        if with_gradient:
            ctx.leads, ctx.threads, ctx.at_once, ctx.dtype = leads, threads, at_once, dtype
            ctx.save_for_backward(views, means, variances, n_records, *(y for _, outputs in results for y in outputs))
        biases = torch.stack([torch.cat([layer.bias for layer in lead]) for lead in leads])
        full_means = means + biases
        ctx.mark_non_differentiable(full_means, variances, n_records)
        return features.transpose(1, 2), full_means, variances, n_records

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_features: Tensor, *_: Tensor) -> Any:
        views, means, variances, n_records, *saved = ctx.saved_tensors
        leads: Sequence[Sequence[Layer]] = ctx.leads
        tasks, outputs = _tasks(len(views), len(leads)), iter(saved)
        kept = {(view, lead): list(itertools.islice(outputs, len(leads[lead]))) for view, lead in tasks}

        def differentiate(task: tuple[int, int]) -> _Steps[list[Tensor]]:
            view, lead = task
            widths = [len(layer.weight) for layer in leads[lead]]
            statistics = list(zip(means[task].split(widths), variances[task].split(widths), strict=True))
            signal, gradient = _samples(views[view], lead, ctx.dtype), d_features[view, :, lead]
            return _backward(signal, leads[lead], statistics, n_records, kept[task], gradient)

        gradients = _run_tasks(differentiate, tasks, ctx.threads, ctx.at_once)
        of_views = [list(itertools.chain(*gradients[i : i + len(leads)])) for i in range(0, len(gradients), len(leads))]
        return *[None] * 6, *(sum(parts[1:], parts[0]) for parts in zip(*of_views, strict=True))


def _backward(
    signal: Tensor,
    layers: Sequence[Layer],
    statistics: Statistics,
    n_records: Tensor,
    outputs: list[Tensor],
    d_features: Tensor,
) -> _Steps[list[Tensor]]:
    """Gradients of the parameters of each layer, of one lead of one view."""
    affines = _affines(layers, *(torch.cat(of_layers) for of_layers in zip(*statistics, strict=True)))
    if not outputs:
        x = signal
        for layer, affine in zip(layers, affines, strict=True):
            outputs.append(_convolve(x, layer))
            x = activate(outputs[-1], *affine, layer.pool)
        del x
    last = outputs[-1].shape[1] // 2 if layers[-1].pool else outputs[-1].shape[1]
    gradient = (d_features / last).to(signal.dtype)[:, None, :].expand(-1, last, -1).contiguous()
    gradients: list[Tensor] = []
    for i in reversed(range(len(layers))):
        layer, (mean, variance), affine, y = layers[i], statistics[i], affines[i], outputs.pop()
        # Batch normalisation's backward: with g the gradient behind it, n values in a channel and x̂ the normalised y,
        # d y = scale · (g − Σg / n − x̂ · Σ(g · x̂) / n), which is scale · g + factor · y + offset.
        n = n_records * y.shape[1]
        inverse_std = (variance + layer.eps).rsqrt()
        d_shift, products = gradient_sums(y, gradient, *affine, layer.pool)
        all_g, all_products = (yield torch.cat([d_shift, products])).chunk(2)
        d_scale = (products - mean * d_shift) * inverse_std
        scale = layer.scale * inverse_std
        factor = -scale * inverse_std.square() * (all_products - mean * all_g) / n
        offset = -scale * all_g / n - factor * mean
        own = layer.scale.dtype
        gradient = input_gradient(y, gradient, *affine, factor.to(own), offset.to(own), layer.pool)
        del y
        x = activate(outputs[-1], *affines[i - 1], layers[i - 1].pool) if i else signal
        gradient, d_weight = _convolve_backward(gradient, x, layer, of_input=i > 0)
        d_bias = torch.zeros_like(layer.bias)
        gradients[:0] = [d_weight.to(own), d_bias, d_scale.to(own), d_shift.to(own)]
    return gradients


def _affine(layer: Layer, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Batch normalisation as ``scale · y + shift``."""
    scale = layer.scale / (variance.double() + layer.eps).sqrt()
    return scale.to(layer.scale.dtype), (layer.shift - mean * scale).to(layer.scale.dtype)


def _affines(layers: Sequence[Layer], mean: Tensor, variance: Tensor) -> list[tuple[Tensor, Tensor]]:
    """`_affine` of each layer, from the statistics of all, ``[channels of all layers]``."""
    scale, shift = (torch.cat([getattr(layer, name) for layer in layers]) for name in ("scale", "shift"))
    affines = _affine(layers[0]._replace(scale=scale, shift=shift), mean, variance)
    widths = [len(layer.weight) for layer in layers]
    return list(zip(*(values.split(widths) for values in affines), strict=True))


def _samples(signals: Tensor, lead: int, dtype: torch.dtype | None) -> Tensor:
    """``[B, T, 1]`` of one lead of ``[B, L, T]``, as `dtype`."""
    return signals[:, lead, :, None].to(dtype or signals.dtype).contiguous()


def _mean(x: Tensor, signals: Tensor) -> Tensor:
    """The mean over time ``[B, channels]`` of the last activations, in the precision of the signals."""
    return x.mean(dim=1, dtype=signals.dtype)


def _convolve(x: Tensor, layer: Layer) -> Tensor:
    """The convolution along time of ``[B, T, channels]``, without a bias."""
    y = F.conv2d(_image(x), _kernel(layer), padding=(0, 1))
    return y.permute(0, 2, 3, 1).reshape(*x.shape[:2], -1).contiguous()


def _convolve_backward(gradient: Tensor, x: Tensor, layer: Layer, of_input: bool) -> tuple[Tensor, Tensor]:
    """The gradients of x (with `of_input`; x itself otherwise) and of the weight."""
    stride, padding, dilation, output_padding = [1, 1], [0, 1], [1, 1], [0, 0]
    d_x, d_weight, _ = torch.ops.aten.convolution_backward(
        _image(gradient), _image(x), _kernel(layer), None, stride, padding, dilation, False, output_padding, 1,
        [of_input, True, False],
    )  # fmt: skip
    return (d_x.permute(0, 2, 3, 1).reshape(x.shape).contiguous() if of_input else x), d_weight.squeeze(2).contiguous()


def _image(x: Tensor) -> Tensor:
    """``[B, T, channels]`` as an image of height 1 in channels-last layout; no copy."""
    return x[:, None].permute(0, 3, 1, 2)


def _kernel(layer: Layer) -> Tensor:
    return layer.weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)


def _tasks(n_views: int, n_leads: int) -> list[tuple[int, int]]:
    """All pairs of a view and a lead."""
    return list(itertools.product(range(n_views), range(n_leads)))


def _threads(signals: Tensor) -> int:
    return torch.get_num_threads() if signals.device.type == "cpu" else 1


def _run_tasks(
    steps: Callable[[_Item], _Steps[_Result]], items: Sequence[_Item], threads: int, at_once: int | None
) -> list[_Result]:
    """The results of the steps of each item, computed in at most `threads` threads.

    With `at_once` the sums that they yield are reduced over all processes, for that many items in lockstep; without it
    there is one process, in which the items are independent.
    """
    if at_once is None:
        with _parallel_map(threads, len(items)) as parallel_map:
            return parallel_map(lambda item: _run_locally(steps(item)), items)
    results: list[_Result] = []
    for start in range(0, len(items), at_once):
        group = [steps(item) for item in items[start : start + at_once]]
        with _parallel_map(threads, len(group)) as parallel_map:
            results += _run_in_lockstep(group, parallel_map)
    return results


def _run_locally(steps: _Steps[_Result]) -> _Result:
    """The result of an item whose sums are those of this process."""
    sums = next(steps)
    while True:
        try:
            sums = steps.send(sums)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


class _Finished(NamedTuple):
    """The result of an item whose steps have ended."""

    result: Any


def _run_in_lockstep(group: Sequence[_Steps[Any]], parallel_map: Callable[..., list[Any]]) -> list[Any]:
    """The results of items of equally many steps; all are at the same one, and its sums are reduced together."""

    def advance(place: tuple[_Steps[Any], Tensor | None]) -> Tensor | _Finished:
        steps, sums = place
        try:
            return next(steps) if sums is None else steps.send(sums)
        except StopIteration as end:
            return _Finished(end.value)

    sums: Sequence[Tensor | None] = [None] * len(group)
    while True:
        yielded = parallel_map(advance, list(zip(group, sums, strict=True)))
        if isinstance(yielded[0], _Finished):
            return [finished.result for finished in yielded]
        sums = all_reduce_sum(torch.stack(yielded)).unbind()


@contextlib.contextmanager
def _parallel_map(threads: int, n_items: int) -> Iterator[Callable[..., list[Any]]]:
    """A ``map`` over items in at most `threads` threads, among which PyTorch's own threads are divided."""

    def without_grad(function: Callable[[_Item], _Result]) -> Callable[[_Item], _Result]:
        def call(item: _Item) -> _Result:
            # These switches belong to a thread, and a new thread has the defaults.
            with torch.no_grad(), torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
                return function(item)

        return call

    pool = start_pool(min(threads, n_items))
    if pool is None:
        yield lambda function, items: list(map(without_grad(function), items))
        return
    with pool:
        yield lambda function, items: list(pool.map(without_grad(function), items))
