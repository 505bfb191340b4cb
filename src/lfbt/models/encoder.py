"""The per-lead encoders and projectors, and the settings that an encoder cannot be used without."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lfbt.errors import LfbtError
from lfbt.models.cpu.fused import Layer, encode, encode_in_training
from lfbt.recording import check_leads, missing_leads
from lfbt.signal import Normalisation
from lfbt.utils.collectives import sync_batch_norm
from lfbt.utils.tensors import seeded, to_full_precision
from lfbt.utils.validation import check_range

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
        """What `cpu.fused` computes with."""
        return [
            Layer(convolution.weight, convolution.bias, norm.weight, norm.bias, norm.eps, i in self.block_ends)
            for i, (convolution, norm) in enumerate(self.pairs())
        ]


class LeadEncoders(nn.Module):
    """One encoder a lead, weights not shared: ``[records, leads, samples]`` → features ``[records, leads, 64]``.

    Several views at once ``[views, records, leads, samples]`` give ``[views, records, leads, 64]``, each normalised by
    its own batch statistics in training. The input must be normalised as `config.normalisation` says (`Dataset.batch`
    does).

    On a CPU `cpu.fused` computes, elsewhere and where it cannot (a gradient of the signals, or any gradient in
    evaluation mode) grouped convolutions do: the same sums in another order. Where `cpu.fused` computes, `low_memory`
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
                x = sync_batch_norm(x, mean, variance, scale, shift, _momentum(norms[0]), norms[0].eps)
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
        features: Tensor = to_full_precision(x).mean(dim=2).unflatten(1, (len(encoders), -1))
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
