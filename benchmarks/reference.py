"""A literal implementation of the method, as research code has it: layer by layer, lead by lead, record by record."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import scipy.signal
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

Signal = NDArray[np.float32]

_CHANNELS = ((8, 8), (16, 16), (32, 32, 32), (64, 64, 64), (64, 64, 64))
_N_FEATURES = _CHANNELS[-1][-1]


# Data and views


def load(file: Path) -> Signal:
    """The record ``[leads, samples]`` in a ``.npy`` file, z-scored over the whole record."""
    signal: Signal = np.load(file)
    z_scored: Signal = (signal - signal.mean()) / (signal.std() + 1e-5)
    return z_scored


def random_view(signal: Signal, draws: NDArray[np.float64]) -> Signal:
    """One view of a record ``[leads, samples]``; `draws` as in `lfbt.training.augmentation`."""
    n_samples = signal.shape[1]
    length = int((0.5 + 0.5 * draws[0]) * n_samples)
    start = int(draws[1] * (n_samples - length + 1))
    view: Signal = scipy.signal.resample(signal[:, start : start + length], n_samples, axis=1)
    length = int(0.5 * draws[2] * n_samples)
    start = int(draws[3] * (n_samples - length + 1))
    view[:, start : start + length] = 0
    return view


class Records(Dataset[Tensor]):
    """One signal per item, z-scored unless `read` is another function."""

    def __init__(self, files: Sequence[Path], read: Callable[[Path], Signal] = load) -> None:
        self.files, self.read = files, read

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> Tensor:
        return torch.from_numpy(self.read(self.files[row]))


class Views(Dataset[tuple[Tensor, Tensor]]):
    """Two views per item, from `draws` ``[records, 2 views, 4]``."""

    def __init__(self, files: Sequence[Path], draws: NDArray[np.float64]) -> None:
        self.files, self.draws = files, draws

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        signal = load(self.files[row])
        first, second = (torch.from_numpy(random_view(signal, draws)) for draws in self.draws[row])
        return first, second


# Model


def vgg16() -> nn.Sequential:
    """The encoder of one lead ``[B, 1, T]`` → ``[B, 64, T / 32]``, before the mean over time."""
    layers: list[nn.Module] = []
    n_in = 1
    for block in _CHANNELS:
        for n_out in block:
            layers += [nn.Conv1d(n_in, n_out, 3, padding=1), nn.BatchNorm1d(n_out), nn.ReLU()]
            n_in = n_out
        layers.append(nn.MaxPool1d(2))
    return nn.Sequential(*layers)


def projector(sizes: Sequence[int]) -> nn.Sequential:
    """The projector of one lead ``[B, 64]`` → ``[B, D]``."""
    layers: list[nn.Module] = []
    n_in = _N_FEATURES
    for n_out in sizes[:-1]:
        layers += [nn.Linear(n_in, n_out, bias=False), nn.BatchNorm1d(n_out), nn.ReLU()]
        n_in = n_out
    return nn.Sequential(*layers, nn.Linear(n_in, sizes[-1], bias=False), nn.BatchNorm1d(sizes[-1], affine=False))


class Reference(nn.Module):
    """One encoder and one projector per lead."""

    def __init__(self, n_leads: int, projector_sizes: Sequence[int]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(vgg16() for _ in range(n_leads))
        self.projectors = nn.ModuleList(projector(projector_sizes) for _ in range(n_leads))

    def features(self, signals: Tensor) -> list[Tensor]:
        """``[B, 64]`` of each lead of ``[B, leads, T]``."""
        return [encoder(signals[:, [lead]]).mean(dim=2) for lead, encoder in enumerate(self.encoders)]

    def forward(self, signals: Tensor) -> list[Tensor]:
        """Standardised projections ``[B, D]`` of each lead."""
        return [project(x) for project, x in zip(self.projectors, self.features(signals), strict=True)]


def encoder_multiply_adds(n_samples: int) -> int:
    """Multiply-adds of one lead's encoder for one record."""
    return multiply_adds(Reference(1, (1,)), n_samples) - 64  # those of a projector of one number


def multiply_adds(model: Reference, n_samples: int) -> int:
    """Multiply-adds of a forward pass of one record, counted from the shapes of the layers."""
    total = 0
    for stack in (*model.encoders, *model.projectors):
        time = n_samples
        for layer in stack.children():
            if isinstance(layer, nn.Conv1d):
                total += layer.weight.numel() * time
            elif isinstance(layer, nn.MaxPool1d):
                time //= 2
            elif isinstance(layer, nn.Linear):
                total += layer.weight.numel()
    return total


