"""The measured calls into lfbt, and helpers to start the literal form from the same weights and order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.reference import Reference
from lfbt.data.dataset import Dataset
from lfbt.data.layouts import open_dataset
from lfbt.data.loader import epoch_batches, prefetch_batches
from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import ProbeSettings
from lfbt.inference.export import export
from lfbt.inference.loading import load_encoder_model
from lfbt.losses.lfbt import lfbt_loss
from lfbt.models.encoder import EncoderConfig, LeadEncoders, estimate_batch_norm, random_encoder
from lfbt.models.features import FeaturePrecision, compute_embeddings
from lfbt.models.heads import Head
from lfbt.models.pretrained import save_encoder
from lfbt.models.projector import Projectors
from lfbt.runs.results import Results
from lfbt.signal import Normalisation
from lfbt.sources import PtbXl
from lfbt.sources.synthesis import write_ptbxl
from lfbt.training.augmentation import draw_views, random_views
from lfbt.training.precision import MixedPrecision
from lfbt.training.settings import Precision
from lfbt.training.steps import train_step
from lfbt.training.train_state import TrainState, create_train_state, free_gradients_early
from lfbt.utils.tensors import seeded

__all__ = ["Dataset", "Precision", "TrainState", "draw_views", "epoch_batches", "open_dataset", "write_ptbxl"]


def new_model(leads: Sequence[str], n_samples: int, projector: Sequence[int], low_memory: bool = False) -> TrainState:
    """A train state with random weights, as `lfbt.training.pretraining` creates it."""
    config = EncoderConfig(tuple(leads), n_samples / 10, n_samples)
    train_state = create_train_state(config, projector, learning_rate=1e-3, low_memory=low_memory)
    free_gradients_early(train_state.model, train_state.optimizer)
    return train_state


def read_batches(dataset: Dataset, batches: Sequence[NDArray[np.int64]], normalisation: Normalisation) -> int:
    """Read all batches as the commands do, prefetched by two threads; returns the number of records."""
    return sum(map(len, prefetch_batches(dataset, batches, normalisation, torch.device("cpu"), workers=2)))


def read_batch(dataset: Dataset, rows: NDArray[np.int64]) -> Tensor:
    """The normalised signals ``[B, leads, T]`` of `rows`."""
    return torch.from_numpy(dataset.batch(rows, "record"))


def gradients(
    train_state: TrainState, signals: Tensor, draws: NDArray[np.float64], precision: Precision = "fp32"
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of a batch ``[B, leads, T]`` with `draws` ``[B, 2 views, 4]``, and its gradients of two convolutions.

    These are the first and the last ``[leads, out, in, 3]``.
    """
    z1, z2 = _mixed(precision).forward(train_state.model, random_views(signals, draws))
    loss = lfbt_loss(z1, z2).total
    encoders = train_state.encoder.encoders.values()
    weights = [[lead.get_parameter(f"convolutions.{i}.weight") for lead in encoders] for i in (0, 12)]
    found = torch.autograd.grad(loss, [*weights[0], *weights[1]])
    first, last = torch.stack(found[: len(encoders)]), torch.stack(found[len(encoders) :])
    return loss.detach(), first, last


def step(
    train_state: TrainState, signals: Tensor, draws: NDArray[np.float64], precision: Precision = "fp32"
) -> list[float]:
    """One step of pretraining; returns the loss: total, intra and inter."""
    views, optimizer = random_views(signals, draws), train_state.optimizer
    loss = lambda z1, z2, _: lfbt_loss(z1, z2)  # noqa: E731
    return train_step(views, train_state.model, optimizer, loss, precision=_mixed(precision))


def _mixed(precision: Precision) -> MixedPrecision:
    return MixedPrecision(precision, torch.device("cpu"))


def loss_alone(z1: Tensor, z2: Tensor) -> Tensor:
    """The loss of standardised projections ``[B, leads, D]``, after its backward pass."""
    loss = lfbt_loss(z1, z2).total
    loss.backward()
    return loss.detach()


def copy_encoder(encoder: LeadEncoders, target: Reference) -> None:
    """Copy weights and running statistics into the literal encoders."""
    state = encoder.state_dict()
    for lead, stack in zip(encoder.config.leads, target.encoders, strict=True):
        for kind, layer_type in (("convolutions", nn.Conv1d), ("norms", nn.BatchNorm1d)):
            for i, layer in enumerate(module for module in stack.children() if isinstance(module, layer_type)):
                prefix = f"encoders.{lead}.{kind}.{i}."
                layer.load_state_dict({name: state[prefix + name] for name in layer.state_dict()})


def copy_projectors(projectors: Projectors, target: Reference) -> None:
    """Copy weights into the literal projectors."""
    state = projectors.state_dict()
    for lead, stack in enumerate(target.projectors):
        prefix = f"projectors.{lead}."
        for i, layer in enumerate(module for module in stack.children() if isinstance(module, nn.Linear)):
            layer.load_state_dict({"weight": state[f"{prefix}linears.{i}.weight"]})
        norms = [module for module in stack.children() if isinstance(module, nn.BatchNorm1d) and module.affine]
        for i, norm in enumerate(norms):
            own = {"weight": state[f"{prefix}scales.{i}"], "bias": state[f"{prefix}shifts.{i}"]}
            norm.load_state_dict(norm.state_dict() | own)


def new_encoder(dataset: Dataset, folder: Path) -> LeadEncoders:
    """A random encoder that fits `dataset`, with estimated batch-norm statistics; also written to `folder`."""
    encoder = random_encoder(EncoderConfig(dataset.leads, dataset.sampling_rate, dataset.n_samples), seed=0)
    rows = dataset.rows("train")[:128]
    estimate_batch_norm(encoder, [read_batch(dataset, rows)])
    save_encoder(folder, encoder, {"method": "random"})
    return encoder


def embeddings(encoder: LeadEncoders, dataset: Dataset, n: int, precision: FeaturePrecision) -> Tensor:
    """Embeddings ``[records, leads × 64]`` of the first `n` records, as `lfbt embed` computes them."""
    device = torch.device("cpu")
    return compute_embeddings(encoder, dataset, np.arange(n), device, workers=2, precision=precision)


def onnx_embeddings(encoder: Path, dataset: Dataset, n: int) -> Callable[[], list[NDArray[np.float32]]]:
    """Embeddings of the first `n` records by the exported encoder in onnxruntime, in batches of 128, when called."""
    file = encoder.with_name("encoder.onnx")
    export(encoder, file)
    model = load_encoder_model(file, "cpu")
    batches = np.split(np.arange(n), range(128, n, 128))
    return lambda: [model.compute(dataset.batch(rows, "none"))[0] for rows in batches]


def new_head(n_inputs: int, n_classes: int, seed: int) -> nn.Linear:
    """The linear classifier that the probe with `seed` starts from."""
    with seeded(seed):
        return Head(n_inputs, n_classes).linear


def probed(data: Path, encoder: Path, run_folder: Path, epochs: int, seed: int) -> Results:
    """The results of the linear probe."""
    return run_probe(ProbeSettings.create(data, run_folder, encoder, epochs=epochs, seeds=(seed,), device="cpu"))[0]


def prepared(download: Path, target: Path, workers: int) -> int:
    """Prepare the records of a download in PTB-XL's form; returns their number."""
    return prepare_dataset(PtbXl(labels="none"), "ptbxl", download, target, PrepareSettings(workers=workers)).records
