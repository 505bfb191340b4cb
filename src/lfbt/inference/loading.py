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
