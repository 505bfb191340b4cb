"""What an ECG shows without a model: statistics of every lead, the heart rate, and the median beat."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks

from lfbt.signal import Signal

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
#: Limits of the spectrum's bands in Hz.
BANDS = (0.5, 2.0, 4.0, 8.0, 15.0, 25.0, 45.0)
# Seconds between beats, the shortest and the longest.
_BEATS = (0.3, 2.0)
# Seconds of a beat before and after its steepest point.
_BEFORE, _AFTER = 0.25, 0.45


def compute_statistics(signals: Signal, sampling_rate: float) -> NDArray[np.float32]:
    """Compute statistics of every lead, and of the rhythm.

    Of a lead: mean, standard deviation, span, `QUANTILES`, and the logarithm of the mean power in each of the `BANDS`;
    of all leads the heart rate (beats a minute) and how regular it is, as `measure_rhythm` has them.

    Parameters
    ----------
    signals
        In mV, ``[records, leads, samples]``.
    sampling_rate
        In Hz.

    Returns
    -------
    ndarray
        ``[records, leads × 16 + 2]``.
    """
    signals = np.asarray(signals, dtype=np.float64)
    n_samples = signals.shape[2]
    low, *quantiles, high = np.quantile(signals, (0, *QUANTILES, 1), axis=2)
    of_leads = [signals.mean(axis=2), signals.std(axis=2), high - low, *quantiles]
    power = np.abs(np.fft.rfft(signals - of_leads[0][..., None], axis=2)) ** 2 / n_samples
    frequencies = np.fft.rfftfreq(n_samples, 1 / sampling_rate)
    for start, end in itertools.pairwise(BANDS):
        in_band = (frequencies >= start) & (frequencies < end)
        mean = power[..., in_band].mean(axis=2) if in_band.any() else np.zeros(signals.shape[:2])
        of_leads.append(np.log10(mean + 1e-6))
    rate, regularity = measure_rhythm(signals, sampling_rate)
    columns = np.stack(of_leads, axis=2).reshape(len(signals), -1)
    return np.concatenate([columns, rate[:, None], regularity[:, None]], axis=1).astype(np.float32)


def measure_rhythm(signals: Signal, sampling_rate: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure the heart rate by the autocorrelation of the slope, summed over leads.

    Returns
    -------
    rate
        Beats a minute, of the highest autocorrelation between 30 and 200 ``[records]``; 0 for a signal without slope,
        and for one shorter than two such beats.
    regularity
        That autocorrelation, at most 1 ``[records]``.
    """
    slope = _slope(signals)
    slope = slope - slope.mean(axis=1, keepdims=True)
    n = slope.shape[1]
    spectrum = np.abs(np.fft.rfft(slope, 2 * n, axis=1)) ** 2
    products = np.fft.irfft(spectrum, axis=1)[:, :n]
    first, last = (round(seconds * sampling_rate) for seconds in _BEATS)
    lags = np.arange(first, min(last + 1, n // 2))
    rate, regularity = np.zeros(len(slope)), np.zeros(len(slope))
    has_slope = products[:, 0] > 1e-12
    if len(lags) and first > 0:
        # Longer lags have fewer products.
        correlation = products[has_slope][:, lags] / products[has_slope, :1] * (n / (n - lags))
        best = correlation.argmax(axis=1)
        rate[has_slope] = 60 * sampling_rate / lags[best]
        regularity[has_slope] = np.minimum(correlation.max(axis=1), 1)
    return rate, regularity


def find_median_beats(signals: Signal, sampling_rate: float) -> NDArray[np.float32]:
    """Find the beats of every record by the slope of all leads, and return their median.

    Parameters
    ----------
    signals
        In mV, ``[records, leads, samples]``.
    sampling_rate
        In Hz.

    Returns
    -------
    ndarray
        0.7 s of every lead around the steepest point, less the lead's median ``[records, leads × samples]``; of a
        record without a complete beat zeros.
    """
    before, after = round(_BEFORE * sampling_rate), round(_AFTER * sampling_rate)
    width = max(1, round(0.05 * sampling_rate))
    beats = np.zeros((*signals.shape[:2], before + after), dtype=np.float32)
    smooth = uniform_filter1d(_slope(signals), width, axis=1)
    for record, slope in enumerate(smooth):
        # Half of what nearly all of the record is below: an extreme artefact is no measure.
        height = 0.5 * np.quantile(slope, 0.98)
        peaks, _ = find_peaks(slope, height=max(height, 1e-12), distance=max(1, round(_BEATS[0] * sampling_rate)))
        whole = peaks[(peaks >= before) & (peaks + after <= signals.shape[2])]
        if len(whole):
            levelled = signals[record] - np.median(signals[record], axis=1, keepdims=True)
            cut = [levelled[:, peak - before : peak + after] for peak in whole]
            beats[record] = np.median(cut, axis=0)
    return beats.reshape(len(signals), -1)


def _slope(signals: Signal) -> NDArray[np.float64]:
    """Squared differences of neighbouring samples, summed over leads ``[records, samples]``; the first is 0."""
    steps = np.diff(np.asarray(signals, dtype=np.float64), axis=2, prepend=signals[..., :1])
    slope: NDArray[np.float64] = np.square(steps).sum(axis=1)
    return slope
