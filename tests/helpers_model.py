"""What the tests of encoders and training share: slow literal references, and small data sets on disk."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.signal
import torch
from torch import Tensor, nn

from lfbt.models.encoder import EncoderConfig, LeadEncoder, LeadEncoders, estimate_batch_norm, random_encoder
from lfbt.models.pretrained import save_encoder
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


def waves(kinds: Sequence[int], n_leads: int = 2, n_samples: int = 64, seed: int = 0) -> np.ndarray:
    """Records ``[records, leads, samples]`` of waves with a little noise; the kind decides how fast they are."""
    rng = np.random.default_rng(seed)
    time = np.arange(n_samples) / n_samples
    cycles = np.array([2, 5, 12])[np.asarray(kinds)][:, None, None]
    phase = rng.random((len(kinds), n_leads, 1))
    noise = 0.1 * rng.standard_normal((len(kinds), n_leads, n_samples))
    return (np.sin(2 * np.pi * (cycles * time + phase)) + noise).astype(np.float32)


def write_packed(
    folder: Path,
    signals: np.ndarray,
    labels: Sequence[str] = (),
    split: Sequence[str] = (),
    leads: Sequence[str] = ("II", "V1"),
    patients: Sequence[str] = (),
    **manifest: Any,
) -> Path:
    """A packed data set of ``[records, leads, samples]``, ten seconds each; unlabelled and all train by default."""
    n = len(signals)
    labels = labels or [""] * n
    folder.mkdir(parents=True)
    np.save(folder / "signals.npy", np.asarray(signals, dtype=np.float32))
    patients = patients or [f"p{i}" for i in range(n)]
    table = {"id": [f"r{i}" for i in range(n)], "patient": patients, "labels": labels}
    pd.DataFrame(table | {"split": split or ["train"] * n}).to_csv(folder / "records.csv", index=False)
    content = {
        "leads": list(leads),
        "sampling_rate": signals.shape[2] / 10,
        "classes": sorted({label for label in labels if label}),
        "hash": f"{np.abs(signals).sum():.6f}",
    }
    (folder / "dataset.json").write_text(json.dumps(content | manifest))
    return folder


#: Classes, and the records of the small labelled data set: three classes, equally often in every split.
CLASSES = ("fast", "middle", "slow")
KINDS = [i % 3 for i in range(48)]
LABELS = [("slow", "middle", "fast")[kind] for kind in KINDS]
SPLIT = ["train"] * 24 + ["val"] * 12 + ["test"] * 12
ROWS = {"train": range(24), "val": range(24, 36), "test": range(36, 48)}


def write_labelled(folder: Path, **changes: Any) -> Path:
    """The small labelled data set, packed: two leads, 64 samples."""
    settings: dict[str, Any] = {"signals": waves(KINDS), "labels": LABELS, "split": SPLIT}
    return write_packed(folder, **(settings | changes))


#: The same records where every fourth has a second label, its wave added.
MULTI_LABELS = [LABELS[i] if i % 4 else f"{LABELS[i]};{LABELS[i + 1]}" for i in range(48)]
MULTI_TARGETS = np.array([[name in labels.split(";") for name in CLASSES] for labels in MULTI_LABELS])


def write_multi_label(folder: Path, **changes: Any) -> Path:
    """The small labelled data set where some records have two labels."""
    signals = waves(KINDS)
    signals[::4] += waves(KINDS[1:] + KINDS[:1], seed=1)[::4]
    settings: dict[str, Any] = {"signals": signals, "labels": MULTI_LABELS, "classes": list(CLASSES)}
    return write_labelled(folder, **(settings | changes))


def write_checkpoint(folder: Path, leads: Sequence[str] = ("II", "V1"), seed: int = 1) -> Path:
    """A random encoder for data such as the small labelled data set, its norms' statistics those of such data."""
    encoder = random_encoder(EncoderConfig(tuple(leads), 6.4, 64), seed)
    signals = z_score(waves(KINDS, len(leads), seed=5)).astype(np.float32)
    estimate_batch_norm(encoder, [torch.from_numpy(signals)])
    save_encoder(folder, encoder, {"method": "test", "epochs_done": 7})
    return folder


def literal_embeddings(encoder: LeadEncoders, signals: np.ndarray) -> np.ndarray:
    """Embeddings ``[records, leads × 64]`` of signals in mV in float64: whole-record z-score, plain layers."""
    stacks = [literal_encoder(lead).double().eval() for lead in encoder.encoders.values()]
    x = torch.from_numpy(z_score(signals))
    with torch.no_grad():
        return np.concatenate([stack(x[:, i : i + 1]).numpy() for i, stack in enumerate(stacks)], axis=1)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a history."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def assert_same_tensors(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Bit by bit, and not by accident of an empty dict."""
    assert one
    assert list(one) == list(other)
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name
