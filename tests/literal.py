"""Slow literal references: encoder, projector, loss and views as the paper writes them."""

from collections.abc import Sequence

import numpy as np
import scipy.signal
import torch
from torch import Tensor, nn

from lfbt.models.encoder import LeadEncoder, LeadEncoders
from lfbt.models.projector import Projector

#: VGG16 at width 0.125, as the method writes it: channels of each convolution, block by block.
CHANNELS = ((8, 8), (16, 16), (32, 32, 32), (64, 64, 64), (64, 64, 64))


def vgg16() -> nn.Sequential:
    """A new encoder of one lead ``[records, 1, samples]`` → ``[records, 64]``: one plain layer after another."""
    layers: list[nn.Module] = []
    n_in = 1
    for block in CHANNELS:
        for n_out in block:
            layers += [nn.Conv1d(n_in, n_out, 3, padding=1), nn.BatchNorm1d(n_out), nn.ReLU()]
            n_in = n_out
        layers.append(nn.MaxPool1d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten())


def layers_of(encoder: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    """Each convolution of a `LeadEncoder` with its norm."""
    assert isinstance(encoder, LeadEncoder)
    return list(zip(encoder.convolutions, encoder.norms, strict=True))


def literal_encoder(encoder: nn.Module) -> nn.Sequential:
    """A `LeadEncoder` as a plain stack of layers: copies of its weights and statistics, its dtype and its mode."""
    stack = vgg16().to(next(encoder.parameters()).dtype)
    own = [tensor for pair in layers_of(encoder) for layer in pair for tensor in layer.state_dict().values()]
    stack.load_state_dict(dict(zip(stack.state_dict(), own, strict=True)))
    return stack.train(encoder.training)


def literal_projector(projector: nn.Module) -> nn.Sequential:
    """The projector of one lead as a plain stack of layers, with copies of its weights."""
    assert isinstance(projector, Projector)
    weights = [next(linear.parameters()).detach().clone() for linear in projector.linears]
    layers: list[nn.Module] = []
    for i, weight in enumerate(weights):
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        linear.weight = nn.Parameter(weight)
        last = i == len(weights) - 1
        norm = nn.BatchNorm1d(weight.shape[0], affine=not last)
        if not last:
            norm.weight = nn.Parameter(projector.scales[i].detach().clone())
            norm.bias = nn.Parameter(projector.shifts[i].detach().clone())
        layers += [linear, norm] if last else [linear, norm, nn.ReLU()]
    return nn.Sequential(*layers).to(weights[0].dtype)


def literal_pair_loss(z1: Tensor, z2: Tensor, lambd: float) -> Tensor:
    """L_ij of the projections of one lead in view 1 and one in view 2, ``[B, D]`` each, from its D × D matrix."""
    c = z1.T @ z2 / z1.shape[0]
    on_diagonal = torch.zeros((), dtype=z1.dtype)
    off_diagonal = torch.zeros((), dtype=z1.dtype)
    for a in range(c.shape[0]):
        on_diagonal = on_diagonal + (c[a, a] - 1) ** 2
        off_diagonal = off_diagonal + (c[a, :a] ** 2).sum() + (c[a, a + 1 :] ** 2).sum()
    return on_diagonal + lambd * off_diagonal


def literal_loss(z1: Tensor, z2: Tensor, gamma: float, lambd: float) -> tuple[Tensor, Tensor, Tensor]:
    """Total, intra-lead and inter-lead loss of ``[B, leads, D]``, lead pair by lead pair."""
    n_leads = z1.shape[1]
    intra = torch.zeros((), dtype=z1.dtype)
    inter = torch.zeros((), dtype=z1.dtype)
    for i in range(n_leads):
        for j in range(n_leads):
            loss = literal_pair_loss(z1[:, i], z2[:, j], lambd)
            if i == j:
                intra = intra + loss / n_leads
            else:
                inter = inter + loss / (n_leads * (n_leads - 1))
    return (intra if n_leads == 1 else gamma * intra + (1 - gamma) * inter), intra, inter


def literal_crop(signal: np.ndarray, start: int, length: int) -> np.ndarray:
    """`length` samples from `start` on of one record ``[leads, samples]``, resampled to all of them in float64."""
    part = signal[:, start : start + length].astype(np.float64)
    return scipy.signal.resample(part, signal.shape[1], axis=1)


def literal_view(signal: np.ndarray, draws: Sequence[float]) -> np.ndarray:
    """A view of one record ``[leads, samples]`` in float64, from four numbers in [0, 1)."""
    n = signal.shape[1]
    length = int((0.5 + 0.5 * draws[0]) * n)
    view = literal_crop(signal, int(draws[1] * (n - length + 1)), length)
    out = int(0.5 * draws[2] * n)
    start = int(draws[3] * (n - out + 1))
    view[:, start : start + out] = 0
    return view


def z_score(signals: np.ndarray) -> np.ndarray:
    """Every record ``[records, leads, samples]`` less its mean, over its standard deviation plus 1e-5, in float64."""
    signals = signals.astype(np.float64)
    return np.stack([(signal - signal.mean()) / (signal.std() + 1e-5) for signal in signals])


def literal_embeddings(encoder: LeadEncoders, signals: np.ndarray) -> np.ndarray:
    """Embeddings ``[records, leads × 64]`` of signals in mV in float64: whole-record z-score, plain layers."""
    stacks = [literal_encoder(lead).double().eval() for lead in encoder.encoders.values()]
    x = torch.from_numpy(z_score(signals))
    with torch.no_grad():
        return np.concatenate([stack(x[:, i : i + 1]).numpy() for i, stack in enumerate(stacks)], axis=1)
