"""The encoder and the classifier of a run, loaded where their files are still there, and what they make of records."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lfbt.data.dataset import Dataset
from lfbt.errors import LfbtError
from lfbt.inference.prediction import Model, probabilities_of
from lfbt.models.config import list_differences
from lfbt.reports.grouping import Group
from lfbt.reports.material import Material
from lfbt.runs.loading import ClassifierRun
from lfbt.runs.run_folder import ENCODER_FOLDER
from lfbt.signal import Signal

if TYPE_CHECKING:
    from lfbt.inference.torch_model import TorchModel

_HEAD = "head"
_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A run's model and the data set with its leads; `classify`: probabilities of embeddings, None without a head."""

    run: ClassifierRun
    model: Model
    dataset: Dataset
    classify: Callable[[NDArray[np.float32]], NDArray[np.float64]] | None

    def embed(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Compute embeddings ``[records, leads × features]`` of rows of the data set."""
        parts = [self.model.compute(self.signals(rows[i : i + _BATCH]))[0] for i in range(0, len(rows), _BATCH)]
        return np.concatenate(parts)

    def probabilities(self, signals: Signal) -> NDArray[np.float64]:
        """Compute probabilities ``[records, classes]`` of signals as `signals` returns them."""
        logits = [self.model.compute(signals[i : i + _BATCH])[1] for i in range(0, len(signals), _BATCH)]
        return probabilities_of(np.concatenate(logits), self.model.exclusive)

    def signals(self, rows: Sequence[int] | NDArray[np.int64]) -> Signal:
        """Read the signals of rows as the model takes them ``[records, leads, samples]``."""
        return self.dataset.batch(np.asarray(rows), self.model.config.normalisation)


def load_best(material: Material, with_head: bool) -> Loaded | str:
    """Load the model of the best group that keeps one, or say why there is none.

    with_head: whether a classifier of its embeddings is needed, which folds, lead subsets, knn and boosting keep not.
    """
    if material.dataset is None:
        return material.no_dataset
    if not material.groups:
        return "No classifier is among these runs"
    for group in _ranked(material):
        run = group.first
        if (run.folder / (_HEAD if with_head else ENCODER_FOLDER)).is_dir():
            return _load(run, material.dataset)
    what = "a classifier" if with_head else "an encoder"
    return (
        f"No run keeps {what}: those of several folds, of lead subsets and of features without pretraining keep none"
        f"{', nor do nearest neighbours and boosting' if with_head else ''}"
    )


def _ranked(material: Material) -> list[Group]:
    """The best first, then by their mean AUROC on the same records."""
    split = "val" if material.chosen_by == "validation" else "test"

    def place(group: Group) -> tuple[bool, float]:
        return group is not material.best, -(group.mean(split, "auroc") or 0.0)

    return sorted(material.groups, key=place)


def _load(run: ClassifierRun, dataset: Dataset) -> Loaded | str:
    from lfbt.inference.loading import load_encoder_model

    model: Any
    classify = None
    try:
        if (run.folder / _HEAD).is_dir():
            model = _load_classifier(run)
            classify = _classifier(model)
        else:
            model = load_encoder_model(run.folder, "cpu")
        config = model.config
        if not dataset.names_assumed:
            dataset = dataset.select_leads(config.leads)
    except LfbtError as error:
        return f"The encoder of {run.name} cannot be used: {error}"
    differences = list_differences(dataset, config)
    if dataset.names_assumed:
        differences = [text for text in differences if not text.startswith("leads ")]
    if differences or len(dataset.leads) != len(config.leads):
        return f"The encoder of {run.name} does not fit the data set: {'; '.join(differences) or 'other leads'}"
    return Loaded(run, model, dataset, classify)


def _load_classifier(run: ClassifierRun) -> TorchModel:
    import torch

    from lfbt.inference.torch_model import load_trained

    return load_trained(run.folder, torch.device("cpu"))


def _classifier(model: TorchModel) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    return lambda embeddings: probabilities_of(model.classify(embeddings), model.exclusive)
