"""Pure functions on ECG signals: choose and derive leads by name, pieces, resample, quality checks, z-score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import AbsentLeadError, LfbtError

Signal = NDArray[np.float32]
Normalisation = Literal["record", "lead", "none"]

# Einthoven's and Goldberger's equations: each limb lead from I and II, in mV.
_FROM_I_AND_II = {
    "I": (1.0, 0.0),
    "II": (0.0, 1.0),
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}


def limb_leads_used(leads: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The two limb leads among `leads` from which `choose_leads` derives others; none where it derives nothing."""
    derived = [lead for lead in wanted if lead in _FROM_I_AND_II and lead not in leads]
    known = [lead for lead in _FROM_I_AND_II if lead in leads][:2]
    return known if derived and len(known) == 2 else []


def choose_leads(signal: Signal, leads: Sequence[str], wanted: Sequence[str]) -> Signal:
    """The rows of `signal` named `wanted`, in that order, whatever their order in the file.

    signal: ``[leads, samples]`` in mV with one name a row. A missing limb lead is derived from any two other limb
    leads (III = II − I, aVR = −(I + II)/2, aVL = I − II/2, aVF = II − I/2).

    Raises AbsentLeadError, naming the leads, when one is missing and cannot be derived, LfbtError when a name stands
    twice.
    """
    rows = {lead: row for row, lead in enumerate(leads)}
    if len(rows) < len(leads):
        raise LfbtError(f"leads {','.join(leads)}: one name stands for two rows")
    used = limb_leads_used(leads, wanted)
    absent = [lead for lead in wanted if lead not in rows and not (used and lead in _FROM_I_AND_II)]
    if absent:
        raise AbsentLeadError(f"absent lead {','.join(absent)} (the recording has {','.join(leads)})")
    if used:
        from_used = np.linalg.inv(np.array([_FROM_I_AND_II[lead] for lead in used]))
        first, second = (signal[rows[lead]] for lead in used)
    out = np.empty((len(wanted), signal.shape[1]), dtype=np.float32)
    for row, lead in enumerate(wanted):
        if lead in rows:
            out[row] = signal[rows[lead]]
        else:
            weights = np.array(_FROM_I_AND_II[lead]) @ from_used
            out[row] = weights[0] * first + weights[1] * second
    return out


def cut_pieces(signal: Signal, n_raw: int, which: Literal["all", "first"]) -> list[Signal]:
    """`signal` cut from its start into pieces of `n_raw` samples; the last one may be shorter.

    With ``first`` only the first piece is kept.
    """
    pieces = [signal[:, start : start + n_raw] for start in range(0, signal.shape[1], n_raw)]
    return pieces if which == "all" else pieces[:1]


def fit_samples(piece: Signal, n_raw: int, n_samples: int) -> Signal:
    """`piece` zero-padded at its end to `n_raw` samples and resampled to `n_samples` by the Fourier method.

    `n_raw` is the asked duration at the recording's own rate, so the result's rate is n_samples / duration. The same
    numbers as ``scipy.signal.resample`` gives, whose import takes longer than hundreds of records.
    """
    if n_raw == n_samples:
        return np.pad(piece, ((0, 0), (0, n_raw - piece.shape[1]))).astype(np.float32)
    spectrum = np.fft.rfft(piece.astype(np.float64), n_raw)  # which pads it
    n = min(n_raw, n_samples)
    resized = np.zeros((piece.shape[0], n_samples // 2 + 1), dtype=complex)
    resized[:, : n // 2 + 1] = spectrum[:, : n // 2 + 1]
    if n % 2 == 0:
        # The bin of half the lower rate stands for one frequency there and for two at the higher rate.
        resized[:, n // 2] *= 2 if n_samples < n_raw else 0.5
    return (np.fft.irfft(resized, n_samples) * (n_samples / n_raw)).astype(np.float32)


# A lead that moves by less than one step of a coarse recorder (5 µV) carries no ECG.
_FLAT_MV = 0.005
# Real QRS peaks do not stand still at a lead's extreme for this long; a clipped amplifier does.
_SATURATED_SECONDS = 0.2
# No heart is seen at this voltage on the skin: a lead that rests there rests at the end of its range.
_NO_HEART_MV = 10.0


def quality_fault(piece: Signal, leads: Sequence[str], sampling_rate: float) -> str | None:
    """Why `piece` ``[leads, samples]`` in mV must not be used, or None.

    ``not finite``: NaN or infinity in a lead. ``flat``: a lead that moves by at most 5 µV in all. ``saturated``: a
    lead that stands still at its own highest or lowest value for 0.2 s or more while that value is further from its
    median than a quarter of its range, or beyond 10 mV.
    """
    finite = np.isfinite(piece).all(axis=1)
    if not finite.all():
        return f"not finite: {_names(leads, ~finite)}"
    low, high = piece.min(axis=1), piece.max(axis=1)
    flat = high - low <= _FLAT_MV
    if flat.any():
        return f"flat: {_names(leads, flat)}"
    run = max(2, round(_SATURATED_SECONDS * sampling_rate))
    saturated = np.zeros(len(piece), dtype=bool)
    for extreme in (low, high):
        at_extreme = piece == extreme[:, None]
        # Hardly any lead comes this far, and the rest takes ten times as long.
        for row in np.flatnonzero(at_extreme.sum(axis=1) >= run):
            middle = np.median(piece[row])
            far = abs(extreme[row] - middle) > (high[row] - low[row]) / 4 or abs(extreme[row]) > _NO_HEART_MV
            saturated[row] |= far and _longest_run(at_extreme[row]) >= run
    if saturated.any():
        return f"saturated: {_names(leads, saturated)}"
    return None


def _names(leads: Sequence[str], which: Any) -> str:
    return ",".join(lead for lead, chosen in zip(leads, which, strict=True) if chosen)


def _longest_run(mask: NDArray[np.bool_]) -> int:
    """The length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False]))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def normalise(signals: Signal, how: Normalisation) -> Signal:
    """The z-score ``(x − mean) / (std + 1e-5)`` of ``[..., leads, samples]``.

    ``record``: one mean and one standard deviation over all leads of a record (the paper); ``lead``: one of each per
    lead; ``none``: as it is. A signal that is z-scored already comes back unchanged, to about one part in 10⁵.

    Raises LfbtError for any other `how`.
    """
    if how not in get_args(Normalisation):
        raise LfbtError(f"normalisation: {how!r} is not one of {', '.join(get_args(Normalisation))}")
    if how == "none":
        return signals
    axes = (-2, -1) if how == "record" else (-1,)
    # In float32 the mean of a constant is not quite that constant.
    centred = signals - signals.mean(axis=axes, keepdims=True, dtype=np.float64).astype(np.float32)
    std = np.sqrt(np.mean(np.square(centred), axis=axes, keepdims=True))
    scored: Signal = np.divide(centred, std + np.float32(1e-5), out=centred).astype(np.float32, copy=False)
    return scored
