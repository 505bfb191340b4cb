"""Encoder folders (config.json + model.safetensors), the authors' checkpoints, and whether a data set fits one."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import lfbt
from lfbt.dataset import DataSet
from lfbt.encoder import EncoderConfig, LeadEncoders, random_encoder
from lfbt.output import cannot_write, new_file, read_json, write_json
from lfbt.recording import PAPER_LEADS, LfbtError, check_range
from lfbt.runfolder import ENCODER_FOLDER
from lfbt.signal import Normalisation

CONFIG = "config.json"
MODEL = "model.safetensors"

_CHECKPOINT_KINDS = (
    f"a run folder of `lfbt pretrain` or `lfbt finetune`, an encoder folder ({CONFIG}, {MODEL}), "
    "or a .pth file of the authors"
)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write `tensors` as safetensors, whole or not at all. Raises LfbtError where the disk does not take them."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with new_file(path) as partial:
        partial.touch()
        mode = partial.stat().st_mode  # safetensors leaves it to the owner alone
        try:
            save_file(contiguous, partial, None if metadata is None else dict(metadata))
        except SafetensorError as error:
            raise cannot_write(path, error) from error
        partial.chmod(mode)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in a safetensors file. Raises LfbtError when there is none or it is cut short."""
    if not path.is_file():
        raise LfbtError(f"{path}: is not there")
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise LfbtError(
            f"{path}: is no whole safetensors file ({error}); it was cut short or is something else"
        ) from error
    return tensors


