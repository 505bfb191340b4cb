"""Whether a step on the device is the CPU's: views, features, loss, gradients, in every precision."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from benchmarks.gpu.device import TF32, arithmetic
from benchmarks.gpu.results import Found, Place, at_most, holds, not_available
from benchmarks.sizes import StepSize
from lfbt.errors import LfbtError
from lfbt.losses.lfbt import lfbt_loss
from lfbt.models.encoder import EncoderConfig
from lfbt.training.augmentation import draw_views, random_views
from lfbt.training.precision import MixedPrecision
from lfbt.training.settings import Precision
from lfbt.training.steps import train_step
from lfbt.training.train_state import TrainState, create_train_state

# Relative. Where rounding alone moves the CPU's result this far, the device's may differ by a few times as much.
_LEAST, _ROUNDING = 1e-5, 3.0
# A gradient of zero has a distance of 1. Rounding that moves activations across zero comes near it.
_MOST = 0.9
# In bf16 so near that only the CPU's own distance in bf16 tells what is right.
_OF_CPU = 1.25
_DOUBLE = 1e-9
#: Bits of the mantissa after the leading one.
_BITS = {"fp32": 23, "defaults": 10, "tf32": 10, "bf16": 7, "fp16": 10}
_LARGEST_SCALE = 2.0**16
# Adam turns the sign of a small gradient into a step of this size: a high rate would magnify rounding.
_RATE = 1e-4

Outcome = dict[str, Tensor]


def new_state(size: StepSize, device: torch.device | str = "cpu", **options: bool) -> TrainState:
    """A train state with the weights of seed 0."""
    config = EncoderConfig(size.leads, size.n_samples / 10, size.n_samples)
    return create_train_state(config, size.projector, learning_rate=1e-3, device=device, **options)


def device_state(
    size: StepSize, device: torch.device | str, learning_rate: float = 1e-3, **options: bool
) -> TrainState:
    """The same on the device, computed as on a GPU: by grouped convolutions, also where a CPU stands in for it."""
    state = new_state(size, device, **options)
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate
    if not state.encoder.low_memory:
        state.encoder._can_be_fused = lambda signals: False  # type: ignore[method-assign]  # noqa: ARG005
    return state


def new_signals(size: StepSize, seed: int = 0) -> Tensor:
    """Smooth signals ``[B, leads, T]`` with noise, z-scored, on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(size.batch, size.n_leads, size.n_samples, generator=generator, dtype=torch.float32)
    smooth = noise.cumsum(dim=2)
    smooth = (smooth - smooth.mean(dim=2, keepdim=True)) / smooth.std(dim=2, keepdim=True)
    return smooth + 0.1 * noise


@functools.cache
def new_views(size: StepSize) -> Tensor:
    """Two views ``[2, B, leads, T]`` of such signals, on the CPU."""
    return random_views(new_signals(size), draw_views(0, 0, size.batch))


def outcome(state: TrainState, views: Tensor, precision: Precision = "fp32") -> Outcome:
    """Features, loss, gradients and running variances of one step without an update, on the CPU in double precision."""
    mixed = MixedPrecision(precision, views.device)
    encoders = state.encoder.encoders.values()
    parameters = {
        "gradient of the first convolution": [lead.get_parameter("convolutions.0.weight") for lead in encoders],
        "gradient of the last convolution": [lead.get_parameter("convolutions.12.weight") for lead in encoders],
        "gradient of the projectors": [one.linears[0].weight for one in state.projectors.projectors],  # type: ignore[union-attr, index]
    }
    features = mixed.forward(state.encoder, views)
    loss = lfbt_loss(*mixed.forward(state.projectors, features)).total
    wanted = [one for group in parameters.values() for one in group]
    scale = _LARGEST_SCALE if precision == "fp16" else 1.0
    gradients = torch.autograd.grad(loss * scale, wanted, retain_graph=True)
    # As the gradient scaler does, which skips such a step and halves the scale.
    while precision == "fp16" and scale > 1 and not all(bool(one.isfinite().all()) for one in gradients):
        scale /= 2
        gradients = torch.autograd.grad(loss * scale, wanted, retain_graph=True)
    found = {"features": features, "loss": loss}
    taken = iter(gradients)
    for name, group in parameters.items():
        found[name] = torch.cat([next(taken).flatten() for _ in group]) / scale
    buffers = dict(state.model.named_buffers())
    found["running variances"] = torch.cat([buffers[name] for name in buffers if name.endswith("running_var")])
    return {name: value.detach().cpu().double() for name, value in found.items()}


def distances(found: Outcome, exact: Outcome) -> dict[str, float]:
    """Norms of the differences, relative to those of the exact ones."""
    return {name: float((found[name] - value).norm() / value.norm()) for name, value in exact.items()}


@functools.cache
def exact_outcome(size: StepSize) -> Outcome:
    """The CPU's in double precision, by PyTorch's own layers."""
    state = device_state(size, "cpu")
    state.model.double()
    return outcome(state, new_views(size).double())


@functools.cache
def distances_by_rounding(size: StepSize, bits: int) -> dict[str, float]:
    """Distances from the exact outcome of the CPU in single precision, where weights and views have `bits` only."""
    state, views = new_state(size), new_views(size)
    if bits < _BITS["fp32"]:
        views = rounded(views, bits)
        with torch.no_grad():
            for parameter in state.model.parameters():
                parameter.copy_(rounded(parameter, bits))
    return distances(outcome(state, views), exact_outcome(size))


