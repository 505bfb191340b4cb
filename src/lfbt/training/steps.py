"""The steps of pretraining; on a GPU with their passes recorded as a CUDA graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lfbt.losses.objectives import LossFunction, mean_over_pairs
from lfbt.training.precision import MixedPrecision

# Before a recording, so that libraries choose their algorithms and take their memory.
_N_WARM_UP = 3


def train_step(
    views: Tensor,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_function: LossFunction,
    sizes: Sequence[int] | None = None,
    precision: MixedPrecision | None = None,
) -> list[float]:
    """Learn from views ``[V, B, leads, samples]`` of a batch; returns the mean of `loss_function` over pairs of them.

    sizes: records of the batch in each process, where several share it and `model` averages their gradients.

    Raises FloatingPointError, and learns nothing, when the loss is not finite.
    """
    precision = precision or MixedPrecision("fp32", views.device)
    losses = mean_over_pairs(loss_function, precision.forward(model, views), sizes)
    terms = _finite(torch.stack(tuple(losses)))
    # Each process has the part of the gradient of its records: their sum is wanted, not their mean.
    precision.backward(losses[0] * len(sizes) if sizes else losses[0])
    precision.step(optimizer)
    optimizer.zero_grad(set_to_none=True)
    return terms


class RecordedStep:
    """`train_step` for batches of one size in one process on a GPU, its forward and backward pass a CUDA graph.

    The same operations give the same result. A step has thousands of small ones, and launching them one by one takes
    longer than computing them.

    Parameters
    ----------
    views : Tensor
        ``[V, B, leads, samples]`` of any batch; the passes are tried on them, and nothing is learned.
    model, optimizer, loss_function, precision
        As of `train_step`.
    """

    def __init__(
        self,
        views: Tensor,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss_function: LossFunction,
        precision: MixedPrecision,
    ) -> None:
        self._views, self._optimizer, self._precision = views.clone(), optimizer, precision
        running = [(buffer, buffer.clone()) for buffer in model.buffers()]

        def passes() -> Tensor:
            optimizer.zero_grad(set_to_none=True)
            losses = mean_over_pairs(loss_function, precision.forward(model, self._views), None)
            precision.backward(losses[0])
            return torch.stack(tuple(losses)).detach()

        try:
            self._replay = record_graph(passes, views.device)
            # The graph writes gradients to where they were when it was recorded.
            self._gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
        finally:
            optimizer.zero_grad(set_to_none=True)
            with torch.no_grad():
                for buffer, before in running:
                    buffer.copy_(before)

    def __call__(self, views: Tensor) -> list[float]:
        """Learn from views of the same shape; returns and raises what `train_step` does."""
        self._views.copy_(views)
        terms = _finite(self._replay())
        for parameter, gradient in self._gradients:
            parameter.grad = gradient
        self._precision.step(self._optimizer)
        self._optimizer.zero_grad(set_to_none=True)
        return terms


class Steps:
    """The steps of a run: `train_step`, or a `RecordedStep` for batches of one size, if memory allows.

    Parameters
    ----------
    model, optimizer, loss_function, precision
        As of `train_step`.
    recorded_size : int or None
        Records of the batches whose step is recorded; None to record none.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss_function: LossFunction,
        precision: MixedPrecision,
        recorded_size: int | None = None,
    ) -> None:
        self._parts = model, optimizer, loss_function
        self._precision, self._recorded_size = precision, recorded_size
        self._recorded: RecordedStep | None = None

    def __call__(self, views: Tensor, sizes: Sequence[int] | None) -> list[float]:
        """Learn from a batch; returns and raises what `train_step` does."""
        if views.shape[1] != self._recorded_size:
            return train_step(views, *self._parts, sizes, self._precision)
        if self._recorded is None:
            try:
                self._recorded = RecordedStep(views, *self._parts, self._precision)
            except torch.OutOfMemoryError:
                # A graph keeps its memory; without one the step is the same, but slower.
                self._recorded_size = None
                return self(views, sizes)
        return self._recorded(views)


def record_graph(passes: Callable[[], Tensor], device: torch.device) -> Callable[[], Tensor]:
    """Record what `passes` has a GPU compute; returns a function that repeats it, and its result, overwritten."""
    with torch.cuda.device(device):
        own, others = torch.cuda.Stream(), torch.cuda.current_stream()
        own.wait_stream(others)
        with torch.cuda.stream(own):
            for _ in range(_N_WARM_UP):
                passes()
        others.wait_stream(own)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = passes()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay


def _finite(losses: Tensor) -> list[float]:
    """The values; raises FloatingPointError where the first is not finite."""
    terms: list[float] = losses.tolist()
    if not math.isfinite(terms[0]):
        raise FloatingPointError(terms[0])
    return terms
