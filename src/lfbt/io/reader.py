"""Read an ECG recording from a file of any known format."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from lfbt.errors import LfbtError
from lfbt.io.arrays import read_npy
from lfbt.io.clinical import CLINICAL_FORMATS, read_clinical
from lfbt.io.csv import read_csv, read_csv_header
from lfbt.io.matlab import read_cpsc_mat
from lfbt.io.recordings import sign_note
from lfbt.io.wfdb import read_wfdb
from lfbt.recording import Recording, check_sampling_rate, parse_leads, unit_in_mv, zero_count
from lfbt.utils.opening import check_regular
from lfbt.utils.settings import Range, as_path, convert

# Files that state no sampling rate and no unit.
_PLAIN = (".npy", ".csv")
_WORKBOOKS = (".xlsx", ".xls", ".ods")
_TEXTS = (".txt", ".tsv", ".asc", ".tab")
_ALLOWED = f".hea (WFDB), .npy, .csv, .mat (CPSC2018), {', '.join(CLINICAL_FORMATS)}"


def read(
    path: str | Path,
    *,
    leads: str | Sequence[str] | None = None,
    sampling_rate: float | None = None,
    unit: str = "mV",
    resample_leads: bool = False,
) -> Recording:
    """Read an ECG recording.

    Parameters
    ----------
    path : str or Path
        A WFDB record (its ``.hea`` file, its signal file, or its name without a suffix), ``.npy`` ``[leads, samples]``
        (or ``[samples, leads]``, where only that fits the leads), ``.csv`` (a row a sample, a column a lead), a
        ``.mat`` file of CPSC2018, or a clinical file: SCP-ECG, DICOM, HL7 aECG, GE MUSE, Philips and Mortara XML, EDF,
        ISHNE or MFER (``pip install 'lfbt[formats]'``).
    leads : str or sequence of str, optional
        The names of the rows or columns in their order, such as ``"II,V1"``. Required for ``.npy``, and for ``.csv``
        without a header row.
    sampling_rate : float, optional
        In Hz. Required for ``.npy``, and for ``.csv`` without a column of times that tells it.
    unit : str
        Of ``.npy`` and ``.csv``: mV, uV, V, nV, or raw counts by their gain, such as ``200/mV``, and with the count of
        0 V, such as ``200(2048)/mV``. Other files state their own.
    resample_leads : bool
        Whether leads of different sampling rates in one file (WFDB, EDF) are taken to the highest of these, with
        a note, and not refused.

    Returns
    -------
    Recording
        In mV, with lead names in the standard spelling; its id is the file's name without the suffix.

    Raises
    ------
    UnreadableError
        If the file is corrupt or not what its suffix says.
    LfbtError
        If the format is unknown, something required is missing, or `leads`, `sampling_rate` or `unit` contradicts what
        the file itself states.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/ecg.npy", np.full((2, 5000), 500))
    ...     recording = read(f"{folder}/ecg.npy", leads="II,V1", sampling_rate=500, unit="uV")
    >>> recording.leads, recording.signal.shape, float(recording.signal[0, 0])
    (('II', 'V1'), (2, 5000), 0.5)
    """
    path = as_path("path", path)
    names = None if leads is None else parse_leads(leads)
    sampling_rate = convert("sampling_rate", sampling_rate, Annotated[float, Range("(0, inf)", "it is in Hz")] | None)
    if sampling_rate is not None:
        check_sampling_rate(sampling_rate)
    unit_in_mv(unit)
    resample_leads = convert("resample_leads", resample_leads, bool)
    header = _find_header(path)
    if header is None and not path.is_file():
        if path.exists() and not path.is_dir():
            check_regular(path)
        raise LfbtError(f"file {path}: {'is a folder; give one of its files' if path.is_dir() else 'does not exist'}")
    if header is None and path.suffix.lower() in _PLAIN:
        recording = _read_plain(path, names, sampling_rate, unit)
    elif unit_in_mv(unit) != 1 or zero_count(unit):
        raise LfbtError(f"unit: {unit} was given, but {path} states the unit of each signal itself; leave it out")
    else:
        recording = (
            read_wfdb(header, resample_leads=resample_leads) if header else _read_self_describing(path, resample_leads)
        )
    _check_agreement(path, recording, names, sampling_rate)
    return dataclasses.replace(recording, id=(header or path).stem)


def _find_header(path: Path) -> Path | None:
    """Find the header of the WFDB record that `path` names; None if it does not name one."""
    suffix = path.suffix.lower()
    if suffix == ".hea":
        return path
    if suffix in (".dat", ".mat"):
        start = path.with_suffix("")
    elif not suffix or not path.is_file():
        start = path
    else:
        return None
    headers = (Path(f"{start}{suffix}") for suffix in (".hea", ".HEA"))
    return next((header for header in headers if header.is_file()), None)


def _read_plain(path: Path, leads: Sequence[str] | None, sampling_rate: float | None, unit: str) -> Recording:
    """Read a file that states no sampling rate, and perhaps no leads."""
    is_csv = path.suffix.lower() == ".csv"
    header = read_csv_header(path) if is_csv else None
    if sampling_rate is None and not (header and header.states_rate):
        raise LfbtError(f"sampling_rate: none given, but {path} does not state its own; give it in Hz, such as 500")
    if header:
        if leads is None and header.leads is None:
            raise LfbtError(f"leads: none given, but {path} has no header row that names its leads; give them: II,V1")
        return read_csv(path, leads, sampling_rate, unit)
    if leads is None or sampling_rate is None:
        raise LfbtError(f"leads: none given, but {path} does not name its leads; give them, such as II,V1")
    return read_npy(path, leads, sampling_rate, unit)


def _read_self_describing(path: Path, resample_leads: bool) -> Recording:
    suffix = path.suffix.lower()
    if suffix == ".mat":
        return read_cpsc_mat(path)
    if suffix in CLINICAL_FORMATS:
        return read_clinical(path, resample_leads=resample_leads)
    if suffix == ".dat":
        raise LfbtError(f"file {path}: its WFDB header {path.with_suffix('.hea').name} is not beside it; put it there")
    if suffix == ".npz":
        raise LfbtError(f"file {path}: an archive of several arrays; save the one of a recording as .npy")
    if suffix in _WORKBOOKS:
        raise LfbtError(f"file {path}: a workbook; save the sheet with the samples as CSV")
    advice = "; if it has a row for each sample, name it .csv" if suffix in _TEXTS else ""
    raise LfbtError(
        f"file {path}: {suffix or 'no suffix'} is not a format that lfbt reads; allowed: {_ALLOWED}{advice}"
    )


def _check_agreement(
    path: Path, recording: Recording, leads: Sequence[str] | None, sampling_rate: float | None
) -> None:
    """Raise LfbtError if `leads` or `sampling_rate` contradicts what the file states."""
    stated = [f"-{lead}" if sign_note(lead) in recording.notes else lead for lead in recording.leads]
    if leads is not None and list(leads) != stated:
        raise LfbtError(
            f"leads: {','.join(leads)} contradicts {path}, whose leads are {','.join(stated)}; leave it out"
        )
    if sampling_rate is not None and not math.isclose(sampling_rate, recording.sampling_rate, rel_tol=1e-6):
        raise LfbtError(
            f"sampling_rate: {sampling_rate:g} Hz contradicts {path}, which has {recording.sampling_rate:g} Hz; "
            "leave it out"
        )
