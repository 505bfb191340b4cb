"""Signals in memory made to fit an encoder: shape, duration, unit, leads and samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfbt.errors import AbsentLeadError, LfbtError
from lfbt.models.config import EncoderConfig
from lfbt.recording import as_real_array, check_sampling_rate, to_mv
from lfbt.signal import Signal, choose_leads, fit_samples
from lfbt.utils.figures import format_count
from lfbt.utils.settings import Range, convert
from lfbt.voltages import check_offset, find_implausible_leads, implausible_record


def as_records(signals: ArrayLike, leads: Sequence[str]) -> NDArray[Any]:
    """Take `signals` as numbers ``[records, leads, samples]``."""
    records = as_real_array("signals", signals)
    shape = list(records.shape)
    if records.ndim == 2:
        records = records[None]
    if records.ndim != 3 or records.shape[1] != len(leads):
        raise LfbtError(
            f"signals: shape {shape} is not [records, {len(leads)} leads, samples] or "
            f"[{len(leads)} leads, samples]; the leads are {','.join(leads)}"
        )
    return records


def check_duration(n_samples: int, sampling_rate: float, config: EncoderConfig) -> None:
    """Raise LfbtError unless records last as long as the encoder's, to within half a sample."""
    rate = Annotated[float, Range("(0, inf)", "it is that of the signals, in Hz")]
    sampling_rate = convert("sampling_rate", sampling_rate, rate)
    seconds = config.n_samples / config.sampling_rate
    # A little more, as rates such as 204.8 Hz are not exact.
    if n_samples < 2 or abs(n_samples - seconds * sampling_rate) > 0.5 + 1e-6:
        raise LfbtError(
            f"signals: {format_count(n_samples, 'sample')} at {sampling_rate:g} Hz "
            f"{'lasts' if n_samples == 1 else 'last'} {n_samples / sampling_rate:g} s, but the "
            f"encoder's records last {seconds:g} s ({config.n_samples} samples at {config.sampling_rate:g} Hz); cut "
            f"or pad them to {round(seconds * sampling_rate)} samples, as the command lfbt embed does with files, or "
            "correct sampling_rate"
        )
    check_sampling_rate(sampling_rate)


def fit_records(
    records: NDArray[Any], leads: Sequence[str], unit: str, checked_at: float | None, config: EncoderConfig
) -> Signal:
    """Convert `records` to mV, choose or derive the encoder's leads, and resample to its samples.

    With the sampling rate `checked_at` the voltages must be those of an ECG; resampling blurs what jumps.
    """
    fitted = np.empty((len(records), len(config.leads), config.n_samples), dtype=np.float32)
    for i, record in enumerate(records):
        check_offset(f"signals: record {i}", record, unit, leads)
        with np.errstate(all="ignore"):
            signal: Any = to_mv(record.astype(np.float64), unit).astype(np.float32)
        finite = np.isfinite(signal).all(axis=1)
        if not finite.all():
            bad = ",".join(lead for lead, is_finite in zip(leads, finite, strict=True) if not is_finite)
            raise LfbtError(f"signals: record {i} holds NaN or infinity in lead {bad}; leave it out or repair it")
        try:
            chosen = choose_leads(signal, leads, config.leads)
        except AbsentLeadError as error:
            raise AbsentLeadError(
                f"leads: the signals have {','.join(leads)}, the encoder takes {','.join(config.leads)}: {error}; "
                "record these leads too, take encoder.select_leads of those that there are, or have the columns of the "
                "others NaN by missing_leads='nan'"
            ) from error
        if checked_at and (too_much := find_implausible_leads(chosen, config.leads, checked_at)):
            raise implausible_record("signals", str(i), too_much)
        fitted[i] = fit_samples(chosen, records.shape[2], config.n_samples)
    return fitted
