"""Leads of different sampling rates are taken to the highest of these."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import UnreadableError
from lfbt.signal import resample_lead

#: What to do about leads of different rates.
ADVICE = "resample_leads=True of lfbt.read, or --resample-leads of lfbt prepare folder, takes all to the highest rate"


def to_common_rate(
    path: Path, leads: Sequence[str], signals: Sequence[NDArray[Any]], rates: Sequence[float]
) -> tuple[NDArray[Any], str]:
    """Resample leads to the highest of their rates, by `lfbt.signal.resample_lead`.

    Parameters
    ----------
    path : Path
        The file, for messages.
    leads : sequence of str
        Their names.
    signals : sequence of ndarray, ``[samples]``
        The samples of each lead, in mV.
    rates : sequence of float
        The sampling rate of each lead, in Hz.

    Returns
    -------
    ndarray, ``[leads, samples]``
        The leads; those of the highest rate as they were.
    str
        A note that names the leads that were resampled, and their rates.

    Raises
    ------
    UnreadableError
        If leads do not last equally long, to half a sample of the highest rate, or one that is to be resampled has
        invalid samples.
    """
    highest = max(rates)
    n_samples = len(signals[rates.index(highest)])
    rows, resampled = [], []
    for lead, signal, rate in zip(leads, signals, rates, strict=True):
        if abs(len(signal) * highest / rate - n_samples) > (0.5 if rate < highest else 0):
            seconds = ", ".join(
                f"{name} {len(one) / each:g}" for name, one, each in zip(leads, signals, rates, strict=True)
            )
            raise UnreadableError(f"file {path}: its leads are not recorded together (seconds: {seconds})")
        if rate == highest:
            rows.append(signal)
            continue
        if not np.isfinite(signal).all():
            raise UnreadableError(
                f"file {path}: lead {lead} of {rate:g} Hz has invalid samples and cannot be taken to {highest:g} Hz"
            )
        rows.append(resample_lead(signal, n_samples))
        resampled.append(f"{lead} from {rate:g} Hz")
    return np.stack(rows), f"leads resampled to {highest:g} Hz: {', '.join(resampled)}"
