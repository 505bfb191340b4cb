"""The linear classifier on embeddings, and its folder (config.json + model.safetensors)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

import lfbt
from lfbt.errors import LfbtError
from lfbt.models.config import HeadCard, LeadDropout
from lfbt.models.feature_maps import PAPER, FeatureMap
from lfbt.utils.tensors import load_state, load_tensors, save_tensors, seeded

#: The folder of the classifier in a run folder.
HEAD = "head"
_MODEL = "model.safetensors"


class Head(nn.Module):
    """The linear classifier on embeddings, which are standardised first.

    Parameters
    ----------
    n_inputs : int
        Length of an embedding, leads × features.
    n_classes : int
        Number of classes.
    exclusive : bool
        Whether a record has exactly one class (softmax); otherwise it may have several (a sigmoid for each).
    lead_dropout : LeadDropout, optional
        The subsets of leads that the head is trained to serve, too. Features of absent leads are NaN then; without it
        they make the logits NaN.
    features : FeatureMap
        What the embeddings consist of.

    Attributes
    ----------
    mean, std : Tensor
        ``[n_inputs]``, subtracted from embeddings and divided by; 0 and 1 until `standardise` sets them.

    Examples
    --------
    >>> head = Head(n_inputs=128, n_classes=5)
    >>> logits = head(torch.zeros(3, 128))
    >>> head.probabilities(logits.detach()).shape
    (3, 5)
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        n_inputs: int,
        n_classes: int,
        exclusive: bool = True,
        lead_dropout: LeadDropout | None = None,
        features: FeatureMap = PAPER,
    ) -> None:
        super().__init__()
        self.features = features
        self.exclusive = exclusive
        self.lead_dropout = lead_dropout
        self.linear = nn.Linear(n_inputs, n_classes)
        self.register_buffer("mean", torch.zeros(n_inputs))
        self.register_buffer("std", torch.ones(n_inputs))

    def standardise(self, embeddings: Tensor, weights: Tensor | None = None) -> None:
        """Set mean and standard deviation to those of training embeddings; a constant feature is only centred.

        weights: ``[n_inputs]``, what standardised features are multiplied by.
        """
        self.mean = embeddings.mean(dim=0)
        std = embeddings.std(dim=0, correction=0)
        std = torch.where(std > 0, std, torch.ones_like(std))
        self.std = std if weights is None else std / weights

    def standardised(self, embeddings: Tensor) -> Tensor:
        """Standardise embeddings, as the linear layer takes them."""
        return (embeddings - self.mean) / self.std

    def without_absent(self, inputs: Tensor) -> Tensor:
        """Set features of absent leads, NaN in `inputs`, to zero, and scale the others up by all / present features.

        Without `lead_dropout` returns `inputs` as they are.
        """
        if self.lead_dropout is None:
            return inputs
        absent = inputs.isnan()
        n_present = (~absent).sum(dim=1, keepdim=True)
        return torch.where(absent, 0.0, inputs) * (inputs.shape[1] / n_present)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Classify embeddings ``[records, n_inputs]``; returns logits ``[records, classes]``."""
        logits: Tensor = self.linear(self.without_absent(self.standardised(embeddings)))
        return logits

    def probabilities(self, logits: Tensor) -> NDArray[np.float32]:
        """Convert logits to probabilities ``[records, classes]``, which of exclusive classes add up to 1."""
        values: NDArray[np.float32] = (logits.softmax(dim=1) if self.exclusive else logits.sigmoid()).cpu().numpy()
        return values

    def encode_targets(self, targets: NDArray[np.bool_]) -> Tensor:
        """Convert targets ``[records, classes]`` to what `loss` takes: class numbers, or numbers 0 and 1."""
        device = self.linear.weight.device
        if self.exclusive:
            return torch.from_numpy(targets.argmax(axis=1)).to(device)
        return torch.from_numpy(targets).to(device, torch.get_default_dtype())

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the cross-entropy of logits ``[records, classes]``, a mean over records.

        Of classes of which a record may have several it is the binary cross-entropy, a mean over records and classes.
        """
        if self.exclusive:
            return F.cross_entropy(logits, targets)
        return F.binary_cross_entropy_with_logits(logits, targets)


def create_head(
    n_inputs: int,
    n_classes: int,
    exclusive: bool,
    seed: int,
    lead_dropout: LeadDropout | None = None,
    features: FeatureMap = PAPER,
) -> Head:
    """Create a head with weights drawn from `seed`."""
    with seeded(seed):
        return Head(n_inputs, n_classes, exclusive, lead_dropout, features)


def save_head(folder: Path, head: Head, classes: Sequence[str]) -> None:
    """Write a head and the names of its classes, in column order."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / _MODEL, head.state_dict())
    features = None if head.features == PAPER else head.features
    n_inputs = head.linear.in_features
    HeadCard(lfbt.__version__, tuple(classes), n_inputs, head.exclusive, head.lead_dropout, features).save(folder)


def load_head(folder: Path) -> tuple[Head, tuple[str, ...]]:
    """Load a head in evaluation mode, and the names of its classes.

    Raises LfbtError, naming the file, when one is missing, incomplete or corrupt.
    """
    card = HeadCard.load(folder)
    tensors = load_tensors(folder / _MODEL, card.n_inputs * len(card.classes))
    head = Head(card.n_inputs, len(card.classes), card.exclusive, card.lead_dropout, card.features or PAPER)
    load_state(head, tensors, folder / _MODEL)
    if not (head.std > 0).all():
        raise LfbtError(f"{folder / _MODEL}: std holds a deviation that is not above 0; restore the file")
    return head.eval(), card.classes
