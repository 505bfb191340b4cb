"""The model that answers, by what a user names: its library is imported when it is needed."""

from __future__ import annotations

from pathlib import Path

from lfbt.inference.prediction import Model


def load_model(classifier: Path, device: str = "auto") -> Model:
    """Load a classifier.

    Parameters
    ----------
    classifier
        The run folder of a probe or a fine-tuning.
    device
        ``auto``, ``cpu`` or ``cuda``.

    Returns
    -------
    Model
        What computes its logits.

    Raises
    ------
    LfbtError
        For a folder that has no classifier.
    """
    # PyTorch takes seconds.
    from lfbt.inference.classifier import load_classifier

    return load_classifier(classifier, device).model


def load_encoder_model(checkpoint: Path, device: str = "auto") -> Model:
    """Load an encoder alone, which computes embeddings.

    Parameters
    ----------
    checkpoint
        ``lfbt-small``, a run folder, an encoder folder or a ``.pth`` file of the LFBT authors.
    device
        ``auto``, ``cpu`` or ``cuda``.

    Returns
    -------
    Model
        Without classes.

    Raises
    ------
    LfbtError
        For anything else.
    """
    from lfbt.inference.classifier import TorchModel
    from lfbt.models.pretrained import load_encoder
    from lfbt.utils.device import resolve_device

    return TorchModel(load_encoder(checkpoint).to(resolve_device(device)))
