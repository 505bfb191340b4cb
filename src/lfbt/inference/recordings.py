"""What an encoder is given: files, folders, data sets and recordings, cut into pieces that fit it."""

from __future__ import annotations

import collections
import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from lfbt.data.dataset import Dataset, options_to_fit
from lfbt.data.layouts import open_dataset
from lfbt.data.manifest import MANIFEST
from lfbt.data.records import PrepareSettings, cut_recording
from lfbt.errors import LfbtError, UnreadableError
from lfbt.io import names_no_lead, open_npy, read, read_npy_row
from lfbt.models.config import EncoderConfig, list_differences
from lfbt.recording import Recording, check_sampling_rate, missing_leads, parse_leads, unit_in_mv
from lfbt.signal import Signal, available_leads, normalise
from lfbt.sources import Folder
from lfbt.sources.listing import Dropped, Entry
from lfbt.utils.opening import shown_name
from lfbt.voltages import Z_SCORES, implausible_span, is_standardised

# Pieces that are read at a time, as many as are computed at a time by default, and how many times ahead: the reader
# never waits while a batch is computed.
_PIECES_AT_A_TIME, _TIMES_AHEAD = 64, 2
# Settings of files, as `read` calls them.
_OF_FILES = ("leads", "sampling_rate", "unit")


@dataclasses.dataclass(frozen=True)
class FileSettings:
    """What files do not state themselves, and what is done with voltages that cannot be."""

    file_leads: str = ""
    """Lead names of the .npy rows, or of the columns of .csv files without a header row, such as I,II,III."""
    file_sampling_rate: float | None = None
    """Sampling rate of the .npy and .csv files, in Hz; for .csv files without one, what their column of times tells."""
    file_unit: str = "mV"
    """Unit of the .npy and .csv files that state none: mV, uV, V, nV, or raw counts by their gain, such as 200/mV,
    and with the count of 0 V, such as 200(2048)/mV."""
    allow_implausible: bool = False
    """Accept voltages that no ECG has: a lead over 30 mV in most seconds, a median lead under 0.05 or over 10 mV."""

    def check(self) -> None:
        """Raise LfbtError for leads, a rate or a unit that is none."""
        if self.file_leads:
            parse_leads(self.file_leads)
        if self.file_sampling_rate is not None:
            check_sampling_rate(self.file_sampling_rate, "file_sampling_rate")
        unit_in_mv(self.file_unit)


@dataclasses.dataclass(frozen=True)
class ServedLeads:
    """With which leads a recording is answered that does not have all of the encoder's.

    Parameters
    ----------
    subsets : tuple of tuple of str
        Those that suffice; None for any, one at least.
    remedy : str
        What to do about a recording that has none of these.
    """

    subsets: tuple[tuple[str, ...], ...] | None = ()
    remedy: str = ""

    def choose(self, present: Sequence[str], leads: Sequence[str]) -> tuple[str, ...]:
        """Choose among the leads `present` of all `leads`: all, or the largest subset, of several the first; or none.

        >>> ServedLeads((("II",), ("II", "V1"), ("V1", "V2"))).choose(("II", "V1", "V2"), ("II", "V1", "V2", "V3"))
        ('II', 'V1')
        """
        if len(present) == len(leads) or self.subsets is None:
            return tuple(present)
        return max((subset for subset in self.subsets if set(subset) <= set(present)), key=len, default=())


# A frozen default argument.
_ALL_LEADS = ServedLeads()


@dataclasses.dataclass(frozen=True)
class Pieces:
    """A recording as an encoder takes it.

    Parameters
    ----------
    file, id, patient : str
        Where it is and what it is called; empty where unknown.
    signals : ndarray of float32, ``[pieces, leads, samples]``
        Normalised as the encoder expects, a lead that is not used NaN; none where the recording cannot be used.
    numbers : tuple of int
        Which piece of the recording each is, from 0.
    notes : tuple of str
        What its reader decided, what was padded and which pieces were left out.
    reason : str
        Why there are no pieces.
    leads_used : tuple of str
        The leads that are not NaN; empty without pieces.
    """

    file: str
    id: str
    patient: str
    signals: Signal
    numbers: tuple[int, ...] = (0,)
    notes: tuple[str, ...] = ()
    reason: str = ""
    leads_used: tuple[str, ...] = ()


