"""The train state: model, optimizer and progress, and all of it as named tensors."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lfbt.errors import LfbtError
from lfbt.models.encoder import EncoderConfig, LeadEncoders
from lfbt.models.projector import Projectors
from lfbt.runs.history import PretrainingEpoch
from lfbt.utils.figures import format_names
from lfbt.utils.files import write_json
from lfbt.utils.tensors import seeded


class PretrainingModel(nn.Module):
    """Views ``[V, B, leads, samples]`` → projections ``[V, B, leads, D]``."""

    def __init__(self, encoder: LeadEncoders, projectors: Projectors) -> None:
        super().__init__()
        self.encoder, self.projectors = encoder, projectors

    def forward(self, views: Tensor) -> Tensor:
        """The projections."""
        projections: Tensor = self.projectors(self.encoder(views))
        return projections


@dataclasses.dataclass
class Progress:
    """How far a run is.

    epoch: complete epochs; step: steps of the next one; loss, intra, inter: sums over the records of these steps, the
    last two of LFBT only; seconds: their duration; best_auroc: the best quality so far; loss_scale, loss_scale_age: of
    the gradient scaler of fp16.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    intra: float = 0.0
    inter: float = 0.0
    seconds: float = 0.0
    best_auroc: float = -math.inf
    loss_scale: float = 0.0
    loss_scale_age: int = 0

    def add(self, terms: Sequence[float], n_records: int, seconds: float) -> None:
        """Count a step of `n_records`: its loss and, of LFBT, intra- and inter-lead terms."""
        self.step += 1
        self.loss += terms[0] * n_records
        if len(terms) == 3:
            self.intra += terms[1] * n_records
            self.inter += terms[2] * n_records
        self.seconds += seconds

    def end_epoch(self, n_records: int, learning_rate: float, of_lfbt: bool) -> PretrainingEpoch:
        """Count an epoch as done, with means over its records, and begin the next."""
        line = PretrainingEpoch(
            epoch=self.epoch + 1,
            loss=self.loss / n_records,
            learning_rate=learning_rate,
            seconds=self.seconds,
            records_per_second=n_records / self.seconds,
            intra=self.intra / n_records if of_lfbt else None,
            inter=self.inter / n_records if of_lfbt else None,
        )
        self.epoch += 1
        self.step = 0
        self.loss = self.intra = self.inter = self.seconds = 0.0
        return line

    def to_tensor(self) -> Tensor:
        """Return all of it in double precision."""
        return torch.tensor(dataclasses.astuple(self), dtype=torch.float64)

    @classmethod
    def from_tensor(cls, values: Tensor) -> Progress:
        """Restore what `to_tensor` returned."""
        pairs = zip(dataclasses.fields(cls), values.tolist(), strict=True)
        return cls(*(int(value) if isinstance(field.default, int) else value for field, value in pairs))


@dataclasses.dataclass
class TrainState:
    """A model, its optimizer, whose moments exist from the start, and the progress of the run.

    average: the moving average of the encoder, where one is kept.
    """

    model: PretrainingModel
    optimizer: torch.optim.Optimizer
    progress: Progress
    average: LeadEncoders | None = None

    @property
    def encoder(self) -> LeadEncoders:
        """The encoder, which is kept in the end: the average, if there is one."""
        return self.model.encoder if self.average is None else self.average

    @property
    def projectors(self) -> Projectors:
        """The projectors, which are discarded in the end."""
        return self.model.projectors

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that training changes, by name; not copies."""
        tensors = dict(self.model.state_dict())
        for name, parameter in self.model.named_parameters():
            tensors |= {f"adam.{name}.{key}": value for key, value in self.optimizer.state[parameter].items()}
        if self.average is not None:
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        return tensors

    def update_average(self, decay: float, steps_done: int) -> None:
        """Move the average, if there is one, towards the encoder after a step; `steps_done` before it."""
        if self.average is not None:
            average_weights(self.average, self.model.encoder, min(decay, (1 + steps_done) / (10 + steps_done)))

    def checkpoint(self, scaler: Any = None) -> dict[str, Tensor]:
        """Return everything that resuming needs. scaler: the gradient scaler of fp16."""
        if scaler is not None:
            found = scaler.state_dict()
            self.progress.loss_scale, self.progress.loss_scale_age = found["scale"], found["_growth_tracker"]
        return self.state() | {"progress": self.progress.to_tensor()}

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore a checkpoint. Raises LfbtError where its names or shapes differ."""
        own = self.state()
        shapes = {name: tensor.shape for name, tensor in own.items()}
        theirs = {name: tensor.shape for name, tensor in tensors.items() if name != "progress"}
        if shapes != theirs or "progress" not in tensors:
            odd = sorted(name for name in shapes.keys() | theirs.keys() if shapes.get(name) != theirs.get(name))
            raise LfbtError(f"the checkpoint is of another model ({', '.join(odd[:3]) or 'it has no progress'})")
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
        self.progress = Progress.from_tensor(tensors["progress"])

    @torch.no_grad()
    def broadcast(self, device: torch.device) -> None:
        """Broadcast the main process's state to all others."""
        progress = self.progress.to_tensor().to(device)
        for tensor in (progress, *self.state().values()):
            dist.broadcast(tensor, src=0)
        self.progress = Progress.from_tensor(progress)

    def restore_scale(self, scaler: Any) -> None:
        """Restore the state of the gradient scaler."""
        if self.progress.loss_scale > 0:
            known = {"scale": self.progress.loss_scale, "_growth_tracker": self.progress.loss_scale_age}
            scaler.load_state_dict(scaler.state_dict() | known)


