"""The time and memory of a pretraining step in many variants: precision, form, compiler, graph, optimiser."""

from __future__ import annotations

import dataclasses
import functools
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from benchmarks.gpu.agreement import device_state, new_signals
from benchmarks.gpu.device import arithmetic, milliseconds, peak_gb, reset_peak
from benchmarks.gpu.forms import FORMS
from benchmarks.gpu.results import Figure, Found, Place, at_most, not_available
from benchmarks.gpu.sizes import GpuSizes
from lfbt.errors import LfbtError
from lfbt.losses.lfbt import lfbt_loss
from lfbt.training.augmentation import draw_views, random_views
from lfbt.training.precision import MixedPrecision
from lfbt.training.settings import Precision
from lfbt.training.steps import Steps
from lfbt.training.train_state import PretrainingModel, free_gradients_early

STEPS = "steps"
# How far the first loss may be from that of the shipped form in single precision.
_LOSS = {"fp32": 1e-3, "defaults": 1e-2, "tf32": 1e-2, "bf16": 0.05, "fp16": 0.05}


@dataclasses.dataclass(frozen=True)
class Variant:
    """How a step is computed.

    form: shipped, or one of `FORMS`; precision: of lfbt, or a setting of TF32; compiled: mode of torch.compile; graph:
    forward and backward pass recorded as a CUDA graph, as on one GPU; free: cuDNN chooses the fastest, deterministic or
    not; adam: fused or foreach.
    """

    form: str = "shipped"
    precision: str = "defaults"
    compiled: str = ""
    graph: bool = False
    free: bool = False
    adam: str = "fused"
    low_memory: bool = False

    @property
    def name(self) -> str:
        """What differs from the default, as text."""
        options = [f"torch.compile {self.compiled}" if self.compiled else "", "CUDA graph" if self.graph else ""]
        options += ["cuDNN free" if self.free else "", "" if self.adam == "fused" else f"Adam {self.adam}"]
        options += ["low memory" if self.low_memory else ""]
        return ", ".join([self.form, self.precision, *filter(None, options)])

    @property
    def mixed(self) -> Precision:
        """The precision as lfbt has it."""
        return self.precision if self.precision in ("bf16", "fp16") else "fp32"  # type: ignore[return-value]

    @property
    def tf32(self) -> str:
        """The setting of TF32; half precision has PyTorch's defaults, as a user has them."""
        return self.precision if self.precision in ("fp32", "tf32") else "defaults"


def _all() -> list[Variant]:
    """Those that answer most come first: time may run out."""
    precisions = ("defaults", "bf16", "fp32", "tf32", "fp16")
    shipped = [Variant(precision=precision, graph=graph) for graph in (True, False) for precision in precisions]
    forms = [Variant(form, precision) for form in FORMS for precision in ("bf16", "tf32")]
    others = [
        Variant(precision="bf16", free=True),
        Variant(precision="bf16", adam="foreach"),
        Variant(precision="defaults", low_memory=True),
        Variant(precision="bf16", low_memory=True),
        *(Variant(form, "bf16", graph=True) for form in FORMS if form != "one-by-one"),
        *(Variant(form, "bf16", free=True) for form in FORMS),
        *(Variant(form, "fp32") for form in FORMS),
    ]
    return shipped + forms + others


#: The variants by name; compilation takes long, and comes after everything else.
VARIANTS = {variant.name: variant for variant in _all()}
COMPILED = {
    variant.name: variant
    for variant in (
        Variant("stacked", "bf16", "default"),
        Variant("shipped", "bf16", "default"),
        Variant("channels-last", "bf16", "default"),
        Variant("batched", "bf16", "default"),
        Variant("stacked", "bf16", "max-autotune"),
    )
}


def step(variant: Variant, place: Place) -> Found:
    """The milliseconds of a step and its peak memory, with the loss of the first one beside the shipped form's."""
    what = f"step: {variant.name}"
    if variant.graph and not place.is_gpu:
        return [not_available(what, "CUDA graphs need a GPU")]
    reset_peak(place.device)
    with arithmetic(variant.tf32, variant.free):
        try:
            run = new_step(variant, place)
        except LfbtError as error:
            return [not_available(what, str(error))]
        first = run()
        found = milliseconds(run, place.device, place.sizes.repeats)
    values: dict[str, float | str | None] = {
        "ms": statistics.median(found), "lowest": min(found), "highest": max(found), "peak GB": peak_gb(place.device),
    }  # fmt: skip
    expected = first_loss(place.device, place.sizes)
    return [
        Figure(STEPS, variant.name, values),
        at_most(f"{what}: first loss", abs(first - expected) / expected, _LOSS[variant.precision], "beside fp32"),
    ]


@functools.cache
def first_loss(device: torch.device, sizes: GpuSizes) -> float:
    """The loss of the shipped form in single precision with the weights and draws of every variant's first step."""
    with arithmetic():
        return new_step(Variant(precision="fp32"), Place(device, sizes, Path()))()


def new_step(variant: Variant, place: Place) -> Callable[[], float]:
    """A function that makes one step, views and all, and returns its loss."""
    size, device = place.sizes.step, place.device
    state = device_state(size, device, low_memory=variant.low_memory)
    model: nn.Module = state.model
    if variant.form != "shipped":
        model = PretrainingModel(FORMS[variant.form](state.encoder), state.projectors).train()  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0, **{variant.adam: True})  # type: ignore[arg-type]
    mixed = MixedPrecision(variant.mixed, device)
    if variant.low_memory:
        free_gradients_early(state.model, optimizer)
    if variant.compiled:
        mode = None if variant.compiled == "default" or place.sizes.compiler == "eager" else variant.compiled
        model = torch.compile(model, mode=mode, backend=place.sizes.compiler)  # type: ignore[assignment]
    signals, draws = new_signals(size).to(device), draw_views(0, 0, size.batch)
    learn = Steps(model, optimizer, lambda a, b, _: lfbt_loss(a, b), mixed, size.batch if variant.graph else None)

    def run() -> float:
        return learn(random_views(signals, draws), None)[0]

    return run
