"""Encoder folders (config.json + model.safetensors), and whether a data set fits an encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from lfbt.data.dataset import Dataset, options_to_fit
from lfbt.errors import LfbtError
from lfbt.models.authors import CHECKPOINT_KINDS, load_authors_checkpoint
from lfbt.models.config import CONFIG, MIN_SAMPLES, EncoderCard, list_differences
from lfbt.models.encoder import LeadEncoders, random_encoder
from lfbt.runs.encoder_folder import encoder_folder
from lfbt.runs.run_folder import ENCODER_FOLDER
from lfbt.utils.settings import as_path, check_range
from lfbt.utils.tensors import load_state, load_tensors, save_tensors

__all__ = [
    "CONFIG",
    "MODEL",
    "load_encoder",
    "load_history",
    "load_with_history",
    "match",
    "save_encoder",
    "weights_hash",
]

#: The weights of an encoder folder.
MODEL = "model.safetensors"


def save_encoder(folder: Path, encoder: LeadEncoders, history: Mapping[str, Any]) -> None:
    """Write an encoder folder, which holds all that is needed to use the encoder.

    Parameters
    ----------
    folder : Path
        Created where it is not there; an encoder in it is replaced.
    encoder : LeadEncoders
        Its weights and its config are written.
    history : mapping
        How the encoder was trained, for the record; written as JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / MODEL, encoder.state_dict())
    EncoderCard.create(encoder.config, history).save(folder)


def weights_hash(*models: nn.Module) -> str:
    """SHA-256 of the tensors of an encoder, or of several models."""
    digest = hashlib.sha256()
    for model in models:
        for tensor in model.state_dict().values():
            digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def load_encoder(path: str | Path) -> LeadEncoders:
    """Load an encoder. No code that is pickled in a ``.pth`` file is executed.

    Parameters
    ----------
    path : str or Path
        A run folder, an encoder folder, a ``.pth`` file of the LFBT authors, or ``lfbt-small``, which comes with lfbt.

    Returns
    -------
    LeadEncoders
        In evaluation mode, on the CPU.

    Raises
    ------
    LfbtError
        For anything else, for files that are incomplete, corrupt or do not fit each other, and for ``lfbt-small``
        where there is a path of that name.

    Examples
    --------
    >>> import tempfile
    >>> from lfbt.models.encoder import EncoderConfig, random_encoder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     encoder = random_encoder(EncoderConfig(("II", "V1"), sampling_rate=6.4, n_samples=64), seed=0)
    ...     save_encoder(Path(folder), encoder, {"method": "random"})
    ...     load_encoder(folder).config.leads, load_history(folder)
    (('II', 'V1'), {'method': 'random'})
    """
    return load_with_history(path)[0]


def load_with_history(path: str | Path) -> tuple[LeadEncoders, dict[str, Any]]:
    """Load an encoder as `load_encoder` does, and how it was trained as `load_history` does."""
    path = as_path("checkpoint", path, f"a path; give {CHECKPOINT_KINDS}")
    folder = encoder_folder(path)
    if folder.is_file():
        return load_authors_checkpoint(path).eval(), {"file": path.name}
    if not (folder / CONFIG).is_file():
        inside = next((file.parent.parent for file in sorted(path.glob(f"*/{ENCODER_FOLDER}/{CONFIG}"))), None)
        why = "" if path.exists() else ": it does not exist"
        why = why if inside is None else f", but {inside} has one"
        raise LfbtError(f"checkpoint: {path} is not an encoder{why}; give {CHECKPOINT_KINDS}")
    card = EncoderCard.load(folder)
    tensors = load_tensors(folder / MODEL, card.config.n_weights)
    encoder = random_encoder(card.config, seed=0)
    load_state(encoder, tensors, folder / MODEL)
    return encoder.eval(), card.history


def load_history(path: str | Path) -> dict[str, Any]:
    """Load how the encoder at `path` was trained, as given to `save_encoder`; of an authors' file its name."""
    folder = encoder_folder(Path(path))
    return {"file": folder.name} if folder.is_file() else EncoderCard.load(folder).history


def match(
    encoder: LeadEncoders, dataset: Dataset, leads: Sequence[str] = (), allow_mismatch: bool = False
) -> tuple[LeadEncoders, Dataset]:
    """Match an encoder and a data set: the same leads in the same order, sampling rate and number of samples.

    Parameters
    ----------
    encoder : LeadEncoders
        Not changed.
    dataset : Dataset
        Not changed.
    leads : sequence of str
        Leads to select from both, by name. Every lead has an encoder of its own, so nothing is retrained.
    allow_mismatch : bool
        Accept what differs, but for the number of leads.

    Returns
    -------
    tuple of LeadEncoders and Dataset
        Ready to be used together.

    Raises
    ------
    LfbtError
        When the two do not fit; it names what differs, on both sides.
    """
    if leads:
        encoder, dataset = encoder.select_leads(leads), dataset.select_leads(leads)
    check_range(
        f"{dataset.folder}: samples", dataset.n_samples, f"[{MIN_SAMPLES}, inf)", "the encoder halves them five times"
    )
    config = encoder.config
    differences = list_differences(dataset, config)
    as_many = len(dataset.leads) == len(config.leads)
    if differences and not (allow_mismatch and as_many):
        options = options_to_fit(dataset, config.leads, config.sampling_rate, config.n_samples)
        in_mv = "" if dataset.in_mv or config.normalisation != "none" else "--layout packed"
        common = "" if dataset.leads == config.leads else ", or name common leads with --leads"
        insist = (
            ", or insist with --allow-mismatch"
            if as_many
            else ": the number of leads must agree, even with --allow-mismatch"
        )
        raise LfbtError(
            f"{dataset.folder}: the data set does not fit the encoder: {'; '.join(differences)}. Prepare it with "
            f"{' '.join(filter(None, (options, in_mv)))}{common}{insist}"
        )
    return encoder, dataset
