"""Small data sets and encoders on disk."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tests.literal import z_score

from lfbt.models.encoder import EncoderConfig, estimate_batch_norm, random_encoder
from lfbt.models.pretrained import save_encoder


def waves(kinds: Sequence[int], n_leads: int = 2, n_samples: int = 64, seed: int = 0) -> np.ndarray:
    """Records ``[records, leads, samples]`` of waves with a little noise; the kind decides how fast they are."""
    rng = np.random.default_rng(seed)
    time = np.arange(n_samples) / n_samples
    cycles = np.array([2, 5, 12])[np.asarray(kinds)][:, None, None]
    phase = rng.random((len(kinds), n_leads, 1))
    noise = 0.1 * rng.standard_normal((len(kinds), n_leads, n_samples))
    return (np.sin(2 * np.pi * (cycles * time + phase)) + noise).astype(np.float32)


def write_packed(
    folder: Path,
    signals: np.ndarray,
    labels: Sequence[str] = (),
    split: Sequence[str] = (),
    leads: Sequence[str] = ("II", "V1"),
    patients: Sequence[str] = (),
    **manifest: Any,
) -> Path:
    """A packed data set of ``[records, leads, samples]``, ten seconds each; unlabelled and all train by default."""
    n = len(signals)
    labels = labels or [""] * n
    folder.mkdir(parents=True)
    np.save(folder / "signals.npy", np.asarray(signals, dtype=np.float32))
    patients = patients or [f"p{i}" for i in range(n)]
    table = {"id": [f"r{i}" for i in range(n)], "patient": patients, "labels": labels}
    pd.DataFrame(table | {"split": split or ["train"] * n}).to_csv(folder / "records.csv", index=False)
    content = {
        "leads": list(leads),
        "sampling_rate": signals.shape[2] / 10,
        "classes": sorted({label for label in labels if label}),
        "hash": f"{np.abs(signals).sum():.6f}",
    }
    (folder / "dataset.json").write_text(json.dumps(content | manifest))
    return folder


#: Classes, and the records of the small labelled data set: three classes, equally often in every split.
CLASSES = ("fast", "middle", "slow")
KINDS = [i % 3 for i in range(48)]
LABELS = [("slow", "middle", "fast")[kind] for kind in KINDS]
SPLIT = ["train"] * 24 + ["val"] * 12 + ["test"] * 12
ROWS = {"train": range(24), "val": range(24, 36), "test": range(36, 48)}


def write_labelled(folder: Path, **changes: Any) -> Path:
    """The small labelled data set, packed: two leads, 64 samples."""
    settings: dict[str, Any] = {"signals": waves(KINDS), "labels": LABELS, "split": SPLIT}
    return write_packed(folder, **(settings | changes))


#: The same records where every fourth has a second label, its wave added.
MULTI_LABELS = [LABELS[i] if i % 4 else f"{LABELS[i]};{LABELS[i + 1]}" for i in range(48)]
MULTI_TARGETS = np.array([[name in labels.split(";") for name in CLASSES] for labels in MULTI_LABELS])


def write_multi_label(folder: Path, **changes: Any) -> Path:
    """The small labelled data set where some records have two labels."""
    signals = waves(KINDS)
    signals[::4] += waves(KINDS[1:] + KINDS[:1], seed=1)[::4]
    settings: dict[str, Any] = {"signals": signals, "labels": MULTI_LABELS, "classes": list(CLASSES)}
    return write_labelled(folder, **(settings | changes))


def write_checkpoint(folder: Path, leads: Sequence[str] = ("II", "V1"), seed: int = 1) -> Path:
    """A random encoder for data such as the small labelled data set, its norms' statistics those of such data."""
    encoder = random_encoder(EncoderConfig(tuple(leads), 6.4, 64), seed)
    signals = z_score(waves(KINDS, len(leads), seed=5)).astype(np.float32)
    estimate_batch_norm(encoder, [torch.from_numpy(signals)])
    save_encoder(folder, encoder, {"method": "test", "epochs_done": 7})
    return folder
