"""Whether training on the device is deterministic, and a resumed run the uninterrupted one, bit for bit."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from benchmarks.data import write_packed
from benchmarks.gpu.agreement import device_state, new_signals
from benchmarks.gpu.device import arithmetic
from benchmarks.gpu.results import Check, Found, Place, at_most, holds, not_available
from lfbt.errors import LfbtError
from lfbt.losses.lfbt import lfbt_loss
from lfbt.losses.objectives import METHODS, build_loss
from lfbt.training.augmentation import draw_views, random_views
from lfbt.training.precision import MixedPrecision
from lfbt.training.settings import Precision
from lfbt.training.steps import Steps, train_step
from lfbt.training.train_state import TrainState

_PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")


def resumed(place: Place) -> Found:
    """The train state after some steps, beside that of the same again, and of a run that was saved and resumed."""
    n = place.sizes.steps
    found: Found = []
    for precision in _PRECISIONS:
        try:
            # As a user has it: PyTorch's own TF32, cuDNN deterministic.
            with arithmetic("defaults"):
                whole = _learned(place, precision, [range(n)])
                again = _learned(place, precision, [range(n)])
                stopped = _learned(place, precision, [range(n // 2), range(n // 2, n)])
        except LfbtError as error:
            found.append(not_available(f"{precision}: deterministic, resumed", str(error)))
            continue
        note = f"tensors of {len(whole)} that differ after {n} steps"
        found.append(at_most(f"{precision}: the same twice", _n_different(whole, again), 0, note))
        found.append(at_most(f"{precision}: resumed", _n_different(whole, stopped), 0, note))
    found.append(_named_nondeterministic(place))
    return found


def _learned(place: Place, precision: Precision, parts: list[range]) -> dict[str, Tensor]:
    """The checkpoint after all steps; each part begins in a new state, from the checkpoint of the one before."""
    size = place.sizes.check
    signals, checkpoint = new_signals(size).to(place.device), None
    for part in parts:
        state, mixed = device_state(size, place.device), MixedPrecision(precision, place.device)
        if checkpoint is not None:
            state.load(checkpoint)
            if mixed.scaler is not None:
                state.restore_scale(mixed.scaler)
        learn = _steps(state, mixed, place)
        for number in part:
            learn(_views(signals, number), None)
        checkpoint = {name: value.detach().cpu().clone() for name, value in state.checkpoint(mixed.scaler).items()}
    return checkpoint or {}


def recorded(place: Place) -> Found:
    """Steps recorded as CUDA graphs beside the same launched one by one, for every objective."""
    if not place.is_gpu:
        return [not_available("steps recorded as CUDA graphs", "CUDA graphs need a GPU")]
    size, n = place.sizes.check, place.sizes.steps
    signals = new_signals(size).to(place.device)
    found: Found = []
    for objective, precision in [*((one, "fp32") for one in METHODS), ("lfbt", "bf16"), ("lfbt", "fp16")]:
        states = []
        for recorded_size in (size.batch, None):
            state, mixed = device_state(size, place.device), MixedPrecision(precision, place.device)  # type: ignore[arg-type]
            loss = build_loss(objective, 0.8, 0.0051, 0.1)
            learn = Steps(state.model, state.optimizer, loss, mixed, recorded_size)
            with arithmetic("defaults"):
                for number in range(n):
                    learn(_views(signals, number), None)
            states.append({name: value.detach().cpu() for name, value in state.state().items()})
        what = f"recorded, {objective}, {precision}: as launched one by one"
        found.append(
            at_most(what, _n_different(*states), 0, f"tensors of {len(states[0])} that differ after {n} steps")
        )
    return found


def _steps(state: TrainState, mixed: MixedPrecision, place: Place) -> Steps:
    """Steps as training makes them on the device."""
    size = place.sizes.check.batch if place.is_gpu else None
    return Steps(state.model, state.optimizer, lambda a, b, _: lfbt_loss(a, b), mixed, size)


def _views(signals: Tensor, number: int) -> Tensor:
    return random_views(signals, draw_views(0, number, len(signals)))


def _n_different(one: dict[str, Tensor], other: dict[str, Tensor]) -> int:
    return sum(not torch.equal(value, other[name]) for name, value in one.items())


def _named_nondeterministic(place: Place) -> Check:
    """The operations of a step that PyTorch says it has no deterministic form of."""
    size = place.sizes.check
    state, mixed = device_state(size, place.device), MixedPrecision("fp32", place.device)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            views = _views(new_signals(size).to(place.device), 0)
            train_step(views, state.model, state.optimizer, lambda a, b, _: lfbt_loss(a, b), precision=mixed)
    finally:
        torch.use_deterministic_algorithms(False)
    names = sorted({str(one.message).split(" does not")[0][:80] for one in caught if "determinis" in str(one.message)})
    # cuBLAS is deterministic on one stream; PyTorch names it unless a variable of the environment is set.
    others = [name for name in names if "CuBLAS" not in name and "CUBLAS" not in name]
    return holds("operations that PyTorch calls nondeterministic", not others, "; ".join(names) or "none")


def by_command(place: Place) -> Found:
    """`lfbt.pretrain` on the device: its losses are the CPU's, and a resumed run has the same weights."""
    from lfbt.models.pretrained import load_encoder
    from lfbt.runs.history import PretrainingEpoch, read_history
    from lfbt.training.pretraining import Pretrainer
    from lfbt.training.settings import PretrainSettings

    size, data = place.sizes.check, place.folder / "data"
    write_packed(data, place.sizes.records, size.leads, size.n_samples)
    common: dict[str, Any] = {
        "batch_size": size.batch, "projector": "-".join(map(str, size.projector)), "learning_rate": 1e-4,
        "quality_every": 0, "workers": 2,
    }  # fmt: skip

    def run(name: str, device: str, epochs: int, resume: bool = False) -> None:
        settings = PretrainSettings.create(
            (data,), place.folder / name, device=device, epochs=epochs, resume=resume, **common
        )
        Pretrainer(settings).run()

    device = str(place.device)
    run("cpu", "cpu", 2)
    run("whole", device, 2)
    run("stopped", device, 1)
    run("stopped", device, 2, resume=True)
    on_cpu, own = (
        [line.loss for line in read_history(place.folder / name, PretrainingEpoch)] for name in ("cpu", "whole")
    )
    difference = max(abs(a - b) / b for a, b in zip(own, on_cpu, strict=True))
    one, other = (load_encoder(place.folder / name).state_dict() for name in ("whole", "stopped"))
    return [
        at_most(
            "lfbt pretrain: losses beside the CPU's", difference, 0.02, f"{len(own)} epochs, TF32 as PyTorch has it"
        ),
        at_most("lfbt pretrain --resume: tensors that differ", _n_different(one, other), 0),
    ]
