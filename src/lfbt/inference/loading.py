"""The model that answers, by what a user names: its library is imported when it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lfbt.errors import LfbtError
from lfbt.inference.onnx_file import is_onnx
from lfbt.inference.onnx_model import load_classes, load_onnx
from lfbt.inference.prediction import Model
from lfbt.models.feature_maps import PAPER, FeatureMap

if TYPE_CHECKING:
    import torch


def load_model(classifier: Path, device: str | torch.device = "auto") -> Model:
    """Load a classifier.

    Parameters
    ----------
    classifier
        The run folder of a probe or a fine-tuning, or an ``.onnx`` file of a classifier.
    device
        ``auto``, ``cpu`` or ``cuda``, or PyTorch's; an ``.onnx`` file is computed on the CPU.

    Returns
    -------
    Model
        What computes its logits.

    Raises
    ------
    LfbtError
        For a folder or file that has no classifier.
    """
    if is_onnx(classifier):
        return load_classes(classifier, str(device))
    # PyTorch takes seconds.
    from lfbt.inference.torch_model import load_trained
    from lfbt.utils.device import resolve_device

    return load_trained(classifier, resolve_device(device))


def load_encoder_model(
    checkpoint: Path, device: str = "auto", leads: Sequence[str] = (), features: FeatureMap = PAPER
) -> Model:
    """Load an encoder.

    Parameters
    ----------
    checkpoint
        As `lfbt.models.pretrained.load_encoder` takes it, or an ``.onnx`` file.
    device
        As of `load_model`.
    leads
        Use the encoders of these leads only; all by default, as ``.onnx`` files do.
    features
        What an embedding consists of.

    Returns
    -------
    Model
        What computes its embeddings.

    Raises
    ------
    LfbtError
        For what is no encoder, and for `leads` of an ``.onnx`` file, and features that it does not compute.
    """
    if is_onnx(checkpoint):
        if leads:
            raise LfbtError(f"leads: those of {checkpoint} are fixed; leave --leads out, or give the encoder itself")
        model = load_onnx(checkpoint, "checkpoint", device)
        if features != (model.card.features or PAPER):
            own = (model.card.features or PAPER).name
            raise LfbtError(
                f"features: {features.name}, but {checkpoint} computes {own}; give --features {own}, or the encoder "
                "itself"
            )
        return model
    from lfbt.inference.torch_model import TorchModel
    from lfbt.models.pretrained import load_encoder
    from lfbt.utils.device import resolve_device

    encoder = load_encoder(checkpoint)
    if leads:
        encoder = encoder.select_leads(leads)
    return TorchModel(encoder.to(resolve_device(device)), features=features)
