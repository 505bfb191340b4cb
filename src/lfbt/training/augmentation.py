"""Augmented views of a batch, on the training device: random resized crop, then time-out."""

from __future__ import annotations

import math

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfbt.errors import LfbtError
from lfbt.recording import as_real_array
from lfbt.training.settings import CROP_RANGE, LONGEST_TIME_OUT, SHORTEST_CROP, TIME_OUT_RANGE, Crop
from lfbt.utils.settings import check_range

N_DRAWS = 4
_RECORDS_AT_ONCE = 16


def draw_views(seed: int, epoch: int, n_records: int, n_views: int = 2) -> NDArray[np.float64]:
    """What chance decides of an epoch's views: uniform numbers ``[records, views, 4]`` from (seed, epoch, record)."""
    return np.random.default_rng((seed, epoch)).random((n_records, n_views, N_DRAWS))


def random_views(
    signals: Tensor,
    draws: NDArray[np.float64] | np.random.Generator,
    shortest_crop: float = SHORTEST_CROP,
    longest_time_out: float = LONGEST_TIME_OUT,
    crop: Crop = "resized",
) -> Tensor:
    """Draw views of each record: random resized crop, then time-out, the same for all leads (method, section 3).

    Parameters
    ----------
    signals
        ``[records, leads, samples]``, in single or double precision, on any device.
    draws
        A NumPy generator, for two views, or numbers in [0, 1) ``[records, views, 4]``, two views or more, as
        `draw_views` draws them for an epoch.
    shortest_crop
        The shortest part of a record that is cut out.
    longest_time_out
        The longest part of a view that is set to zero.
    crop
        ``resized``: parts of random length, resampled to all samples. ``fixed``: parts of the shortest length, as they
        are.

    Returns
    -------
    Tensor
        ``[views, records, leads, samples]``; with ``fixed`` as many samples as a part has.

    Raises
    ------
    LfbtError
        For signals and draws of another type or shape, and for parts that are out of range.

    Examples
    --------
    >>> z1, z2 = random_views(torch.randn(4, 8, 512), np.random.default_rng(0))
    >>> z1.shape
    torch.Size([4, 8, 512])
    """
    if not isinstance(signals, Tensor):
        raise LfbtError(f"signals: {type(signals).__name__} is not a tensor; give torch.as_tensor(signals)")
    if signals.dtype not in (torch.float32, torch.float64):
        raise LfbtError(f"signals: {signals.dtype} is neither single nor double precision; give signals.float()")
    if signals.ndim != 3 or 0 in signals.shape:
        raise LfbtError(f"signals: shape {list(signals.shape)} is not [records, leads, samples], one or more of each")
    if crop not in ("resized", "fixed"):
        raise LfbtError(f"crop: {crop!r} is neither resized nor fixed")
    check_range("shortest_crop", shortest_crop, CROP_RANGE.interval)
    check_range("longest_time_out", longest_time_out, TIME_OUT_RANGE.interval)
    if isinstance(draws, np.random.Generator):
        draws = draws.random((len(signals), 2, N_DRAWS))
    n_views = max(np.shape(draws)[1], 2) if np.ndim(draws) == 3 else 2
    if np.shape(draws) != (len(signals), n_views, N_DRAWS):
        raise LfbtError(
            f"draws: {type(draws).__name__} of shape {list(np.shape(draws))} is neither a NumPy generator, such as "
            f"numpy.random.default_rng(0), nor numbers {[len(signals), 2, N_DRAWS]}"
        )
    draws = as_real_array("draws", draws)
    if not ((draws >= 0) & (draws < 1)).all():
        raise LfbtError(f"draws: {draws.min():g} to {draws.max():g} are not all in [0, 1)")
    views = [random_view(signals, draws[:, view], shortest_crop, longest_time_out, crop) for view in range(n_views)]
    return torch.stack(views)


