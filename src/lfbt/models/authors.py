"""The authors' published checkpoints, read without running pickled code."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lfbt.errors import LfbtError
from lfbt.models.encoder import EncoderConfig, LeadEncoders, random_encoder
from lfbt.recording import PAPER_LEADS

#: What a checkpoint may be.
CHECKPOINT_KINDS = (
    "a run folder of `lfbt pretrain` or `lfbt finetune`, an encoder folder (config.json, model.safetensors), "
    "or a .pth file of the authors"
)

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


def load_authors_checkpoint(path: Path) -> LeadEncoders:
    """The encoders in a checkpoint of the authors: pickled modules, of which only the tensors are taken.

    The file says nothing of its input: the paper's leads, 10 s as 2048 samples and whole-record z-score are meant.
    """
    not_one = f"checkpoint: {path} is no checkpoint of the LFBT authors"
    if not zipfile.is_zipfile(path):
        raise LfbtError(f"{not_one} (not a PyTorch file); give {CHECKPOINT_KINDS}")
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        with torch.serialization.safe_globals([(_Inert, name) for name in named]):
            content = torch.load(path, map_location="cpu", weights_only=True)
        states = [list(_tensors(model)) for model in content["backbone_state_dict"]]
    except _SPOILT as error:
        raise LfbtError(f"{not_one} ({type(error).__name__}); give {CHECKPOINT_KINDS}") from error
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
