"""The MATLAB files of CPSC2018."""

from __future__ import annotations

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

    try:
        signal = np.asarray(scipy.io.loadmat(path, variable_names=["ECG"])["ECG"]["data"][0, 0])
    except (*READ_ERRORS, scipy.io.matlab.MatReadError) as error:
        raise unreadable(path, error, "expected a MATLAB 5 struct ECG with data") from error
    if signal.dtype.kind not in "iuf":
        raise UnreadableError(f"file {path}: ECG.data holds {signal.dtype}, not numbers")
    return make_recording(path, signal, STANDARD_LEADS, 500.0)