@functools.cache
def _distances_in_bf16(size: StepSize) -> dict[str, float]:
    """Distances of the CPU in bf16, by PyTorch's own layers under autocast."""
    return distances(outcome(device_state(size, "cpu"), new_views(size), "bf16"), exact_outcome(size))


def rounded(x: Tensor, bits: int) -> Tensor:
    """Single precision, rounded to `bits` of the mantissa.

    >>> rounded(torch.tensor([1.0, 1.0 + 2**-8 + 2**-9]), 8).tolist()
    [1.0, 1.0078125]
    """
    mantissa, exponent = torch.frexp(x)
    return torch.ldexp(torch.round(mantissa * 2.0 ** (bits + 1)) * 2.0 ** -(bits + 1), exponent)


def bounds(size: StepSize, name: str) -> dict[str, float]:
    """How far the device may be from the exact outcome in a precision or a setting of TF32."""
    bits = _BITS[name]
    least = max(_LEAST, 2.0 ** -(bits + 1))
    if name == "bf16":
        return {what: max(least, _OF_CPU * value) for what, value in _distances_in_bf16(size).items()}
    return {
        what: min(_MOST, max(least, _ROUNDING * value)) for what, value in distances_by_rounding(size, bits).items()
    }


def _compared(what: str, found: Outcome, size: StepSize, name: str) -> Found:
    limits = bounds(size, name)
    return [
        at_most(f"{what}: {part}", value, limits[part]) for part, value in distances(found, exact_outcome(size)).items()
    ]


def views(place: Place) -> Found:
    """The views of the device, by the chirp-z transform, are the CPU's."""
    size = place.sizes.check
    signals, draws = new_signals(size), draw_views(0, 0, size.batch)
    found = random_views(signals.to(place.device), draws).cpu()
    expected = new_views(size)
    difference = float((found - expected).norm() / expected.norm())
    same_zeros = bool(((found == 0) == (expected == 0)).all())
    return [at_most("views", difference, _LEAST), holds("views: the same samples are timed out", same_zeros)]


def single_precision(place: Place) -> Found:
    """A step in double precision, and in single with and without TF32, beside the CPU's in double."""
    size, found = place.sizes.check, _in_double(place)
    for name in TF32:
        with arithmetic(name):
            own = outcome(device_state(size, place.device), new_views(size).to(place.device))
        found += _compared(
            {"fp32": "fp32", "defaults": "fp32, TF32 as PyTorch has it", "tf32": "TF32"}[name], own, size, name
        )
    return found


def _in_double(place: Place) -> Found:
    """All gradients within rounding, which single precision cannot show: it moves activations across zero."""
    size = place.sizes.exact
    state = device_state(size, place.device)
    state.model.double()
    own = outcome(state, new_views(size).double().to(place.device))
    return [
        at_most(f"double precision: {part}", value, _DOUBLE)
        for part, value in distances(own, exact_outcome(size)).items()
    ]


def half_precision(place: Place) -> Found:
    """A step in bf16 and fp16 beside the CPU's in double, and the losses of some steps beside single precision."""
    size = place.sizes.check
    found: Found = []
    precisions: tuple[Precision, ...] = ("bf16", "fp16")
    with arithmetic():
        single = losses(place, "fp32")[0]
        for precision in precisions:
            try:
                own = outcome(device_state(size, place.device), new_views(size).to(place.device), precision)
            except LfbtError as error:
                found.append(not_available(precision, str(error)))
                continue
            found += _compared(precision, own, size, precision)
            half, scale = losses(place, precision)
            difference = max(abs(a - b) / b for a, b in zip(half, single, strict=True))
            note = f"{len(half)} steps" + (f", gradients scaled by {scale:g} in the end" if scale else "")
            found.append(at_most(f"{precision}: losses beside fp32", difference, 0.05, note))
            found.append(holds(f"{precision}: losses are finite", all(map(math.isfinite, half)), note))
    return found


def losses(place: Place, precision: Precision) -> tuple[list[float], float | None]:
    """The losses of some steps, and the scale of gradients after them.

    Where that was too large nothing is learned, it is halved, and the step is made again.
    """
    size = place.sizes.check
    state, mixed = device_state(size, place.device, _RATE), MixedPrecision(precision, place.device)
    signals = new_signals(size).to(place.device)
    found = []
    for number in range(place.sizes.steps):
        two = random_views(signals, draw_views(0, number, size.batch))
        learned = False
        while not learned:
            before = _scale(mixed)
            terms = train_step(two, state.model, state.optimizer, lambda a, b, _: lfbt_loss(a, b), precision=mixed)
            learned = _scale(mixed) >= before
        found.append(terms[0])
    return found, None if mixed.scaler is None else _scale(mixed)


def _scale(mixed: MixedPrecision) -> float:
    """The scale of gradients; 1 where they are not scaled."""
    return 1.0 if mixed.scaler is None else float(mixed.scaler.get_scale())


def low_memory(place: Place) -> Found:
    """A step with ``--low-memory``."""
    size = place.sizes.check
    with arithmetic():
        own = outcome(device_state(size, place.device, low_memory=True), new_views(size).to(place.device))
    return _compared("low memory", own, size, "fp32")
