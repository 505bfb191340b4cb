"""Clinical formats, by ecgdatakit."""

from __future__ import annotations

import base64
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError, UnreadableError
from lfbt.io.common_rate import ADVICE, to_common_rate
from lfbt.io.guarding import isolated
from lfbt.io.recordings import make_recording
from lfbt.recording import STANDARD_LEADS, Recording, is_voltage, lead_name, unit_in_mv

if TYPE_CHECKING:
    from ecgdatakit import ECGRecord, Lead


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
    r"|redefine the channels|truncated|shorter than the frame|no waveform data|without a gap|has gaps"
    r"|after the last data record",
    re.IGNORECASE,
)

# Warnings that are notes: an offset of the samples that no document explains, a length or rate that is not stated, a
# position that is not where it should be, leads under names that are none, and other data that is left.
_NOTED = re.compile(
    r"not applied|number of data records is -1|default of|[Uu]sing \d|ignored in the rhythm|attributes for channel"
    r"|but not loaded|not present"
)
# Tags of MFER.
_MFER_WAVEFORM, _MFER_CHANNEL, _MFER_END = 0x1E, 0x3F, 0x80
# The status of a channel in DICOM that holds no ECG.
_NO_SIGNAL = re.compile("TEST|DISCONNECTED|INVALID|UNCALIBRATED")
# Signals in volts that are no ECG, by the types of EDF+ and the names of sleep studies; and a name without a letter.
_NO_ECG = re.compile(
    r"EMG|EEG|EOG|ERG|EGG|MEG|MCG|RESP|S[PA]?O2|PLETH|PPG|PULSE|TEMP|LIGHT|SOUND|SNOR|EVENT|AIR ?FLOW|FLOW|NASAL|THOR"
    r"|ABDO|CHIN|BODY|BATT|TRIG|STIM|STATUS|MARK|ANNOT|NIBP|(EP|LEG|POS|ACC|ABP|ART|CVP|PAP)\b|[\W\d_]*$",
    re.IGNORECASE,
)


@isolated()
def read_clinical(path: Path, *, resample_leads: bool = False) -> Recording:
    """Read a file of a clinical format by ecgdatakit, which recognises the format by the content.

    Samples that the file marks as invalid are NaN, also those of a lead that it marks as disconnected or as a test.
    Signals that are no ECG are left out, and so is the calibration pulse at the end of Philips files. Stored checksums
    that are wrong are noted only: many writers get them wrong.

    Parameters
    ----------
    path : Path
        A file of one of the CLINICAL_FORMATS.
    resample_leads : bool
        Whether leads of different sampling rates are taken to the highest, and not refused.

    Returns
    -------
    Recording
        In mV.

    Raises
    ------
    UnreadableError
        If the file is not of such a format, is incomplete or holds several ECGs, names a lead in two ways, or its leads
        differ in length, rate (unless `resample_leads`) or start, or are not voltages.
    LfbtError
        If ecgdatakit or pydicom is not installed.
    """
    try:
        from ecgdatakit import FileParser
        from ecgdatakit.exceptions import ChecksumWarning

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            known = FileParser.detect_format(path) is not None
            record = FileParser.parse(path, units="mV") if known else None
    except ImportError as error:
        raise LfbtError(f"file {path}: no package to read it ({error}); pip install 'lfbt[formats]'") from error
    if record is None:
        what = CLINICAL_FORMATS.get(path.suffix.lower(), "clinical format")
        raise UnreadableError(f"file {path}: by its content it is not {what} that ecgdatakit can read")
    for warning in caught:
        if _NOT_ONE_ECG.search(str(warning.message)):
            reason = str(warning.message).replace("\n", " ")
            raise UnreadableError(f"file {path}: it is not one complete ECG ({reason}); put each into its own file")
    leads, notes = _ecg_leads(path, record)
    if any(issubclass(warning.category, ChecksumWarning) for warning in caught):
        notes.append("its checksum is wrong")
    notes += [f"warning: {warning.message}" for warning in caught if _NOTED.search(str(warning.message))]
    notes += [f"lead {lead.label} is marked {mark}" for lead in leads if (mark := _mark(lead))]
    rates = [_stated_rate(record, lead) for lead in leads]
    is_resampled = resample_leads and len(set(rates)) > 1
    _check_together(path, leads, is_resampled)
    _check_skew(path, record, max(rates))
    _check_length(path, record)
    if is_resampled:
        in_mv, note = to_common_rate(path, [lead.label for lead in leads], [lead.samples for lead in leads], rates)
        notes.append(note)
    else:
        in_mv = np.array([lead.samples for lead in leads])
    signal = _with_gaps(path, record, leads, in_mv)
    n_samples = signal.shape[1]
    if record.source_format == "sierra_xml":
        n_samples = _pulse_start(signal, leads[0].sampling_rate)
    if n_samples < signal.shape[1]:
        notes.append("left out the calibration pulse at its end")
    names = [_name(lead, leads) for lead in leads]
    _check_names(path, names, leads)
    return make_recording(path, signal[:, :n_samples], names, max(rates) if is_resampled else rates[0], notes)


