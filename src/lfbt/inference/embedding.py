"""Embeddings of data sets, arrays and files in memory."""

from __future__ import annotations

import copy
import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lfbt.data.dataset import Dataset, from_arrays
from lfbt.data.layouts import is_dataset, open_dataset
from lfbt.data.manifest import MANIFEST
from lfbt.errors import LfbtError
from lfbt.inference.embed_settings import MissingLeads
from lfbt.inference.fitting import as_records, check_duration, fit_records
from lfbt.inference.recordings import FileSettings, as_arguments, read_folder
from lfbt.io import read
from lfbt.models.encoder import EncoderConfig, LeadEncoders
from lfbt.models.feature_maps import FeatureName, feature_map
from lfbt.models.features import check_voltages_known, compute_embeddings
from lfbt.models.hub import locate_encoder
from lfbt.models.pretrained import load_encoder, match
from lfbt.recording import Recording, as_real_array, parse_leads
from lfbt.signal import available_leads
from lfbt.sources import signal_files, table_column
from lfbt.utils.device import resolve_device
from lfbt.utils.settings import as_path, check_range, validate
from lfbt.voltages import Z_SCORES, is_standardised


def embed(
    x: ArrayLike | Dataset | Recording | Sequence[Recording] | str | os.PathLike[str] | Sequence[str | Path],
    encoder: LeadEncoders | str | os.PathLike[str],
    *,
    leads: Sequence[str] | str | None = None,
    sampling_rate: float | None = None,
    unit: str | None = None,
    allow_implausible: bool = False,
    missing_leads: MissingLeads = "refuse",
    features: FeatureName = "paper",
    device: str | torch.device = "auto",
) -> NDArray[np.float32]:
    """Compute embeddings of ECGs by a pretrained encoder.

    Signals are made to fit the encoder as `lfbt.prepare` does: leads by name, unit, sampling rate, normalisation. They
    are neither cut nor padded: one of another duration than the encoder's is refused.

    Parameters
    ----------
    x
        Signals ``[records, leads, samples]`` or ``[leads, samples]``, of NumPy, PyTorch or lists; a `Recording` or
        several; a `Dataset`; the path of a prepared data set, of a recording's file, as `lfbt.read` takes it, or of a
        folder of such files, in the order of ``lfbt embed FOLDER``; or a list of files. Of files one at a time is in
        memory. Folders ``CLASS/*.npy`` are a data set of z-scores, or recordings where `leads` and `sampling_rate` are
        given.
    encoder
        From `lfbt.load_encoder`, or a path or name that it takes.
    leads, sampling_rate, unit
        Names of the rows of a record, rate in Hz, and unit (mV by default) of arrays, and of files that do not state
        them.
    allow_implausible
        Accept voltages that no ECG has: a lead over 30 mV in most seconds, a median lead under 0.05 or over 10 mV.
    missing_leads
        What becomes of ECGs that lack leads of the encoder which cannot be derived from others: ``refuse`` is an error,
        ``nan`` gives those leads' columns NaN. ECGs with none of the leads are refused.
    features
        ``paper``: the mean over time of the encoder's last block, 64 a lead. ``rich``: mean and maximum over time of
        its last two blocks, then the logarithm of the standard deviation and the peak-to-peak amplitude in mV, 258 a
        lead. z-scores have no amplitudes and are refused.
    device
        ``auto``, ``cpu`` or ``cuda``, or PyTorch's.

    Returns
    -------
    NDArray[float32]
        ``[records, leads × 64]``, lead by lead in the encoder's order; of rich features ``[records, leads × 258]``.

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
    if missing_leads not in get_args(MissingLeads):
        raise LfbtError(f"missing_leads: {missing_leads!r} is not one of {', '.join(get_args(MissingLeads))}")
    feature_map(features)
    options: dict[str, Any] = {
        "allow_implausible": allow_implausible, "missing_leads": missing_leads, "features": features, "device": device,
    }  # fmt: skip
    if isinstance(x, Iterator):
        raise LfbtError("embed: an iterator is not taken; give a list of recordings or of paths")
    if isinstance(x, (list, tuple)) and any(isinstance(item, (str, os.PathLike)) for item in x):
        read_one = functools.partial(read, leads=leads, sampling_rate=sampling_rate, unit=unit or "mV")
        embed_one = functools.partial(embed, encoder=model, **options)
        return np.concatenate([_embed_file(path, read_one, embed_one) for path in x])
    if isinstance(x, (str, os.PathLike)):
        path = as_path("embed", x)
        stated = leads is not None or sampling_rate is not None or unit is not None
        if path.is_dir() and is_dataset(path, npy=not stated):
            _check_npy_only(path)
            x = open_dataset(path)
        elif path.is_dir():
            return _embed_folder(
                path, leads, sampling_rate, unit or "mV", functools.partial(embed, encoder=model, **options)
            )
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
        return embed_dataset(x, model, **options)
    if recordings:
        if len(recordings) < len(x):  # type: ignore[arg-type]
            raise LfbtError("embed: recordings and other things are mixed; give recordings only, or an array")
        if _needs_voltages(model, features) and not all(one.in_mv for one in recordings):
            raise LfbtError(f"embed: {Z_SCORES}")
        parts = [
            embed_arrays(one.signal, model, leads=one.leads, sampling_rate=one.sampling_rate, **options)
            for one in recordings
        ]
        return np.concatenate(parts)
    signals = as_real_array("signals", x)
    if leads is None or sampling_rate is None:
        raise LfbtError("embed: an array states neither leads nor sampling rate; give leads= and sampling_rate=")
    in_unit = "mV" if unit is None else unit
    return embed_arrays(signals, model, leads=leads, sampling_rate=sampling_rate, unit=in_unit, **options)


def _embed_file(path: Any, read_one: Callable[..., Recording], embed_one: Callable[..., Any]) -> NDArray[np.float32]:
    """The embedding ``[1, leads × 64]`` of a file of a list; what is wrong with its signal is said with its name."""
    recording = read_one(as_path("embed", path, "a path, as others in the list are; give paths only, or none"))
    return _named(path, recording, embed_one)


def _named(file: Any, recording: Recording, embed_one: Callable[..., Any]) -> NDArray[np.float32]:
    """The embedding of a recording; what is wrong with it is said with the name of its file."""
    try:
        return np.asarray(embed_one(recording), dtype=np.float32)
    except LfbtError as error:
        raise LfbtError(f"file {file}: {error}") from error


def _check_npy_only(folder: Path) -> None:
    """Raise LfbtError for a data set of ``.npy`` files among which there are other recordings."""
    if (folder / MANIFEST).is_file():
        return
    for path in signal_files(folder.rglob("[!.]*")):
        is_table = path.suffix.lower() == ".csv" and table_column(path)
        if path.suffix.lower() == ".npy" or is_table:
            continue
        raise LfbtError(
            f"embed: {folder} is a data set by its .npy files, but also has {path.relative_to(folder)}; give leads= "
            "and sampling_rate= of the .npy files to read all as recordings, or take the others away"
        )


def _embed_folder(
    folder: Path,
    leads: Sequence[str] | str | None,
    sampling_rate: float | None,
    unit: str,
    embed_one: Callable[..., Any],
) -> NDArray[np.float32]:
    """The embeddings ``[recordings, leads × 64]`` of the files in a folder; errors name the file."""
    of_files = FileSettings("" if leads is None else ",".join(parse_leads(leads)), sampling_rate, unit)
    validate(of_files)
    parts = []
    try:
        for file, recording in read_folder(folder, of_files):
            parts.append(_named(file, recording, embed_one))
    except LfbtError as error:
        raise type(error)(as_arguments(str(error))) from error
    return np.concatenate(parts)


def embed_dataset(
    dataset: Dataset,
    encoder: LeadEncoders,
    *,
    allow_implausible: bool = False,
    missing_leads: MissingLeads = "refuse",
    features: FeatureName = "paper",
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
    allow_implausible, missing_leads, features
        As of `embed`; no lead is derived.
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
    check_range("workers", workers, "[0, 1024]")
    place = resolve_device(device)
    if missing_leads == "nan" and not dataset.names_assumed:
        present = tuple(lead for lead in encoder.config.leads if lead in dataset.leads)
        if 0 < len(present) < len(encoder.config.leads):
            options: dict[str, Any] = {"allow_implausible": allow_implausible, "device": device, "workers": workers}
            part = embed_dataset(dataset, encoder.select_leads(present), features=features, **options)
            return _as_all_leads(part, present, encoder.config)
    # Names that are only assumed are good for the same leads in the same order, not for choosing among them.
    if not dataset.names_assumed:
        dataset = dataset.select_leads(encoder.config.leads)
    _, dataset = match(encoder, dataset)
    chosen = feature_map(features)
    check_voltages_known(dataset, chosen)
    if not allow_implausible:
        dataset.check_voltages()
    frozen = _frozen(encoder, place)
    embeddings = compute_embeddings(frozen, dataset, np.arange(len(dataset)), place, workers, features=chosen)
    n_columns = len(encoder.config.leads) * encoder.config.columns_per_lead(chosen)
    return np.asarray(embeddings.cpu().numpy().reshape(len(dataset), n_columns), dtype=np.float32)


def _frozen(encoder: LeadEncoders, place: torch.device) -> LeadEncoders:
    """The encoder in evaluation mode, in float32 on a device: a copy, unless it is so; one is asked for each file."""
    place = torch.empty(0, device=place).device  # with its number
    tensors = itertools.chain(encoder.parameters(), encoder.buffers())
    is_ready = all(x.device == place and x.dtype in (torch.float32, torch.int64) for x in tensors)
    if is_ready and not any(module.training for module in encoder.modules()):
        return encoder
    return copy.deepcopy(encoder).to(place, torch.float32)


def embed_arrays(
    signals: ArrayLike,
    encoder: LeadEncoders,
    *,
    leads: Sequence[str] | str,
    sampling_rate: float,
    unit: str = "mV",
    allow_implausible: bool = False,
    missing_leads: MissingLeads = "refuse",
    features: FeatureName = "paper",
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
    allow_implausible, missing_leads, features
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
    records = as_records(signals, names)
    check_duration(records.shape[2], sampling_rate, encoder.config)
    if _needs_voltages(encoder, features):
        for row, record in enumerate(records):
            if is_standardised(record):
                raise LfbtError(f"signals: record {row}: {Z_SCORES}")
    present = available_leads(names, encoder.config.leads) if missing_leads == "nan" else ()
    part = encoder.select_leads(present) if present else encoder
    checked_at = None if allow_implausible else sampling_rate
    fitted = fit_records(records, names, unit, checked_at, part.config)
    dataset = from_arrays(fitted, part.config.leads, part.config.sampling_rate)
    embeddings = embed_dataset(dataset, part, allow_implausible=allow_implausible, features=features, device=device)
    return _as_all_leads(embeddings, part.config.leads, encoder.config)


def _needs_voltages(encoder: LeadEncoders, features: FeatureName) -> bool:
    """Whether amplitudes count: by the features, or without a z-score."""
    return encoder.config.normalisation == "none" or bool(feature_map(features).amplitudes)


def _as_all_leads(embeddings: NDArray[np.float32], leads: Sequence[str], config: EncoderConfig) -> NDArray[np.float32]:
    """Embeddings ``[records, leads × features]`` of some leads as of all of the encoder's, NaN for the others."""
    if len(leads) == len(config.leads):
        return embeddings
    n_features = embeddings.shape[1] // len(leads)
    whole = np.full((len(embeddings), len(config.leads), n_features), np.nan, np.float32)
    whole[:, [config.leads.index(lead) for lead in leads]] = embeddings.reshape(len(embeddings), len(leads), -1)
    return whole.reshape(len(embeddings), -1)
