"""Leads that are inverted or swapped, as far as they are unlike those of the other records of their data set."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lfbt.audit.lead_quality import LIMB_LEADS
from lfbt.signal import Signal

#: Fewer give no distribution to compare with.
MIN_RECORDS, MIN_LEADS = 100, 4
# Hz: without baseline wander and most of the noise.
_BAND = (1.0, 40.0)
# Of the mean variance, added to each: leads that hardly vary beside the others would decide alone.
_RIDGE = 0.01
# Of 500 records of PTB-XL one in a hundred is further from the others than this, relative to its best repair, and one
# in two hundred has less of their polarity: `python -m benchmarks.signal_quality`.
_FURTHER = 2.0
_POLARITY = -0.5
# Below this a cause is named beside the best one.
_NEARLY_AS_GOOD = 1.1


class LeadMoments(NamedTuple):
    """Products of leads ``[records, leads, leads]``, of trace 1, and their skewness ``[records, leads]``."""

    products: NDArray[np.float64]
    skewness: NDArray[np.float64]


class Misplacement(NamedTuple):
    """A record whose leads are unlike those of the others, and what would make them alike."""

    row: int
    causes: tuple[str, ...]


def choose_independent(leads: Sequence[str]) -> list[int]:
    """Return the places of leads of which none follows from the others: two limb leads, and all that are none.

    >>> choose_independent(("I", "II", "III", "V1", "V2"))
    [0, 1, 3, 4]
    """
    limb = [place for place, lead in enumerate(leads) if lead in LIMB_LEADS]
    return sorted([*limb[:2], *(place for place, lead in enumerate(leads) if lead not in LIMB_LEADS)])


def measure_moments(signals: Signal, sampling_rate: float) -> LeadMoments:
    """Measure how leads move together, and to which side they peak, from 1 to 40 Hz.

    Parameters
    ----------
    signals
        ``[records, leads, samples]``, finite, in any unit.
    sampling_rate
        In Hz.

    Examples
    --------
    >>> times = np.arange(1000) / 100
    >>> beats = np.exp(-(((times % 1) - 0.5) ** 2) / 1e-3)
    >>> moments = measure_moments(np.stack([beats, -beats])[None].astype(np.float32), 100.0)
    >>> moments.products.round(2).tolist()
    [[[0.5, -0.5], [-0.5, 0.5]]]
    >>> np.sign(moments.skewness).tolist()
    [[1.0, -1.0]]
    """
    n_samples = signals.shape[-1]
    spectrum = np.fft.rfft(signals, axis=-1)
    frequencies = np.fft.rfftfreq(n_samples, 1 / sampling_rate)
    spectrum[..., (frequencies < _BAND[0]) | (frequencies > _BAND[1])] = 0
    filtered = np.fft.irfft(spectrum, n_samples, axis=-1)
    products = np.einsum("nit,njt->nij", filtered, filtered, optimize=True)
    power = np.trace(products, axis1=1, axis2=2)
    tiny = np.finfo(np.float64).tiny
    skewness = (filtered**3).mean(axis=-1) / np.maximum(power[:, None] / n_samples, tiny) ** 1.5
    return LeadMoments(products / np.maximum(power, tiny)[:, None, None], skewness)


def find_misplaced(moments: LeadMoments, leads: Sequence[str]) -> list[Misplacement]:
    """Find records of which a lead is inverted, two are swapped, or all are inverted.

    The distance of a record from the others is the trace of its products times the inverse of the mean of all products
    (with a ridge): what is left of a Gaussian likelihood. A record is found where an inversion of one lead or a
    swap of two at least halves it, and where its skewness points away from the mean one of all (cosine below −0.5),
    as of a recording that is inverted as a whole. A fault that all records share is not found.

    Parameters
    ----------
    moments
        Of `MIN_RECORDS` or more, of independent leads.
    leads
        Their names, `MIN_LEADS` or more.

    Returns
    -------
    list of Misplacement
        With the causes, the likeliest first; each that explains nearly as much is named.
    """
    k, products = len(leads), moments.products
    mean = products.mean(axis=0)
    weights = np.linalg.inv(mean + _RIDGE * np.trace(mean) / k * np.eye(k))

    def distances(repair: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.einsum("ij,nji->n", repair.T @ weights @ repair, products)
        return found

    as_they_are = distances(np.eye(k))
    repairs = {f"{lead} inverted": np.diag([-1.0 if other == lead else 1.0 for other in leads]) for lead in leads}
    for i, j in itertools.combinations(range(k), 2):
        order = np.arange(k)
        order[[i, j]] = j, i
        repairs[f"{leads[i]} and {leads[j]} swapped"] = np.eye(k)[order]
    repaired = np.stack([distances(repair) for repair in repairs.values()], axis=1)
    names = list(repairs)
    found = []
    polarity = moments.skewness @ moments.skewness.mean(axis=0)
    size = np.linalg.norm(moments.skewness, axis=1) * np.linalg.norm(moments.skewness.mean(axis=0))
    for row, (before, after) in enumerate(zip(as_they_are, repaired, strict=True)):
        if before > _FURTHER * after.min():
            order = np.argsort(after)
            found.append(Misplacement(row, tuple(names[i] for i in order if after[i] < _NEARLY_AS_GOOD * after.min())))
        elif polarity[row] < _POLARITY * size[row]:
            found.append(Misplacement(row, ("all leads inverted",)))
    return found