def _name(lead: Lead, leads: Sequence[Lead]) -> str:
    """The name of a lead; ecgdatakit calls the second of two leads II "II_2"."""
    first = re.sub(r"_\d+$", "", lead.label)
    return first if any(other.label == first for other in leads) else lead.label


def _check_names(path: Path, names: Sequence[str], leads: Sequence[Lead]) -> None:
    """Raise UnreadableError where a channel of DICOM is one lead by its code, and another by a text."""
    for name, lead in zip(names, leads, strict=True):
        meaning = re.split("[,(]", lead.annotations.get("source_meaning", ""))[0]
        texts = (name, meaning, lead.annotations.get("channel_label", ""))
        # The sign is that of the code.
        spelled = [lead_name(text).removeprefix("-") for text in texts]
        known = dict.fromkeys(one for one in spelled if one in STANDARD_LEADS)
        if len(known) > 1:
            raise UnreadableError(
                f"file {path}: one of its channels is called {' and '.join(known)} (code "
                f"{lead.annotations.get('source_code', 'none')}); correct the file"
            )


def _mark(lead: Lead) -> str:
    """What a file says against a lead, such as DISCONNECTED; empty for nothing."""
    status = lead.annotations.get("channel_status", "").upper()
    off = "LeadOff" if lead.annotations.get("LeadOff", "").upper() in ("TRUE", "1") else ""
    return off or ("" if status == "OK" else status)


def _with_gaps(path: Path, record: ECGRecord, leads: Sequence[Lead], signal: NDArray[Any]) -> NDArray[Any]:
    """Set samples ``[leads, samples]`` in mV to NaN where the file marks them as invalid, and only there."""
    in_mv = [unit_in_mv(lead.resolution_unit) for lead in leads]
    if record.source_format == "ishne_holter":
        # -32768 marks a disconnected lead, which ecgdatakit only counts.
        lowest = [-32767.5 * lead.resolution * unit for lead, unit in zip(leads, in_mv, strict=True)]
        signal[signal < np.array(lowest)[:, None]] = np.nan
    if record.source_format == "dicom_waveform" and np.isnan(signal).any() and _zero_is_padding(path, len(signal[0])):
        zero = [lead.offset * unit for lead, unit in zip(leads, in_mv, strict=True)]
        signal = np.where(np.isnan(signal), np.array(zero)[:, None], signal)
    signal[[_NO_SIGNAL.search(_mark(lead)) is not None for lead in leads]] = np.nan
    return signal


def _ecg_leads(path: Path, record: ECGRecord) -> tuple[list[Lead], list[str]]:
    """Choose the leads that are ECG, and note the others. Raises UnreadableError if one that is has no voltage."""
    if not record.leads:
        what = f"{len(record.median_beats)} median beats" if record.median_beats else "annotations"
        raise UnreadableError(f"file {path}: it has no rhythm leads, only {what}")
    leads, notes = [], []
    for lead in record.leads:
        unit = lead.adc_resolution_unit or lead.units or "none"
        in_mv = lead.units == "mV" and not lead.is_raw
        name = lead_name(lead.label).removeprefix("-")
        is_ecg = name in STANDARD_LEADS or re.search("ecg|ekg", name, re.IGNORECASE)
        fault = "" if in_mv else _range_fault(lead)
        if fault and (is_ecg or (is_voltage(unit) and not _NO_ECG.match(name))):
            raise UnreadableError(f"file {path}: its lead {lead.label} is not calibrated ({fault}); correct its header")
        if is_ecg and record.source_format == "hl7_aecg" and not lead.adc_resolution:
            # ecgdatakit takes 1 of the unit for a scale that is absent or no number.
            raise UnreadableError(f"file {path}: its lead {lead.label} has no scale that is a number; correct the file")
        if is_ecg and not in_mv:
            raise UnreadableError(f"file {path}: its lead {lead.label} is not a voltage (unit: {unit})")
        if is_ecg or (in_mv and not _NO_ECG.match(name)):
            leads.append(lead)
        else:
            notes.append(f"left out signal {lead.label} ({fault or unit})")
    if not leads:
        raise UnreadableError(f"file {path}: none of its signals is an ECG ({', '.join(notes)})")
    return leads, notes


