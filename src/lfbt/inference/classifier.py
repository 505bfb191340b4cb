"""A trained classifier: an encoder, the linear layer on it, and the thresholds kept from validation."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lfbt.data.dataset import Dataset
from lfbt.errors import LfbtError
from lfbt.inference.onnx_file import is_onnx
from lfbt.inference.onnx_model import load_classes
from lfbt.inference.prediction import (
    Model,
    ServedSubset,
    iterate_answers,
    prediction_columns,
    prediction_rows,
    served_leads,
)
from lfbt.inference.recordings import FileSettings, iterate_pieces, list_recordings
from lfbt.models.config import EncoderConfig
from lfbt.models.encoder import LeadEncoders
from lfbt.models.heads import HEAD, Head, load_head
from lfbt.models.pretrained import load_encoder
from lfbt.recording import Recording, as_real_array, check_sampling_rate, parse_leads, to_mv, unit_in_mv
from lfbt.runs.results import RESULTS, Results
from lfbt.signal import Signal, check_offset
from lfbt.utils.device import resolve_device
from lfbt.utils.settings import as_path, convert, validate

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, eq=False)
class TorchModel:
    """An encoder, perhaps with a classifier, computed by PyTorch; see `lfbt.inference.prediction.Model`."""

    encoder: LeadEncoders
    head: Head | None = None
    classes: tuple[str, ...] = ()
    thresholds: tuple[float | None, ...] = ()
    subsets: tuple[ServedSubset, ...] = ()

    @property
    def config(self) -> EncoderConfig:
        """What the encoder takes."""
        return self.encoder.config

    @property
    def exclusive(self) -> bool:
        """Whether a recording has exactly one class."""
        return self.head is None or self.head.exclusive

    @torch.no_grad()
    def compute(self, signals: Signal) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Compute embeddings ``[pieces, leads × features]`` and logits ``[pieces, classes]`` of normalised signals.

        A lead that is NaN is absent: its features are NaN.
        """
        place = next(self.encoder.parameters()).device
        x = torch.from_numpy(signals).to(place)
        absent = x[:, :, :1].isnan()
        features = self.encoder(torch.where(absent, 0.0, x)) if absent.any() else self.encoder(x)
        embeddings = torch.where(absent, torch.nan, features).flatten(1)
        logits = np.empty((len(signals), 0), np.float32) if self.head is None else self.head(embeddings).cpu().numpy()
        return embeddings.cpu().numpy(), logits


