"""The encoders: a VGG16 in one dimension for each lead, computed for all leads at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from lfbt.errors import LfbtError
from lfbt.models.config import BLOCKS, MIN_SAMPLES, EncoderConfig
from lfbt.models.cpu.fused import Layer, encode, encode_in_training
from lfbt.models.feature_maps import PAPER, FeatureMap
from lfbt.models.pooling import pool_over_time
from lfbt.recording import lead_names, missing_leads, parse_leads
from lfbt.utils.collectives import sync_batch_norm
from lfbt.utils.tensors import seeded, to_full_precision

__all__ = ["EncoderConfig", "LeadEncoder", "LeadEncoders", "estimate_batch_norm", "random_encoder"]


class LeadEncoder(nn.Module):
    """The weights of one lead's encoder; `LeadEncoders` computes with those of all leads at once.

    VGG16's 13 convolutions in one dimension (kernel 3, padding 1), each followed by batch normalisation, with the
    shapes of ``Conv1d`` and ``BatchNorm1d``.

    Parameters
    ----------
    width : float
        Factor on VGG16's channels.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = [[int(n * width) for n in block] for block in BLOCKS]
        outs = [n for block in channels for n in block]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(n_in, n_out, kernel_size=3, padding=1) for n_in, n_out in zip([1, *outs[:-1]], outs, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(n_out) for n_out in outs)
        self.block_ends = {sum(map(len, channels[: i + 1])) - 1 for i in range(len(channels))}

    def pairs(self) -> list[tuple[Any, Any]]:
        """List the convolutions, each with its batch normalisation."""
        return list(zip(self.convolutions, self.norms, strict=True))

    def layers(self) -> list[Layer]:
        """List the layers as `lfbt.models.cpu.fused` takes them."""
        return [
            Layer(convolution.weight, convolution.bias, norm.weight, norm.bias, norm.eps, i in self.block_ends)
            for i, (convolution, norm) in enumerate(self.pairs())
        ]


