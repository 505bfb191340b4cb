"""WFDB records: a header and the signal files beside it."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError, UnreadableError
from lfbt.io.recordings import READ_ERRORS, make_recording, unreadable
from lfbt.io.wfdb16 import read_wfdb16
from lfbt.recording import Recording, is_voltage, unit_in_mv

# The record line of a WFDB header (header(5) of the WFDB manual): a name, then perhaps a number of segments.
_RECORD_LINE = re.compile(r"^(?P<name>[^\s#/][^\s/]*)(?:/(?P<segments>\d+))?(?=\s)", re.MULTILINE)


def read_wfdb(header: Path) -> Recording:
    """Read a WFDB record.

    Samples that the file marks as invalid are NaN. Signals that are not voltages (breathing, blood pressure) are left
    out. A record name that wfdb refuses (``E00271.mat 12 500 5000`` in parts of the Challenge) is repaired in a copy.

    Parameters
    ----------
    header : Path
        The ``.hea`` file, with its signal files beside it.

    Returns
    -------
    Recording
        In mV.

    Raises
    ------
    UnreadableError
        If a file is absent or corrupt, no signal is a voltage, or the record has several segments.
    """
    try:
        text = header.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise unreadable(header, error) from error
    line = _RECORD_LINE.search(text)
    if line is None:
        raise UnreadableError(f"file {header}: its first line is not a WFDB record line; give a .hea file")
    if line["segments"]:
        raise UnreadableError(
            f"file {header}: a record of {line['segments']} segments; give the header of one segment instead"
        )
    try:
        record = read_wfdb16(header, text)
    except READ_ERRORS as error:
        raise unreadable(header, error) from error
    if record is not None:
        return _wfdb_recording(header, *record)
    if re.fullmatch(r"[-\w]+", line["name"], re.ASCII):
        return _read_wfdb(header, header)
    with tempfile.TemporaryDirectory() as folder:
        repaired = Path(folder) / "repaired.hea"
        repaired.write_text(text[: line.start()] + "repaired" + text[line.end() :], encoding="utf-8")
        for name in _signal_files(text[line.end() :]):
            if (header.parent / name).is_file():
                shutil.copyfile(header.parent / name, Path(folder) / name)
        return _read_wfdb(repaired, header)


def _signal_files(signal_lines: str) -> set[str]:
    """List the names of the signal files, from what follows a header's record name."""
    lines = [line.split() for line in signal_lines.splitlines()[1:] if not line.startswith("#")]
    return {Path(words[0]).name for words in lines if words}


def _read_wfdb(readable: Path, header: Path) -> Recording:
    """Read the header `readable` by wfdb; messages name `header`."""
    try:
        import wfdb
    except ImportError as error:
        raise LfbtError(
            f"file {header}: its form needs the package wfdb, which is not installed ({error}); pip install "
            "'lfbt[formats]'"
        ) from error
    try:
        record = wfdb.rdrecord(str(readable.with_suffix("")))
    except READ_ERRORS as error:
        if isinstance(error, FileNotFoundError) and error.filename and readable != header:
            error.filename = str(header.parent / Path(error.filename).name)
        raise unreadable(header, error, "download it and its signal file again") from error
    if record.p_signal is None:
        raise UnreadableError(f"file {header}: it has no signal")
    if not all(record.sig_name):
        raise UnreadableError(f"file {header}: one of its signals has no lead name; add it to the header")
    return _wfdb_recording(header, record.p_signal.T, record.sig_name, record.units, float(record.fs))


def _wfdb_recording(
    header: Path, signal: NDArray[np.float64], names: Sequence[str], units: Sequence[str], sampling_rate: float
) -> Recording:
    """Make a Recording of the signals ``[signals, samples]`` that are voltages."""
    leads = [row for row, unit in enumerate(units) if is_voltage(unit)]
    if not leads:
        raise UnreadableError(f"file {header}: none of its signals is a voltage, but {', '.join(set(units))}")
    scale = np.array([unit_in_mv(units[row]) for row in leads])
    # Copies take as long as reading the file.
    in_mv = signal if len(leads) == len(signal) else signal[leads]
    in_mv = in_mv if (scale == 1).all() else in_mv * scale[:, None]
    return make_recording(header, in_mv, [names[row] for row in leads], sampling_rate)
