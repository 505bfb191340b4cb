"""Readers of one file: WFDB, NumPy, CSV, clinical formats and the MATLAB files of CPSC2018, each to a Recording in mV.

All are functions of this module, so that an entry which names one can be sent to a worker process. Whatever is wrong
with a file is an UnreadableError that names it.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import tokenize
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lfbt.recording import STANDARD_LEADS, LfbtError, Recording, UnreadableError, is_voltage, lead_name, unit_in_mv
from lfbt.sources.wfdb16 import read_wfdb16

if TYPE_CHECKING:
    from ecgdatakit import ECGRecord

# What wfdb, scipy.io, NumPy and pandas raise on truncated and foreign files, found by giving them such files.
_READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
    zlib.error,
)

#: The suffixes, in lower case, of the files for `read_clinical`, and what each should be.
CLINICAL_FORMATS = {
    ".scp": "SCP-ECG",
    ".dcm": "DICOM waveform",
    ".dicom": "DICOM waveform",
    ".xml": "HL7 aECG, GE MUSE, Philips Sierra or Mortara ELI XML",
    ".edf": "EDF",
    ".ecg": "ISHNE Holter",
    ".mwf": "MFER",
    ".mfer": "MFER",
    ".mfr": "MFER",
}

# What ecgdatakit 2.0 only warns of: it left out another ECG of the file, or the file is not one whole recording.
_NOT_ONE_ECG = re.compile(
    r"rhythm series found|in the rhythm series; only|additional multiplex group|additional rhythm waveform"
    r"|redefine the channels|truncated|shorter than the frame|no waveform data|without a gap|has gaps",
    re.IGNORECASE,
)

# The record line of a WFDB header (header(5) of the WFDB manual): a name, then perhaps a number of segments.
_RECORD_LINE = re.compile(r"^(?P<name>[^\s#/][^\s/]*)(?:/(?P<segments>\d+))?(?=\s)", re.MULTILINE)


def read_wfdb(header: Path) -> Recording:
    """The recording of a WFDB header (``.hea``) and its signal files beside it.

    Samples that the file marks as invalid are NaN. A record line whose name wfdb refuses (``E00271.mat 12 500 5000``
    in parts of the Challenge) is mended. Raises UnreadableError, also for records of several segments.
    """
    try:
        text = header.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise _unreadable(header, error) from error
    line = _RECORD_LINE.search(text)
    if line is None:
        raise UnreadableError(f"file {header}: its first line is no WFDB record line; give a .hea file")
    if line["segments"]:
        raise UnreadableError(
            f"file {header}: a record of {line['segments']} segments; give the header of one segment instead"
        )
    try:
        usual = read_wfdb16(header, text)
    except _READ_ERRORS as error:
        raise _unreadable(header, error) from error
    if usual is not None:
        return _wfdb_recording(header, *usual)
    if re.fullmatch(r"[-\w]+", line["name"], re.ASCII):
        return _read_wfdb(header, header)
    with tempfile.TemporaryDirectory() as place:
        mended = Path(place) / "mended.hea"
        mended.write_text(text[: line.start()] + "mended" + text[line.end() :], encoding="utf-8")
        for name in _signal_files(text[line.end() :]):
            if (header.parent / name).is_file():
                shutil.copyfile(header.parent / name, Path(place) / name)
        return _read_wfdb(mended, header)


def _signal_files(signal_lines: str) -> set[str]:
    """The names of the signal files, from what follows a header's record name."""
    lines = [line.split() for line in signal_lines.splitlines()[1:] if not line.startswith("#")]
    return {Path(words[0]).name for words in lines if words}


