"""The per-lead encoders and projectors, and the settings that an encoder cannot be used without."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lfbt.fused import Layer, encode, encode_in_training
from lfbt.processes import shared_batch_norm
from lfbt.recording import LfbtError, check_leads, check_range, missing_leads
from lfbt.signal import Normalisation

# VGG16 without its head: channels of each convolution at width 1, block by block.
_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_SHORTEST = 2 ** len(_BLOCKS)


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """What must be known to use an encoder: its leads by name, and what it expects of a record.

    sampling_rate in Hz; n_samples of a record; normalisation: the z-score its input has; width: factor on VGG16's
    channels.
    """

    leads: tuple[str, ...]
    sampling_rate: float
    n_samples: int
    normalisation: Normalisation = "record"
    width: float = 0.125

    @property
    def n_features(self) -> int:
        """Features of a lead."""
        return int(_BLOCKS[-1][-1] * self.width)


class LeadEncoder(nn.Module):
    """The weights of one lead's VGG16 in one dimension, with the shapes of ``Conv1d`` and ``BatchNorm1d``.

    `LeadEncoders` computes with those of all leads at once.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = [[int(n * width) for n in block] for block in _BLOCKS]
        outs = [n for block in channels for n in block]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(n_in, n_out, kernel_size=3, padding=1) for n_in, n_out in zip([1, *outs[:-1]], outs, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(n_out) for n_out in outs)
        self.block_ends = {sum(map(len, channels[: i + 1])) - 1 for i in range(len(channels))}

    def pairs(self) -> list[tuple[Any, Any]]:
        """The convolutions, each with its batch normalisation."""
        return list(zip(self.convolutions, self.norms, strict=True))

    def layers(self) -> list[Layer]:
        """What `lfbt.fused` computes with."""
        return [
            Layer(convolution.weight, convolution.bias, norm.weight, norm.bias, norm.eps, i in self.block_ends)
            for i, (convolution, norm) in enumerate(self.pairs())
        ]