def _range_fault(lead: Lead) -> str:
    """Say which range of an EDF signal is empty, so that its samples have no unit; an empty text if none is."""
    for what in ("digital", "physical"):
        low, high = (lead.annotations.get(f"{what}_{end}", "") for end in ("minimum", "maximum"))
        if low and (low == high or (what == "digital" and int(low) > int(high))):
            return f"{what} minimum {low}, maximum {high}"
    return ""


def _check_together(path: Path, leads: Sequence[Lead], is_resampled: bool) -> None:
    """Raise UnreadableError unless `leads` are sampled at the same times, or will be after they are resampled."""
    rates = [lead.sampling_rate for lead in leads]
    advice = f"; {ADVICE}" if len(set(rates)) > 1 and not is_resampled else ""
    for what, values in (
        ("samples", [] if is_resampled else [len(lead.samples) for lead in leads]),
        ("Hz", [] if is_resampled else rates),
        ("as the first sample", [lead.annotations.get("start_sample", "1") for lead in leads]),
        ("as the time offset", [lead.annotations.get("LeadTimeOffset", "0") for lead in leads]),
    ):
        if len(set(values)) > 1:
            shown = ", ".join(f"{lead.label} {value}" for lead, value in zip(leads, values, strict=True))
            raise UnreadableError(f"file {path}: its leads are not recorded together ({what}: {shown}){advice}")


def _check_skew(path: Path, record: ECGRecord, rate: float) -> None:
    """Raise UnreadableError if a file of DICOM or MFER states that leads are late by more than half a sample."""
    skews = [float(lead.annotations.get("sample_skew_ms", 0)) / rate for lead in record.leads]  # in fact in samples
    if record.source_format == "dicom_waveform":
        channels = [
            channel for group in _dicom_groups(path)[:1] for channel in group.get("ChannelDefinitionSequence", ())
        ]
        skews += [float(channel.get("ChannelTimeSkew") or 0) for channel in channels]
    # That of MFER is between a channel and the next, in ns.
    skews += [0.0, *(1e-9 * skew * (len(record.leads) - 1) for skew in record.raw_metadata.get("sample_skew_ns", ()))]
    if max(skews) - min(skews) > 0.5 / rate:
        raise UnreadableError(
            f"file {path}: its leads are not recorded together (skew: {1000 * (max(skews) - min(skews)):.3g} ms)"
        )


def _check_length(path: Path, record: ECGRecord) -> None:
    """Raise UnreadableError where a file states another length than it has and ecgdatakit does not say so."""
    if record.source_format == "ishne_holter":
        stated, found = record.raw_metadata["ecg_size"], record.raw_metadata["samples_per_lead"]
        # Some writers state the samples of all leads together, or nothing.
        if stated not in (0, found, found * len(record.leads)):
            raise UnreadableError(f"file {path}: it holds {found} samples a lead, not {stated} as its header states")
    if record.source_format == "sierra_xml" and not record.recording.acquisition.signal.compression:
        stated, found = sum(len(lead.samples) for lead in record.leads), _count_sierra(path)
        # Leads stand one after another, so that in a longer file another one than stated begins.
        if stated != found:
            raise UnreadableError(f"file {path}: its waveforms hold {found} samples, not {stated} as they state")
    if record.source_format == "mfer":
        channels = [lead.samples for lead in (*record.leads, *record.median_beats)]
        channels += record.raw_metadata.get("status_channels", {}).values()
        stated = sum(map(len, channels)) * (record.recording.acquisition.signal.bits_per_sample or 16) // 8
        # A byte may pad them.
        if _count_mfer_bytes(path.read_bytes()) > stated + 1:
            raise UnreadableError(f"file {path}: its waveforms have more bytes than the {stated} of its channels")
    if record.source_format == "dicom_waveform":
        for group in _dicom_groups(path):
            stated = group.NumberOfWaveformChannels * group.NumberOfWaveformSamples * group.WaveformBitsAllocated // 8
            # A value of odd length is padded to an even one.
            if not stated <= len(group.WaveformData) <= stated + 1:
                raise UnreadableError(
                    f"file {path}: its waveform has {len(group.WaveformData)} bytes, not {stated} as it states"
                )


