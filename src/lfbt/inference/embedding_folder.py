"""A folder of the embeddings of data sets, with class probabilities where the checkpoint has a classifier."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lfbt
from lfbt.data.dataset import Dataset
from lfbt.data.disk_space import check_disk_space
from lfbt.data.layouts import open_datasets
from lfbt.errors import LfbtError
from lfbt.inference.answer_table import SUFFIXES
from lfbt.inference.embed_settings import EmbedSettings
from lfbt.inference.onnx_file import is_onnx
from lfbt.io import open_npy, reading
from lfbt.models.encoder import LeadEncoders
from lfbt.models.feature_maps import PAPER, FeatureMap, feature_map
from lfbt.models.features import check_voltages_known, compute_embeddings
from lfbt.models.heads import HEAD, Head, load_head
from lfbt.models.hub import checkpoint_name, take_checkpoint
from lfbt.models.pretrained import load_with_history, match, weights_hash
from lfbt.runs.results import EncoderOrigin
from lfbt.utils.device import resolve_device
from lfbt.utils.files import Outputs, atomic_folder, load_json, save_json
from lfbt.utils.finished import holding_target
from lfbt.utils.settings import validate

EMBEDDINGS = "embeddings.npy"
_RECORDS = "records.csv"
PROBABILITIES = "probabilities.csv"
SUMMARY = "embed.json"
_OUTPUTS = Outputs(SUMMARY, (EMBEDDINGS, _RECORDS, PROBABILITIES), needed=(EMBEDDINGS, _RECORDS))


@dataclasses.dataclass(frozen=True)
class EmbeddedData:
    """The data sets that were embedded: names of their folders, and the hash of all."""

    folders: list[str]
    hash: str


@dataclasses.dataclass(frozen=True)
class EmbedSummary:
    """What a folder of embeddings holds: ``embed.json``. n_features: per lead, so columns are leads × n_features.

    features: what an embedding consists of; the paper's where the file does not say; weights_hash: of the encoder and
    its classifier.
    """

    lfbt_version: str
    synthetic: bool
    records: int
    leads: list[str]
    n_features: int
    data: EmbeddedData
    encoder: EncoderOrigin
    precision: str = "fp32"
    features: FeatureMap = PAPER
    weights_hash: str | None = None

    @property
    def stated(self) -> dict[str, Any]:
        """What the embeddings follow from, whatever the folders of data and weights are called."""
        names = ("synthetic", "records", "leads", "n_features", "precision", "features", "weights_hash")
        stated = {name: value for name, value in dataclasses.asdict(self).items() if name in names}
        return stated | {"data": {"hash": self.data.hash}}

    def save(self, folder: Path) -> None:
        """Write ``embed.json`` in `folder`."""
        save_json(folder / SUMMARY, self)

    @classmethod
    def load(cls, folder: Path) -> EmbedSummary:
        """Read ``embed.json`` in `folder`. Raises LfbtError that names the file and the field."""
        return load_json(folder / SUMMARY, cls, "it was edited, or is another program's")


def write_embeddings(settings: EmbedSettings) -> EmbedSummary:
    """Write the embeddings ``[records, leads × features]`` of all records of one data set or several into a new folder.

    ``records.csv`` names the record of each row; ``probabilities.csv`` has the class probabilities where the checkpoint
    is a run folder with a classifier.

    Parameters
    ----------
    settings
        Data sets, encoder and folder.

    Returns
    -------
    EmbedSummary
        As ``embed.json`` has it.

    Raises
    ------
    LfbtError
        For something that is not a data set or a checkpoint, for data that does not fit the encoder, and for a folder
        that holds other files.
    """
    validate(settings)
    if settings.missing_leads != "refuse":
        raise LfbtError(
            f"missing_leads: {settings.missing_leads} has an effect on inputs only; of data sets in data_dir choose "
            "leads that these have with leads"
        )
    if settings.out is None or settings.out.suffix in SUFFIXES:
        raise LfbtError(f"out: {settings.out}, but the embeddings of data sets go into a folder; name a new one")
    if is_onnx(settings.checkpoint):
        raise LfbtError(
            f"checkpoint: {settings.checkpoint} embeds inputs, not data_dir; name the data sets without a flag, and a "
            ".csv, .jsonl or .parquet file as out"
        )
    out, stated = settings.out, lambda: _open(settings).summary.stated
    with holding_target(out, _OUTPUTS, settings.overwrite, stated, lambda: _verify(out, _open(settings))):
        return _write(settings, out)


def _write(settings: EmbedSettings, out: Path) -> EmbedSummary:
    """Embed all records and write the folder, which is held."""
    import pandas as pd

    device = resolve_device(settings.device)
    opened = _open(settings)
    dataset, encoder, head, summary = opened.dataset, opened.encoder, opened.head, opened.summary
    if not settings.files.allow_implausible:
        dataset.check_voltages()
    check_disk_space(out, 4 * len(dataset) * len(summary.leads) * summary.n_features)
    records = {"id": dataset.ids, "patient": dataset.patients, "split": dataset.split}
    table = pd.DataFrame(records | {"labels": [";".join(labels) for labels in dataset.labels]})
    with atomic_folder(out, replaces=_OUTPUTS if settings.overwrite else None, is_held=True) as folder:
        embeddings = compute_embeddings(
            encoder.to(device),
            dataset,
            np.arange(len(dataset)),
            device,
            settings.workers,
            "embed",
            precision=settings.precision,
            features=summary.features,
        )
        np.save(folder / EMBEDDINGS, embeddings.cpu().numpy())
        table.to_csv(folder / _RECORDS, index=False)
        if head is not None:
            with torch.no_grad():
                probabilities = head.probabilities(head.to(device)(embeddings))
            columns = [f"p_{name}" for name in opened.classes]
            named = pd.concat([table[["id", "patient"]], pd.DataFrame(probabilities, columns=columns)], axis=1)
            named.to_csv(folder / PROBABILITIES, index=False)
        summary.save(folder)
    return summary


@dataclasses.dataclass(frozen=True)
class _Opened:
    """What is embedded, by what, and what will be said of it."""

    dataset: Dataset
    encoder: LeadEncoders
    head: Head | None
    classes: tuple[str, ...]
    summary: EmbedSummary


def _verify(folder: Path, opened: _Opened) -> None:
    """Raise LfbtError where the embeddings in a folder, or the probabilities, are incomplete."""
    import pandas as pd

    summary = EmbedSummary.load(folder)
    for name in (_RECORDS, PROBABILITIES) if opened.head is not None else (_RECORDS,):
        with reading(folder / name):
            n_records = len(pd.read_csv(folder / name, usecols=["id"], dtype=str))
        if n_records != summary.records:
            raise LfbtError(f"{folder / name}: has {n_records} of {summary.records} records; name another folder")
    shape, wanted = open_npy(folder / EMBEDDINGS).shape, (summary.records, len(summary.leads) * summary.n_features)
    if shape != wanted:
        raise LfbtError(f"{folder / EMBEDDINGS}: shape {list(shape)} is not {list(wanted)}")


def _open(settings: EmbedSettings) -> _Opened:
    """Open data sets and encoder. Raises LfbtError where they do not fit each other."""
    checkpoint = take_checkpoint(settings.checkpoint)
    dataset = open_datasets(settings.data_dir, settings.split_seed)
    complete, history = load_with_history(checkpoint)
    encoder, dataset = match(complete, dataset, settings.leads, settings.allow_mismatch)
    features = feature_map(settings.features)
    check_voltages_known(dataset, features)
    head, classes = load_head(checkpoint / HEAD) if (checkpoint / HEAD).is_dir() else (None, ())
    if head is not None and head.features != features:
        raise LfbtError(
            f"features: {features.name}, but the classifier of {checkpoint} takes {head.features.name}; give "
            f"--features {head.features.name}, or name its encoder folder"
        )
    if head is not None and encoder.config.leads != complete.config.leads:
        raise LfbtError(
            f"leads: the classifier of {checkpoint} takes {','.join(complete.config.leads)} in this "
            f"order, not {','.join(encoder.config.leads)}; leave --leads out, or name its encoder folder"
        )
    summary = EmbedSummary(
        lfbt_version=lfbt.__version__,
        synthetic=dataset.synthetic,
        records=len(dataset),
        leads=list(encoder.config.leads),
        n_features=encoder.config.columns_per_lead(features),
        data=EmbeddedData([folder.name for folder in settings.data_dir], dataset.hash),
        encoder=EncoderOrigin(checkpoint_name(checkpoint), history),
        precision=settings.precision,
        features=features,
        weights_hash=weights_hash(complete) if head is None else weights_hash(complete, head),
    )
    return _Opened(dataset, encoder, head, classes, summary)
