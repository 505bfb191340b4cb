"""The MATLAB files of CPSC2018."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from lfbt.errors import UnreadableError
from lfbt.io.recordings import READ_ERRORS, make_recording, unreadable
from lfbt.recording import STANDARD_LEADS, Recording


def read_cpsc_mat(path: Path) -> Recording:
    """Read a file of CPSC2018.

    Parameters
    ----------
    path : Path
        MATLAB 5, with a struct ``ECG`` whose ``data`` is ``[12, samples]`` in mV.

    Returns
    -------
    Recording
        In mV, at 500 Hz, with the standard leads in the standard order.

    Raises
    ------
    UnreadableError
        If the file is not such a struct.
    """
    import scipy.io.matlab

    if matlab_version(path) == "7.3":
        raise UnreadableError(f"file {path}: a MATLAB 7.3 file (HDF5), not MATLAB 5; save it with -v7 in MATLAB")
    try:
        signal = np.asarray(scipy.io.loadmat(path, variable_names=["ECG"])["ECG"]["data"][0, 0])
    except (*READ_ERRORS, scipy.io.matlab.MatReadError) as error:
        if not matlab_version(path):
            raise UnreadableError(
                f"file {path}: cannot be read (not MATLAB 5); expected a MATLAB 5 struct ECG with data, or "
                f"the WFDB header {path.stem}.hea beside it"
            ) from error
        raise unreadable(path, error, "expected a MATLAB 5 struct ECG with data") from error
    if signal.dtype.kind not in "iuf":
        raise UnreadableError(f"file {path}: ECG.data holds {signal.dtype}, not numbers")
    return make_recording(path, signal, STANDARD_LEADS, 500.0)


def matlab_version(path: Path) -> str:
    """Recognise a MATLAB file by its first bytes: ``5``, ``7.3``, or an empty string for any other file."""
    with path.open("rb") as file:
        start = re.match(rb"MATLAB (5|7\.3)(\.0)? MAT-file", file.read(32))
    return start[1].decode() if start else ""
