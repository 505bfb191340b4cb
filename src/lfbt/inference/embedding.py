"""Embeddings of records, and class probabilities where the checkpoint has a classifier."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lfbt
from lfbt.data.dataset import open_datasets
from lfbt.errors import LfbtError
from lfbt.models.features import compute_embeddings
from lfbt.models.heads import HEAD, load_head
from lfbt.models.pretrained import load_encoder, load_history, match
from lfbt.utils.device import resolve_device
from lfbt.utils.files import atomic_folder, check_unoccupied
from lfbt.utils.json_files import write_json
from lfbt.utils.validation import check_range

EMBEDDINGS = "embeddings.npy"
PROBABILITIES = "probabilities.csv"


@dataclasses.dataclass(frozen=True)
class EmbedSettings:
    """Which records are embedded, by which encoder."""

    data_dir: tuple[Path, ...]
    """Data sets: packed ones, or folders of .npy files."""
    checkpoint: Path
    """Encoder: a run folder, an encoder folder, or a .pth file of the authors."""
    out: Path
    """New folder for embeddings.npy, records.csv and, where the run folder has a classifier, probabilities.csv."""
    leads: tuple[str, ...] = ()
    """Use the encoders of these leads only, by name, comma-separated."""
    allow_mismatch: bool = False
    """Use a data set although its leads, sampling rate or samples are not the encoder's."""
    split_seed: int = 0
    """Seed of the split of class folders without split folders."""
    device: str = "auto"
    """auto, cpu or cuda."""
    workers: int = 2
    """Threads that read batches ahead."""


def embed(settings: EmbedSettings) -> dict[str, Any]:
    """Write embeddings ``[records, leads × 64]`` of all records; returns what was written, as ``embed.json`` has it.

    ``records.csv`` names the record of each row. Raises LfbtError for data sets or checkpoints that are none or do not
    fit, and for a folder in use.
    """
    import pandas as pd

    check_range("workers", settings.workers, "[0, inf)")
    check_unoccupied(settings.out)
    device = resolve_device(settings.device)
    dataset = open_datasets(settings.data_dir, settings.split_seed)
    whole = load_encoder(settings.checkpoint)
    encoder, dataset = match(whole, dataset, settings.leads, settings.allow_mismatch)
    has_head = (settings.checkpoint / HEAD).is_dir()
    if has_head:
        head, classes = load_head(settings.checkpoint / HEAD)
        if encoder.config.leads != whole.config.leads:
            raise LfbtError(
                f"leads: the classifier of {settings.checkpoint} takes {','.join(whole.config.leads)} in this order, "
                f"not {','.join(encoder.config.leads)}; leave --leads out, or name its encoder folder"
            )
    rows = np.arange(len(dataset))
    embeddings = compute_embeddings(encoder.to(device), dataset, rows, device, settings.workers, "embed")
    content = {
        "lfbt_version": lfbt.__version__,
        "synthetic": dataset.synthetic,
        "records": len(dataset),
        "leads": list(encoder.config.leads),
        "n_features": encoder.config.n_features,
        "data": {"folders": [folder.name for folder in settings.data_dir], "hash": dataset.hash},
        "encoder": {"checkpoint": settings.checkpoint.resolve().name, "history": load_history(settings.checkpoint)},
    }
    records = {"id": dataset.ids, "patient": dataset.patients, "split": dataset.split}
    table = pd.DataFrame(records | {"labels": [";".join(labels) for labels in dataset.labels]})
    with atomic_folder(settings.out) as folder:
        np.save(folder / EMBEDDINGS, embeddings.cpu().numpy())
        table.to_csv(folder / "records.csv", index=False)
        if has_head:
            with torch.no_grad():
                probabilities = head.probabilities(head.to(device)(embeddings))
            columns = [f"p_{name}" for name in classes]
            named = pd.concat([table[["id", "patient"]], pd.DataFrame(probabilities, columns=columns)], axis=1)
            named.to_csv(folder / PROBABILITIES, index=False)
        write_json(folder / "embed.json", content)
    return content