def _read_wfdb(readable: Path, header: Path) -> Recording:
    """What wfdb reads from `readable`, a header that stands for `header` in messages."""
    import wfdb

    try:
        record = wfdb.rdrecord(str(readable.with_suffix("")))
    except _READ_ERRORS as error:
        if isinstance(error, FileNotFoundError) and error.filename and readable != header:
            error.filename = str(header.parent / Path(error.filename).name)
        raise _unreadable(header, error, "download it and its signal file again") from error
    if record.p_signal is None:
        raise UnreadableError(f"file {header}: it has no signal")
    if not all(record.sig_name):
        raise UnreadableError(f"file {header}: one of its signals has no lead name; add it to the header")
    return _wfdb_recording(header, record.p_signal.T, record.sig_name, record.units, float(record.fs))


def _wfdb_recording(
    header: Path, signal: NDArray[np.float64], names: Sequence[str], units: Sequence[str], sampling_rate: float
) -> Recording:
    """The signals that are voltages; other channels, of breathing or blood pressure, are no leads."""
    leads = [row for row, unit in enumerate(units) if is_voltage(unit)]
    if not leads:
        raise UnreadableError(f"file {header}: none of its signals is a voltage, but {', '.join(set(units))}")
    scale = np.array([unit_in_mv(units[row]) for row in leads])
    # Copies take as long as reading the file.
    in_mv = signal if len(leads) == len(signal) else signal[leads]
    in_mv = in_mv if (scale == 1).all() else in_mv * scale[:, None]
    return _recording(header, in_mv, [names[row] for row in leads], sampling_rate)


def read_npy(path: Path, leads: Sequence[str], sampling_rate: float, unit: str) -> Recording:
    """The recording in a ``.npy`` file: a numeric array ``[leads, samples]`` in `unit`, at `sampling_rate` Hz.

    Raises UnreadableError; arrays of Python objects are refused, never unpickled.
    """
    array = open_npy(path)
    if array.ndim != 2:
        raise UnreadableError(f"file {path}: an array of shape {list(array.shape)}, not [{len(leads)} leads, samples]")
    return _recording(path, array.astype(np.float64) * unit_in_mv(unit), leads, sampling_rate)


def read_npy_row(path: Path, *, row: int, leads: Sequence[str], sampling_rate: float, unit: str) -> Recording:
    """The recording in row `row` of a ``.npy`` file with a numeric array ``[records, leads, samples]`` in `unit`.

    Only that row is read from the disk. Raises UnreadableError.
    """
    array = open_npy(path)
    if array.ndim != 3 or not 0 <= row < len(array):
        raise UnreadableError(
            f"file {path}: an array of shape {list(array.shape)}, not [records, {len(leads)} leads, samples] "
            f"with a record {row}"
        )
    return _recording(path, array[row].astype(np.float64) * unit_in_mv(unit), leads, sampling_rate)


def open_npy(path: Path) -> NDArray[Any]:
    """The array of a ``.npy`` file, memory-mapped. Raises UnreadableError unless it holds real numbers."""
    try:
        array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error
    if array.dtype.kind not in "iuf":
        raise UnreadableError(f"file {path}: an array of {array.dtype}, not of numbers; save integers or floats")
    return array


def read_csv(path: Path, leads: Sequence[str] | None, sampling_rate: float, unit: str) -> Recording:
    """The recording in a CSV file: one row a sample, one column a lead, in `unit`, at `sampling_rate` Hz.

    A first row without any number is a header row and names the leads; without one, `leads` does. A first column
    without a name (a row number) is left out. An empty cell is NaN. Raises UnreadableError.
    """
    import pandas as pd

    header = csv_header(path)
    if header is None and leads is None:
        raise UnreadableError(f"file {path}: no header row names its leads; say what they are")
    skipped = 0 if header is None else 1
    try:
        table = pd.read_csv(path, header=None, skiprows=skipped, dtype=np.float64, encoding="utf-8-sig")
    except _READ_ERRORS as error:
        where = _text_cell(path, skipped)
        raise UnreadableError(f"file {path}: {where or str(error).strip()}") from error
    signal = table.to_numpy().T
    names: Sequence[str] = header or leads or ()
    if header and not header[0]:
        signal, names = signal[1:], header[1:]
    return _recording(path, signal * unit_in_mv(unit), names, sampling_rate)


