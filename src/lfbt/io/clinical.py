"""Clinical formats, by ecgdatakit."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError, UnreadableError
from lfbt.io.recordings import READ_ERRORS, make_recording, unreadable
from lfbt.recording import Recording, unit_in_mv

if TYPE_CHECKING:
    from ecgdatakit import ECGRecord


#: The suffixes, in lower case, of the files for `read_clinical`, and the format of each.
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

# Warnings of ecgdatakit 2.0 that are errors here: the file holds another ECG, too, or is incomplete.
_NOT_ONE_ECG = re.compile(
    r"rhythm series found|in the rhythm series; only|additional multiplex group|additional rhythm waveform"
    r"|redefine the channels|truncated|shorter than the frame|no waveform data|without a gap|has gaps",
    re.IGNORECASE,
)


def read_clinical(path: Path) -> Recording:
    """Read a file of a clinical format by ecgdatakit, which recognises the format by the content.

    Samples that the file marks as invalid are NaN. Stored checksums are not enforced: many writers get them wrong.

    Parameters
    ----------
    path : Path
        A file of one of the CLINICAL_FORMATS.

    Returns
    -------
    Recording
        In mV.

    Raises
    ------
    UnreadableError
        If the file is not of such a format, is incomplete or holds several ECGs, or its leads differ in length, rate or
        start, or are not voltages.
    LfbtError
        If ecgdatakit or pydicom is not installed.
    """
    try:
        from ecgdatakit import ECGDataKitError, FileParser

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            known = FileParser.detect_format(path) is not None
            record = FileParser.parse(path, units="mV") if known else None
    except ImportError as error:
        raise LfbtError(f"file {path}: no package to read it ({error}); pip install 'lfbt[formats]'") from error
    except (ECGDataKitError, *READ_ERRORS) as error:
        raise unreadable(path, error) from error
    if record is None:
        what = CLINICAL_FORMATS.get(path.suffix.lower(), "clinical format")
        raise UnreadableError(f"file {path}: by its content it is not {what} that ecgdatakit can read")
    for warning in caught:
        if _NOT_ONE_ECG.search(str(warning.message)):
            reason = str(warning.message).replace("\n", " ")
            raise UnreadableError(f"file {path}: it is not one complete ECG ({reason}); put each into its own file")
    _check_together(path, record)
    labels = [lead.label for lead in record.leads]
    # ecgdatakit calls the second of two leads II "II_2".
    first = [re.sub(r"_\d+$", "", label) for label in labels]
    names = [name if name in labels else label for name, label in zip(first, labels, strict=True)]
    return make_recording(path, _samples(path, record), names, _stated_rate(record))


def _samples(path: Path, record: ECGRecord) -> NDArray[np.float64]:
    """Stack the samples of `record` ``[leads, samples]`` in mV, NaN where its file marks them as invalid."""
    signal = np.array([lead.samples for lead in record.leads])
    in_mv = [unit_in_mv(lead.resolution_unit) for lead in record.leads]
    if record.source_format == "ishne_holter":
        # -32768 marks a disconnected lead, which ecgdatakit only counts.
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
            raise UnreadableError(f"file {path}: its lead {lead.label} is not a voltage (unit: {unit})")
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
    """Find the exact sampling rate in Hz in the file's metadata; that of the leads is rounded to a whole number."""
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
    """Whether a DICOM file states 0 as the padding value of its signed waveform of that `shape` ``[leads, samples]``.

    Some converters do, although every lead passes through 0.
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