def _count_mfer_bytes(data: bytes) -> int:
    """Count the bytes of waveforms in a file of MFER: tags, each with a length and as many bytes."""
    position = total = 0
    while position < len(data) - 1 and data[position] != _MFER_END:
        tag, position = data[position], position + 1
        if not tag:
            continue
        position += tag == _MFER_CHANNEL
        length, position = data[position], position + 1
        if length >= 0x80:
            length, position = (
                int.from_bytes(data[position : position + length - 0x80], "big"),
                position + length - 0x80,
            )
        total += length if tag == _MFER_WAVEFORM else 0
        position += length
    return total


def _count_sierra(path: Path) -> int:
    """Count the samples of all leads that a Philips file holds without compression."""
    from ecgdatakit.parsing.helpers.xml import parse_xml_root

    waveforms = next(node for node in parse_xml_root(path.read_bytes()).iter() if node.tag.endswith("parsedwaveforms"))
    text = waveforms.text or ""
    if waveforms.get("dataencoding") == "Base64":
        return len(base64.b64decode(text)) // 2
    return len(text.split())


def _pulse_start(signal: NDArray[np.float64], sampling_rate: float) -> int:
    """Find where a calibration pulse begins that ends `signal` ``[leads, samples]``; the length if there is none.

    Philips electrocardiographs append a pulse of 1 mV between zeros, the same in all leads. No ECG is: lead III would
    be 0 where I and II are the same.
    """
    same = np.isin(signal, (0, 1)).all(axis=0) & (signal == signal[0]).all(axis=0)
    start = len(same) - int(np.argmin(same[::-1])) if not same.all() else 0
    tail = signal[0, start:]
    is_pulse = len(signal) > 2 and np.count_nonzero(tail == 1) >= 0.1 * sampling_rate and (tail == 0).any()
    return start if is_pulse else len(same)


def _stated_rate(record: ECGRecord, lead: Lead) -> float:
    """Find the exact sampling rate in Hz in the file's metadata; that of a `lead` is rounded to a whole number."""
    rounded, meta = lead.sampling_rate, record.raw_metadata
    interval = meta.get("rhythm_sample_interval_us")
    stated = {
        meta.get("rhythm_time", {}).get("sampling_rate_exact"),
        meta.get("exact_sampling_rates", {}).get(lead.label),
        *(group["sampling_frequency"] for group in meta.get("multiplex_groups", ())),
        *meta.get("sampling_rates", ()),
        1e6 / interval if interval else None,
    }
    near = {round(rate, 6) for rate in stated if rate and round(rate) == rounded}
    return near.pop() if len(near) == 1 else float(rounded)


def _dicom_groups(path: Path) -> Sequence[Any]:
    """Read the multiplex groups of a DICOM file that hold samples."""
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        groups = pydicom.dcmread(path).WaveformSequence
    needed = ("WaveformData", "NumberOfWaveformChannels", "NumberOfWaveformSamples", "WaveformBitsAllocated")
    return [group for group in groups if all(group.get(name) for name in needed)]


def _zero_is_padding(path: Path, n_samples: int) -> bool:
    """Whether a DICOM file states 0 as the padding value of its signed waveform of so many samples a channel.

    Some converters do, although every lead passes through 0.
    """
    for group in _dicom_groups(path):
        if group.NumberOfWaveformSamples == n_samples:
            padding = group.get("WaveformPaddingValue")
            return group.get("WaveformSampleInterpretation", "SS") in ("SB", "SS", "SL") and not any(padding or b"\1")
    return False
