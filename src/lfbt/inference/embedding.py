"""Embeddings of data sets and arrays, and class probabilities where the checkpoint has a classifier."""

from __future__ import annotations

import copy
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

import lfbt
from lfbt.data.dataset import Dataset, from_arrays
from lfbt.data.layouts import open_dataset, open_datasets
from lfbt.errors import AbsentLeadError, LfbtError
from lfbt.inference.answer_table import SUFFIXES
from lfbt.inference.recordings import FileSettings
from lfbt.io import read
from lfbt.models.encoder import EncoderConfig, LeadEncoders
from lfbt.models.features import compute_embeddings
from lfbt.models.heads import HEAD, load_head
from lfbt.models.hub import locate_encoder
from lfbt.models.pretrained import load_encoder, load_with_history, match
from lfbt.recording import Recording, as_real_array, check_sampling_rate, parse_leads, unit_in_mv
from lfbt.runs.encoder_folder import BUNDLED
from lfbt.runs.results import EncoderOrigin
from lfbt.signal import Signal, choose_leads, find_implausible_leads, fit_samples, implausible_record
from lfbt.utils.device import resolve_device
from lfbt.utils.figures import format_count
from lfbt.utils.files import atomic_folder, check_unoccupied, load_json, save_json
from lfbt.utils.settings import Affects, Range, Seed, as_path, check_range, convert, validate

EMBEDDINGS = "embeddings.npy"
PROBABILITIES = "probabilities.csv"
SUMMARY = "embed.json"


@dataclasses.dataclass(frozen=True)
class EmbedSettings:
    """Which records are embedded, by which encoder."""

    data_dir: Annotated[tuple[Path, ...], Affects.LOCATION] = ()
    """In place of inputs, data sets for a folder of embeddings: packed ones, or folders of .npy files."""
    out: Annotated[Path | None, Affects.LOCATION] = None
    """Of inputs: new file .csv, .jsonl or .parquet; without it the table is printed. Of data sets: new folder for
    embeddings.npy, records.csv and, where the run folder has a classifier, probabilities.csv."""
    checkpoint: Annotated[Path, Affects.LOCATION] = Path(BUNDLED)
    """Encoder: a run folder, an encoder folder, a .pth file of the authors, or lfbt-small, which comes with lfbt."""
    inputs: Annotated[tuple[Path, ...], Affects.LOCATION] = ()
    """Files, folders or prepared data sets; - for a list of paths on stdin, one a line."""
    per_piece: bool = False
    """Of inputs: also a row for each piece of a recording that is longer than the encoder's duration."""
    leads: tuple[str, ...] = ()
    """Use the encoders of these leads only, by name, comma-separated."""
    allow_mismatch: bool = False
    """Use a data set although its leads, sampling rate or samples are not the encoder's."""
    files: FileSettings = dataclasses.field(default_factory=FileSettings)
    split_seed: Seed = 0
    """Seed of the split of class folders without split folders."""
    device: Annotated[str, Affects.RUNTIME] = "auto"
    """auto, cpu or cuda."""
    workers: Annotated[int, Range("[0, inf)"), Affects.RUNTIME] = 2
    """Threads that read batches ahead."""


@dataclasses.dataclass(frozen=True)
class EmbeddedData:
    """The data sets that were embedded: names of their folders, and the hash of all."""

    folders: list[str]
    hash: str


@dataclasses.dataclass(frozen=True)
class EmbedSummary:
    """What a folder of embeddings holds: ``embed.json``. n_features: per lead, so columns are leads × n_features."""

    lfbt_version: str
    synthetic: bool
    records: int
    leads: list[str]
    n_features: int
    data: EmbeddedData
    encoder: EncoderOrigin

    def save(self, folder: Path) -> None:
        """Write ``embed.json`` in `folder`."""
        save_json(folder / SUMMARY, self)

    @classmethod
    def load(cls, folder: Path) -> EmbedSummary:
        """Read ``embed.json`` in `folder`. Raises LfbtError that names the file and the field."""
        return load_json(folder / SUMMARY, cls, "it was edited, or is another program's")