class LeadEncoders(nn.Module):
    """One encoder a lead, weights not shared: ``[records, leads, samples]`` → features ``[records, leads, 64]``.

    Several views at once ``[views, records, leads, samples]`` give ``[views, records, leads, 64]``, each normalised by
    its own batch statistics in training. The input must be normalised as `config.normalisation` says (`DataSet.batch`
    does).

    On a CPU `lfbt.fused` computes, elsewhere and where it cannot (a gradient of the signals, or any gradient in
    evaluation mode) grouped convolutions do: the same sums in another order. Where `lfbt.fused` computes, `low_memory`
    keeps nothing for the backward pass but the signals, and computes each lead twice. With `shared_statistics` the
    batch is that of all processes, of which each has a part. All norms are in the mode of the whole; hooks on single
    layers are not called.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        check_leads(config.leads)
        check_range("n_samples", config.n_samples, f"[{_SHORTEST}, inf)", "VGG16 halves them five times")
        check_range("width", config.width, f"[{1 / _BLOCKS[0][0]}, 4]", "the paper has 0.125")
        self.config = config
        self.low_memory = False
        self.shared_statistics = False
        self.encoders = nn.ModuleDict({lead: LeadEncoder(config.width) for lead in config.leads})

    def forward(self, signals: Tensor) -> Tensor:
        """Features ``[..., records, leads, 64]`` of ``[..., records, leads, samples]``; ... is nothing or views.

        Raises LfbtError for signals of another number of leads, and for less than 32 samples.
        """
        if signals.ndim not in (3, 4) or signals.shape[-2] != len(self.encoders):
            raise LfbtError(
                f"signals: shape {list(signals.shape)} is not [records, {len(self.encoders)} leads, samples]"
            )
        if signals.shape[-1] < _SHORTEST:
            raise LfbtError(
                f"signals: {signals.shape[-1]} samples are too few; VGG16 halves them five times, take {_SHORTEST}"
            )
        views = signals if signals.ndim == 4 else signals[None]
        compute = self._fused if self._can_be_fused(signals) else self._grouped
        features = compute(views)
        return features if signals.ndim == 4 else features[0]

    def _can_be_fused(self, signals: Tensor) -> bool:
        if signals.device.type != "cpu" and not self.low_memory:
            return False
        if not torch.is_grad_enabled():
            return True
        learns = any(parameter.requires_grad for parameter in self.parameters())
        return not signals.requires_grad and (self.training or not learns)

    def _fused(self, views: Tensor) -> Tensor:
        encoders = self._in_order()
        leads = [encoder.layers() for encoder in encoders]
        if not self.training:
            statistics = [[(norm.running_mean, norm.running_var) for _, norm in one.pairs()] for one in encoders]
            return torch.stack([encode(view, leads, statistics) for view in views])
        found = encode_in_training(views, leads, self.low_memory, self.shared_statistics)
        for of_view in zip(found.means, found.variances, strict=True):
            for encoder, mean, variance in zip(encoders, *of_view, strict=True):
                _update_statistics(encoder, mean, variance, round(found.n_records.item()), views.shape[3])
        return found.features

    def _grouped(self, views: Tensor) -> Tensor:
        """The features by convolutions with a group for each lead, one view after the other."""
        return torch.stack([self._grouped_view(view) for view in views])

    def _grouped_view(self, signals: Tensor) -> Tensor:
        encoders = self._in_order()
        x = signals
        for i, of_leads in enumerate(zip(*(encoder.pairs() for encoder in encoders), strict=True)):
            convolutions, norms = zip(*of_leads, strict=True)
            weight, bias = (torch.cat([getattr(one, name) for one in convolutions]) for name in ("weight", "bias"))
            scale, shift = (torch.cat([getattr(one, name) for one in norms]) for name in ("weight", "bias"))
            mean, variance = (torch.cat([getattr(one, name) for one in norms]) for name in _RUNNING)
            # The bias does nothing to what batch statistics normalise; the running mean has to hold it.
            x = F.conv1d(x, weight, bias, padding=1, groups=len(encoders))
            if self.training and self.shared_statistics:
                x = shared_batch_norm(x, mean, variance, scale, shift, _momentum(norms[0]), norms[0].eps)
            else:
                x = F.batch_norm(x, mean, variance, scale, shift, self.training, _momentum(norms[0]), norms[0].eps)
            x = F.relu(x)
            if i in encoders[0].block_ends:
                x = F.max_pool1d(x, 2)
            if self.training:
                for k, norm in enumerate(norms):
                    for name, value in zip(_RUNNING, (mean, variance), strict=True):
                        getattr(norm, name).copy_(value.unflatten(0, (len(norms), -1))[k])
                    norm.num_batches_tracked += 1
        features: Tensor = _full(x).mean(dim=2).unflatten(1, (len(encoders), -1))
        return features

    def _in_order(self) -> list[LeadEncoder]:
        return list(self.encoders.values())  # type: ignore[arg-type]

    def select_leads(self, leads: Sequence[str]) -> LeadEncoders:
        """The encoders of the leads named, in that order; they share these weights. Raises LfbtError for others."""
        absent = missing_leads(leads, self.config.leads)
        if absent:
            raise LfbtError(
                f"lead {','.join(absent)}: the encoder has none of that name; it has {','.join(self.config.leads)}"
            )
        chosen = random_encoder(dataclasses.replace(self.config, leads=tuple(leads)), seed=0)
        for lead in leads:
            chosen.encoders[lead] = self.encoders[lead]
        chosen.low_memory, chosen.shared_statistics = self.low_memory, self.shared_statistics
        return chosen.train(self.training)


_RUNNING = ("running_mean", "running_var")


def _momentum(norm: nn.BatchNorm1d) -> float:
    """How much the batch at hand weighs in the running statistics; without momentum they are plain averages."""
    return norm.momentum if norm.momentum is not None else 1 / (int(norm.num_batches_tracked or 0) + 1)


@torch.no_grad()
def _update_statistics(encoder: LeadEncoder, mean: Tensor, variance: Tensor, n_records: int, n_samples: int) -> None:
    """Bring the running statistics up to date with those of a batch, all layers' one after the other."""
    start = 0
    for i, (_, norm) in enumerate(encoder.pairs()):
        chosen = slice(start, start := start + norm.num_features)
        n_values = n_records * n_samples
        unbiased = variance[chosen] * (n_values / (n_values - 1))
        for running, value in ((norm.running_mean, mean[chosen]), (norm.running_var, unbiased)):
            running.lerp_(value.to(running.dtype), _momentum(norm))
        norm.num_batches_tracked += 1
        n_samples = n_samples // 2 if i in encoder.block_ends else n_samples