@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
    """A classifier of ECGs, as `load_classifier` loads it.

    Attributes
    ----------
    classes : tuple of str
        Their names, in the order of the probabilities.
    exclusive : bool
        Whether a recording has exactly one class.
    thresholds : dict
        From which probability on each class is predicted, as kept from validation; None where there is none.
    leads : tuple of str
        Which it takes.
    lead_subsets : tuple of tuple of str
        Which suffice, too: the classifier was trained with ``leads_dropout`` for these.
    """

    model: Model
    name: str

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""
        return self.model.classes

    @property
    def exclusive(self) -> bool:
        """Whether a recording has exactly one class."""
        return self.model.exclusive

    @property
    def thresholds(self) -> dict[str, float | None]:
        """From which probability on each class is predicted, as kept from validation; None where there is none."""
        return dict(zip(self.classes, self.model.thresholds, strict=True))

    @property
    def leads(self) -> tuple[str, ...]:
        """The leads that it takes; missing limb leads are derived."""
        return self.model.config.leads

    @property
    def lead_subsets(self) -> tuple[tuple[str, ...], ...]:
        """The leads that suffice, too."""
        return tuple(subset.leads for subset in self.model.subsets)

    def __repr__(self) -> str:
        config = self.model.config
        leads = " or ".join(",".join(leads) for leads in (config.leads, *self.lead_subsets))
        return (
            f"Classifier({self.name!r}, classes {','.join(self.classes)}, leads {leads}, "
            f"{config.n_samples / config.sampling_rate:g} s)"
        )

    def predict(
        self,
        x: ArrayLike | Recording | Dataset | str | os.PathLike[str] | Sequence[Recording | str | os.PathLike[str]],
        *,
        leads: Sequence[str] | str | None = None,
        sampling_rate: float | None = None,
        unit: str | None = None,
        per_piece: bool = False,
        allow_implausible: bool = False,
    ) -> pd.DataFrame:
        """Predict the classes of recordings, as ``lfbt predict`` does.

        Recordings are cut into pieces of the encoder's duration, or padded to it, and the logits of the pieces of a
        recording averaged.

        Parameters
        ----------
        x
            A file, a folder or a prepared data set by path, or several; a `Recording` or several; a `Dataset`; or
            signals ``[records, leads, samples]`` or ``[leads, samples]``.
        leads, sampling_rate, unit
            Names of the rows of a record, rate in Hz, and unit (mV by default) of arrays, and of files that do not
            state them.
        per_piece
            Also return a row for each piece.
        allow_implausible
            Accept voltages that no ECG has.

        Returns
        -------
        DataFrame
            A row a recording, in order: file, record, patient, pieces, ``p_<class>`` for each class, predicted,
            above_threshold, notes (what was decided), and error (why there is no answer). After pieces, of a classifier
            with `lead_subsets`, leads: those used, of a recording that lacks some the largest subset that it has.

        Raises
        ------
        LfbtError
            For arrays without `leads` or `sampling_rate`, and for a data set that does not fit.

        Examples
        --------
        >>> from lfbt.models.encoder import random_encoder
        >>> encoder = random_encoder(EncoderConfig(("II", "V1"), sampling_rate=100, n_samples=1000), seed=0)
        >>> model = TorchModel(encoder, Head(n_inputs=128, n_classes=2), ("AF", "SR"), (0.5, 0.5))
        >>> recording = Recording(np.random.default_rng(0).standard_normal((2, 12500)), 500.0, ("II", "V1"), id="a")
        >>> table = Classifier(model, "example").predict(recording)
        >>> list(table.columns)
        ['file', 'record', 'patient', 'pieces', 'p_AF', 'p_SR', 'predicted', 'above_threshold', 'notes', 'error']
        >>> int(table["pieces"][0]), bool(abs(table["p_AF"][0] + table["p_SR"][0] - 1) < 1e-6)
        (3, True)
        """
        import pandas as pd

        options = FileSettings(allow_implausible=allow_implausible)
        items = _as_items(x, leads, sampling_rate, unit, options)
        rows: list[dict[str, Any]] = []
        pieces = iterate_pieces(items, self.model.config, options, served_leads(self.model))
        for answer in iterate_answers(pieces, self.model):
            rows += prediction_rows(answer, self.model, per_piece)
        return pd.DataFrame(rows, columns=prediction_columns(self.classes, per_piece, bool(self.lead_subsets)))


def load_classifier(run: str | os.PathLike[str], device: str | torch.device = "auto") -> Classifier:
    """Load the classifier of a run of ``lfbt probe`` or ``lfbt finetune``, or one that was exported.

    Parameters
    ----------
    run
        The folder of a run, or of one trial of a series; or an ``.onnx`` file.
    device
        ``auto``, ``cpu`` or ``cuda``, or PyTorch's.

    Returns
    -------
    Classifier
        Its `predict` takes files, recordings and arrays.

    Raises
    ------
    LfbtError
        For a folder without a classifier, and for files that are incomplete, corrupt or do not fit each other.

    Examples
    --------
    >>> import tempfile
    >>> import lfbt
    >>> with tempfile.TemporaryDirectory() as place:
    ...     data, run = f"{place}/data", f"{place}/probe"
    ...     _ = lfbt.prepare("synthetic", f"{place}/downloads", data, records=60, n_samples=64, workers=1)
    ...     _ = lfbt.probe(data, run, random_encoder=True, classifier="logistic", device="cpu", workers=0)
    ...     lfbt.load_classifier(run)
    Classifier('probe', classes NORM,MI,STTC,CD,HYP, leads II,III,V1,V2,V3,V4,V5,V6, 10 s)
    """
    folder = as_path("classifier", run)
    if is_onnx(folder):
        return Classifier(load_classes(folder, str(device)), folder.stem)
    return Classifier(load_trained(folder, resolve_device(device)), folder.resolve().name)