def embed(
    x: ArrayLike | Dataset | Recording | Sequence[Recording] | str | os.PathLike[str] | Sequence[str | Path],
    encoder: LeadEncoders | str | os.PathLike[str],
    *,
    leads: Sequence[str] | str | None = None,
    sampling_rate: float | None = None,
    unit: str | None = None,
    allow_implausible: bool = False,
    device: str | torch.device = "auto",
) -> NDArray[np.float32]:
    """Compute embeddings of ECGs by a pretrained encoder.

    Signals are made to fit the encoder as `lfbt.prepare` does: leads by name, unit, sampling rate, normalisation. They
    are neither cut nor padded: one of another duration than the encoder's is refused.

    Parameters
    ----------
    x
        Signals ``[records, leads, samples]`` or ``[leads, samples]``, of NumPy, PyTorch or lists; a `Recording` or
        several; a `Dataset`; the path of a prepared data set or of a recording's file, as `lfbt.read` takes it; or a
        list of such files, of which one at a time is in memory.
    encoder
        From `lfbt.load_encoder`, or a path or name that it takes.
    leads, sampling_rate, unit
        Names of the rows of a record, rate in Hz, and unit (mV by default) of arrays, and of files that do not state
        them.
    allow_implausible
        Accept voltages that no ECG has: a lead over 30 mV in most seconds, a median lead under 0.05 or over 10 mV.
    device
        ``auto``, ``cpu`` or ``cuda``, or PyTorch's.

    Returns
    -------
    NDArray[float32]
        ``[records, leads × 64]``, lead by lead in the encoder's order.

    Raises
    ------
    LfbtError
        For signals that do not fit the encoder (leads, duration, unit, NaN), and for voltages that no ECG has; for
        arrays without `leads` and `sampling_rate`; and for a path that is neither a data set nor a readable file.

    Examples
    --------
    >>> from lfbt.models.encoder import random_encoder
    >>> encoder = random_encoder(EncoderConfig(("II", "V1"), sampling_rate=100, n_samples=1000), seed=0)
    >>> signals = np.random.default_rng(0).standard_normal((3, 2, 5000))
    >>> embed(signals, encoder, leads="II,V1", sampling_rate=500, device="cpu").shape
    (3, 128)
    """
    model = encoder
    if not isinstance(model, LeadEncoders):
        as_path("encoder", model, "a path, or what lfbt.load_encoder returns")
        model = load_encoder(locate_encoder(model))
    if isinstance(x, Iterator):
        raise LfbtError("embed: an iterator is not taken; give a list of recordings or of paths")
    if isinstance(x, (list, tuple)) and any(isinstance(item, (str, os.PathLike)) for item in x):
        read_one = functools.partial(read, leads=leads, sampling_rate=sampling_rate, unit=unit or "mV")
        embed_one = functools.partial(embed, encoder=model, allow_implausible=allow_implausible, device=device)
        return np.concatenate([_embed_file(path, read_one, embed_one) for path in x])
    if isinstance(x, (str, os.PathLike)):
        path = as_path("embed", x)
        if path.is_dir():
            x = open_dataset(path)
        else:
            x = read(path, leads=leads, sampling_rate=sampling_rate, unit=unit or "mV")
            leads = sampling_rate = unit = None
    if isinstance(x, Recording):
        x = [x]
    recordings = [item for item in x if isinstance(item, Recording)] if isinstance(x, (list, tuple)) else []
    known = isinstance(x, Dataset) or len(recordings) > 0
    if known and not (leads is None and sampling_rate is None and unit is None):
        raise LfbtError("embed: recordings and data sets state their leads, sampling rate and unit; leave these out")
    if isinstance(x, Dataset):
        return embed_dataset(x, model, allow_implausible=allow_implausible, device=device)
    embed_known = functools.partial(embed_arrays, encoder=model, allow_implausible=allow_implausible, device=device)
    if recordings:
        if len(recordings) < len(x):  # type: ignore[arg-type]
            raise LfbtError("embed: recordings and other things are mixed; give recordings only, or an array")
        parts = [embed_known(one.signal, leads=one.leads, sampling_rate=one.sampling_rate) for one in recordings]
        return np.concatenate(parts)
    signals = as_real_array("signals", x)
    if leads is None or sampling_rate is None:
        raise LfbtError("embed: an array states neither leads nor sampling rate; give leads= and sampling_rate=")
    return embed_known(signals, leads=leads, sampling_rate=sampling_rate, unit="mV" if unit is None else unit)


def _embed_file(path: Any, read_one: Callable[..., Recording], embed_one: Callable[..., Any]) -> NDArray[np.float32]:
    """The embedding ``[1, leads × 64]`` of a file of a list; what is wrong with its signal is said with its name."""
    recording = read_one(as_path("embed", path, "a path, as others in the list are; give paths only, or none"))
    try:
        return np.asarray(embed_one(recording), dtype=np.float32)
    except LfbtError as error:
        raise LfbtError(f"file {path}: {error}") from error


