"""The linear classifier on embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import lfbt
from lfbt.errors import LfbtError
from lfbt.utils.json_files import read_json, write_json
from lfbt.utils.tensors import load_state, load_tensors, save_tensors

HEAD = "head"


class Head(nn.Module):
    """The linear classifier: embeddings ``[records, leads × 64]`` → logits ``[records, classes]``.

    Embeddings are standardised first with `mean` and `std`, which are 0 and 1 unless `standardise` sets them.
    `exclusive`: a record has one class; otherwise it may have several.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, n_inputs: int, n_classes: int, exclusive: bool = True) -> None:
        super().__init__()
        self.exclusive = exclusive
        self.linear = nn.Linear(n_inputs, n_classes)
        self.register_buffer("mean", torch.zeros(n_inputs))
        self.register_buffer("std", torch.ones(n_inputs))

    def standardise(self, embeddings: Tensor) -> None:
        """Take mean and standard deviation of the training embeddings; a constant feature is only centred."""
        self.mean = embeddings.mean(dim=0)
        std = embeddings.std(dim=0, correction=0)
        self.std = torch.where(std > 0, std, torch.ones_like(std))

    def standardised(self, embeddings: Tensor) -> Tensor:
        """What the linear layer takes."""
        return (embeddings - self.mean) / self.std

    def forward(self, embeddings: Tensor) -> Tensor:
        """Logits ``[records, classes]``."""
        logits: Tensor = self.linear(self.standardised(embeddings))
        return logits

    def probabilities(self, logits: Tensor) -> NDArray[np.float32]:
        """What logits say: of exclusive classes they add up to 1, of others each is a probability by itself."""
        found: NDArray[np.float32] = (logits.softmax(dim=1) if self.exclusive else logits.sigmoid()).cpu().numpy()
        return found


def save_head(folder: Path, head: Head, classes: Sequence[str]) -> None:
    """Write a head and the names of its classes in column order."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / "model.safetensors", head.state_dict())
    form = {"classes": list(classes), "n_inputs": head.linear.in_features, "exclusive": head.exclusive}
    content = {"lfbt_version": lfbt.__version__, **form}
    write_json(folder / "config.json", content)


def load_head(folder: Path) -> tuple[Head, tuple[str, ...]]:
    """The head in `folder` and its classes. Raises LfbtError when it is not whole."""
    content = read_json(folder / "config.json")
    try:
        classes = tuple(content["classes"])
        head = Head(int(content["n_inputs"]), len(classes), bool(content.get("exclusive", True)))
    except (KeyError, TypeError, ValueError) as error:
        raise LfbtError(f"{folder}: does not describe a classifier ({type(error).__name__}: {error})") from error
    load_state(head, load_tensors(folder / "model.safetensors"), folder / "model.safetensors")
    return head.eval(), classes
