"""A trained classifier as users hold it: whatever holds ECGs in, a table of probabilities out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from lfbt.data.dataset import Dataset
from lfbt.errors import LfbtError
from lfbt.inference.loading import load_model
from lfbt.inference.onnx_file import is_onnx
from lfbt.inference.prediction import (
    Model,
    iterate_answers,
    prediction_columns,
    prediction_rows,
    served_leads,
)
from lfbt.inference.recordings import FileSettings, as_arguments, iterate_pieces, list_recordings
from lfbt.recording import Recording, as_real_array, check_sampling_rate, parse_leads, to_mv, unit_in_mv
from lfbt.utils.settings import as_path, convert, validate
from lfbt.voltages import check_offset

if TYPE_CHECKING:
    import pandas as pd
    import torch


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
        >>> import numpy as np
        >>> from lfbt.inference.torch_model import TorchModel
        >>> from lfbt.models.config import EncoderConfig
        >>> from lfbt.models.encoder import random_encoder
        >>> from lfbt.models.heads import Head
        >>> encoder = random_encoder(EncoderConfig(("II", "V1"), sampling_rate=100, n_samples=1000), seed=0)
        >>> model = TorchModel(encoder, Head(n_inputs=128, n_classes=2), ("AF", "SR"), (0.5, 0.5))
        >>> recording = Recording(np.random.default_rng(0).laplace(0, 0.2, (2, 12500)), 500.0, ("II", "V1"), id="a")
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
        pieces = iterate_pieces(items, self.model.config, options, served_leads(self.model), self.model.needs_voltages)
        for answer in iterate_answers(pieces, self.model):
            answer = dataclasses.replace(
                answer, pieces=dataclasses.replace(answer.pieces, reason=as_arguments(answer.pieces.reason))
            )
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
    return Classifier(load_model(folder, device), folder.stem if is_onnx(folder) else folder.resolve().name)


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
    >>> import numpy as np
    >>> from lfbt.inference.torch_model import TorchModel
    >>> from lfbt.models.config import EncoderConfig
    >>> from lfbt.models.encoder import random_encoder
    >>> from lfbt.models.heads import Head
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