def write_embeddings(settings: EmbedSettings) -> EmbedSummary:
    """Write the embeddings ``[records, leads × 64]`` of all records of one data set or several into a new folder.

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
    import pandas as pd

    validate(settings)
    if settings.out is None or settings.out.suffix in SUFFIXES:
        raise LfbtError(f"out: {settings.out}, but the embeddings of data sets go into a folder; name a new one")
    check_unoccupied(settings.out)
    device = resolve_device(settings.device)
    dataset = open_datasets(settings.data_dir, settings.split_seed)
    complete, history = load_with_history(settings.checkpoint)
    encoder, dataset = match(complete, dataset, settings.leads, settings.allow_mismatch)
    has_head = (settings.checkpoint / HEAD).is_dir()
    if has_head:
        head, classes = load_head(settings.checkpoint / HEAD)
        if encoder.config.leads != complete.config.leads:
            raise LfbtError(
                f"leads: the classifier of {settings.checkpoint} takes {','.join(complete.config.leads)} in this "
                f"order, not {','.join(encoder.config.leads)}; leave --leads out, or name its encoder folder"
            )
    if not settings.files.allow_implausible:
        dataset.check_voltages()
    rows = np.arange(len(dataset))
    embeddings = compute_embeddings(encoder.to(device), dataset, rows, device, settings.workers, "embed")
    summary = EmbedSummary(
        lfbt_version=lfbt.__version__,
        synthetic=dataset.synthetic,
        records=len(dataset),
        leads=list(encoder.config.leads),
        n_features=encoder.config.n_features,
        data=EmbeddedData([folder.name for folder in settings.data_dir], dataset.hash),
        encoder=EncoderOrigin(settings.checkpoint.resolve().name, history),
    )
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
        summary.save(folder)
    return summary


def embed_dataset(
    dataset: Dataset,
    encoder: LeadEncoders,
    *,
    allow_implausible: bool = False,
    device: str | torch.device = "auto",
    workers: int = 2,
) -> NDArray[np.float32]:
    """Compute the embeddings of all records of a data set.

    The encoder's leads are taken from the data set by name, and its normalisation is applied. The encoder itself stays
    on its device and in its mode.

    Parameters
    ----------
    dataset
        Records of the encoder's sampling rate and number of samples.
    encoder
        The encoders of the leads.
    allow_implausible
        As of `embed`.
    device
        ``auto``, ``cpu`` or ``cuda``.
    workers
        Threads that read batches ahead.

    Returns
    -------
    NDArray[float32]
        ``[records, leads × 64]``, lead by lead in the encoder's order.

    Raises
    ------
    LfbtError
        Where the data set lacks a lead, differs in sampling rate or samples, or holds NaN or infinity.

    Examples
    --------
    >>> from lfbt.models.encoder import random_encoder
    >>> encoder = random_encoder(EncoderConfig(("II", "V1"), sampling_rate=100, n_samples=1000), seed=0)
    >>> signals = np.random.default_rng(0).standard_normal((3, 2, 1000), dtype=np.float32)
    >>> embed_dataset(from_arrays(signals, ("II", "V1"), 100), encoder, device="cpu").shape
    (3, 128)
    """
    check_range("workers", workers, "[0, inf)")
    place = resolve_device(device)
    # Names that are only assumed are good for the same leads in the same order, not for choosing among them.
    if not dataset.names_assumed:
        dataset = dataset.select_leads(encoder.config.leads)
    _, dataset = match(encoder, dataset)
    if not allow_implausible:
        dataset.check_voltages()
    frozen = copy.deepcopy(encoder).to(place, torch.float32)
    embeddings = compute_embeddings(frozen, dataset, np.arange(len(dataset)), place, workers)
    n_columns = len(encoder.config.leads) * encoder.config.n_features
    return np.asarray(embeddings.cpu().numpy().reshape(len(dataset), n_columns), dtype=np.float32)


def embed_arrays(
    signals: ArrayLike,
    encoder: LeadEncoders,
    *,
    leads: Sequence[str] | str,
    sampling_rate: float,
    unit: str = "mV",
    allow_implausible: bool = False,
    device: str | torch.device = "auto",
) -> NDArray[np.float32]:
    """Compute the embeddings of signals in memory, made to fit the encoder as `lfbt prepare` does.

    The encoder's leads are taken by name; a missing limb lead is derived from two others. Signals are converted to mV,
    resampled to the encoder's samples and normalised as the encoder's settings say, so they must not be filtered or
    normalised for it before.

    Parameters
    ----------
    signals
        ``[records, leads, samples]``, or ``[leads, samples]`` of one record. Records must last as long as the
        encoder's, to within half a sample.
    encoder
        The encoders of the leads.
    leads
        Names of the rows of a record, in order; a text such as ``I,II,V1`` too.
    sampling_rate
        Of `signals`, in Hz.
    unit
        Of `signals`: mV, uV, µV, V or nV.
    allow_implausible
        As of `embed`.
    device
        ``auto``, ``cpu`` or ``cuda``.

    Returns
    -------
    NDArray[float32]
        ``[records, leads × 64]``, lead by lead in the encoder's order; of one record ``[1, leads × 64]``.

    Raises
    ------
    LfbtError
        For another shape, an unknown unit, NaN or infinity, another duration, and for leads of the encoder that are
        missing and cannot be derived.

    Examples
    --------
    Ten seconds at 500 Hz in µV for an encoder of ten seconds at 100 Hz:

    >>> from lfbt.models.encoder import random_encoder
    >>> encoder = random_encoder(EncoderConfig(("II", "III"), sampling_rate=100, n_samples=1000), seed=0)
    >>> signals = np.random.default_rng(0).normal(scale=200, size=(4, 3, 5000))
    >>> embed_arrays(signals, encoder, leads="I,II,V1", sampling_rate=500, unit="uV", device="cpu").shape
    (4, 128)
    """
    names = parse_leads(leads)
    records = _as_records(signals, names)
    _check_duration(records.shape[2], sampling_rate, encoder.config)
    in_mv, checked_at = unit_in_mv(unit), None if allow_implausible else sampling_rate
    fitted = _fit_records(records, names, in_mv, checked_at, encoder.config)
    dataset = from_arrays(fitted, encoder.config.leads, encoder.config.sampling_rate)
    return embed_dataset(dataset, encoder, allow_implausible=allow_implausible, device=device)


def _as_records(signals: ArrayLike, leads: Sequence[str]) -> NDArray[Any]:
    """`signals` as numbers ``[records, leads, samples]``."""
    records = as_real_array("signals", signals)
    shape = list(records.shape)
    if records.ndim == 2:
        records = records[None]
    if records.ndim != 3 or records.shape[1] != len(leads):
        raise LfbtError(
            f"signals: shape {shape} is not [records, {len(leads)} leads, samples] or "
            f"[{len(leads)} leads, samples]; the leads are {','.join(leads)}"
        )
    return records


def _check_duration(n_samples: int, sampling_rate: float, config: EncoderConfig) -> None:
    """Raise LfbtError unless records last as long as the encoder's, to within half a sample."""
    rate = Annotated[float, Range("(0, inf)", "it is that of the signals, in Hz")]
    sampling_rate = convert("sampling_rate", sampling_rate, rate)
    seconds = config.n_samples / config.sampling_rate
    # A little more, as rates such as 204.8 Hz are not exact.
    if n_samples < 2 or abs(n_samples - seconds * sampling_rate) > 0.5 + 1e-6:
        raise LfbtError(
            f"signals: {format_count(n_samples, 'sample')} at {sampling_rate:g} Hz "
            f"{'lasts' if n_samples == 1 else 'last'} {n_samples / sampling_rate:g} s, but the "
            f"encoder's records last {seconds:g} s ({config.n_samples} samples at {config.sampling_rate:g} Hz); cut "
            f"or pad them to {round(seconds * sampling_rate)} samples, or correct sampling_rate"
        )
    check_sampling_rate(sampling_rate)


