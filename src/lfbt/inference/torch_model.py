"""A model computed by PyTorch: an encoder, perhaps the linear layer on it, and the thresholds kept from validation."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lfbt.errors import LfbtError
from lfbt.inference.prediction import ServedSubset
from lfbt.models.config import EncoderConfig
from lfbt.models.encoder import LeadEncoders
from lfbt.models.feature_maps import PAPER, FeatureMap
from lfbt.models.features import embed_voltages
from lfbt.models.heads import HEAD, Head, load_head
from lfbt.models.pretrained import load_encoder
from lfbt.runs.encoder_folder import BUNDLED
from lfbt.runs.results import RESULTS, Results
from lfbt.signal import Signal


@dataclasses.dataclass(frozen=True, eq=False)
class TorchModel:
    """An encoder, perhaps with a classifier, computed by PyTorch; see `lfbt.inference.prediction.Model`."""

    encoder: LeadEncoders
    head: Head | None = None
    classes: tuple[str, ...] = ()
    thresholds: tuple[float | None, ...] = ()
    subsets: tuple[ServedSubset, ...] = ()
    features: FeatureMap = PAPER

    @property
    def config(self) -> EncoderConfig:
        """What the model takes: of features with amplitudes signals in mV, which it normalises itself."""
        config = self.encoder.config
        return dataclasses.replace(config, normalisation="none") if self.features.amplitudes else config

    @property
    def features_per_lead(self) -> int:
        """The length of a lead's part of an embedding."""
        return self.encoder.config.columns_per_lead(self.features)

    @property
    def needs_voltages(self) -> bool:
        """Whether answers depend on amplitudes, so that z-scores have none."""
        return self.config.normalisation == "none"

    @property
    def exclusive(self) -> bool:
        """Whether a recording has exactly one class."""
        return self.head is None or self.head.exclusive

    @property
    def most_at_once(self) -> int:
        """How many threads may compute a batch each: all that PyTorch has, of a CPU."""
        return torch.get_num_threads() if next(self.encoder.parameters()).device.type == "cpu" else 1

    @torch.no_grad()
    def compute(self, signals: Signal) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Compute embeddings ``[pieces, leads × features]`` and logits ``[pieces, classes]`` of normalised signals.

        A lead that is NaN is absent: its features are NaN.
        """
        if self.features.amplitudes:
            embeddings = embed_voltages(self.encoder, signals, self.features)
        else:
            place = next(self.encoder.parameters()).device
            x = torch.from_numpy(signals).to(place)
            absent = x[:, :, :1].isnan()
            x = torch.where(absent, 0.0, x) if absent.any() else x
            pooled = self.encoder(x) if self.features == PAPER else self.encoder.pool(x, self.features)
            embeddings = torch.where(absent, torch.nan, pooled).flatten(1)
        logits = np.empty((len(signals), 0), np.float32) if self.head is None else self.head(embeddings).cpu().numpy()
        return embeddings.cpu().numpy(), logits

    @torch.no_grad()
    def classify(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute logits ``[records, classes]`` of embeddings. Raises LfbtError for a model without a classifier."""
        if self.head is None:
            raise LfbtError("classifier: this model is an encoder without classes")
        logits: NDArray[np.float32] = (
            self.head(torch.from_numpy(embeddings).to(self.head.linear.weight.device)).cpu().numpy()
        )
        return logits


def load_trained(folder: Path, place: torch.device) -> TorchModel:
    """Load the classifier in the folder of a run.

    Raises LfbtError as `lfbt.inference.classifier.load_classifier` does.
    """
    if not (folder / HEAD).is_dir():
        raise LfbtError(f"classifier: {folder} {_why_none(folder)}")
    encoder = load_encoder(folder)
    head, classes = load_head(folder / HEAD)
    n_features = len(encoder.config.leads) * encoder.config.columns_per_lead(head.features)
    if head.linear.in_features != n_features:
        raise LfbtError(
            f"classifier: {folder / HEAD} takes {head.linear.in_features} features, but its encoder gives {n_features} "
            f"({head.features.name})"
        )
    results = Results.load(folder)
    subsets = {} if head.lead_dropout is None else head.lead_dropout.subsets
    if {name: tuple(one.leads) for name, one in results.by_lead_subset.items()} != subsets:
        raise LfbtError(
            f"classifier: {folder / RESULTS} is of other lead subsets than {folder / HEAD}; restore the files"
        )
    all_scores = [results.test, *(results.by_lead_subset[name].test for name in subsets)]
    # The order is that of the logits.
    if results.exclusive != head.exclusive or any(tuple(scores.per_class) != classes for scores in all_scores):
        raise LfbtError(f"classifier: {folder / RESULTS} is of other classes than {folder / HEAD}; restore the files")
    thresholds, *of_subsets = (tuple(scores.per_class[name].threshold for name in classes) for scores in all_scores)
    if broken := [at for each in (thresholds, *of_subsets) for at in each if at is not None and not 0 <= at <= 1]:
        raise LfbtError(
            f"classifier: {folder / RESULTS} has the threshold {broken[0]}, outside [0, 1]; restore the file"
        )
    served = tuple(map(ServedSubset, subsets.values(), of_subsets))
    for leads in subsets.values():
        encoder.select_leads(leads)  # refused where the encoder does not have them
    return TorchModel(encoder.to(place), head.to(place), classes, thresholds, served, head.features)


def _why_none(folder: Path) -> str:
    if not folder.exists() and str(folder) == BUNDLED:
        return "is an encoder without classes; train a classifier with lfbt probe or finetune"
    if not folder.exists():
        return "does not exist; give a run folder of lfbt probe or finetune"
    if trials := sorted(path.parent for path in folder.glob(f"[!.]*/{HEAD}")):
        return f"is a series of trials; give one, such as {trials[0]}"
    if (folder / RESULTS).is_file():
        return "keeps no classifier, as those of knn, boosting, folds, lead subsets and rivals; give a run of one split"
    return "is no run with a classifier; give a run folder of lfbt probe or finetune"