def random_view(
    signals: Tensor,
    draws: NDArray[np.float64],
    shortest_crop: float = SHORTEST_CROP,
    longest_time_out: float = LONGEST_TIME_OUT,
    crop: Crop = "resized",
) -> Tensor:
    """One view ``[records, leads, samples]`` of each record, the same for all of its leads (method, section 3).

    draws: ``[records, 4]`` in [0, 1), which set the crop's length and start, and the time-out's length and start:
    a part of ``int(U(0.5, 1) · T)`` samples resampled back to T, then ``int(U(0, 0.5) · T)`` samples set to zero, if
    `shortest_crop` and `longest_time_out` are the paper's. With the crop ``fixed`` all parts have
    ``int(shortest_crop · T)`` samples, which are those of the view.
    """
    n_samples = signals.shape[-1]
    if crop == "fixed":
        start, length = _part(np.zeros(len(draws)), draws[:, 1], n_samples, (shortest_crop, shortest_crop))
        part = cut_out(signals, start, int(length[0]))
        return time_out(part, *_part(draws[:, 2], draws[:, 3], part.shape[-1], (0.0, longest_time_out)))
    crop_start, crop_length = _part(draws[:, 0], draws[:, 1], n_samples, (shortest_crop, 1.0))
    out_start, out_length = _part(draws[:, 2], draws[:, 3], n_samples, (0.0, longest_time_out))
    # On a CPU a few records at a time: what the Fourier transforms hold meanwhile stays in the cache.
    size = _RECORDS_AT_ONCE if signals.device.type == "cpu" else len(signals)
    pieces = [slice(start, start + size) for start in range(0, len(signals), size)]
    crops = [resized_crop(signals[piece], crop_start[piece], crop_length[piece]) for piece in pieces]
    return time_out(torch.cat(crops), out_start, out_length)


def _part(
    length_draw: NDArray[np.float64], start_draw: NDArray[np.float64], n_samples: int, bounds: tuple[float, float]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and length of a contiguous part of `n_samples`, per record."""
    low, high = bounds
    length = ((low + (high - low) * length_draw) * n_samples).astype(np.int64)
    start = (start_draw * (n_samples - length + 1)).astype(np.int64)
    return start, length


def cut_out(signals: Tensor, start: NDArray[np.int64], n_samples: int) -> Tensor:
    """`n_samples` of signals ``[records, leads, samples]`` from `start` on, per record."""
    time = torch.from_numpy(start).to(signals.device)[:, None] + torch.arange(n_samples, device=signals.device)
    return signals.gather(2, time[:, None, :].expand(-1, signals.shape[1], -1))


def time_out(signals: Tensor, start: NDArray[np.int64], length: NDArray[np.int64]) -> Tensor:
    """`signals` ``[records, leads, samples]`` with `length` samples from `start` on set to zero, per record."""
    time = torch.arange(signals.shape[-1], device=signals.device)
    first = torch.from_numpy(start).to(signals.device)[:, None]
    last = first + torch.from_numpy(length).to(signals.device)[:, None]
    return signals.masked_fill(((time >= first) & (time < last))[:, None, :], 0.0)


def resized_crop(signals: Tensor, start: NDArray[np.int64], length: NDArray[np.int64]) -> Tensor:
    """`length` samples from `start` on of each record, resampled to all T samples by the Fourier method.

    Equals ``scipy.signal.resample(signal[:, start:start + length], T, axis=1)`` for each record, for all records at
    once: the spectrum of a part of any length n is a chirp-z transform (Bluestein: ``km = (k² + m² − (k − m)²) / 2``),
    which is a convolution of one size for all n.
    """
    device, n_samples = signals.device, signals.shape[-1]
    n = torch.from_numpy(length).to(device)[:, None]
    first = torch.from_numpy(start).to(device)[:, None]
    n_bins = n_samples // 2 + 1
    size = scipy.fft.next_fast_len(n_samples + n_bins - 1)

    # B n_samples: chirp e^{−iπm²/n}, its phase reduced by whole turns in integers.
    step = torch.arange(n_samples, device=device)
    phase = (step * step % (2 * n)).double() * (math.pi / n)
    chirp = torch.polar(torch.ones_like(phase), -phase).to(torch.complex64)

    # B L n_samples: the part, moved to the front and zero behind its end.
    source = (first + step).clamp(max=n_samples - 1)[:, None, :].expand(-1, signals.shape[1], -1)
    part = signals.gather(2, source) * (step < n)[:, None, :]

    # The kernel e^{iπj²/n} for j from −(T − 1) to K − 1, wrapped around.
    kernel = torch.zeros(len(n), size, dtype=torch.complex64, device=device)
    kernel[:, :n_bins] = chirp[:, :n_bins].conj()
    kernel[:, size - n_samples + 1 :] = chirp[:, 1:].conj().flip(1)
    spectrum = torch.fft.fft(part * chirp[:, None, :], size) * torch.fft.fft(kernel)[:, None, :]
    spectrum = torch.fft.ifft(spectrum)[..., :n_bins] * chirp[:, None, :n_bins]

    # Upsampling keeps the bins up to n/2; the one at n/2 exactly stood for two and is halved.
    bins = step[:n_bins]
    keep = (2 * bins <= n).float() * torch.where((2 * bins == n) & (n < n_samples), 0.5, 1.0)
    scale = keep * (n_samples / n)
    resampled: Tensor = torch.fft.irfft(spectrum * scale[:, None, :], n_samples)
    return resampled
