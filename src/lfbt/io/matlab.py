"""The MATLAB files of CPSC2018."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lfbt.errors import UnreadableError
from lfbt.io.guarding import isolated, unreadable
from lfbt.io.recordings import make_recording
from lfbt.recording import STANDARD_LEADS, Recording
from lfbt.utils.opening import open_regular

_RATE = 500.0
_RATE_NAMES = re.compile("fs|sr|hz|s?freq(uency)?|s?rate|sampl(e|ing)_?(rate|freq(uency)?)")


@isolated()
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
        If the file is not such a struct, or has a field or variable that is called as a sampling rate and is another.
    """
    import scipy.io.matlab

    if matlab_version(path) == "7.3":
        raise UnreadableError(f"file {path}: a MATLAB 7.3 file (HDF5), not MATLAB 5; save it with -v7 in MATLAB")
    try:
        variables = scipy.io.loadmat(path)
        struct = variables.get("ECG", np.empty(0))
        fields = {name: struct[name][0, 0] for name in struct.dtype.names or ()}
    except Exception as error:
        if not matlab_version(path):
            raise UnreadableError(
                f"file {path}: cannot be read (not MATLAB 5); expected a MATLAB 5 struct ECG with data, or "
                f"the WFDB header {path.stem}.hea beside it"
            ) from error
        raise unreadable(path, error, "expected a MATLAB 5 struct ECG with data") from error
    if "data" not in fields:
        held = ", ".join(name for name in variables if not name.startswith("__")) or "nothing"
        raise UnreadableError(
            f"file {path}: it holds {held}; expected a MATLAB 5 struct ECG with data; the samples of a WFDB record "
            f"need {path.stem}.hea beside them, others can be saved as .npy"
        )
    _check_rate(path, {**variables, **fields})
    signal = np.asarray(fields["data"])
    if signal.dtype.kind not in "iuf":
        raise UnreadableError(f"file {path}: ECG.data holds {signal.dtype}, not numbers")
    return make_recording(path, signal, STANDARD_LEADS, _RATE)


def _check_rate(path: Path, values: Mapping[str, Any]) -> None:
    """Raise UnreadableError if one of some named values is a sampling rate other than that of CPSC2018."""
    for name, value in values.items():
        is_rate = _RATE_NAMES.fullmatch(name.lower()) and np.size(value) == 1 and np.asarray(value).dtype.kind in "iuf"
        if is_rate and np.ravel(value)[0] != _RATE:
            raise UnreadableError(
                f"file {path}: its {name} is {np.ravel(value)[0]}, and CPSC2018 has {_RATE:g} Hz; save its samples as "
                ".npy, and give their rate"
            )


def matlab_version(path: Path) -> str:
    """Recognise a MATLAB file by its first bytes: ``5``, ``7.3``, or an empty string for any other file."""
    with open_regular(path) as file:
        start = re.match(rb"MATLAB (5|7\.3)(\.0)? MAT-file", file.read(32))
    return start[1].decode() if start else ""
