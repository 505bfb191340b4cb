"""Pretraining: one readable loop over epochs and batches."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

import lfbt
from lfbt.batches import epoch_batches, read_ahead
from lfbt.dataset import DataSet, open_datasets
from lfbt.encoder import EncoderConfig, LeadEncoders, Projectors, parse_projector, resolve_device, seeded
from lfbt.kernels import has_numba
from lfbt.loss import check_gamma, lfbt_loss
from lfbt.output import HISTORY, Bar, new_file, progress_bar, read_json, refuse_occupied, write_json
from lfbt.recording import LfbtError, check_range
from lfbt.signal import Normalisation
from lfbt.views import random_views, view_draws
from lfbt.weights import ENCODER_FOLDER, load_state, load_tensors, save_encoder, save_tensors

SETTINGS = "settings.json"
STATE = "training_state.safetensors"

Preset = Literal["paper", "small"]
Schedule = Literal["constant", "cosine"]


@dataclasses.dataclass(frozen=True)
class PretrainSettings:
    """How an encoder is pretrained. Defaults are the paper's."""

    data_dir: tuple[Path, ...]
    """Data sets to learn from: packed ones, or the authors' folders."""
    run_dir: Path
    """New folder for the encoder, the history and the settings."""
    preset: Preset = "paper"
    """Named defaults for the settings below. paper: as published. small: for few records or no GPU."""
    epochs: int = 200
    """Passes over the records."""
    batch_size: int = 128
    """Records of a batch, at most; batches of an epoch are of one size."""
    learning_rate: float = 1e-3
    """Adam's rate."""
    schedule: Schedule = "constant"
    """The rate over time: constant, or a cosine from the rate to zero."""
    warmup_epochs: float = 0.0
    """Epochs over which the rate rises from zero first."""
    gamma: float = 0.8
    """Weight of the intra-lead loss, in [0, 1]; the inter-lead loss has the rest."""
    lambd: float = 0.0051
    """Weight of the off-diagonal terms."""
    projector: str = "2048-2048-2048"
    """Sizes of the projectors' layers."""
    width: float = 0.125
    """Factor on VGG16's channels; 0.125 gives 64 features a lead."""
    normalisation: Normalisation = "record"
    """The z-score of every input: over the record, per lead, or none."""
    leads: tuple[str, ...] = ()
    """Leads to learn, by name, comma-separated; all of the data set's if none are named."""
    splits: tuple[Literal["train", "val", "test"], ...] = ("train",)
    """Splits of the data sets to learn from. Unlabelled data sets are all train."""
    seed: int = 0
    """Seed of weights, order and views."""
    split_seed: int = 0
    """Seed of the split of class folders without split folders."""
    device: str = "auto"
    """auto, cpu or cuda."""
    low_memory: bool = False
    """Compute the encoders' activations twice instead of keeping them: the same but for rounding, with less memory."""
    workers: int = 2
    """Threads that read batches ahead."""
    print_freq: int = 100
    """Steps between printed losses."""
    save_every: int = 10
    """Epochs between saves of the encoder and of what resuming needs."""
    resume: bool = False
    """Go on with the run in the run folder from its last save."""


_SMALL: dict[str, Any] = {
    "preset": "small",
    "epochs": 40,
    "batch_size": 64,
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "warmup_epochs": 3.0,
    "projector": "512-512-512",
}


def preset_settings(preset: Preset, data_dir: tuple[Path, ...], run_dir: Path) -> PretrainSettings:
    """The settings that `preset` stands for. Raises LfbtError for a preset that is none."""
    if preset == "paper":
        return PretrainSettings(data_dir, run_dir)
    if preset == "small":
        return PretrainSettings(data_dir, run_dir, **_SMALL)
    raise LfbtError(f"preset: {preset!r} is not one of paper, small")


def _check(settings: PretrainSettings) -> None:
    check_gamma(settings.gamma)
    parse_projector(settings.projector)
    if settings.schedule not in get_args(Schedule):
        raise LfbtError(f"schedule: {settings.schedule!r} is not one of {', '.join(get_args(Schedule))}")
    check_range("epochs", settings.epochs, "[1, inf)")
    check_range("batch-size", settings.batch_size, "[2, inf)")
    check_range("learning-rate", settings.learning_rate, "(0, 1000]")
    check_range("lambd", settings.lambd, "[0, inf)")
    check_range("warmup-epochs", settings.warmup_epochs, f"[0, {settings.epochs})", "it must end before --epochs")
    check_range("seed", settings.seed, "[0, inf)")
    check_range("workers", settings.workers, "[0, inf)")
    check_range("print-freq", settings.print_freq, "[1, inf)")
    check_range("save-every", settings.save_every, "[1, inf)")


