"""WFDB records: a header and the signal files beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError, UnreadableError
from lfbt.io.common_rate import ADVICE, to_common_rate
from lfbt.io.guarding import guarded, isolated, reading
from lfbt.io.matlab import matlab_version
from lfbt.io.recordings import make_recording
from lfbt.io.wfdb16 import checksums16, read_samples16
from lfbt.io.wfdb_header import WfdbHeader, WfdbSignal, read_header
from lfbt.recording import Recording, is_voltage, unit_in_mv
from lfbt.utils.figures import format_count
from lfbt.utils.opening import check_regular, read_bytes

# The stored value that marks an invalid sample, by format (signal(5) of the WFDB manual); format 8 has none.
_INVALID = {
    **dict.fromkeys((16, 61, 160, 516), -(2**15)),
    **dict.fromkeys((80, 508), -(2**7)),
    **dict.fromkeys((310, 311), -(2**9)),
    **dict.fromkeys((24, 524), -(2**23)),
    212: -(2**11),
    32: -(2**31),
    8: None,
}
# Formats that pack two or three samples into some bytes, so that a file may end with one or two that mean nothing.
_PACKED = (212, 310, 311)
# Bytes of a sample in the others.
_BYTES = {8: 1, 80: 1, 16: 2, 61: 2, 160: 2, 24: 3, 32: 4}
# Formats of FLAC, whose files state their lengths.
_FLAC = (508, 516, 524)
_AGAIN = "download it and its signal file again"

# The samples of each signal, as they are stored: an array [signals, samples] where all have as many.
_Samples = NDArray[Any] | list[NDArray[Any]]


@guarded()
def read_wfdb(header: Path, *, resample_leads: bool = False) -> Recording:
    """Read a WFDB record.

    Samples that the file marks as invalid are NaN. Signals that are not voltages (breathing, blood pressure) are left
    out. The first values and checksums that the header states are compared with the samples of every signal.

    Parameters
    ----------
    header : Path
        The ``.hea`` file, with its signal files beside it.
    resample_leads : bool
        Whether leads of different sampling rates are taken to the highest, and not refused.

    Returns
    -------
    Recording
        In mV.

    Raises
    ------
    UnreadableError
        If a file is absent or corrupt, the record has several segments, no signal is a voltage, or one that is has no
        gain or another sampling rate than the others (unless `resample_leads`).
    LfbtError
        If the package wfdb is needed and not installed.
    """
    record = read_header(header)
    for name in dict.fromkeys(signal.file for signal in record.signals):
        if Path(name).name != name or not (header.parent / name).exists():
            raise UnreadableError(f"file {header}: cannot be read ({header.parent / name} is absent); {_AGAIN}")
        layouts = {(signal.format, signal.offset) for signal in record.signals if signal.file == name}
        if len(layouts) > 1:
            raise UnreadableError(
                f"file {header}: its signals in {name} have different formats or offsets ({sorted(layouts)}); one file "
                "has one of each: correct the header"
            )
        ((_, offset),) = layouts
        size = check_regular(header.parent / name)
        if offset and offset >= size:
            raise UnreadableError(
                f"file {header}: its samples begin at byte {offset} of {name}, which has {size} bytes; correct the "
                "header, or download both again"
            )
    _check_own(header, record)
    with reading(header, _AGAIN):
        samples: _Samples | None = read_samples16(header.parent, record)
    if samples is None:
        samples = _read_by_wfdb(header, record)
    _check_evidence(header, record.signals, samples)
    return _make_recording(header, record, samples, resample_leads)


def _check_own(header: Path, record: WfdbHeader) -> None:
    """Raise UnreadableError for a header that was renamed and still names the samples of another record."""
    # Headers of the Challenge have the name of the signal file.
    if record.name.removesuffix(".mat") == header.stem:
        return
    for name in dict.fromkeys(signal.file for signal in record.signals):
        file = header.parent / name
        if file.stem == header.stem:
            continue
        for other in (file.with_suffix(header.suffix), header.with_suffix(file.suffix)):
            if other.is_file():
                raise UnreadableError(
                    f"file {header}: it is the header of record {record.name} with its samples {name}, but "
                    f"{other.name} is beside it, too; write the name of its own record and samples into it"
                )


def wfdb_signal_files(header: Path) -> list[Path]:
    """List the signal files that a WFDB header names, whether they are there or not.

    Raises
    ------
    UnreadableError
        If the header cannot be read.
    """
    names = dict.fromkeys(signal.file for signal in read_header(header).signals)
    return [header.parent / name for name in names]


def _read_by_wfdb(header: Path, record: WfdbHeader) -> list[NDArray[Any]]:
    """Decode each signal file by wfdb, from a header that states its format only, and compare the lengths."""
    samples: list[NDArray[Any]] = [np.empty(0)] * len(record.signals)
    longer = 0
    for name in dict.fromkeys(signal.file for signal in record.signals):
        rows = [row for row, signal in enumerate(record.signals) if signal.file == name]
        signals = [record.signals[row] for row in rows]
        decoded = _decode(header, header.parent / name, signals)
        found = len(decoded[0]) // signals[0].per_frame
        stated = record.n_frames or found
        frame = _BYTES.get(signals[0].format, 0) * sum(signal.per_frame for signal in signals)
        rest = ((header.parent / name).stat().st_size - signals[0].offset) % frame if frame else 0
        if rest and not _stated(signals, "checksum"):
            raise UnreadableError(
                f"file {header}: {name} ends with {format_count(rest, 'byte')} of a sample of all {len(signals)} "
                f"signals; it is incomplete, or has another number of signals: {_AGAIN}"
            )
        if found < stated:
            raise UnreadableError(
                f"file {header}: cannot be read ({name} holds {found} samples a signal, not {stated}); {_AGAIN}"
            )
        spare = 2 if signals[0].format in _PACKED else 0
        longer = max(longer, found - stated - spare)
        for row, signal, values in zip(rows, signals, decoded, strict=True):
            samples[row] = _without_skew(values[: stated * signal.per_frame], signal)
    if longer > 0 and not _stated(record.signals, "checksum"):
        raise UnreadableError(
            f"file {header}: its signal file holds {longer} samples a signal more than the {record.n_frames} stated, "
            "and no checksum says which are meant; correct the header"
        )
    lengths = {len(values) // signal.per_frame for values, signal in zip(samples, record.signals, strict=True)}
    if len(lengths) > 1:
        raise UnreadableError(f"file {header}: its signal files hold {sorted(lengths)} samples a signal; {_AGAIN}")
    return samples


def _decode(header: Path, file: Path, signals: Sequence[WfdbSignal]) -> list[NDArray[Any]]:
    """Decode all samples of the `signals` in a signal file; messages name `header`."""
    unknown = [signal.format for signal in signals if signal.format not in _INVALID]
    if unknown:
        allowed = ", ".join(map(str, sorted(_INVALID)))
        raise UnreadableError(f"file {header}: signal format {unknown[0]} is not known; known are {allowed}")
    version = matlab_version(file)
    if version:
        raise UnreadableError(
            f"file {header}: {file.name} is a MATLAB {version} file, not the samples that the header describes; "
            "download it again, or save the samples as WFDB"
        )
    if signals[0].format == 8 and any(signal.first is None for signal in signals):
        raise UnreadableError(f"file {header}: signals of format 8 need their first values in the header")
    if signals[0].format == 8 and any(signal.skew for signal in signals):
        raise UnreadableError(f"file {header}: signals of format 8 cannot mark what a skew leaves out; remove the skew")
    # Made here, to be removed whatever becomes of the process.
    with tempfile.TemporaryDirectory() as folder:
        decoded = _decode_by_wfdb(file, header, signals, folder)
    if not decoded or not len(decoded[0]):
        raise UnreadableError(f"file {header}: cannot be read ({file.name} holds no samples); {_AGAIN}")
    return decoded


@isolated()
def _decode_by_wfdb(file: Path, header: Path, signals: Sequence[WfdbSignal], folder: str) -> list[NDArray[Any]]:
    """Decode all samples of the `signals` in a signal file by wfdb, with temporary files in `folder`."""
    try:
        import soundfile
        import wfdb
    except ImportError as error:
        raise LfbtError(
            f"file {header}: its form needs the package wfdb, which is not installed ({error}); pip install "
            "'lfbt[formats]'"
        ) from error
    with reading(header, _AGAIN):
        n_frames = soundfile.info(file).frames // signals[0].per_frame if signals[0].format in _FLAC else ""
    is_big_endian = signals[0].format == 61  # wfdb fails on it
    format = 16 if is_big_endian else signals[0].format
    lines = [
        f"samples.dat {format}x{signal.per_frame}+{signal.offset} 1(0)/mV 16 0 {signal.first or 0} 0 0 {row}"
        for row, signal in enumerate(signals)
    ]
    # Only the format is wfdb's to know: no name, number or unit of the user's header.
    (Path(folder) / "samples.hea").write_text("\n".join([f"samples {len(signals)} 1 {n_frames}", *lines, ""]))
    if is_big_endian:
        offset = signals[0].offset
        data = read_bytes(file)
        swapped = np.frombuffer(data, np.int16, (len(data) - offset) // 2, offset).byteswap()
        (Path(folder) / "samples.dat").write_bytes(data[:offset] + swapped.tobytes())
    else:
        (Path(folder) / "samples.dat").symlink_to(file.resolve())
    with reading(header, _AGAIN):
        record = wfdb.rdrecord(f"{folder}/samples", physical=False, smooth_frames=False)
    return list(record.e_d_signal or ())


def _without_skew(samples: NDArray[Any], signal: WfdbSignal) -> NDArray[Any]:
    """Move the samples of a signal that is stored late to where they belong; the end is invalid then."""
    if not signal.skew:
        return samples
    skew = min(signal.skew * signal.per_frame, len(samples))
    padding = np.full(skew, _INVALID[signal.format], dtype=samples.dtype)
    return np.concatenate([samples[skew:], padding])


def _stated(signals: Sequence[WfdbSignal], field: str) -> bool:
    """Whether a header states a first value or a checksum: not if it is absent, or 0 for every signal."""
    return any(getattr(signal, field) for signal in signals)


def _check_evidence(header: Path, signals: Sequence[WfdbSignal], samples: _Samples) -> None:
    """Raise UnreadableError unless first values and checksums are those that the header states."""
    starts = [int(values[0]) for values in samples]
    if isinstance(samples, np.ndarray):
        sums = checksums16(samples)
    else:
        sums = [int(values.sum(dtype=np.int64)) % 2**16 for values in samples]
    for what, field, found in (("first value", "first", starts), ("checksum", "checksum", sums)):
        if not _stated(signals, field):
            continue
        for signal, value in zip(signals, found, strict=True):
            stated = getattr(signal, field)
            # Skewed samples do not begin where the file does.
            if stated is not None and (stated - value) % 2**16 and not signal.skew:
                raise UnreadableError(
                    f"file {header}: signal {signal.lead} has the {what} {value}, not {stated} as its header states; "
                    f"{signal.file} is corrupt or in another form: {_AGAIN}"
                )


def _make_recording(header: Path, record: WfdbHeader, samples: _Samples, resample_leads: bool) -> Recording:
    """Make a Recording of the signals that are voltages."""
    voltages = {unit for unit in {signal.unit for signal in record.signals} if is_voltage(unit)}
    rows = [row for row, signal in enumerate(record.signals) if signal.unit in voltages]
    signals = [record.signals[row] for row in rows]
    if not signals:
        units = ", ".join(dict.fromkeys(signal.unit for signal in record.signals))
        raise UnreadableError(f"file {header}: none of its signals is a voltage, but {units}")
    for signal in signals:
        if not signal.lead:
            raise UnreadableError(f"file {header}: one of its signals has no lead name; add it to the header")
        if not signal.gain:
            raise UnreadableError(
                f"file {header}: signal {signal.lead} is not calibrated (gain 0 or absent); state its steps per mV"
            )
    left_out = [signal for signal in record.signals if signal.unit not in voltages]
    notes = [f"left out signal {signal.lead} ({signal.unit})" for signal in left_out]
    leads = [signal.lead for signal in signals]
    rates = [record.frame_rate * signal.per_frame for signal in signals]
    if len(set(rates)) == 1:
        # Copies take as long as reading the file.
        if not isinstance(samples, np.ndarray) or len(rows) < len(samples):
            samples = np.stack([samples[row] for row in rows])
        physical = _in_mv_by_float32(samples, signals) if _is_exact(samples, signals) else _in_mv(samples, signals)
    elif resample_leads:
        each = [_in_mv(samples[row][None], [record.signals[row]])[0] for row in rows]
        physical, note = to_common_rate(header, leads, each, rates)
        notes.append(note)
    else:
        shown = ", ".join(f"{lead} {rate:g}" for lead, rate in zip(leads, rates, strict=True))
        raise UnreadableError(f"file {header}: its leads have different sampling rates (Hz: {shown}); {ADVICE}")
    return make_recording(header, physical, leads, max(rates), notes)


def _is_exact(stored: NDArray[Any], signals: Sequence[WfdbSignal]) -> bool:
    """Whether the steps of signals in mV, and their gains, are float32 without rounding."""
    return stored.dtype == np.int16 and all(
        (signal.format, unit_in_mv(signal.unit)) == (16, 1.0)
        and abs(signal.baseline) < 2**23
        and float(np.float32(signal.gain)) == signal.gain
        for signal in signals
    )


def _in_mv_by_float32(stored: NDArray[np.int16], signals: Sequence[WfdbSignal]) -> NDArray[np.float32]:
    """What `_in_mv` gives, rounded to float32, in a third of the time, for steps and gains that `_is_exact`.

    A quotient of two float32 numbers that is rounded to float64 first is the same in float32: S. A. Figueroa, When is
    double rounding innocuous?, 1995.
    """
    in_rows = np.ascontiguousarray(stored)
    physical = in_rows.astype(np.float32)
    physical -= np.array([[signal.baseline] for signal in signals], dtype=np.float32)
    physical /= np.array([[signal.gain] for signal in signals], dtype=np.float32)
    invalid = in_rows == _INVALID[16]
    if invalid.any():
        physical[invalid] = np.nan
    return physical


def _in_mv(stored: NDArray[Any], signals: Sequence[WfdbSignal]) -> NDArray[Any]:
    """Calibrate the samples ``[signals, samples]`` of voltages; invalid ones are NaN."""
    physical: NDArray[np.float64] = np.subtract(stored, [[signal.baseline] for signal in signals], dtype=np.float64)
    physical /= np.array([[signal.gain] for signal in signals])
    if len({signal.format for signal in signals}) == 1:
        physical[stored == _INVALID[signals[0].format]] = np.nan
    else:
        for values, raw, signal in zip(physical, stored, signals, strict=True):
            values[raw == _INVALID[signal.format]] = np.nan
    scale = {unit: unit_in_mv(unit) for unit in {signal.unit for signal in signals}}
    if set(scale.values()) != {1.0}:
        physical *= np.array([[scale[signal.unit]] for signal in signals])
    return physical
