"""Pure functions on ECG signals: choose and derive leads, cut, resample, normalise."""

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
    """List the two limb leads among `leads` from which `choose_leads` derives others; none if it derives nothing."""
    derived = [lead for lead in wanted if lead in _FROM_I_AND_II and lead not in leads]
    known = [lead for lead in _FROM_I_AND_II if lead in leads][:2]
    return known if derived and len(known) == 2 else []


def available_leads(leads: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return those of `wanted`, in order, that are in `leads` or that `choose_leads` derives from them.

    >>> available_leads(("I", "II"), ("II", "III", "V1"))
    ('II', 'III')
    """
    derives = bool(limb_leads_used(leads, wanted))
    return tuple(lead for lead in wanted if lead in leads or (derives and lead in _FROM_I_AND_II))


def choose_leads(signal: Signal, leads: Sequence[str], wanted: Sequence[str]) -> Signal:
    """Choose leads by name, deriving limb leads that are missing.

    A missing limb lead is computed from any two others by Einthoven's and Goldberger's equations: III = II − I,
    aVR = −(I + II)/2, aVL = I − II/2, aVF = II − I/2.

    Parameters
    ----------
    signal : ndarray of float32, ``[leads, samples]``
        Voltages in mV.
    leads : sequence of str
        The name of each row of `signal`.
    wanted : sequence of str
        The leads to return.

    Returns
    -------
    ndarray of float32, ``[wanted, samples]``
        The rows in the order of `wanted`.

    Raises
    ------
    AbsentLeadError
        If a lead is missing and cannot be derived.
    LfbtError
        If a name in `leads` is a duplicate.

    Examples
    --------
    >>> signal = np.array([[0.25, 0.5], [1.0, 1.0]], dtype=np.float32)
    >>> choose_leads(signal, ("I", "II"), ("II", "III")).tolist()
    [[1.0, 1.0], [0.75, 0.5]]
    """
    rows = {lead: row for row, lead in enumerate(leads)}
    if len(rows) < len(leads):
        raise LfbtError(f"leads {','.join(leads)}: a name is a duplicate")
    used = limb_leads_used(leads, wanted)
    available = available_leads(leads, wanted)
    if absent := [lead for lead in wanted if lead not in available]:
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
    """Cut a signal from its start into pieces of one length.

    Parameters
    ----------
    signal : ndarray of float32, ``[leads, samples]``
        The signal of a recording.
    n_raw : int
        Samples of a piece, at the recording's own rate.
    which : {"all", "first"}
        Which pieces to keep.

    Returns
    -------
    list of ndarray
        Views of `signal`, ``[leads, n_raw]`` each; the last one may be shorter.
    """
    pieces = [signal[:, start : start + n_raw] for start in range(0, signal.shape[1], n_raw)]
    return pieces if which == "all" else pieces[:1]


def fit_samples(piece: Signal, n_raw: int, n_samples: int) -> Signal:
    """Pad a piece with zeros at its end to `n_raw` samples and resample it to `n_samples` by the Fourier method.

    The result is that of ``scipy.signal.resample``, whose import takes longer than resampling hundreds of records.

    Parameters
    ----------
    piece : ndarray of float32, ``[leads, samples]``
        At most `n_raw` samples.
    n_raw : int
        Samples of the wanted duration at the recording's own rate.
    n_samples : int
        Samples of the result, whose rate is ``n_samples / duration``.

    Returns
    -------
    ndarray of float32, ``[leads, n_samples]``
        The resampled piece.
    """
    if n_raw == n_samples:
        return np.pad(piece, ((0, 0), (0, n_raw - piece.shape[1]))).astype(np.float32)
    spectrum = np.fft.rfft(piece.astype(np.float64), n_raw)  # pads with zeros
    n = min(n_raw, n_samples)
    resized = np.zeros((piece.shape[0], n_samples // 2 + 1), dtype=complex)
    resized[:, : n // 2 + 1] = spectrum[:, : n // 2 + 1]
    if n % 2 == 0:
        # The Nyquist bin of the lower rate holds one frequency there, and one of a conjugate pair at the higher rate.
        resized[:, n // 2] *= 2 if n_samples < n_raw else 0.5
    return (np.fft.irfft(resized, n_samples) * (n_samples / n_raw)).astype(np.float32)


def resample_lead(lead: NDArray[Any], n_samples: int) -> Signal:
    """Resample a lead by the Fourier method, whose errors at the ends are those of a lead taken for periodic.

    Here the line between the ends is subtracted, and the lead is continued at both by its odd reflection to twice its
    length, so that neither value nor slope jumps where the period closes.

    Parameters
    ----------
    lead : ndarray, ``[samples]``
        Finite voltages in mV.
    n_samples : int
        Samples of the result.

    Returns
    -------
    ndarray of float32, ``[n_samples]``
        The resampled lead; infinite beyond float32.

    Examples
    --------
    >>> resample_lead(np.array([1.0, 3.0, 5.0]), 6).round(6).tolist()
    [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    """
    n, start = len(lead), float(lead[0])
    slope = (float(lead[-1]) - start) / max(n - 1, 1)
    before, after = n // 2, n - n // 2
    with np.errstate(over="ignore"):
        level = lead - start - slope * np.arange(n)
        periodic = np.roll(np.pad(level, (before, after), "reflect", reflect_type="odd"), -before)
        resampled = fit_samples(periodic[None], 2 * n, 2 * n_samples)[0, :n_samples]
        line = start + slope * np.arange(n_samples) * (n / n_samples)
        return (resampled + line).astype(np.float32)


def normalise(signals: Signal, how: Normalisation) -> Signal:
    """Standardise signals by the z-score ``(x − mean) / (std + 1e-5)``.

    A signal that is already z-scored is unchanged, to about one part in 10⁵.

    Parameters
    ----------
    signals : ndarray of float32, ``[..., leads, samples]``
        One record or several.
    how : {"record", "lead", "none"}
        ``record``: mean and standard deviation over all leads of a record, as in the paper; ``lead``: of each lead by
        itself; ``none``: `signals` as they are.

    Returns
    -------
    ndarray of float32, ``[..., leads, samples]``
        The normalised signals.

    Raises
    ------
    LfbtError
        If `how` is not one of these.

    Examples
    --------
    >>> normalise(np.array([[1.0, 3.0], [2.0, 2.0]], dtype=np.float32), "lead").round(2).tolist()
    [[-1.0, 1.0], [0.0, 0.0]]
    """
    if how not in get_args(Normalisation):
        raise LfbtError(f"normalisation: {how!r} is not one of {', '.join(get_args(Normalisation))}")
    if how == "none":
        return signals
    axes = (-2, -1) if how == "record" else (-1,)
    # The mean of a constant in float32 is not exactly that constant.
    centred = signals - signals.mean(axis=axes, keepdims=True, dtype=np.float64).astype(np.float32)
    std = np.sqrt(np.mean(np.square(centred), axis=axes, keepdims=True))
    scored: Signal = np.divide(centred, std + np.float32(1e-5), out=centred).astype(np.float32, copy=False)
    return scored