def csv_header(path: Path) -> list[str] | None:
    """The cells of a CSV file's first row when none of them is a number, else None. Raises UnreadableError."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            cells = [cell.strip().strip('"') for cell in file.readline().split(",")]
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    return cells if any(cells) and not any(map(_is_number, cells)) else None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _text_cell(path: Path, skipped: int) -> str:
    """Where the first cell that is no number stands, or an empty string when that is not the trouble."""
    import pandas as pd

    try:
        cells = pd.read_csv(path, header=None, skiprows=skipped, dtype=str, encoding="utf-8-sig").to_numpy()
    except _READ_ERRORS:
        return ""
    for (row, column), text in np.ndenumerate(cells):
        if isinstance(text, str) and not _is_number(text):
            return f"line {row + skipped + 1}, column {column + 1} holds {text!r}, which is no number"
    return ""


def read_cpsc_mat(path: Path) -> Recording:
    """The recording in a CPSC2018 file: MATLAB 5, a struct ``ECG`` whose ``data`` is 12 × samples in mV at 500 Hz.

    The leads are the standard twelve in the standard order. Raises UnreadableError.
    """
    import scipy.io.matlab

    try:
        signal = np.asarray(scipy.io.loadmat(path, variable_names=["ECG"])["ECG"]["data"][0, 0])
    except (*_READ_ERRORS, scipy.io.matlab.MatReadError) as error:
        raise _unreadable(path, error, "expected a MATLAB 5 struct ECG with data") from error
    if signal.dtype.kind not in "iuf":
        raise UnreadableError(f"file {path}: ECG.data holds {signal.dtype}, not numbers")
    return _recording(path, signal, STANDARD_LEADS, 500.0)


def read_clinical(path: Path) -> Recording:
    """The recording in a file of a clinical format (CLINICAL_FORMATS), told by its content and read by ecgdatakit.

    Samples that the file marks as invalid are NaN. Stored checksums are not enforced, for many writers get them wrong.
    Raises UnreadableError, also for a file with several ECGs or one that is not whole, and for leads that differ in
    length, rate or start or are not in a voltage; LfbtError where ecgdatakit or pydicom is not installed.
    """
    try:
        from ecgdatakit import ECGDataKitError, FileParser

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            known = FileParser.detect_format(path) is not None
            record = FileParser.parse(path, units="mV") if known else None
    except ImportError as error:
        raise LfbtError(f"file {path}: no package to read it ({error}); pip install 'lfbt[formats]'") from error
    except (ECGDataKitError, *_READ_ERRORS) as error:
        raise _unreadable(path, error) from error
    if record is None:
        what = CLINICAL_FORMATS.get(path.suffix.lower(), "clinical format")
        raise UnreadableError(f"file {path}: by its content it is no {what} that ecgdatakit can read")
    for warning in caught:
        if _NOT_ONE_ECG.search(str(warning.message)):
            reason = str(warning.message).replace("\n", " ")
            raise UnreadableError(f"file {path}: it is not one whole ECG ({reason}); put each into its own file")
    _check_together(path, record)
    labels = [lead.label for lead in record.leads]
    # ecgdatakit calls the second of two leads II_2
    first = [re.sub(r"_\d+$", "", label) for label in labels]
    names = [name if name in labels else label for name, label in zip(first, labels, strict=True)]
    return _recording(path, _samples(path, record), names, _stated_rate(record))


def _samples(path: Path, record: ECGRecord) -> NDArray[np.float64]:
    """The samples of `record` ``[leads, samples]``, NaN where its file marks them as invalid."""
    signal = np.array([lead.samples for lead in record.leads])
    in_mv = [unit_in_mv(lead.resolution_unit) for lead in record.leads]
    if record.source_format == "ishne_holter":
        # -32768 is a lead that was off, which ecgdatakit only counts
        lowest = [-32767.5 * lead.resolution * unit for lead, unit in zip(record.leads, in_mv, strict=True)]
        signal[signal < np.array(lowest)[:, None]] = np.nan
    if record.source_format == "dicom_waveform" and np.isnan(signal).any() and _zero_is_padding(path, signal.shape):
        zero = [lead.offset * unit for lead, unit in zip(record.leads, in_mv, strict=True)]
        signal = np.where(np.isnan(signal), np.array(zero)[:, None], signal)
    return signal


def _check_together(path: Path, record: ECGRecord) -> None:
    """Raise UnreadableError unless `record` has leads, all in mV and sampled at the same times."""
    if not record.leads:
        raise UnreadableError(f"file {path}: it has no rhythm leads, only {len(record.median_beats)} median beats")
    for lead in record.leads:
        if lead.is_raw or lead.units != "mV":
            unit = lead.units or lead.adc_resolution_unit or "none"
            raise UnreadableError(f"file {path}: its lead {lead.label} is in no voltage (unit: {unit})")
    for what, values in (
        ("samples", [len(lead.samples) for lead in record.leads]),
        ("Hz", [lead.sampling_rate for lead in record.leads]),
        ("as the first sample", [lead.annotations.get("start_sample", "1") for lead in record.leads]),
        ("as the time offset", [lead.annotations.get("LeadTimeOffset", "0") for lead in record.leads]),
    ):
        if len(set(values)) > 1:
            shown = ", ".join(f"{lead.label} {value}" for lead, value in zip(record.leads, values, strict=True))
            raise UnreadableError(f"file {path}: its leads are not recorded together ({what}: {shown})")


def _stated_rate(record: ECGRecord) -> float:
    """The sampling rate in Hz as the file says it, which ecgdatakit rounds to a whole number in the leads."""
    rounded, meta = record.leads[0].sampling_rate, record.raw_metadata
    interval = meta.get("rhythm_sample_interval_us")
    stated = {
        meta.get("rhythm_time", {}).get("sampling_rate_exact"),
        meta.get("exact_sampling_rates", {}).get(record.leads[0].label),
        *(group["sampling_frequency"] for group in meta.get("multiplex_groups", ())),
        *meta.get("sampling_rates", ()),
        1e6 / interval if interval else None,
    }
    near = {round(rate, 6) for rate in stated if rate and round(rate) == rounded}
    return near.pop() if len(near) == 1 else float(rounded)


def _zero_is_padding(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether a DICOM file gives 0 as the padding of its signed waveform ``[leads, samples]`` of that `shape`.

    Some converters do so, although every lead passes through 0.
    """
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        groups = pydicom.dcmread(path).WaveformSequence
    for group in groups:
        if (group.NumberOfWaveformChannels, group.NumberOfWaveformSamples) == shape:
            padding = group.get("WaveformPaddingValue")
            return group.get("WaveformSampleInterpretation", "SS") in ("SB", "SS", "SL") and not any(padding or b"\1")
    return False


def _recording(path: Path, signal: NDArray[Any], leads: Sequence[str], sampling_rate: float) -> Recording:
    """The Recording of `signal` in mV, whose faults are told with the name of the file."""
    names = tuple(lead_name(lead) for lead in leads)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UnreadableError(f"file {path}: two of its leads are named {twice[0]}, among {','.join(names)}")
    # A value beyond float32 becomes infinite, which the quality checks report.
    with np.errstate(over="ignore"):
        in_mv = np.ascontiguousarray(signal, dtype=np.float32)
    try:
        return Recording(signal=in_mv, sampling_rate=sampling_rate, leads=names)
    except LfbtError as error:
        raise UnreadableError(f"file {path}: {str(error).removeprefix('recording ?: ')}") from error


def _unreadable(path: Path, error: BaseException, expected: str = "") -> UnreadableError:
    reason = str(error).strip().replace("\n", " ") or type(error).__name__
    if isinstance(error, FileNotFoundError) and error.filename:
        reason = f"{error.filename} is absent"
    return UnreadableError(f"file {path}: cannot be read ({reason})" + (f"; {expected}" if expected else ""))
