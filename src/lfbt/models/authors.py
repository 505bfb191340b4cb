"""Checkpoints of the LFBT authors, read without running pickled code."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lfbt.errors import LfbtError
from lfbt.models.encoder import EncoderConfig, LeadEncoders, random_encoder
from lfbt.recording import PAPER_LEADS
from lfbt.runs.encoder_folder import BUNDLED
from lfbt.utils.opening import check_regular
from lfbt.utils.tensors import check_finite

#: The kinds of checkpoint that `lfbt.models.pretrained.load_encoder` loads.
CHECKPOINT_KINDS = (
    "a run folder of `lfbt pretrain` or `lfbt finetune`, an encoder folder (config.json, model.safetensors), "
    f"a .pth file of the authors, or {BUNDLED}, which comes with lfbt"
)

# VGG16 without its head has 44.
_MOST_MODULES = 1000


class _Inert:
    """Replaces every class that a pickle names, so that none is imported or called."""


def load_authors_checkpoint(path: Path) -> LeadEncoders:
    """Load a ``.pth`` file of the LFBT authors.

    It holds pickled modules, of which only the tensors are read. It does not describe its input: the paper's leads,
    10 s as 2048 samples, and a z-score over the record are assumed.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    LeadEncoders
        Of as many of the paper's leads as the file has encoders, in training mode.

    Raises
    ------
    LfbtError
        For a file of another kind, or one that is cut short or corrupt.
    """
    not_one = f"checkpoint: {path} is not a checkpoint of the LFBT authors"
    check_regular(path)
    if not zipfile.is_zipfile(path):
        raise LfbtError(f"{not_one} (not a PyTorch file); give {CHECKPOINT_KINDS}")
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        with torch.serialization.safe_globals([(_Inert, name) for name in names]):
            content = torch.load(path, map_location="cpu", weights_only=True)
        states = [list(_tensors(model, [_MOST_MODULES])) for model in content["backbone_state_dict"]]
    except Exception as error:
        raise LfbtError(f"{not_one} ({type(error).__name__}); give {CHECKPOINT_KINDS}") from error
    if not 0 < len(states) <= len(PAPER_LEADS):
        raise LfbtError(f"{not_one} of {len(PAPER_LEADS)} leads: it has {len(states)}")
    leads = PAPER_LEADS[: len(states)]
    config = EncoderConfig(leads, sampling_rate=204.8, n_samples=2048, normalisation="record")
    encoder = random_encoder(config, seed=0)
    for lead, tensors in zip(leads, states, strict=True):
        _fill(encoder.encoders[lead], tensors, not_one)
    check_finite(encoder, f"checkpoint: {path}")
    return encoder


def _tensors(module: Any, left: list[int]) -> Iterator[Tensor]:
    """All tensors of a module, layer by layer: weight, bias and, of a norm, its statistics.

    left: of how many modules they may be; modules that are shared may be more than any machine counts.
    """
    left[0] -= 1
    if not left[0]:
        raise TypeError("more modules than an encoder has")
    attributes = vars(module)
    for group in ("_parameters", "_buffers"):
        for tensor in attributes[group].values():
            if isinstance(tensor, Tensor):
                if tensor.device.type != "cpu" or tensor.layout != torch.strided or tensor.is_quantized:
                    raise TypeError(f"a tensor of {tensor.dtype} on {tensor.device}, which has no numbers")
                yield tensor
            elif tensor is not None:
                raise TypeError(f"{type(tensor).__name__} in place of a tensor")
    for child in attributes["_modules"].values():
        yield from _tensors(child, left)


def _fill(lead_encoder: nn.Module, tensors: Sequence[Tensor], not_one: str) -> None:
    """Copy tensors into an encoder; raises LfbtError that begins with `not_one` when their shapes differ."""
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
