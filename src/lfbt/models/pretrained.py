"""Encoder folders (config.json + model.safetensors), the authors' checkpoints, and whether a data set fits one."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import lfbt
from lfbt.data.dataset import Dataset
from lfbt.errors import LfbtError
from lfbt.models.authors import CHECKPOINT_KINDS, load_authors_checkpoint
from lfbt.models.encoder import EncoderConfig, LeadEncoders, random_encoder
from lfbt.runs.run_folder import ENCODER_FOLDER
from lfbt.signal import Normalisation
from lfbt.utils.json_files import read_json, write_json
from lfbt.utils.tensors import load_state, load_tensors, save_tensors
from lfbt.utils.validation import check_range

CONFIG = "config.json"
MODEL = "model.safetensors"


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
        return load_authors_checkpoint(path).eval()
    folder = path / ENCODER_FOLDER if (path / ENCODER_FOLDER).is_dir() else path
    if not (folder / CONFIG).is_file():
        raise LfbtError(f"checkpoint: {path} is none; give {CHECKPOINT_KINDS}")
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


def match(
    encoder: LeadEncoders, dataset: Dataset, leads: Sequence[str] = (), allow_mismatch: bool = False
) -> tuple[LeadEncoders, Dataset]:
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
