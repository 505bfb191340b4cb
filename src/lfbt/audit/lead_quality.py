"""Faults of leads: flat, saturated, limb leads that contradict each other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lfbt.signal import Signal, choose_leads
from lfbt.signal_quality import FLAT_MV

# Of the range of the record's liveliest lead.
_FLAT_PART = 1e-3
# How long a saturated amplifier stays at the end of its range, and how near, as parts of the range: most of the time
# nearer still.
_SATURATED_SECONDS = 0.2
_NEAR_END = 0.1
_STILL = 0.005
#: Beyond this residual limb leads contradict each other; sound ones reach 0.04, as recorders round and filter each lead
#: by itself.
MAX_LIMB_RESIDUAL = 0.1
LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")


def find_flat_and_saturated(
    signals: Signal, sampling_rate: float, in_mv: bool
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Find leads that do not move, and leads that rest at an end of their range.

    Flat: moves by at most 5 µV or a thousandth of the range of the record's liveliest lead. Saturated: stays within
    10 % of its range of its highest or lowest value for 0.2 s without a break, four fifths of that time within 0.5 %
    of one value, which is further from its median than a quarter of the range; unless all leads rest at that time, as
    where zeros pad a short record. Unlike `lfbt.signal_quality.quality_fault` this allows for resampling and noise.

    Parameters
    ----------
    signals
        ``[records, leads, samples]``, finite.
    sampling_rate
        In Hz.
    in_mv
        Whether signals are in mV; otherwise the limit of 5 µV does not apply.

    Returns
    -------
    flat, saturated
        Boolean ``[records, leads]``.

    Examples
    --------
    >>> wave = np.sin(np.arange(1000) * 0.05)
    >>> signals = np.stack([wave, np.zeros(1000), np.where(wave > 0.5, 5, wave)])[None].astype(np.float32)
    >>> flat, saturated = find_flat_and_saturated(signals, 100.0, in_mv=True)
    >>> flat.tolist(), saturated.tolist()
    ([[False, True, False]], [[False, False, True]])
    """
    signals = signals.copy()
    # Resampling leaves a ripple where a signal jumps to the end of its range, from sample to sample up and down.
    signals[:, :, 1:-1] = (signals[:, :, :-2] + 2 * signals[:, :, 1:-1] + signals[:, :, 2:]) / 4
    low, high = signals.min(axis=2), signals.max(axis=2)
    reach = high - low
    flat = reach <= np.maximum(_FLAT_PART * reach.max(axis=1, keepdims=True), FLAT_MV if in_mv else 0)
    n_still = max(2, round(_SATURATED_SECONDS * sampling_rate))
    saturated = np.zeros_like(flat)
    for near_end in (
        signals <= (low + _NEAR_END * reach)[:, :, None],
        signals >= (high - _NEAR_END * reach)[:, :, None],
    ):
        for record, lead in zip(*np.nonzero((near_end.sum(axis=2) >= n_still) & ~flat), strict=True):
            run = _longest_run(near_end[record, lead])
            end, middle = np.median(signals[record, lead, run]), np.median(signals[record, lead])
            if run.stop - run.start < n_still or abs(end - middle) <= reach[record, lead] / 4:
                continue
            lowest, highest = np.quantile(signals[record, :, run], (0.1, 0.9), axis=1)
            moves = (highest - lowest) / np.maximum(reach[record], np.finfo(np.float32).tiny)
            is_padding = len(moves) > 1 and moves.max() <= 2 * _STILL
            saturated[record, lead] |= moves[lead] <= _STILL and not is_padding
    return flat, saturated


def _longest_run(mask: NDArray[np.bool_]) -> slice:
    """The longest run of true values."""
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False]))
    longest = int(np.argmax(edges[1::2] - edges[::2]))
    return slice(int(edges[2 * longest]), int(edges[2 * longest + 1]))


def find_limb_lead_faults(signals: Signal, leads: Sequence[str]) -> tuple[NDArray[np.float64], list[list[str]]]:
    """Measure how far limb leads contradict each other, and find the inversions and swaps that would explain it.

    All limb leads follow from I and II by Einthoven's and Goldberger's equations (III = II − I, aVR = −(I + II)/2,
    aVL = I − II/2, aVF = II − I/2). The residual is the part of them, less their means, that does not, relative to
    their size. An explanation is an inverted lead or a swap of two that, once undone, leaves a residual below 0.1 and
    below half of the present one; with three leads several explain the same. Swapped arm electrodes contradict nothing
    and are not found.

    Parameters
    ----------
    signals
        ``[records, leads, samples]`` of limb leads, three or more, in any unit.
    leads
        Their names.

    Returns
    -------
    residuals
        ``[records]``, from 0 where the leads agree to 1.
    causes
        For each record the explanations, such as ``aVL and aVF swapped``.

    Examples
    --------
    >>> i, ii = np.random.default_rng(0).standard_normal((2, 500))
    >>> signals = np.stack([i, ii, ii - i, ii - i / 2, i - ii / 2])[None].astype(np.float32)
    >>> find_limb_lead_faults(signals, ("I", "II", "III", "aVL", "aVF"))[1]
    [['aVL and aVF swapped']]
    """
    k = len(leads)
    from_i_and_ii = choose_leads(np.eye(2, dtype=np.float32), ("I", "II"), leads).astype(np.float64)
    contradiction = np.eye(k) - from_i_and_ii @ np.linalg.pinv(from_i_and_ii)
    centred = signals - signals.mean(axis=2, keepdims=True)
    products = np.einsum("nit,njt->nij", centred, centred, dtype=np.float64, optimize=True)
    size = np.maximum(np.trace(products, axis1=1, axis2=2), np.finfo(np.float64).tiny)

    def compute_residuals(repair: NDArray[np.float64]) -> NDArray[np.float64]:
        """Residuals of the leads after multiplication by `repair` ``[leads, leads]``."""
        left = np.einsum("ij,nji->n", repair.T @ contradiction @ repair, products)
        residuals: NDArray[np.float64] = np.sqrt(np.clip(left / size, 0, 1))
        return residuals

    residuals = compute_residuals(np.eye(k))
    repairs = {f"{lead} inverted": np.diag([-1.0 if other == lead else 1.0 for other in leads]) for lead in leads}
    for i, j in itertools.combinations(range(k), 2):
        order = np.arange(k)
        order[[i, j]] = j, i
        repairs[f"{leads[i]} and {leads[j]} swapped"] = np.eye(k)[order]
    repaired = {cause: compute_residuals(repair) for cause, repair in repairs.items()}
    causes = [
        [cause for cause, left in repaired.items() if left[row] < min(MAX_LIMB_RESIDUAL, residuals[row] / 2)]
        for row in range(len(signals))
    ]
    return residuals, causes
