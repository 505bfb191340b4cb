"""The encoders of all leads at once on a CPU: several leads side by side, little kept, the same values and gradients.

A lead's encoder is a chain of convolutions in channels-last layout with the functions of `layer_ops` between them.
Only what the convolutions return is kept for the backward pass; with `low_memory` nothing is, and a lead of a view is
computed again when its turn comes, two at a time. While there are fewer threads than leads and views, each of these is
computed by one thread, and values do not depend on the number of threads; more threads share in the convolutions.
Where several processes share the batch, all leads are at the same layer at the same time, so that what its batch
statistics need is added up over the processes at once.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lfbt.models.cpu.layer_ops import activate, gradient_sums, input_gradient, moments
from lfbt.utils.collectives import all_reduce_sum, moment_sums, moments_of

# Leads at a time with low memory: one would leave a second core idle between the convolutions.
_LEADS_AT_ONCE = 2

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
#: A computation that gives away sums over the process's own records and goes on with those over all records.
_Steps = Generator[Tensor, Tensor, _Result]


class Layer(NamedTuple):
    """A convolution's weight ``[out, in, 3]`` and bias, the batch normalisation after it, and whether to pool then.

    Training leaves the bias out, since batch normalisation takes it away again; its gradient is zero.
    """

    weight: Tensor
    bias: Tensor
    scale: Tensor
    shift: Tensor
    eps: float
    pool: bool

    def detached(self) -> Layer:
        """The layer without a history."""
        return Layer(
            self.weight.detach(), self.bias.detach(), self.scale.detach(), self.shift.detach(), self.eps, self.pool
        )

    def parameters(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The tensors to be learned."""
        return self.weight, self.bias, self.scale, self.shift


Statistics = Sequence[tuple[Tensor, Tensor]]


def encode(signals: Tensor, leads: Sequence[Sequence[Layer]], statistics: Sequence[Statistics]) -> Tensor:
    """Features ``[records, leads, features]`` of ``[records, leads, samples]``, without gradient.

    statistics: mean and variance of every convolution's output, of each lead and layer.
    """

    def one(lead: int) -> Tensor:
        x = _samples(signals, lead)
        for layer, (mean, variance) in zip(leads[lead], statistics[lead], strict=True):
            scale, shift = _affine(layer, mean - layer.bias, variance)
            x = activate(_convolve(x, layer), scale, shift, layer.pool)
        return x.mean(dim=1)

    with _side_by_side(_threads(signals), len(leads)) as each:
        return torch.stack(each(one, range(len(leads))), dim=1)


class InTraining(NamedTuple):
    """Features ``[views, records, leads, features]``, and the batch statistics that they were computed with.

    means, variances: ``[views, leads, channels of all layers]``, variances biased; n_records: how many records these
    are of.
    """

    features: Tensor
    means: Tensor
    variances: Tensor
    n_records: Tensor


