"""A prepared data set in memory: its records, read on demand."""

from __future__ import annotations

import dataclasses
import math
import operator
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from lfbt.data.manifest import DatasetManifest
from lfbt.data.packed_signals import not_finite
from lfbt.errors import LfbtError
from lfbt.recording import lead_names, missing_leads, parse_leads
from lfbt.signal import Normalisation, Signal, normalise
from lfbt.sources.listing import SPLITS
from lfbt.utils.figures import format_count
from lfbt.voltages import find_implausible_leads, implausible_record, implausible_span, measure_spans

_PREPARE_LABELS = "prepare it with a label rule (lfbt prepare SOURCE --help lists those of --labels)"
# Records that are read at a time where all are read.
_BLOCK = 256
# Bytes that are gathered and normalised at a time: they stay in a core's cache. Sums over a single record, of which
# leads were selected, would have another order than those over several.
_CACHED_BYTES, _MIN_CACHED = 2**19, 3


class Signals(Protocol):
    """Signals of records, read on demand: ``[records, leads, samples]``."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    def __getitem__(self, rows: NDArray[np.int64], /) -> Any: ...


class Record(NamedTuple):
    """One record of a `Dataset`; PyTorch's default collate function turns several into one Record of batches.

    Parameters
    ----------
    signal : ndarray of float32, ``[leads, samples]``
        As stored, without normalisation: in mV, or z-scores in the authors' folders and of EchoNext.
    targets : ndarray of float32, ``[classes]``
        1 for each class that the record has, in the order of ``Dataset.classes``, and 0 for the others.
    id, patient, split : str
        Names of the record and of its patient; train, val or test.
    """

    signal: Signal
    targets: Signal
    id: str
    patient: str
    split: str

    def __repr__(self) -> str:
        shapes = f"signal {list(self.signal.shape)}, targets {list(self.targets.shape)}"
        return f"Record({shapes}, id {self.id!r}, patient {self.patient!r}, split {self.split!r})"


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A prepared data set, read on demand.

    It is a map-style data set for PyTorch: ``len(dataset)`` records, and ``dataset[row]`` is a `Record`, so that
    ``torch.utils.data.DataLoader(dataset)`` needs no collate function. `batch` reads several rows at once, normalised,
    which is faster.

    Parameters
    ----------
    folder : Path
        Where it is.
    leads : tuple of str
        Names of the rows of a signal.
    sampling_rate : float
        In Hz.
    classes : tuple of str
        Names of the classes, in column order; empty without labels.
    ids, patients : tuple of str
        One a record.
    labels : tuple of tuple of str
        The class names of each record.
    split : ndarray of str, ``[records]``
        train, val or test.
    signals : array-like, ``[records, leads, samples]``
        The signals as stored.
    lead_rows : tuple of int
        The row of `signals` of each lead.
    hash : str
        Differs when the records or their splits do; in ``.npy`` folders, records are compared by names and sizes.
    names_assumed : bool
        Whether the files state neither leads nor sampling rate, so that those of the paper are assumed.
    synthetic : bool
        Whether any signal is synthetic.
    in_mv : bool
        Whether signals are voltages in mV, and not z-scores as in the authors' folders and of EchoNext.
    compared : bool
        Whether `signals` gives records only that are as they were written, and therefore finite; otherwise `batch`
        looks for values that are not finite at every read.
    voltages_checked : bool
        Whether `prepare` refused leads that no ECG has in each recording, at its own rate. Resampling makes waves
        beside a step, which are no reason to refuse the record now.
    manifest : DatasetManifest
        What ``dataset.json`` states; empty without one, and for data in memory or of several folders.

    Examples
    --------
    >>> from torch.utils.data import DataLoader
    >>> dataset = from_arrays(np.zeros((6, 2, 500), dtype=np.float32), leads=("II", "V1"), sampling_rate=50.0)
    >>> dataset[0]
    Record(signal [2, 500], targets [0], id '0', patient '0', split 'train')
    >>> for batch in DataLoader(dataset, batch_size=3):
    ...     print(batch.signal.shape, batch.id)
    torch.Size([3, 2, 500]) ('0', '1', '2')
    torch.Size([3, 2, 500]) ('3', '4', '5')
    """

    folder: Path
    leads: tuple[str, ...]
    sampling_rate: float
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    patients: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    split: NDArray[np.str_]
    signals: Signals
    lead_rows: tuple[int, ...]
    hash: str = ""
    names_assumed: bool = False
    synthetic: bool = False
    in_mv: bool = True
    compared: bool = False
    voltages_checked: bool = False
    manifest: DatasetManifest = dataclasses.field(default_factory=DatasetManifest)

    @property
    def n_samples(self) -> int:
        """Samples of a record."""
        return self.signals.shape[2]

    def __len__(self) -> int:
        return self.signals.shape[0]

    def __repr__(self) -> str:
        return (
            f"Dataset({str(self.folder)!r}, {format_count(len(self), 'record')}, leads {','.join(self.leads)}, "
            f"{self.sampling_rate:g} Hz, {self.n_samples} samples, classes {','.join(self.classes) or 'none'})"
        )

    def __getitem__(self, row: SupportsIndex) -> Record:
        try:
            # Counts from the end for a negative row, and raises IndexError beyond the last.
            index = range(len(self))[operator.index(row)]
        except TypeError:
            raise LfbtError(
                f"dataset: {reprlib.repr(row)} is not the number of one row; for several take "
                "[dataset[row] for row in range(3)], or dataset.batch(np.arange(3), 'none') for their signals alone"
            ) from None
        (signal,) = self.batch(np.array([index]), "none")
        targets = np.array([name in self.labels[index] for name in self.classes], dtype=np.float32)
        return Record(signal, targets, self.ids[index], self.patients[index], str(self.split[index]))

    def select_leads(self, leads: Sequence[str] | str) -> Dataset:
        """Return the same records with the leads named, in that order. Raises LfbtError for an absent lead."""
        leads = parse_leads(leads) if isinstance(leads, str) else lead_names(leads)
        absent = missing_leads(leads, self.leads)
        if absent:
            raise LfbtError(
                f"lead {','.join(absent)}: not in the data set {self.folder}, which has {','.join(self.leads)}"
            )
        rows = tuple(self.lead_rows[self.leads.index(lead)] for lead in leads)
        return dataclasses.replace(self, leads=leads, lead_rows=rows)

    def rows(self, *splits: str) -> NDArray[np.int64]:
        """Return the rows of the records in `splits`, in order. Raises LfbtError for one that is not of `SPLITS`."""
        if unknown := set(splits) - set(SPLITS):
            raise LfbtError(f"split: {min(unknown)!r} is not one of {', '.join(SPLITS)}")
        return np.flatnonzero(np.isin(self.split, splits))

    @property
    def exclusive(self) -> bool:
        """Whether every record has exactly one label; otherwise a classifier's task is multi-label."""
        return all(len(labels) == 1 for labels in self.labels)

    def targets(self) -> NDArray[np.bool_]:
        """Return which classes every record has, as booleans ``[records, classes]``.

        Raises LfbtError if a record has no label, or there are fewer than two classes.
        """
        if len(self.classes) < 2:
            raise LfbtError(
                f"{self.folder}: {format_count(len(self.classes), 'class', 'classes')} "
                f"({','.join(self.classes) or 'no labels'}); a classifier "
                f"needs two or more: {_PREPARE_LABELS}"
            )
        targets = np.zeros((len(self), len(self.classes)), dtype=bool)
        for row, labels in enumerate(self.labels):
            if not labels:
                record = f"{self.folder}: record {self.ids[row]}"
                raise LfbtError(f"{record} has no label; a classifier needs one or more: {_PREPARE_LABELS}")
            targets[row, [self.classes.index(label) for label in labels]] = True
        return targets

    def batch(self, rows: NDArray[np.int64], normalisation: Normalisation) -> Signal:
        """Read normalised signals, the input of an encoder.

        Parameters
        ----------
        rows : ndarray of int, ``[records]``
            Which records.
        normalisation : {"record", "lead", "none"}
            As of `lfbt.signal.normalise`.

        Returns
        -------
        ndarray of float32, ``[records, leads, samples]``
            The signals in the order of `rows`.

        Raises
        ------
        LfbtError
            If a signal is not finite, or not the one that was written; the message names the record.
        """
        if normalisation == "none":
            return self._read(rows)
        out = np.empty((len(rows), len(self.lead_rows), self.n_samples), dtype=np.float32)
        n_cached = max(_MIN_CACHED, _CACHED_BYTES // (out.itemsize * math.prod(self.signals.shape[1:]) or 1))
        start = 0
        for block in np.array_split(rows, max(1, -(-len(rows) // n_cached))):
            out[start : start + len(block)] = normalise(self._read(block), normalisation)
            start += len(block)
        return out

    def _read(self, rows: NDArray[np.int64]) -> Signal:
        """The selected leads of records ``[records, leads, samples]``, finite."""
        signals = np.asarray(self.signals[rows], dtype=np.float32)
        if self.lead_rows != tuple(range(signals.shape[1])):
            signals = signals[:, self.lead_rows]
        if not self.compared:
            self._check_finite(signals, rows)
        return signals

    def find_implausible_leads(self, signal: Signal) -> str | None:
        """Name the leads of a record ``[leads, samples]`` that no ECG has; None without one, or where it is known."""
        return None if self.voltages_checked else find_implausible_leads(signal, self.leads, self.sampling_rate)

    def check_voltages(self) -> None:
        """Raise LfbtError for voltages that no ECG has: an implausible lead, a median lead under 0.05 or over 10 mV."""
        spans = []
        place = "signals" if self.folder == Path() else str(self.folder)
        for start in range(0, len(self) if self.in_mv else 0, _BLOCK):
            signals = np.asarray(self.signals[np.arange(start, min(start + _BLOCK, len(self)))], dtype=np.float32)
            for row, signal in enumerate(signals[:, self.lead_rows], start):
                if too_much := self.find_implausible_leads(signal):
                    raise implausible_record(place, self.ids[row], too_much)
                spans.append(float(np.median(measure_spans(signal))))
        if unlike_ecg := implausible_span([span for span in spans if np.isfinite(span)]):
            raise LfbtError(f"{place}: {unlike_ecg}; correct the unit, or insist with allow_implausible")

    def _check_finite(self, signals: Signal, rows: NDArray[np.int64]) -> None:
        # A sum is finite only if all its terms are, and takes one pass without a copy.
        with np.errstate(all="ignore"):
            if np.isfinite(signals.sum(axis=(1, 2))).all():
                return
        finite = np.isfinite(signals).all(axis=(1, 2))
        if not finite.all():
            raise not_finite(f"{self.folder}: record {self.ids[rows[int(np.argmin(finite))]]}")


def options_to_fit(dataset: Dataset, leads: Sequence[str], sampling_rate: float, n_samples: int) -> str:
    """List the options of ``lfbt prepare`` that give `dataset` other leads, another rate in Hz, and other samples.

    >>> dataset = from_arrays(np.zeros((1, 2, 2048), dtype=np.float32), leads=("II", "V1"), sampling_rate=204.8)
    >>> options_to_fit(dataset, ("II", "V1"), 102.4, 1024)
    '--n-samples 1024'
    """
    options = [] if dataset.leads == tuple(leads) else [f"--leads {','.join(leads)}"]
    seconds = n_samples / sampling_rate
    if not math.isclose(dataset.n_samples / dataset.sampling_rate, seconds, rel_tol=1e-6):
        options.append(f"--duration {seconds:g}")
    if dataset.n_samples != n_samples:
        options.append(f"--n-samples {n_samples}")
    return " ".join(options)


def from_arrays(signals: Signal, leads: Sequence[str], sampling_rate: float) -> Dataset:
    """Make an unlabelled data set of signals in memory.

    Parameters
    ----------
    signals : ndarray of float32, ``[records, leads, samples]``
        Voltages in mV.
    leads : sequence of str
        Names of the rows of a signal.
    sampling_rate : float
        In Hz.

    Returns
    -------
    Dataset
        All records are of the split train, and each is a patient of its own.

    Raises
    ------
    LfbtError
        If `signals` has another shape.
    """
    leads = lead_names(leads)
    if signals.ndim != 3 or signals.shape[1] != len(leads):
        raise LfbtError(f"signals: shape {list(signals.shape)} is not [records, {len(leads)} leads, samples]")
    n = len(signals)
    return Dataset(
        folder=Path(),
        leads=leads,
        sampling_rate=sampling_rate,
        classes=(),
        ids=tuple(map(str, range(n))),
        patients=tuple(map(str, range(n))),
        labels=((),) * n,
        split=np.full(n, "train"),
        signals=signals,
        lead_rows=tuple(range(len(leads))),
    )