def _fit_records(
    records: NDArray[Any], leads: Sequence[str], in_mv: float, checked_at: float | None, config: EncoderConfig
) -> Signal:
    """Convert `records` to mV, choose or derive the encoder's leads, and resample to its samples.

    With the sampling rate `checked_at` the voltages must be those of an ECG; resampling blurs what jumps.
    """
    fitted = np.empty((len(records), len(config.leads), config.n_samples), dtype=np.float32)
    for i, record in enumerate(records):
        with np.errstate(all="ignore"):
            signal = (record.astype(np.float64) * in_mv).astype(np.float32)
        finite = np.isfinite(signal).all(axis=1)
        if not finite.all():
            bad = ",".join(lead for lead, is_finite in zip(leads, finite, strict=True) if not is_finite)
            raise LfbtError(f"signals: record {i} holds NaN or infinity in lead {bad}; leave it out or repair it")
        try:
            chosen = choose_leads(signal, leads, config.leads)
        except AbsentLeadError as error:
            raise AbsentLeadError(
                f"leads: the signals have {','.join(leads)}, the encoder takes {','.join(config.leads)}: {error}; "
                "record these leads too, or take encoder.select_leads of those that there are"
            ) from error
        if checked_at and (too_much := find_implausible_leads(chosen, config.leads, checked_at)):
            raise implausible_record("signals", str(i), too_much)
        fitted[i] = fit_samples(chosen, records.shape[2], config.n_samples)
    return fitted