def list_recordings(inputs: Iterable[Path], settings: FileSettings) -> list[Entry | Dataset | Dropped]:
    """List what is in files, folders and prepared data sets, in the order given.

    Parameters
    ----------
    inputs : iterable of Path
        A folder may have any sub-folders. A WFDB record may be named by any of its files, or without a suffix.
    settings : FileSettings
        What files do not state.

    Returns
    -------
    list of Entry, Dataset or Dropped
        Recordings that are not read yet, data sets, and what is no recording, with the reason.

    Raises
    ------
    LfbtError
        For a folder without recordings.
    """
    found: list[Entry | Dataset | Dropped] = []
    for path in inputs:
        if (path / MANIFEST).is_file():
            found.append(open_dataset(path))
        elif path.is_dir():
            options = {name: getattr(settings, name) for name in ("file_leads", "file_sampling_rate", "file_unit")}
            listing = Folder(**options).find(path)
            # A folder states no patients; to prepare it each record stands for one.
            found += [dataclasses.replace(entry, patient="") for entry in listing.entries]
            found += [dataclasses.replace(item, file=str(path / item.file)) for item in listing.dropped]
        else:
            found += list_file(path, settings)
    return found


def _is_passed_over(item: Dropped) -> bool:
    """Whether it is a file that is no signal file among others, so none that is to be answered."""
    return item.reason.startswith("passed over")


def read_folder(folder: Path, settings: FileSettings) -> Iterator[tuple[str, Recording]]:
    """Read the recordings in a folder, in the order of `list_recordings`.

    Parameters
    ----------
    folder : Path
        No prepared data set.
    settings : FileSettings
        What files do not state.

    Yields
    ------
    tuple of str and Recording
        The recording, and its file.

    Raises
    ------
    LfbtError
        For a folder without recordings, and for a file that cannot be read.
    """
    for item in list_recordings([folder], settings):
        if isinstance(item, Entry):
            yield str(item.file), item.reader(item.file)
        elif isinstance(item, Dropped) and not _is_passed_over(item):
            raise UnreadableError(item.reason)


def list_file(path: Path, settings: FileSettings) -> list[Entry | Dropped]:
    """List what is in a file: a recording, or each of an array ``[records, leads, samples]``."""
    options: dict[str, Any] = {
        "leads": settings.file_leads or None,
        "sampling_rate": settings.file_sampling_rate,
        "unit": settings.file_unit,
    }
    if path.suffix.lower() == ".npy" and path.is_file() and options["leads"] and options["sampling_rate"]:
        try:
            array = open_npy(path)
        except LfbtError as error:
            return [Dropped(path.stem, str(path), str(error))]
        if array.ndim == 3:
            reader = functools.partial(read_npy_row, **{**options, "leads": parse_leads(options["leads"])})
            ids = (f"{path.stem}/{row}" for row in range(len(array)))
            return [Entry(id, "", path, functools.partial(reader, row=row)) for row, id in enumerate(ids)]
    return [Entry(path.stem, "", path, functools.partial(_read_file, **options))]


def _read_file(path: Path, **options: Any) -> Recording:
    """Read a file; the options of those that state them themselves are left out."""
    if path.suffix.lower() not in (".npy", ".csv"):
        return read(path)
    try:
        return read(path, **options)
    except LfbtError as error:
        name, colon, rest = str(error).partition(":")
        if name in _OF_FILES and colon:
            raise LfbtError(f"file_{name}:{rest}") from error
        raise


def as_arguments(message: str) -> str:
    """Call settings of files as the arguments of functions and the fields of forms are called.

    >>> as_arguments("file_unit: mmHg is no voltage")
    'unit: mmHg is no voltage'
    """
    return re.sub(rf"\bfile_({'|'.join(_OF_FILES)})\b", r"\1", message)


