"""What is wrong with the leads of records: flat, clipped, limb leads that contradict each other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lfbt.signal import Signal, choose_leads

# A lead that moves by less than one step of a coarse recorder, or by less than this part of the record's liveliest.
_FLAT_MV = 0.005
_FLAT_PART = 1e-3
# A clipped amplifier stays this near the end of its range for so long, and four fifths of that time nearer still.
_CLIPPED_SECONDS = 0.2
_NEAR_END = 0.1
_STILL = 0.005
#: Beyond this residual limb leads contradict each other: recorders round and filter each by itself (0.04 was seen).
LEAST_RESIDUAL = 0.1
LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")


def find_flat_and_clipped(
    signals: Signal, sampling_rate: float, in_mv: bool
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which leads ``[records, leads]`` of ``[records, leads, samples]`` do not move, and which stand still at an end.

    Flat: moves by at most 5 µV (if they are `in_mv`) or a thousandth of the record's liveliest lead. Clipped: stays
    within 10 % of its range of its highest or lowest value for 0.2 s on end, four fifths of that time within 0.5 % of
    one value, which is further from its median than a quarter of the range; unless all leads stand still then, as
    where zeros fill up a short record. Unlike `lfbt.signal.quality_fault` it allows for resampling and noise.
    """
    signals = signals.copy()
    # Resampling leaves a ripple where a signal jumps to the end of its range, from sample to sample up and down.
    signals[:, :, 1:-1] = (signals[:, :, :-2] + 2 * signals[:, :, 1:-1] + signals[:, :, 2:]) / 4
    low, high = signals.min(axis=2), signals.max(axis=2)
    reach = high - low
    flat = reach <= np.maximum(_FLAT_PART * reach.max(axis=1, keepdims=True), _FLAT_MV if in_mv else 0)
    n_still = max(2, round(_CLIPPED_SECONDS * sampling_rate))
    clipped = np.zeros_like(flat)
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
            clipped[record, lead] |= moves[lead] <= _STILL and not is_padding
    return flat, clipped


def _longest_run(mask: NDArray[np.bool_]) -> slice:
    """Where `mask` is true for longest."""
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False]))
    longest = int(np.argmax(edges[1::2] - edges[::2]))
    return slice(int(edges[2 * longest]), int(edges[2 * longest + 1]))


def find_limb_lead_faults(signals: Signal, leads: Sequence[str]) -> tuple[NDArray[np.float64], list[list[str]]]:
    """How far three or more limb leads ``[records, leads, samples]`` contradict each other, and what would explain it.

    All follow from I and II (III = II − I, aVR = −(I + II)/2, aVL = I − II/2, aVF = II − I/2). The residual is what of
    all of them, less their means, does not, relative to their size: 0 where they agree, at most 1. Explanations are
    each inverted lead and each swap of two that would leave less than a tenth if undone, and half as much as now; with
    three leads several are alike. Electrodes swapped at the arms contradict nothing, so they are not found.
    """
    k = len(leads)
    of_i_and_ii = choose_leads(np.eye(2, dtype=np.float32), ("I", "II"), leads).astype(np.float64)
    contradiction = np.eye(k) - of_i_and_ii @ np.linalg.pinv(of_i_and_ii)
    centred = signals - signals.mean(axis=2, keepdims=True)
    products = np.einsum("nit,njt->nij", centred, centred, dtype=np.float64, optimize=True)
    size = np.maximum(np.trace(products, axis1=1, axis2=2), np.finfo(np.float64).tiny)

    def residual(mended: NDArray[np.float64]) -> NDArray[np.float64]:
        """What is left when the leads are `mended` ``[leads, leads]`` times the leads."""
        left = np.einsum("ij,nji->n", mended.T @ contradiction @ mended, products)
        found: NDArray[np.float64] = np.sqrt(np.clip(left / size, 0, 1))
        return found

    as_they_are = residual(np.eye(k))
    mends = {f"{lead} inverted": np.diag([-1.0 if other == lead else 1.0 for other in leads]) for lead in leads}
    for i, j in itertools.combinations(range(k), 2):
        order = np.arange(k)
        order[[i, j]] = j, i
        mends[f"{leads[i]} and {leads[j]} swapped"] = np.eye(k)[order]
    after = {name: residual(mend) for name, mend in mends.items()}
    causes = [
        [name for name, left in after.items() if left[row] < min(LEAST_RESIDUAL, as_they_are[row] / 2)]
        for row in range(len(signals))
    ]
    return as_they_are, causes