def learning_rate_at(step: int, steps_per_epoch: int, settings: PretrainSettings) -> float:
    """Adam's rate at `step`, counted from 0."""
    warmup = settings.warmup_epochs * steps_per_epoch
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    if settings.schedule == "constant":
        return settings.learning_rate
    done = (step - warmup) / (settings.epochs * steps_per_epoch - warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def pretrain(settings: PretrainSettings) -> Path:
    """Learn an encoder from unlabelled records; returns the run folder.

    The run folder holds ``encoder/``, ``history.jsonl`` (a line an epoch), ``settings.json`` and the state from which
    ``resume`` goes on. The same settings give the same weights on the same machine, whether resumed or not.

    Raises LfbtError for settings out of range, data sets that do not fit each other, a batch larger than the data, a
    run folder in use, and a loss that is not finite.
    """
    _check(settings)
    device = resolve_device(settings.device)
    dataset = open_datasets(settings.data_dir, settings.split_seed)
    if settings.leads:
        dataset = dataset.select_leads(settings.leads)
    rows = dataset.rows(*settings.splits)
    if settings.batch_size > len(rows):
        raise LfbtError(
            f"batch-size: {settings.batch_size} is more than the {len(rows)} records of split "
            f"{','.join(settings.splits)} in {', '.join(map(str, settings.data_dir))}"
        )
    steps_per_epoch = len(epoch_batches(rows, settings.batch_size, settings.seed, 0))
    if len(rows) // steps_per_epoch < 2:
        raise LfbtError(f"batch-size: {settings.batch_size} leaves a batch of one of {len(rows)} records; take another")
    if not settings.resume:
        refuse_occupied(settings.run_dir)

    config = EncoderConfig(
        dataset.leads, dataset.sampling_rate, dataset.n_samples, settings.normalisation, settings.width
    )
    with seeded(settings.seed):
        encoder = LeadEncoders(config)
        projectors = Projectors(len(config.leads), config.n_features, parse_projector(settings.projector))
    encoder.to(device), projectors.to(device)
    parameters = [*encoder.parameters(), *projectors.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=settings.learning_rate, fused=True)
    if settings.low_memory:
        spare_memory(encoder, projectors, optimizer)
    first_epoch = _resume(settings, dataset, encoder, projectors, optimizer) if settings.resume else 0

    n_steps = (settings.epochs - first_epoch) * steps_per_epoch
    with _run_folder(settings, dataset, first_epoch), progress_bar(n_steps, "pretrain") as bar:
        if device.type == "cpu" and not has_numba():
            bar.say(
                "Numba is not there, or does not fit this NumPy: on a CPU, pip install 'lfbt[fast]' makes this faster"
            )
        for epoch in range(first_epoch, settings.epochs):
            line = _epoch(epoch, settings, dataset, rows, encoder, projectors, optimizer, device, bar)
            if epoch == first_epoch:
                bar.say("losses in the hundreds or thousands are normal: they are sums over the projector's dimensions")
            with (settings.run_dir / HISTORY).open("a", encoding="utf-8") as history:
                history.write(json.dumps(line) + "\n")
            bar.say(
                f"epoch {epoch + 1}/{settings.epochs}  loss {line['loss']:.2f}  "
                f"(intra {line['intra']:.2f}, inter {line['inter']:.2f})  {line['records_per_second']:.0f} records/s"
            )
            if (epoch + 1) % settings.save_every == 0 or epoch + 1 == settings.epochs:
                _save(settings, dataset, epoch + 1, line, encoder, projectors, optimizer)
    return settings.run_dir


def train_step(
    views: Tensor,
    encoder: LeadEncoders,
    projectors: Projectors,
    optimizer: torch.optim.Optimizer,
    gamma: float,
    lambd: float,
) -> Tensor:
    """Learn from two views ``[2, B, leads, samples]`` of a batch; returns the loss, total, intra and inter ``[3]``."""
    z1, z2 = projectors(encoder(views))  # B L D each
    loss = lfbt_loss(z1, z2, gamma, lambd)
    loss.total.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return torch.stack(loss).detach()


def spare_memory(encoder: LeadEncoders, projectors: Projectors, optimizer: torch.optim.Optimizer) -> None:
    """Make `train_step` keep as little as it can.

    The encoders' activations are computed twice instead of kept, and each of the projectors' gradients, which together
    are as large as their weights, is used by `optimizer` and dropped as soon as it is there.
    """

    def step(_: Tensor) -> None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    encoder.low_memory = True
    for parameter in projectors.parameters():
        parameter.register_post_accumulate_grad_hook(step)


def _epoch(
    epoch: int,
    settings: PretrainSettings,
    dataset: DataSet,
    rows: Any,
    encoder: LeadEncoders,
    projectors: Projectors,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    bar: Bar,
) -> dict[str, float]:
    """One pass over the records; the line of it for the history."""
    batches = epoch_batches(rows, settings.batch_size, settings.seed, epoch)
    draws = view_draws(settings.seed, epoch, len(dataset))
    sums = torch.zeros(3, device=device)
    began = time.perf_counter()
    encoder.train(), projectors.train()
    signals_of = read_ahead(dataset, batches, settings.normalisation, device, settings.workers)
    for step, (batch, signals) in enumerate(zip(batches, signals_of, strict=True)):
        rate = learning_rate_at(epoch * len(batches) + step, len(batches), settings)
        for group in optimizer.param_groups:
            group["lr"] = rate

        views = random_views(signals, draws[batch])
        terms = train_step(views, encoder, projectors, optimizer, settings.gamma, settings.lambd)
        sums += terms * len(batch)
        bar.advance()
        if (step + 1) % settings.print_freq == 0:
            total, intra, inter = terms.tolist()
            bar.say(
                f"epoch {epoch + 1} step {step + 1}/{len(batches)}  loss {total:.2f}  "
                f"(intra {intra:.2f}, inter {inter:.2f})"
            )
    total, intra, inter = (sums / len(rows)).tolist()
    if not math.isfinite(total):
        raise LfbtError(
            f"epoch {epoch + 1}: the loss is not finite ({total}); try a lower --learning-rate, or --warmup-epochs"
        )
    seconds = time.perf_counter() - began
    return {
        "epoch": epoch + 1,
        "loss": total,
        "intra": intra,
        "inter": inter,
        "learning_rate": rate,
        "seconds": seconds,
        "records_per_second": len(rows) / seconds,
    }


def _settings_content(settings: PretrainSettings, dataset: DataSet) -> dict[str, Any]:
    content = dataclasses.asdict(settings)
    del content["resume"]
    known = {
        "records": len(dataset.rows(*settings.splits)),
        "data_hash": dataset.hash,
        "synthetic": dataset.synthetic,
        "names_assumed": dataset.names_assumed,
    }
    return {"lfbt_version": lfbt.__version__, **content, **known}


# What may differ when a run goes on: none of these changes what is learned.
_FREE_ON_RESUME = {"lfbt_version", "data_dir", "run_dir", "device", "low_memory", "workers", "print_freq", "save_every"}


@contextlib.contextmanager
def _run_folder(settings: PretrainSettings, dataset: DataSet, first_epoch: int) -> Iterator[None]:
    """Make the run folder, and remove it again when not one epoch ended in it.

    A resumed one loses from its history what is learned again.
    """
    folder, path = settings.run_dir, settings.run_dir / HISTORY
    if settings.resume:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        with new_file(path) as partial:
            partial.write_text("".join(lines[:first_epoch]), encoding="utf-8")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / SETTINGS, _settings_content(settings, dataset))
    try:
        yield
    finally:
        if not path.exists():
            (folder / SETTINGS).unlink()
            folder.rmdir()