def iterate_pieces(
    items: Iterable[Entry | Dataset | Dropped | Recording],
    config: EncoderConfig,
    settings: FileSettings,
    served: ServedLeads = _ALL_LEADS,
    needs_voltages: bool = False,
) -> Iterator[Pieces]:
    """Read recordings ahead of their use and cut them into pieces that fit an encoder, as `lfbt prepare` does.

    Leads are taken by name, missing limb leads are derived; pieces are resampled, and recordings of 5 s up to the
    encoder's duration padded with zeros. A recording that cannot be used comes without pieces and with the reason.

    Parameters
    ----------
    items : iterable of Entry, Dataset, Dropped or Recording
        From `list_recordings`, or recordings in memory.
    config : EncoderConfig
        What the encoder takes.
    settings : FileSettings
        Whether implausible voltages are accepted.
    served : ServedLeads
        Which leads suffice; by default all are needed.
    needs_voltages : bool
        Whether amplitudes count, so that a recording of z-scores cannot be used.

    Yields
    ------
    Pieces
        Of each recording, in order; each record of a data set is a recording of one piece.

    Raises
    ------
    LfbtError
        For a data set that does not fit the encoder.
    """
    preparation = PrepareSettings(
        leads=config.leads,
        n_samples=config.n_samples,
        duration=config.n_samples / config.sampling_rate,
        allow_implausible=settings.allow_implausible,
        skip_unreadable=True,
        workers=1,
    )

    def make() -> Iterator[Pieces]:
        for item in items:
            if isinstance(item, Dataset):
                yield from _records_of(item, config, settings, served)
            elif isinstance(item, Dropped):
                if not _is_passed_over(item):
                    yield _without_pieces(shown_name(item.file), item.id, item.reason, config)
            else:
                yield _cut(item, config, preparation, served, needs_voltages)

    return _ahead(make())


def _cut(
    item: Entry | Recording,
    config: EncoderConfig,
    settings: PrepareSettings,
    served: ServedLeads,
    needs_voltages: bool,
) -> Pieces:
    file = shown_name(str(item.file)) if isinstance(item, Entry) else ""
    try:
        recording = item.reader(item.file) if isinstance(item, Entry) else item
        if needs_voltages and (not recording.in_mv or is_standardised(recording.signal)):
            return _without_pieces(file, item.id, Z_SCORES, config)
        present = available_leads(recording.leads, config.leads)
        leads = served.choose(present, config.leads)
        if not leads:
            why = _why_absent(recording.leads, present, config, served)
            if file.lower().endswith(".csv") and all(map(names_no_lead, recording.leads)):
                why += "; say by file_leads which leads its columns are"
            return _without_pieces(file, item.id, why, config)
        settings = dataclasses.replace(settings, leads=leads)
        entry = item if isinstance(item, Entry) else Entry(item.id, item.patient, Path(item.id), lambda _: recording)
        prepared = cut_recording(entry, recording, settings)
    except (LfbtError, OSError) as error:
        return _without_pieces(file, item.id, str(error), config)
    lost = "; ".join(f"{dropped.reason}" for dropped in prepared.dropped)
    unlike_ecg = None if settings.allow_implausible or not recording.in_mv else implausible_span(prepared.spans)
    if unlike_ecg or not prepared.pieces:
        reason = f"{unlike_ecg}; state the right unit where it can be (file_unit), or insist with allow_implausible"
        return _without_pieces(file, entry.id, reason if unlike_ecg else lost, config)
    notes = list(recording.notes)
    n_raw = round(settings.duration * recording.sampling_rate)
    # Of the last piece, which alone may be shorter.
    n_samples = recording.signal.shape[1] - (prepared.n_pieces - 1) * n_raw
    if n_samples < n_raw - 1 and prepared.pieces[-1].number == prepared.n_pieces - 1:
        which = "" if prepared.n_pieces == 1 else f"piece {prepared.n_pieces} of {prepared.n_pieces} "
        notes.append(f"{which}padded from {n_samples / recording.sampling_rate:.3g} s to {settings.duration:g} s")
    if lost:
        notes.append(f"left out: {lost}")
    notes += _absence(leads, present, config)
    signals = normalise(np.stack([piece.signal for piece in prepared.pieces]), config.normalisation)
    numbers = tuple(piece.number for piece in prepared.pieces)
    patient = recording.patient or item.patient
    return Pieces(
        file,
        shown_name(entry.id),
        patient,
        _as_all_leads(signals, leads, config),
        numbers,
        tuple(notes),
        leads_used=leads,
    )


def _why_absent(leads: Sequence[str], present: Sequence[str], config: EncoderConfig, served: ServedLeads) -> str:
    """Why a recording of `leads` is not answered, of which those of the encoder in `present` are there or derivable."""
    absent, derived = missing_leads(config.leads, present), missing_leads(present, leads)
    has = ",".join(leads) + (f", from which {','.join(derived)} can be derived" if derived else "")
    subsets = f", or the subset {' or '.join(map(','.join, served.subsets))}" if served.subsets else ""
    remedy = f"; {served.remedy}" if served.remedy and present else ""
    takes = f"the encoder takes {','.join(config.leads)}{subsets}"
    return f"absent lead {','.join(absent)} (the recording has {has}); {takes}{remedy}"