def encode_in_training(
    views: Tensor, leads: Sequence[Sequence[Layer]], low_memory: bool = False, shared: bool = False
) -> InTraining:
    """Features of ``[views, records, leads, samples]`` with batch statistics; each view and lead has its own.

    The features can be differentiated, once, with respect to the layers' parameters. `shared`: the batch is that of all
    processes, of which each has a part; the gradients are then the parts of them that the own records have.
    """
    parameters = [tensor for lead in leads for layer in lead for tensor in layer.parameters()]
    found = _Encode.apply(views, leads, low_memory, shared, torch.is_grad_enabled(), *parameters)  # type: ignore[no-untyped-call]
    return InTraining(*found)


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        views: Tensor,
        leads: Sequence[Sequence[Layer]],
        low_memory: bool,
        shared: bool,
        with_gradient: bool,
        *_: Tensor,
    ) -> Any:
        leads = [[layer.detached() for layer in lead] for lead in leads]
        threads = min(_threads(views), _LEADS_AT_ONCE) if low_memory else _threads(views)

        def one(task: tuple[int, int]) -> _Steps[tuple[list[Tensor], list[Tensor]]]:
            view, lead = task
            means: list[Tensor] = []
            variances: list[Tensor] = []
            outputs: list[Tensor] = []
            x = _samples(views[view], lead)
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
            return [x.mean(dim=1), torch.cat(means), torch.cat(variances), n_records], outputs

        shape = (len(views), len(leads))
        at_once = _LEADS_AT_ONCE if low_memory else len(views) * len(leads)
        done = _each(one, _tasks(*shape), threads, at_once if shared else None)
        features, means, variances, n_records = (
            torch.stack(of_tasks).unflatten(0, shape) for of_tasks in zip(*(found for found, _ in done), strict=True)
        )
        n_records = n_records[0, 0].clone()
        if with_gradient:
            ctx.leads, ctx.threads, ctx.at_once = leads, threads, at_once if shared else None
            ctx.save_for_backward(views, means, variances, n_records, *(y for _, outputs in done for y in outputs))
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

        def one(task: tuple[int, int]) -> _Steps[list[Tensor]]:
            view, lead = task
            widths = [len(layer.weight) for layer in leads[lead]]
            statistics = list(zip(means[task].split(widths), variances[task].split(widths), strict=True))
            signal, gradient = _samples(views[view], lead), d_features[view, :, lead]
            return _backward(signal, leads[lead], statistics, n_records, kept[task], gradient)

        gradients = _each(one, tasks, ctx.threads, ctx.at_once)
        of_views = [list(itertools.chain(*gradients[i : i + len(leads)])) for i in range(0, len(gradients), len(leads))]
        return *[None] * 5, *(sum(parts[1:], parts[0]) for parts in zip(*of_views, strict=True))


def _backward(
    signal: Tensor,
    layers: Sequence[Layer],
    statistics: Statistics,
    n_records: Tensor,
    outputs: list[Tensor],
    d_features: Tensor,
) -> _Steps[list[Tensor]]:
    """Gradients of the parameters of each layer, of one lead of one view."""
    affines = [_affine(layer, *pair) for layer, pair in zip(layers, statistics, strict=True)]
    if not outputs:
        x = signal
        for layer, affine in zip(layers, affines, strict=True):
            outputs.append(_convolve(x, layer))
            x = activate(outputs[-1], *affine, layer.pool)
        del x
    last = outputs[-1].shape[1] // 2 if layers[-1].pool else outputs[-1].shape[1]
    gradient = (d_features / last)[:, None, :].expand(-1, last, -1).contiguous()
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
        gradient = input_gradient(y, gradient, *affine, factor.to(y.dtype), offset.to(y.dtype), layer.pool)
        del y
        x = activate(outputs[-1], *affines[i - 1], layers[i - 1].pool) if i else signal
        gradient, d_weight = _convolve_backward(gradient, x, layer, of_input=i > 0)
        d_bias = torch.zeros_like(layer.bias)
        gradients[:0] = [d_weight, d_bias, d_scale.to(signal.dtype), d_shift.to(signal.dtype)]
    return gradients