def load_state(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load `tensors` into `module`. Raises LfbtError, naming the file, when names or shapes differ."""
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise LfbtError(f"{path}: does not hold the weights that its {CONFIG} describes ({first})") from error


def save_encoder(folder: Path, encoder: LeadEncoders, history: Mapping[str, Any]) -> None:
    """Write an encoder folder: all that is needed to use it, and in `history` how it came to be."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / MODEL, encoder.state_dict())
    config = dataclasses.asdict(encoder.config) | {"n_features": encoder.config.n_features}
    write_json(folder / CONFIG, {"lfbt_version": lfbt.__version__, **config, "history": dict(history)})


def weights_hash(encoder: LeadEncoders) -> str:
    """SHA-256 of the encoder's tensors."""
    found = hashlib.sha256()
    for tensor in encoder.state_dict().values():
        found.update(tensor.cpu().numpy().tobytes())
    return found.hexdigest()


def load_encoder(path: Path) -> LeadEncoders:
    """The encoder at `path`, in evaluation mode on the CPU: a run folder, an encoder folder or an authors' ``.pth``.

    Nothing that is pickled in a ``.pth`` file is executed. Raises LfbtError for anything else.
    """
    if path.is_file():
        return _load_authors(path).eval()
    folder = path / ENCODER_FOLDER if (path / ENCODER_FOLDER).is_dir() else path
    if not (folder / CONFIG).is_file():
        raise LfbtError(f"checkpoint: {path} is none; give {_CHECKPOINT_KINDS}")
    content = read_json(folder / CONFIG)
    encoder = random_encoder(_config(content, folder / CONFIG), seed=0)
    load_state(encoder, load_tensors(folder / MODEL), folder / MODEL)
    return encoder.eval()


def load_history(path: Path) -> dict[str, Any]:
    """How the encoder at `path` came to be, as `save_encoder` was told; empty for the authors' files."""
    if path.is_file():
        return {"file": path.name}
    folder = path / ENCODER_FOLDER if (path / ENCODER_FOLDER).is_dir() else path
    return dict(read_json(folder / CONFIG).get("history", {}))


def _config(content: Mapping[str, Any], path: Path) -> EncoderConfig:
    try:
        config = EncoderConfig(
            leads=tuple(str(lead) for lead in content["leads"]),
            sampling_rate=float(content["sampling_rate"]),
            n_samples=int(content["n_samples"]),
            normalisation=content["normalisation"],
            width=float(content["width"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise LfbtError(f"{path}: does not describe an encoder ({type(error).__name__}: {error})") from error
    check_range(f"{path}: sampling_rate", config.sampling_rate, "(0, inf)")
    if config.normalisation not in get_args(Normalisation):
        raise LfbtError(
            f"{path}: normalisation {config.normalisation!r} is not one of {', '.join(get_args(Normalisation))}"
        )
    return config


# What torch raises on files that are cut short, spoilt, or hold something else.
_SPOILT = (
    RuntimeError,
    pickle.UnpicklingError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    EOFError,
    ArithmeticError,
    AssertionError,
    struct.error,
    zipfile.BadZipFile,
)


class _Inert:
    """Stands in for every class that a pickle names, so that none of them is ever imported or called."""


def _load_authors(path: Path) -> LeadEncoders:
    """The encoders in a checkpoint of the authors: pickled modules, of which only the tensors are taken.

    The file says nothing of its input: the paper's leads, 10 s as 2048 samples and whole-record z-score are meant.
    """
    not_one = f"checkpoint: {path} is no checkpoint of the LFBT authors"
    if not zipfile.is_zipfile(path):
        raise LfbtError(f"{not_one} (not a PyTorch file); give {_CHECKPOINT_KINDS}")
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        with torch.serialization.safe_globals([(_Inert, name) for name in named]):
            content = torch.load(path, map_location="cpu", weights_only=True)
        states = [list(_tensors(model)) for model in content["backbone_state_dict"]]
    except _SPOILT as error:
        raise LfbtError(f"{not_one} ({type(error).__name__}); give {_CHECKPOINT_KINDS}") from error
    if not 0 < len(states) <= len(PAPER_LEADS):
        raise LfbtError(f"{not_one} of {len(PAPER_LEADS)} leads: it has {len(states)}")
    leads = PAPER_LEADS[: len(states)]
    config = EncoderConfig(leads, sampling_rate=204.8, n_samples=2048, normalisation="record")
    encoder = random_encoder(config, seed=0)
    for lead, tensors in zip(leads, states, strict=True):
        _fill(encoder.encoders[lead], tensors, not_one)
    return encoder


def _tensors(module: Any) -> Iterator[Tensor]:
    """All tensors of an inert module in the order of its layers: weight, bias and, of a norm, its statistics."""
    attributes = vars(module)
    for group in ("_parameters", "_buffers"):
        for tensor in attributes[group].values():
            if isinstance(tensor, Tensor):
                yield tensor
            elif tensor is not None:
                raise TypeError(f"{type(tensor).__name__} in place of a tensor")
    for child in attributes["_modules"].values():
        yield from _tensors(child)


def _fill(lead_encoder: nn.Module, tensors: Sequence[Tensor], not_one: str) -> None:
    layers = [
        layer
        for pair in zip(lead_encoder.convolutions, lead_encoder.norms, strict=True)  # type: ignore[arg-type]
        for layer in pair
    ]
    own = [tensor for layer in layers for tensor in layer.state_dict(keep_vars=True).values()]
    if [tensor.shape for tensor in own] != [tensor.shape for tensor in tensors]:
        raise LfbtError(f"{not_one}: its layers are not those of VGG16 at width 0.125")
    with torch.no_grad():
        for mine, theirs in zip(own, tensors, strict=True):
            mine.copy_(theirs)


def match(
    encoder: LeadEncoders, dataset: DataSet, leads: Sequence[str] = (), allow_mismatch: bool = False
) -> tuple[LeadEncoders, DataSet]:
    """`encoder` and `dataset` of the same leads, by name, ready to be used together.

    `leads`, if given, are taken from both; every lead has an encoder of its own, so none is retrained. Raises
    LfbtError, naming both sides, when leads, their order, sampling rate or samples differ, unless `allow_mismatch`;
    the number of leads must agree even then.
    """
    if leads:
        encoder, dataset = encoder.select_leads(leads), dataset.select_leads(leads)
    check_range(f"{dataset.folder}: samples", dataset.n_samples, "[32, inf)", "the encoder halves them five times")
    config = encoder.config
    differences = []
    if dataset.leads != config.leads:
        assumed = " (assumed: the files name none)" if dataset.names_assumed else ""
        differences.append(f"leads {','.join(dataset.leads)}{assumed} against the encoder's {','.join(config.leads)}")
    if not math.isclose(dataset.sampling_rate, config.sampling_rate, rel_tol=1e-6):
        differences.append(f"{dataset.sampling_rate:g} Hz against the encoder's {config.sampling_rate:g} Hz")
    if dataset.n_samples != config.n_samples:
        differences.append(f"{dataset.n_samples} samples against the encoder's {config.n_samples}")
    if differences and (not allow_mismatch or len(dataset.leads) != len(config.leads)):
        raise LfbtError(
            f"{dataset.folder}: the data set does not fit the encoder: {'; '.join(differences)}. Prepare it to fit, "
            "name common leads with --leads, or insist with --allow-mismatch (the number of leads must agree)"
        )
    return encoder, dataset