def create_train_state(
    config: EncoderConfig,
    projector: Sequence[int],
    learning_rate: float,
    weight_decay: float = 0.0,
    seed: int = 0,
    device: torch.device | str = "cpu",
    standardised: bool = True,
    *,
    low_memory: bool = False,
    sync_batch_norm: bool = False,
    averaged: bool = False,
) -> TrainState:
    """Create a train state with weights drawn from `seed`.

    Parameters
    ----------
    config
        The encoder's.
    projector
        Sizes of the projectors' layers.
    learning_rate, weight_decay
        Of AdamW, which without weight decay is the paper's Adam.
    seed
        Of the weights.
    device
        Where the model is.
    standardised
        Whether projections are standardised over the batch, as LFBT needs them.
    low_memory
        Compute the encoders' activations twice instead of keeping them.
    sync_batch_norm
        Normalise with the statistics of the batch over all processes.
    averaged
        Whether a moving average of the encoder is kept.
    """
    with seeded(seed):
        # The encoders are drawn first, then the projectors: the same seed gives the same weights.
        encoder = LeadEncoders(config, low_memory=low_memory, sync_batch_norm=sync_batch_norm)
        projectors = Projectors(
            len(config.leads),
            config.n_features,
            projector,
            standardised=standardised,
            sync_batch_norm=sync_batch_norm,
        )
    model = PretrainingModel(encoder, projectors).to(device)
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, weight_decay=weight_decay, fused=True)
    for parameter in model.parameters():
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    average = copy.deepcopy(model.encoder).requires_grad_(False).eval() if averaged else None
    return TrainState(model.train(), optimizer, Progress(), average)


@torch.no_grad()
def average_weights(average: nn.Module, module: nn.Module, decay: float) -> None:
    """Replace weights and running statistics of `average` by ``decay · own + (1 − decay) · those of module``."""
    pairs = list(zip(average.state_dict().values(), module.state_dict().values(), strict=True))
    own, others = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
    torch._foreach_lerp_(own, others, 1 - decay)
    for count, other in (pair for pair in pairs if not pair[0].is_floating_point()):
        count.copy_(other)


def warm_up_buckets(distributed: nn.Module, state: TrainState) -> None:
    """Let DistributedDataParallel lay out its gradient buckets, by a pass over zeros that changes nothing.

    It does so after the first backward pass, in the order in which gradients came. The order in which those of three
    processes are summed depends on the layout: without this the first step of a resumed run would be rounded otherwise.
    """
    config = state.encoder.config
    device = next(state.model.parameters()).device
    buffers = {name: buffer.clone() for name, buffer in state.model.named_buffers()}
    distributed(torch.zeros((2, 2, len(config.leads), config.n_samples), device=device)).sum().backward()
    state.optimizer.zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, buffer in state.model.named_buffers():
            buffer.copy_(buffers[name])


def free_gradients_early(model: PretrainingModel, optimizer: torch.optim.Optimizer, at_least: int = 2**20) -> None:
    """Let `optimizer` use and drop each large gradient of the projectors as soon as it is there.

    Together these are as large as the projectors' weights. Not for gradients that are scaled, or summed over processes.

    at_least: numbers in a gradient that is worth the time of an optimiser step of its own.
    """

    def step(_: Tensor) -> None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for parameter in (one for one in model.projectors.parameters() if one.numel() >= at_least):
        parameter.register_post_accumulate_grad_hook(step)


def describe_not_finite(file: Path | None, progress: Progress, ids: Sequence[str], rate: float, loss: str) -> str:
    """Say that the loss of a batch of the records `ids` is not finite, and write these to `file` where one is given."""
    if file is not None:
        content = {"epoch": progress.epoch + 1, "step": progress.step + 1, "loss": loss, "learning_rate": rate}
        with contextlib.suppress(LfbtError):  # the disk may be full: that is not what ends the run
            write_json(file, content | {"records": list(ids)})
    return (
        f"epoch {progress.epoch + 1} step {progress.step + 1}: the loss is not finite ({loss}) for the records "
        f"{format_names(list(ids), 8)}, all named in {file}; look at these, or begin a new run with a lower "
        "--learning-rate, with --warmup-epochs or --precision fp32. The last checkpoint is as it was"
    )
