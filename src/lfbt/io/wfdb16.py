"""Samples of WFDB records of 16 bits, as nearly all ECG data sets are published, read without wfdb."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfbt.io.wfdb_header import WfdbHeader
from lfbt.utils.opening import read_bytes

_FRAMES_PER_ROW = 100


def read_samples16(folder: Path, header: WfdbHeader) -> NDArray[np.int16] | None:
    """Read the samples ``[signals, samples]`` of a record, as they are stored.

    Returns None, so that wfdb reads it, for signals that are not of format 16 with one sample a frame, in one file and
    without skew, for a header that does not state how many samples there are, and for a file of another size.

    Parameters
    ----------
    folder : Path
        The folder of the signal file.
    header : WfdbHeader
        The record.
    """
    signals, n_samples = header.signals, header.n_frames
    first = signals[0]
    if not n_samples or (first.format, first.per_frame, first.skew) != (16, 1, 0):
        return None
    if any(signal[:5] != first[:5] for signal in signals):
        return None
    data = read_bytes(folder / first.file)
    if len(data) != first.offset + 2 * n_samples * len(signals):
        return None
    return np.frombuffer(data, dtype="<i2", offset=first.offset).reshape(n_samples, -1).T


def checksums16(samples: NDArray[np.int16]) -> list[int]:
    """Sum the samples ``[signals, samples]`` of `read_samples16`, each signal modulo 65536."""
    frames = samples.T.view(np.uint16)
    n_signals = frames.shape[1]
    # Rows of many frames are added several times as fast as rows of one.
    n_whole = len(frames) // _FRAMES_PER_ROW * _FRAMES_PER_ROW
    rows = frames[:n_whole].reshape(-1, _FRAMES_PER_ROW * n_signals).sum(axis=0, dtype=np.uint16)
    sums = rows.reshape(-1, n_signals).sum(axis=0, dtype=np.uint16)
    return [int(value) for value in sums + frames[n_whole:].sum(axis=0, dtype=np.uint16)]
