"""The per-lead encoders and projectors, and the settings that an encoder cannot be used without."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lfbt.recording import LfbtError, check_leads, check_range, missing_leads
from lfbt.signal import Normalisation

# VGG16 without its head: channels of each convolution at width 1, block by block.
_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


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
    """VGG16 in one dimension for one lead: ``[records, samples]`` → ``[records, features]``.

    Parameters have the shapes of ``Conv1d`` and ``BatchNorm1d``; the convolutions are computed as two-dimensional
    ones of height 1 in channels-last layout, which is the same sum and several times faster on a CPU.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = [[int(n * width) for n in block] for block in _BLOCKS]
        outs = [n for block in channels for n in block]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(n_in, n_out, kernel_size=3, padding=1) for n_in, n_out in zip([1, *outs[:-1]], outs, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(n_out) for n_out in outs)
        self.block_ends = {sum(map(len, channels[: i + 1])) - 1 for i in range(len(channels))}

    def forward(self, signal: Tensor) -> Tensor:
        """Features ``[records, features]`` of one lead."""
        # B 1 1 T, then B C 1 T
        x = signal[:, None, None, :].contiguous(memory_format=torch.channels_last)
        parameters = [(layer.get_parameter("weight"), layer.get_parameter("bias")) for layer in self.convolutions]
        for i, ((weight, bias), norm) in enumerate(zip(parameters, self.norms, strict=True)):
            flat = weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)
            x = F.relu(norm(F.conv2d(x, flat, bias, padding=(0, 1))), inplace=True)
            if i in self.block_ends:
                x = F.max_pool2d(x, (1, 2))
        return x.mean(dim=(2, 3))


class LeadEncoders(nn.Module):
    """One encoder a lead, weights not shared: ``[records, leads, samples]`` → features ``[records, leads, 64]``.

    The input must be normalised as `config.normalisation` says (`DataSet.batch` does).
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        check_leads(config.leads)
        check_range("n_samples", config.n_samples, f"[{2 ** len(_BLOCKS)}, inf)", "VGG16 halves them five times")
        check_range("width", config.width, f"[{1 / _BLOCKS[0][0]}, 4]", "the paper has 0.125")
        self.config = config
        self.encoders = nn.ModuleDict({lead: LeadEncoder(config.width) for lead in config.leads})

    def forward(self, signals: Tensor) -> Tensor:
        """Features ``[records, leads, 64]``."""
        leads = signals.unbind(1)
        return torch.stack([encoder(x) for encoder, x in zip(self.encoders.values(), leads, strict=True)], dim=1)

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
        return chosen.train(self.training)


class Projectors(nn.Module):
    """One projector a lead: features ``[B, leads, F]`` → projections ``[B, leads, D]``, standardised over the batch.

    Linear layers without bias, batch normalisation and ReLU between them, batch normalisation without affine
    parameters at the end. Batch statistics are always those of the batch: projectors are used in training only.
    """

    def __init__(self, n_leads: int, n_features: int, sizes: Sequence[int]) -> None:
        super().__init__()
        ins = [n_features, *sizes[:-1]]
        self.weights = nn.ParameterList(
            nn.Parameter(torch.stack([nn.Linear(n_in, n_out, bias=False).weight.detach() for _ in range(n_leads)]))
            for n_in, n_out in zip(ins, sizes, strict=True)
        )
        self.scales = nn.ParameterList(nn.Parameter(torch.ones(n_leads, n)) for n in sizes[:-1])
        self.shifts = nn.ParameterList(nn.Parameter(torch.zeros(n_leads, n)) for n in sizes[:-1])

    def forward(self, features: Tensor) -> Tensor:
        """Standardised projections ``[B, leads, D]``."""
        x = features
        for weight, scale, shift in zip(self.weights, self.scales, self.shifts, strict=False):
            x = F.relu(_norm(_linear(x, weight), scale, shift), inplace=True)
        return _norm(_linear(x, self.weights[-1]))


def _linear(x: Tensor, weight: Tensor) -> Tensor:
    """``[B, L, in]`` times each lead's ``[out, in]`` → ``[B, L, out]``."""
    return torch.bmm(x.transpose(0, 1), weight.transpose(1, 2)).transpose(0, 1)


def _norm(x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
    """Batch normalisation of ``[B, L, D]`` with the batch's own statistics."""
    flat_scale = scale.flatten() if scale is not None else None
    flat_shift = shift.flatten() if shift is not None else None
    return F.batch_norm(x.flatten(1), None, None, flat_scale, flat_shift, training=True).view_as(x)


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
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
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
