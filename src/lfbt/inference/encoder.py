"""The encoder as users hold it: loaded by name, applied to whatever holds ECGs, saved and published."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from numpy.typing import ArrayLike, NDArray

from lfbt.data.dataset import Dataset
from lfbt.errors import LfbtError
from lfbt.inference.embed_settings import MissingLeads
from lfbt.inference.embedding import embed
from lfbt.inference.model_card import model_card
from lfbt.models.config import EncoderCard, EncoderConfig
from lfbt.models.encoder import LeadEncoders
from lfbt.models.feature_maps import FeatureName
from lfbt.models.hub import locate_encoder, upload_encoder
from lfbt.models.pretrained import load_with_history, save_encoder
from lfbt.recording import Recording
from lfbt.runs.loading import ClassifierRun, load_runs
from lfbt.runs.results import Results
from lfbt.utils.files import atomic_folder
from lfbt.utils.settings import as_path

#: A run folder or several.
Runs = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class Encoder(LeadEncoders):
    """A pretrained encoder, as `lfbt.load_encoder` returns it.

    It is a PyTorch module ``[records, leads, samples] → [records, leads, 64]`` for signals that fit it already; `embed`
    makes signals fit.

    Parameters
    ----------
    config
        Leads, size and expected input.
    low_memory, sync_batch_norm
        As in `lfbt.models.encoder.LeadEncoders`.
    history
        How it was trained, as recorded beside the weights.

    Examples
    --------
    >>> encoder = Encoder(EncoderConfig(("II", "V1"), sampling_rate=100, n_samples=1000)).eval()
    >>> signals = torch.randn(3, 2, 5000)
    >>> encoder.embed(signals, leads="II,V1", sampling_rate=500, device="cpu").shape
    (3, 128)
    """

    def __init__(
        self,
        config: EncoderConfig,
        *,
        low_memory: bool = False,
        sync_batch_norm: bool = False,
        history: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(config, low_memory=low_memory, sync_batch_norm=sync_batch_norm)
        self.history = dict(history or {})

    def _sharing_weights(self, config: EncoderConfig, low_memory: bool, sync_batch_norm: bool) -> Self:
        other = super()._sharing_weights(config, low_memory, sync_batch_norm)
        other.history = dict(self.history)
        return other

    @classmethod
    def from_pretrained(cls, name: str | Path, *, revision: str | None = None) -> Self:
        """Load an encoder, as `lfbt.load_encoder` does."""
        loaded, history = load_with_history(locate_encoder(name, revision=revision))
        with torch.device("meta"):  # no memory, no random draws: the weights are replaced
            encoder = cls(loaded.config, history=history)
        encoder.encoders = loaded.encoders
        return encoder.eval()

    def embed(
        self,
        x: ArrayLike | Dataset | Recording | Sequence[Recording] | str | os.PathLike[str] | Sequence[str | Path],
        *,
        leads: Sequence[str] | str | None = None,
        sampling_rate: float | None = None,
        unit: str | None = None,
        allow_implausible: bool = False,
        missing_leads: MissingLeads = "refuse",
        features: FeatureName = "paper",
        device: str | torch.device = "auto",
    ) -> NDArray[Any]:
        """Compute embeddings ``[records, columns]`` of ECGs; parameters and errors are those of `lfbt.embed`."""
        return embed(
            x,
            self,
            leads=leads,
            sampling_rate=sampling_rate,
            unit=unit,
            allow_implausible=allow_implausible,
            missing_leads=missing_leads,
            features=features,
            device=device,
        )

    def save_pretrained(
        self, folder: str | os.PathLike[str], *, runs: Runs = (), license_id: str | None = None
    ) -> None:
        """Write an encoder folder: ``config.json``, ``model.safetensors`` and a model card, ``README.md``.

        Of absolute paths in the history only the last name is kept.

        Parameters
        ----------
        folder
            New or empty.
        runs
            Run folders of `lfbt.probe` or `lfbt.finetune` on this encoder; the card has their test figures.
        license_id
            Of the weights, as the hub names licences, such as ``cc-by-4.0``.

        Raises
        ------
        LfbtError
            For a folder that holds other files, and for runs of another encoder.
        """
        path = as_path("folder", folder)
        self._save(path, path.name, runs, license_id)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        runs: Runs = (),
        license_id: str | None = None,
        private: bool | None = None,
        commit_message: str = "Upload an encoder of lfbt",
    ) -> str:
        """Upload what `save_pretrained` writes to a repository of the Hugging Face Hub, in one commit.

        It needs ``pip install 'lfbt[hub]'`` and a token (``hf auth login``, or the variable ``HF_TOKEN``).

        Parameters
        ----------
        repo_id
            ``owner/name``; created where it does not exist.
        runs, license_id
            As of `save_pretrained`.
        private
            Whether a new repository is private; None leaves that to the account's settings.
        commit_message
            Of the commit.

        Returns
        -------
        str
            The URL of the commit.

        Raises
        ------
        LfbtError
            Without the package or a token, for what the hub refuses, and for runs of another encoder.
        """
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "encoder"
            self._save(folder, repo_id, runs, license_id)
            return upload_encoder(folder, repo_id, private=private, commit_message=commit_message)

    def _save(self, folder: Path, name: str, runs: Runs, license_id: str | None) -> None:
        results = [result for run in _as_paths(runs) for result in self._results(run)]
        history = without_folders(self.history)
        text = model_card(EncoderCard.create(self.config, history), results, name=name, license_id=license_id)
        with atomic_folder(folder) as partial:
            save_encoder(partial, self, history)
            (partial / "README.md").write_text(text, encoding="utf-8")

    def _results(self, folder: Path) -> list[Results]:
        """The results of a run or series of trials. Raises LfbtError unless they are of this encoder."""
        results = []
        for run in load_runs(folder):
            if not isinstance(run, ClassifierRun):
                raise LfbtError(
                    f"runs: {folder} is a pretraining, without figures; give run folders of probe or finetune"
                )
            origin = {"checkpoint": run.results.encoder.checkpoint, "history": run.results.encoder.history}
            own = without_folders(self.history)
            # The encoder that the classifier started from, or the one in the classifier's run folder.
            started = without_folders(origin["history"]) == own and own != {}
            if not started and own.get("start") != without_folders(origin):
                raise LfbtError(
                    f"runs: {run.folder} is of another encoder ({origin['checkpoint'] or 'a random one'}), by its "
                    "history; give runs of this one"
                )
            results.append(run.results)
        return results


def load_encoder(name: str | Path, *, revision: str | None = None) -> Encoder:
    """Load an encoder. No code that is pickled in a file is executed.

    Parameters
    ----------
    name : str or Path
        ``lfbt-small``, which comes with lfbt; a run folder, an encoder folder or a ``.pth`` file of the LFBT authors;
        or a repository of the Hugging Face Hub: ``owner/name`` where there is no such folder here, or
        ``hf://owner/name``.
    revision : str, optional
        Branch, tag or commit of the repository.

    Returns
    -------
    Encoder
        In evaluation mode, on the CPU.

    Raises
    ------
    LfbtError
        For anything else, for files that are incomplete, corrupt or do not fit each other, and for a repository that
        cannot be downloaded and is not in the hub's cache.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as place:
    ...     Encoder(EncoderConfig(("II", "V1"), sampling_rate=6.4, n_samples=64)).save_pretrained(f"{place}/encoder")
    ...     load_encoder(f"{place}/encoder")
    Encoder(leads II,V1, 6.4 Hz, 64 samples, normalisation record, 64 features a lead)
    """
    return Encoder.from_pretrained(name, revision=revision)


def _as_paths(runs: Runs) -> list[Path]:
    folders = [runs] if isinstance(runs, (str, os.PathLike)) else list(runs)
    return [as_path("runs", folder) for folder in folders]


def without_folders(value: Any) -> Any:
    """Keep the last name only of each absolute path in JSON values; the rest tells of the machine."""
    if isinstance(value, Mapping):
        return {key: without_folders(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_folders(child) for child in value]
    if isinstance(value, os.PathLike):
        value = str(value)
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