def load_trained(folder: Path, place: torch.device) -> TorchModel:
    """Load the classifier in the folder of a run. Raises LfbtError as `load_classifier` does."""
    if not (folder / HEAD).is_dir():
        raise LfbtError(f"classifier: {folder} {_why_none(folder)}")
    encoder = load_encoder(folder)
    head, classes = load_head(folder / HEAD)
    n_features = len(encoder.config.leads) * encoder.config.n_features
    if head.linear.in_features != n_features:
        raise LfbtError(
            f"classifier: {folder / HEAD} takes {head.linear.in_features} features, but its encoder gives {n_features}"
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
    return TorchModel(encoder.to(place), head.to(place), classes, thresholds, served)


def _why_none(folder: Path) -> str:
    if not folder.exists():
        return "does not exist; give a run folder of lfbt probe or finetune"
    if trials := sorted(path.parent for path in folder.glob(f"[!.]*/{HEAD}")):
        return f"is a series of trials; give one, such as {trials[0]}"
    if (folder / RESULTS).is_file():
        return "keeps no classifier, as those of knn, of folds and of lead subsets; give a run of one split"
    return "is no run with a classifier; give a run folder of lfbt probe or finetune"


def predict(
    x: ArrayLike | Recording | Dataset | str | os.PathLike[str] | Sequence[Recording | str | os.PathLike[str]],
    classifier: Classifier | str | os.PathLike[str],
    **options: Any,
) -> pd.DataFrame:
    """Predict the classes of recordings.

    Parameters
    ----------
    x, options
        See `Classifier.predict`.
    classifier
        From `load_classifier`, or the folder of a run.

    Returns
    -------
    DataFrame
        See `Classifier.predict`.

    Raises
    ------
    LfbtError
        As `load_classifier` and `Classifier.predict`.

    Examples
    --------
    >>> from lfbt.models.encoder import random_encoder
    >>> encoder = random_encoder(EncoderConfig(("II", "V1"), sampling_rate=100, n_samples=1000), seed=0)
    >>> classifier = Classifier(TorchModel(encoder, Head(128, 2), ("AF", "SR"), (0.5, 0.5)), "example")
    >>> signals = np.random.default_rng(0).standard_normal((3, 2, 5000))
    >>> predict(signals, classifier, leads="II,V1", sampling_rate=500).shape
    (3, 10)
    """
    if not isinstance(classifier, Classifier):
        classifier = load_classifier(classifier)
    return classifier.predict(x, **options)


def _as_items(
    x: Any,
    leads: Sequence[str] | str | None,
    sampling_rate: float | None,
    unit: str | None,
    options: FileSettings,
) -> Iterable[Any]:
    """The recordings of what users give."""
    # Arrays and columns of paths, too.
    is_list = isinstance(x, (list, tuple)) or getattr(getattr(x, "dtype", None), "kind", "") in ("O", "U", "T")
    several = list(x) if is_list else [x]
    if x is None or not several:
        raise LfbtError("predict: nothing is given; give paths, recordings, data sets or an array")
    if isinstance(x, (Iterator, bytes, Mapping, Set)):
        raise LfbtError(f"predict: a {type(x).__name__} is not taken; give a list of recordings or of paths")
    stated = leads is not None or sampling_rate is not None or unit is not None
    if all(isinstance(item, (Recording, Dataset)) for item in several):
        if stated:
            raise LfbtError("predict: recordings and data sets state leads, sampling rate and unit; leave these out")
        return several
    if all(isinstance(item, (str, os.PathLike)) for item in several):
        joined = leads if isinstance(leads, str) else ",".join(leads or ())
        of_files = dataclasses.replace(
            options, file_leads=joined, file_sampling_rate=sampling_rate, file_unit=unit or "mV"
        )
        validate(of_files)
        return list_recordings([as_path("predict", item) for item in several], of_files)
    if any(isinstance(item, (Recording, Dataset, str, os.PathLike)) for item in several):
        raise LfbtError("predict: recordings, data sets, paths and arrays are mixed; give one kind")
    if leads is None or sampling_rate is None:
        raise LfbtError("predict: an array states neither leads nor sampling rate; give leads= and sampling_rate=")
    names = parse_leads(leads)
    signals = as_real_array("signals", x)
    signals = signals[None] if signals.ndim == 2 else signals
    if signals.ndim != 3 or signals.shape[1] != len(names):
        raise LfbtError(f"signals: shape {list(signals.shape)} is not [records, {len(names)} leads, samples]")
    unit = "mV" if unit is None else unit
    unit_in_mv(unit)
    for row, signal in enumerate(signals):
        check_offset(f"signals: record {row}", signal, unit, names)
    rate = convert("sampling_rate", sampling_rate, float)
    check_sampling_rate(rate)
    return (Recording(to_mv(signal, unit), rate, names, id=str(row)) for row, signal in enumerate(signals))