def _absence(leads: Sequence[str], present: Sequence[str], config: EncoderConfig) -> list[str]:
    """A note of what is absent and what is used; none where all leads are used."""
    if len(leads) == len(config.leads):
        return []
    absent, unused = missing_leads(config.leads, present), missing_leads(present, leads)
    also = f", without {','.join(unused)}" if unused else ""
    return [f"absent lead {','.join(absent)}: answered from {','.join(leads)}{also}"]


def _as_all_leads(signals: Signal, leads: Sequence[str], config: EncoderConfig) -> Signal:
    """Signals ``[pieces, leads, samples]`` of some leads as of all of the encoder's, the others NaN."""
    if len(leads) == len(config.leads):
        return signals
    whole = np.full((len(signals), len(config.leads), signals.shape[2]), np.nan, np.float32)
    whole[:, [config.leads.index(lead) for lead in leads]] = signals
    return whole


def _without_pieces(file: str, id: str, reason: str, config: EncoderConfig) -> Pieces:
    no_signals = np.empty((0, len(config.leads), config.n_samples), np.float32)
    return Pieces(file, shown_name(id), "", no_signals, (), (), shown_name(reason))


def fit_dataset(dataset: Dataset, config: EncoderConfig, served: ServedLeads) -> tuple[Dataset, Sequence[str]]:
    """Select the leads that are used; with those that are there. Raises LfbtError where it does not fit an encoder."""
    leads = present = config.leads
    if not dataset.names_assumed:
        present = tuple(lead for lead in config.leads if lead in dataset.leads)
        # Where none suffice, the data set says which it lacks.
        leads = served.choose(present, config.leads) or config.leads
        dataset = dataset.select_leads(leads)
    if differences := list_differences(dataset, dataclasses.replace(config, leads=leads)):
        raise LfbtError(
            f"{dataset.folder}: the data set does not fit the encoder: {'; '.join(differences)}. Prepare it with "
            f"{options_to_fit(dataset, config.leads, config.sampling_rate, config.n_samples)}"
        )
    return dataset, present


def _records_of(
    dataset: Dataset, config: EncoderConfig, settings: FileSettings, served: ServedLeads
) -> Iterator[Pieces]:
    dataset, present = fit_dataset(dataset, config, served)
    leads = config.leads if dataset.names_assumed else dataset.leads
    if not settings.allow_implausible:
        dataset.check_voltages()
    for row in range(len(dataset)):
        signals = _as_all_leads(dataset.batch(np.array([row]), config.normalisation), leads, config)
        notes = tuple(_absence(leads, present, config))
        yield Pieces(
            str(dataset.folder), dataset.ids[row], dataset.patients[row], signals, notes=notes, leads_used=leads
        )


def _ahead(items: Iterator[Pieces]) -> Iterator[Pieces]:
    """Yield items that a thread makes ahead, some at a time. What it raises is raised here."""

    def make() -> list[Pieces]:
        some: list[Pieces] = []
        n_pieces = 0
        for item in items:
            some.append(item)
            n_pieces += max(1, len(item.signals))
            if n_pieces >= _PIECES_AT_A_TIME:
                break
        return some

    with ThreadPoolExecutor(1) as pool:
        waiting = collections.deque(pool.submit(make) for _ in range(_TIMES_AHEAD))
        try:
            while some := waiting.popleft().result():
                waiting.append(pool.submit(make))
                yield from some
        finally:
            pool.shutdown(cancel_futures=True)


def read_list(lines: Iterable[str]) -> list[Path]:
    r"""Read paths, one a line, without a byte order mark; blank lines are passed over.

    Where there is a NUL, each path ends with one, as ``find -print0`` writes them, and may have line breaks in it.

    >>> read_list(["\ufeffa.csv\r\n", "\n", "b.csv"])
    [PosixPath('a.csv'), PosixPath('b.csv')]
    >>> read_list(["a.csv\0b 1.csv\0"])
    [PosixPath('a.csv'), PosixPath('b 1.csv')]
    """
    lines = list(lines)
    if any("\0" in line for line in lines):
        named = "".join(lines).split("\0")
    else:
        named = [line.removeprefix("\ufeff").rstrip("\r\n") for line in lines]
    return [Path(name) for name in named if name.strip()]