class LeadEncoders(nn.Module):
    """One encoder a lead, weights not shared.

    Each is a VGG16 in one dimension, its last activations averaged over time. In training every view is normalised by
    its own batch statistics.

    On a CPU `lfbt.models.cpu.fused` computes. Elsewhere, in `torch.export`, and for a gradient of the signals or any
    gradient in evaluation mode, grouped convolutions do: the same sums in another order. All norms are in the mode of
    the module as a whole, and hooks on single layers are not called.

    Parameters
    ----------
    config : EncoderConfig
        Leads, size and expected input.
    low_memory : bool
        Keep nothing but the signals for the backward pass, and compute every lead twice. The result is the same but
        for rounding.
    sync_batch_norm : bool
        In training, take batch statistics over the records of all processes of PyTorch's default process group, each
        of which has a part of the batch.

    Raises
    ------
    LfbtError
        For settings out of range.

    Notes
    -----
    The options cannot be changed afterwards; `with_options` returns an encoder with other ones and the same weights.
    They do not affect the state dict.

    Examples
    --------
    >>> encoder = LeadEncoders(EncoderConfig(("II", "V1"), sampling_rate=6.4, n_samples=64))
    >>> encoder(torch.zeros(3, 2, 64)).shape  # records, leads, features
    torch.Size([3, 2, 64])
    >>> encoder(torch.zeros(2, 3, 2, 64)).shape  # views, records, leads, features
    torch.Size([2, 3, 2, 64])
    """

    def __init__(self, config: EncoderConfig, *, low_memory: bool = False, sync_batch_norm: bool = False) -> None:
        super().__init__()
        self.config = config
        self.low_memory = low_memory
        self.sync_batch_norm = sync_batch_norm
        self.encoders = nn.ModuleDict({lead: LeadEncoder(config.width) for lead in config.leads})

    def __repr__(self) -> str:
        config = self.config
        form = f"leads {','.join(config.leads)}, {config.sampling_rate:g} Hz, {config.n_samples} samples"
        return (
            f"{type(self).__name__}({form}, normalisation {config.normalisation}, {config.n_features} features a lead)"
        )

    def forward(self, signals: Tensor) -> Tensor:
        """Compute the features of signals.

        Parameters
        ----------
        signals : Tensor
            ``[records, leads, samples]`` or ``[views, records, leads, samples]``, normalised as
            `config.normalisation` says (`Dataset.batch` does).

        Returns
        -------
        Tensor
            ``[records, leads, features]`` or ``[views, records, leads, features]``.

        Raises
        ------
        LfbtError
            For another number of leads, and for fewer than 32 samples.
        """
        return self._compute(signals, PAPER)

    def pool(self, signals: Tensor, features: FeatureMap) -> Tensor:
        """Pool the activations of several blocks in one pass; amplitudes are not among them.

        Parameters
        ----------
        signals : Tensor
            As of `forward`.
        features : FeatureMap
            Which statistics of which blocks.

        Returns
        -------
        Tensor
            ``[records, leads, features]`` or ``[views, records, leads, features]``, block by block.

        Raises
        ------
        LfbtError
            As `forward` does, and in training mode.
        """
        if self.training:
            raise LfbtError("features: blocks are pooled in evaluation mode only; call encoder.eval() first")
        return self._compute(signals, features)

    @torch.no_grad()
    def activations(self, signals: Tensor) -> Tensor:
        """Compute the activations of the last block, of which `forward` returns the mean over time.

        Parameters
        ----------
        signals : Tensor
            ``[records, leads, samples]``, of 32 samples or more, as of `forward`.

        Returns
        -------
        Tensor
            ``[records, leads, steps, features]``, a step for 32 samples; without a gradient.

        Raises
        ------
        LfbtError
            In training mode, and for another number of leads.
        """
        if self.training or signals.ndim != 3 or signals.shape[1] != len(self.encoders):
            raise LfbtError(
                f"activations: signals {list(signals.shape)} are to be [records, {len(self.encoders)} leads, samples], "
                "and the encoder in evaluation mode; call encoder.eval() first"
            )
        of_leads = []
        for lead, encoder in enumerate(self._lead_encoders()):
            x = signals[:, lead : lead + 1]
            for i, (convolution, norm) in enumerate(encoder.pairs()):
                x = F.relu(norm(convolution(x)))
                x = F.max_pool1d(x, 2) if i in encoder.block_ends else x
            of_leads.append(x.transpose(1, 2))
        return torch.stack(of_leads, dim=1)

    def _compute(self, signals: Tensor, features: FeatureMap) -> Tensor:
        if signals.ndim not in (3, 4) or signals.shape[-2] != len(self.encoders):
            raise LfbtError(
                f"signals: shape {list(signals.shape)} is not [records, {len(self.encoders)} leads, samples]"
            )
        if signals.shape[-1] < MIN_SAMPLES:
            raise LfbtError(
                f"signals: {signals.shape[-1]} samples are too few; VGG16 halves them five times, take {MIN_SAMPLES}"
            )
        views = signals if signals.ndim == 4 else signals[None]
        compute = self._fused if self._can_be_fused(signals) else self._grouped
        computed = compute(views, features)
        return computed if signals.ndim == 4 else computed[0]

    def select_leads(self, leads: Sequence[str] | str) -> Self:
        """Select the encoders of some leads by name.

        Parameters
        ----------
        leads : sequence of str, or str
            Names, in the order wanted; a text such as ``II,V1`` too.

        Returns
        -------
        Self
            With the same options and mode; it shares the weights.

        Raises
        ------
        LfbtError
            For a lead without an encoder.
        """
        leads = parse_leads(leads) if isinstance(leads, str) else lead_names(leads)
        absent = missing_leads(leads, self.config.leads)
        if absent:
            raise LfbtError(
                f"lead {','.join(absent)}: the encoder has none of that name; it has {','.join(self.config.leads)}"
            )
        config = dataclasses.replace(self.config, leads=tuple(leads))
        return self._sharing_weights(config, self.low_memory, self.sync_batch_norm)

    def with_options(self, *, low_memory: bool | None = None, sync_batch_norm: bool | None = None) -> Self:
        """Change the options of an encoder, such as a loaded one that is to be fine-tuned in several processes.

        Parameters
        ----------
        low_memory, sync_batch_norm : bool, optional
            As in the constructor; None leaves an option as it is.

        Returns
        -------
        Self
            With the same leads and mode; it shares the weights.
        """
        return self._sharing_weights(
            self.config,
            self.low_memory if low_memory is None else low_memory,
            self.sync_batch_norm if sync_batch_norm is None else sync_batch_norm,
        )

    def _sharing_weights(self, config: EncoderConfig, low_memory: bool, sync_batch_norm: bool) -> Self:
        with torch.device("meta"):  # no memory, no random draws: the weights are replaced
            other = type(self)(config, low_memory=low_memory, sync_batch_norm=sync_batch_norm)
        for lead in config.leads:
            other.encoders[lead] = self.encoders[lead]
        return other.train(self.training)

    def _can_be_fused(self, signals: Tensor) -> bool:
        # torch.export takes PyTorch's own operators only.
        if torch.compiler.is_exporting() or (signals.device.type != "cpu" and not self.low_memory):
            return False
        if not torch.is_grad_enabled():
            return True
        is_trained = any(parameter.requires_grad for parameter in self.parameters())
        return not signals.requires_grad and (self.training or not is_trained)

    def _fused(self, views: Tensor, features: FeatureMap) -> Tensor:
        """Features of ``[V, B, L, T]`` by `lfbt.models.cpu.fused`."""
        encoders = self._lead_encoders()
        leads = [encoder.layers() for encoder in encoders]
        if not self.training:
            statistics = [[(norm.running_mean, norm.running_var) for _, norm in one.pairs()] for one in encoders]
            return torch.stack([encode(view, leads, statistics, _autocast_dtype(), features) for view in views])
        encoded = encode_in_training(views, leads, self.low_memory, self.sync_batch_norm, _autocast_dtype())
        n_records, n_samples = round(encoded.n_records.item()), views.shape[3]
        for of_view in zip(encoded.means, encoded.variances, strict=True):
            for encoder, mean, variance in zip(encoders, *of_view, strict=True):
                _update_statistics(encoder, mean, variance, n_records, n_samples)
        return encoded.features

    def _grouped(self, views: Tensor, features: FeatureMap) -> Tensor:
        """Features of ``[V, B, L, T]`` by convolutions with a group for each lead of each view, as images of height 1.

        Each view has batch statistics of its own, because it has channels of its own.
        """
        n_views, of_leads = len(views), [encoder.pairs() for encoder in self._lead_encoders()]
        block_ends = self._lead_encoders()[0].block_ends
        x = views.transpose(0, 1).flatten(1, 2).unsqueeze(2)  # B V·L 1 T
        if torch.is_autocast_enabled("cuda"):
            # Matrix units take half precision with channels last, without a copy of each layer.
            x = x.contiguous(memory_format=torch.channels_last)
        statistics, pooled, block = [], [], 0
        for i, layer in enumerate(zip(*(of_leads * n_views), strict=True)):
            convolutions, norms = zip(*layer, strict=True)
            weight, bias = (torch.cat([getattr(one, name) for one in convolutions]) for name in ("weight", "bias"))
            scale, shift = (torch.cat([getattr(one, name) for one in norms]) for name in ("weight", "bias"))
            # Batch statistics cancel the bias, but the running mean has to include it.
            x = F.conv2d(x, weight.unsqueeze(2), bias, padding=(0, 1), groups=len(layer))  # B V·L·channels 1 T
            if self.training:
                mean, variance = torch.zeros_like(scale), torch.zeros_like(scale)
                normalise = sync_batch_norm if self.sync_batch_norm else _batch_norm
                # With all of the weight on this batch, these become its statistics.
                x = normalise(x, mean, variance, scale, shift, 1.0, norms[0].eps)
                statistics.append((mean, variance))
            else:
                mean, variance = (torch.cat([getattr(one, name) for one in norms]) for name in _RUNNING)
                x = F.batch_norm(x, mean, variance, scale, shift, eps=norms[0].eps)
            x = F.relu(x)
            if i in block_ends:
                x = F.max_pool2d(x, (1, 2))
                block += 1
                if block in features.blocks:
                    pooled += pool_over_time(to_full_precision(x), features.statistics, (2, 3))
        if self.training:
            self._update_grouped_statistics(statistics, n_views)
        of_statistics = [one.unflatten(1, (n_views, len(of_leads), -1)) for one in pooled]
        return torch.cat(of_statistics, dim=3).transpose(0, 1)  # V B L features

    @torch.no_grad()
    def _update_grouped_statistics(self, statistics: Sequence[tuple[Tensor, Tensor]], n_views: int) -> None:
        """Update the running statistics by those of each layer, ``[V·L·channels]``, one view after the other."""
        layers = list(zip(*(encoder.pairs() for encoder in self._lead_encoders()), strict=True))
        norms = [norm for layer in layers for _, norm in layer]
        running = [getattr(norm, name) for name in _RUNNING for norm in norms]
        for view in range(n_views):
            values = [
                value
                for of_layers in zip(*statistics, strict=True)
                for of_layer in of_layers
                for value in of_layer.unflatten(0, (n_views, len(self.encoders), -1))[view]
            ]
            # One call for all layers of all leads: launching hundreds would take as long as a layer.
            torch._foreach_lerp_(running, values, _momentum(norms[0]))
            torch._foreach_add_([norm.num_batches_tracked for norm in norms], 1)

    def _lead_encoders(self) -> list[LeadEncoder]:
        return list(self.encoders.values())  # type: ignore[arg-type]