class Projectors(nn.Module):
    """One projector a lead: features ``[..., B, leads, F]`` → projections ``[..., B, leads, D]``.

    Linear layers without bias, batch normalisation and ReLU between them, batch normalisation without affine
    parameters at the end, unless they are not `standardised`. Batch statistics are always those of the batch, of each
    view by itself: projectors are used in training only. With `shared_statistics` the batch is that of all processes,
    of which each has a part.
    """

    def __init__(self, n_leads: int, n_features: int, sizes: Sequence[int], standardised: bool = True) -> None:
        super().__init__()
        self.shared_statistics = False
        self.standardised = standardised
        ins = [n_features, *sizes[:-1]]
        layers = [
            [nn.Linear(n_in, n_out, bias=False) for _ in range(n_leads)] for n_in, n_out in zip(ins, sizes, strict=True)
        ]
        self.projectors = nn.ModuleList(Projector(linears, standardised) for linears in zip(*layers, strict=True))

    def forward(self, features: Tensor) -> Tensor:
        """Projections ``[..., B, leads, D]`` in single precision at least, where ... is nothing or views."""
        leads = features.unbind(-2)
        if self.shared_statistics:
            return self._in_step(leads)
        return torch.stack([projector(x) for projector, x in zip(self.projectors, leads, strict=True)], dim=-2)

    def _in_step(self, leads: Sequence[Tensor]) -> Tensor:
        """The projections, all leads at the same layer: what its statistics need is sent at once."""
        projectors: list[Any] = list(self.projectors)
        last = len(projectors[0].linears) - 1
        for i in range(last + 1):
            # ..., B leads·D
            outputs = [projector.linears[i](x) for projector, x in zip(projectors, leads, strict=True)]
            if i == last and not self.standardised:
                return _full(torch.stack(outputs, dim=-2))
            affine = [] if i == last else [[one.scales[i] for one in projectors], [one.shifts[i] for one in projectors]]
            scale, shift = map(torch.cat, affine) if affine else (None, None)
            x = _standardise(torch.cat(outputs, dim=-1), scale, shift, shared=True)
            leads = (x if i == last else F.relu(x)).chunk(len(projectors), dim=-1)
        return torch.stack(list(leads), dim=-2)


class Projector(nn.Module):
    """The projector of one lead: features ``[..., B, F]`` → projections ``[..., B, D]``."""

    def __init__(self, linears: Sequence[nn.Linear], standardised: bool = True) -> None:
        super().__init__()
        self.standardised = standardised
        self.linears = nn.ModuleList(linears)
        widths = [linear.out_features for linear in linears[:-1]]
        self.scales = nn.ParameterList(nn.Parameter(torch.ones(n)) for n in widths)
        self.shifts = nn.ParameterList(nn.Parameter(torch.zeros(n)) for n in widths)

    def forward(self, features: Tensor) -> Tensor:
        """Projections ``[..., B, D]``."""
        x = features
        for linear, scale, shift in zip(self.linears, self.scales, self.shifts, strict=False):
            x = F.relu(_standardise(linear(x), scale, shift), inplace=True)
        x = self.linears[-1](x)
        return _standardise(x) if self.standardised else _full(x)


def _standardise(x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None, shared: bool = False) -> Tensor:
    """Batch normalisation of ``[..., B, D]`` with the batch's own statistics, of each view by itself.

    In single precision at least: the loss is made of what comes out.
    """

    def of(view: Tensor) -> Tensor:
        if shared:
            return shared_batch_norm(view, None, None, scale, shift)
        return F.batch_norm(view, None, None, scale, shift, training=True)

    x = _full(x)
    return of(x) if x.ndim == 2 else torch.stack([of(view) for view in x.unbind()])


def _full(x: Tensor) -> Tensor:
    """`x` in single precision, where it is in half of it."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def parse_projector(text: str) -> tuple[int, ...]:
    """Layer sizes from ``2048-2048-2048``. Raises LfbtError for anything else."""
    parts = text.split("-")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise LfbtError(f"projector: {text!r} is not a list of layer sizes such as 2048-2048-2048")
    return tuple(int(part) for part in parts)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Weights drawn inside follow from `seed`; PyTorch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def random_encoder(config: EncoderConfig, seed: int) -> LeadEncoders:
    """An encoder with weights drawn from `seed`."""
    with seeded(seed):
        return LeadEncoders(config)


@torch.no_grad()
def estimate_batch_norm(encoder: LeadEncoders, batches: Iterable[Tensor]) -> None:
    """Set the running statistics of every batch normalisation to their average over `batches`.

    Without this a random encoder in evaluation mode normalises with zeros and ones, and its features mean nothing.
    """
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm1d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    encoder.train()
    for batch in batches:
        encoder(batch)
    encoder.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def resolve_device(name: str) -> torch.device:
    """The device called `name`; ``auto`` is the GPU if there is one. Raises LfbtError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError(f"lfbt does not run on {device.type}")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise LfbtError(
            f"device: {name!r} cannot be used ({str(error).splitlines()[0]}); allowed: auto, cpu, cuda"
        ) from error
    return device