def _save(
    settings: PretrainSettings,
    dataset: DataSet,
    epochs_done: int,
    line: Mapping[str, float],
    encoder: LeadEncoders,
    projectors: Projectors,
    optimizer: torch.optim.Optimizer,
) -> None:
    history = _settings_content(settings, dataset) | {
        "method": "LFBT",
        "epochs_done": epochs_done,
        "loss": line["loss"],
    }
    save_encoder(settings.run_dir / ENCODER_FOLDER, encoder, history)
    tensors: dict[str, Tensor] = {"epochs_done": torch.tensor(epochs_done)}
    for prefix, module in (("encoder", encoder), ("projectors", projectors)):
        tensors |= {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{i}.{name}": tensor for name, tensor in state.items()}
    save_tensors(settings.run_dir / STATE, tensors)


def _resume(
    settings: PretrainSettings,
    dataset: DataSet,
    encoder: LeadEncoders,
    projectors: Projectors,
    optimizer: torch.optim.Optimizer,
) -> int:
    """Load the last save, if there is one, into the three; returns the number of epochs done."""
    was = read_json(settings.run_dir / SETTINGS)
    now = json.loads(json.dumps(_settings_content(settings, dataset), default=str))
    changed = [name for name in now if name not in _FREE_ON_RESUME and now[name] != was.get(name)]
    if changed:
        name = changed[0]
        raise LfbtError(
            f"resume: {name} is {now[name]} but was {was.get(name)} in {settings.run_dir}; give the run's own settings"
        )
    path = settings.run_dir / STATE
    if not path.exists():
        return 0  # stopped before its first save
    tensors = load_tensors(path)
    for prefix, module in (("encoder", encoder), ("projectors", projectors)):
        load_state(module, _below(tensors, prefix), path)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _below(tensors, "adam").items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(tensors["epochs_done"])


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix + "."): tensor for name, tensor in tensors.items() if name.startswith(prefix + ".")
    }