def _affine(layer: Layer, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Batch normalisation as ``scale · y + shift``."""
    scale = layer.scale / (variance.double() + layer.eps).sqrt()
    return scale.to(layer.scale.dtype), (layer.shift - mean * scale).to(layer.scale.dtype)


def _samples(signals: Tensor, lead: int) -> Tensor:
    """``[records, samples, 1]`` of one lead."""
    return signals[:, lead, :, None].contiguous()


def _convolve(x: Tensor, layer: Layer) -> Tensor:
    """The convolution along time of ``[records, samples, channels]``, without a bias."""
    y = F.conv2d(_image(x), _kernel(layer), padding=(0, 1))
    return y.permute(0, 2, 3, 1).reshape(*x.shape[:2], -1).contiguous()


def _convolve_backward(gradient: Tensor, x: Tensor, layer: Layer, of_input: bool) -> tuple[Tensor, Tensor]:
    """The gradients of x, if asked for, and of the weight."""
    stride, padding, dilation, output_padding = [1, 1], [0, 1], [1, 1], [0, 0]
    d_x, d_weight, _ = torch.ops.aten.convolution_backward(
        _image(gradient), _image(x), _kernel(layer), None, stride, padding, dilation, False, output_padding, 1,
        [of_input, True, False],
    )  # fmt: skip
    return (d_x.permute(0, 2, 3, 1).reshape(x.shape).contiguous() if of_input else x), d_weight.squeeze(2).contiguous()


def _image(x: Tensor) -> Tensor:
    """``[records, samples, channels]`` as an image of height 1 in channels-last layout; no copy."""
    return x[:, None].permute(0, 3, 1, 2)


def _kernel(layer: Layer) -> Tensor:
    return layer.weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)


def _tasks(n_views: int, n_leads: int) -> list[tuple[int, int]]:
    return list(itertools.product(range(n_views), range(n_leads)))


def _threads(signals: Tensor) -> int:
    return torch.get_num_threads() if signals.device.type == "cpu" else 1


def _each(
    steps: Callable[[_Item], _Steps[_Result]], items: Sequence[_Item], threads: int, at_once: int | None
) -> list[_Result]:
    """What the steps of each item come to, computed in at most `threads` threads.

    With `at_once` the sums that they give away are added up over all processes, for so many items in step; without it
    there is one process, in which each item goes its own way.
    """
    if at_once is None:
        with _side_by_side(threads, len(items)) as each:
            return each(lambda item: _alone(steps(item)), items)
    done: list[_Result] = []
    for start in range(0, len(items), at_once):
        group = [steps(item) for item in items[start : start + at_once]]
        with _side_by_side(threads, len(group)) as each:
            done += _in_step(group, each)
    return done


def _alone(steps: _Steps[_Result]) -> _Result:
    sums = next(steps)
    while True:
        try:
            sums = steps.send(sums)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


class _Ended(NamedTuple):
    """What the steps of an item came to."""

    result: Any


def _in_step(group: Sequence[_Steps[Any]], each: Callable[..., list[Any]]) -> list[Any]:
    """The results of items that have the same number of steps; all are at the same one."""

    def advance(place: tuple[_Steps[Any], Tensor | None]) -> Tensor | _Ended:
        steps, sums = place
        try:
            return next(steps) if sums is None else steps.send(sums)
        except StopIteration as end:
            return _Ended(end.value)

    sums: Sequence[Tensor | None] = [None] * len(group)
    while True:
        found = each(advance, list(zip(group, sums, strict=True)))
        if isinstance(found[0], _Ended):
            return [ended.result for ended in found]
        sums = all_reduce_sum(torch.stack(found)).unbind()


@contextlib.contextmanager
def _side_by_side(threads: int, n_items: int) -> Iterator[Callable[..., list[Any]]]:
    """A function that maps another over items, in at most `threads` threads among which PyTorch's own are divided."""

    def within(function: Callable[[_Item], _Result]) -> Callable[[_Item], _Result]:
        def of(item: _Item) -> _Result:
            # Switches of a thread, of which a new one has the defaults.
            with torch.no_grad(), torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
                return function(item)

        return of

    with _ONE_START_AT_A_TIME:
        n_threads = torch.get_num_threads()
        workers = min(threads, n_threads, n_items)
        if workers > 1:
            pool = _started(workers, n_threads)
    if workers == 1:
        yield lambda function, items: list(map(within(function), items))
        return
    with pool:
        yield lambda function, items: list(pool.map(within(function), items))


# While threads are started, the number that new ones take over is not the process's.
_ONE_START_AT_A_TIME = threading.Lock()


def _started(workers: int, n_threads: int) -> ThreadPoolExecutor:
    """That many threads, in each of which PyTorch uses its part of `n_threads`."""
    started = threading.Barrier(workers + 1)

    def start() -> None:
        try:
            torch.get_num_threads()  # the first question of a thread sets its number to the common one
            torch.set_num_threads(n_threads // workers)  # of this thread only
            started.wait()
        except BaseException:
            started.abort()
            raise

    pool = ThreadPoolExecutor(workers)
    try:
        for _ in range(workers):
            pool.submit(start)
        started.wait()
    except BaseException:
        started.abort()
        pool.shutdown()
        raise
    finally:
        torch.set_num_threads(n_threads)  # what the threads have in common stays as it was
    return pool