def _autocast_dtype() -> torch.dtype | None:
    """What autocast on a CPU asks for; None without it."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None


_RUNNING = ("running_mean", "running_var")


def _batch_norm(
    x: Tensor, mean: Tensor, variance: Tensor, scale: Tensor, shift: Tensor, momentum: float, eps: float
) -> Tensor:
    return F.batch_norm(x, mean, variance, scale, shift, True, momentum, eps)


def _momentum(norm: nn.BatchNorm1d) -> float:
    """Weight of the current batch in the running statistics; without momentum these are plain averages."""
    return norm.momentum if norm.momentum is not None else 1 / (int(norm.num_batches_tracked or 0) + 1)


@torch.no_grad()
def _update_statistics(encoder: LeadEncoder, mean: Tensor, variance: Tensor, n_records: int, n_samples: int) -> None:
    """Update the running statistics by those of a batch, ``[channels of all layers]``."""
    start = 0
    for i, (_, norm) in enumerate(encoder.pairs()):
        chosen = slice(start, start := start + norm.num_features)
        n_values = n_records * n_samples
        unbiased = variance[chosen] * (n_values / (n_values - 1))
        for running, value in ((norm.running_mean, mean[chosen]), (norm.running_var, unbiased)):
            running.lerp_(value.to(running.dtype), _momentum(norm))
        norm.num_batches_tracked += 1
        n_samples = n_samples // 2 if i in encoder.block_ends else n_samples


def random_encoder(
    config: EncoderConfig, seed: int, *, low_memory: bool = False, sync_batch_norm: bool = False
) -> LeadEncoders:
    """Create an encoder with weights drawn from a seed; PyTorch's own generator is left as it was.

    Parameters
    ----------
    config : EncoderConfig
        Leads, size and expected input.
    seed : int
        The same seed gives the same weights.
    low_memory, sync_batch_norm : bool
        As in `LeadEncoders`.

    Returns
    -------
    LeadEncoders
        In training mode. For features of a random encoder, estimate its statistics first: `estimate_batch_norm`.

    Raises
    ------
    LfbtError
        For settings out of range.
    """
    with seeded(seed):
        return LeadEncoders(config, low_memory=low_memory, sync_batch_norm=sync_batch_norm)


@torch.no_grad()
def estimate_batch_norm(encoder: LeadEncoders, batches: Iterable[Tensor]) -> None:
    """Set the running statistics of every batch normalisation to their average over batches.

    Without this a random encoder in evaluation mode normalises with zeros and ones, and its features mean nothing.

    Parameters
    ----------
    encoder : LeadEncoders
        Changed in place, and in evaluation mode afterwards.
    batches : iterable of Tensor
        Signals ``[records, leads, samples]``, normalised as the encoder expects.

    Examples
    --------
    >>> encoder = random_encoder(EncoderConfig(("II",), sampling_rate=6.4, n_samples=64), seed=0)
    >>> estimate_batch_norm(encoder, [torch.randn(4, 1, 64) for _ in range(3)])
    >>> encoder.training
    False
    """
    update_bn(batches, encoder)
    encoder.eval()