# Loss and step


def barlow_twins(z1: Tensor, z2: Tensor, lambd: float) -> Tensor:
    """The loss of one pair of leads ``[B, D]``, from its D × D matrix."""
    c = z1.T @ z2 / len(z1)
    on_diagonal = (torch.diagonal(c) - 1).pow(2).sum()
    n = len(c)
    off_diagonal = c.flatten()[:-1].view(n - 1, n + 1)[:, 1:].flatten().pow(2).sum()
    return on_diagonal + lambd * off_diagonal


def lfbt_loss(z1: Sequence[Tensor], z2: Sequence[Tensor], gamma: float = 0.8, lambd: float = 0.0051) -> Tensor:
    """The loss of the projections ``[B, D]`` of each lead, over all pairs of leads."""
    n = len(z1)
    intra, inter = torch.zeros(()), torch.zeros(())
    for i in range(n):
        for j in range(n):
            if i == j:
                intra = intra + barlow_twins(z1[i], z2[j], lambd) / n
            else:
                inter = inter + barlow_twins(z1[i], z2[j], lambd) / (n * (n - 1))
    return intra if n == 1 else gamma * intra + (1 - gamma) * inter


def backward(model: Reference, first: Tensor, second: Tensor) -> float:
    """Compute the gradients for two views of a batch; returns the loss."""
    loss = lfbt_loss(model(first), model(second))
    model.zero_grad()
    loss.backward()
    return loss.item()


def step(model: Reference, optimizer: torch.optim.Optimizer, views: DataLoader[tuple[Tensor, Tensor]]) -> float:
    """One step of pretraining on the one batch of `views`; returns the loss."""
    loss = backward(model, *next(iter(views)))
    optimizer.step()
    return loss


# Linear probe


@dataclasses.dataclass(frozen=True)
class Probed:
    """The result of a probe: the epoch kept, from 1, and the test probabilities ``[records, classes]``."""

    best_epoch: int
    test: NDArray[np.float32]


@torch.no_grad()
def features_of(model: Reference, files: Sequence[Path], batch_size: int) -> Tensor:
    """Features ``[records, leads × 64]`` of the frozen encoder."""
    model.eval()
    loader = DataLoader(Records(files), batch_size)
    return torch.cat([torch.cat(model.features(signals), dim=1) for signals in loader])


def probe(
    model: Reference,
    head: nn.Linear,
    files: dict[str, Sequence[Path]],
    targets: dict[str, NDArray[np.int64]],
    batches: Callable[[int], Sequence[list[int]]],
    epochs: int,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
) -> Probed:
    """Compute features once, train `head` on them and keep the epoch with the lowest validation loss.

    `files` and `targets` by split; `batches` gives the batches of an epoch, counted from 0, as rows of the train split.
    """
    features = {split: features_of(model, chosen, batch_size) for split, chosen in files.items()}
    sets = {split: TensorDataset(x, torch.from_numpy(targets[split])) for split, x in features.items()}
    optimizer = torch.optim.Adam(head.parameters(), lr=learning_rate)
    best, best_epoch, lowest = head, 0, float("inf")
    for epoch in range(epochs):
        for x, y in DataLoader(sets["train"], batch_sampler=batches(epoch)):
            loss = F.cross_entropy(head(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        val_loss = 0.0
        with torch.no_grad():
            for x, y in DataLoader(sets["val"], batch_size):
                val_loss += F.cross_entropy(head(x), y).item() * len(y)
        if val_loss < lowest:
            best, best_epoch, lowest = copy.deepcopy(head), epoch + 1, val_loss
    with torch.no_grad():
        logits = torch.cat([best(x) for x, _ in DataLoader(sets["test"], batch_size)])
    return Probed(best_epoch, logits.softmax(dim=1).numpy())


# Preparation


def prepare(headers: Sequence[Path], leads: Sequence[str], n_samples: int, target: Path) -> None:
    """Read WFDB records, select leads by name, resample, and write one ``.npy`` per record."""
    import wfdb

    target.mkdir(parents=True)
    for number, header in enumerate(headers):
        record = wfdb.rdrecord(header.with_suffix(""))
        signal = record.p_signal.T[[record.sig_name.index(lead) for lead in leads]]
        resampled = scipy.signal.resample(signal, n_samples, axis=1)
        np.save(target / f"sample_{number}.npy", resampled.astype(np.float32))
