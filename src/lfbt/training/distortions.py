"""What else is done to views, each of it off by default: rotation, scale, wander, hum, noise, leads left out.

All of it is computed on the training device, for all records at once. What chance decides of a view follows from
(seed, epoch, record), of each distortion by itself. Axes: N views of records, L leads, T samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfbt.errors import AbsentLeadError, LfbtError
from lfbt.training.settings import DistortionSettings
from lfbt.utils import settings as fields
from lfbt.vectorcardiogram import dower_transforms

Draws = NDArray[np.float64]

WANDER_HZ = (0.05, 0.5)
HUM_HZ = (50.0, 60.0)
# Of a stream of random numbers beside those of views, of the order of records, and of leads left out of probes.
_STREAM = 3

# SplitMix64 (Steele et al., 2014): a step, two multipliers, all as signed integers, and shifts.
_STEP, _MULTIPLIERS, _SHIFTS = -0x61C8864680B583EB, (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15), (30, 27, 31)


class Distortions:
    """The distortions of a run.

    Parameters
    ----------
    settings : DistortionSettings
        How much of each.
    leads : sequence of str
        The leads of the views.
    sampling_rate : float
        Of the views, in Hz.

    Raises
    ------
    LfbtError
        For leads without a vectorcardiogram, one lead to be left out, and a rate at which no mains hum is seen.
    """

    def __init__(self, settings: DistortionSettings, leads: Sequence[str], sampling_rate: float) -> None:
        self.settings, self.n_leads, self.sampling_rate = settings, len(leads), sampling_rate
        if settings.hum and not hum_frequencies(sampling_rate):
            raise LfbtError(
                f"hum: records of {sampling_rate:g} Hz hold no mains hum of {HUM_HZ[0]:g} Hz, which is not below half "
                "of the rate; leave it out, or prepare the data with more samples"
            )
        if settings.lead_dropout and len(leads) < 2:
            raise LfbtError("lead_dropout: has no effect on 1 lead, which always stays; leave it out")
        if settings.vcg_rotation:
            try:
                self._transforms = dower_transforms(leads)
            except AbsentLeadError as error:
                raise LfbtError(
                    f"vcg_rotation: {error}; a vectorcardiogram takes V1 to V6 and two limb leads, and gives the "
                    "standard leads only"
                ) from error

    def draw(self, seed: int, epoch: int, n_records: int, n_views: int) -> dict[str, Draws]:
        """Draw what chance decides in an epoch: by name of what is on, uniform numbers ``[records, views, …]``."""
        n_numbers = {
            "vcg_rotation": 3,
            "scale": 1,
            "wander": 3 + self.n_leads,
            "hum": 3 + self.n_leads,
            "noise": 2,
            "lead_dropout": self.n_leads,
        }
        amounts = fields.to_dict(self.settings)
        return {
            name: np.random.default_rng((seed, epoch, _STREAM, i + 1)).random((n_records, n_views, n))
            for i, (name, n) in enumerate(n_numbers.items())
            if amounts[name]
        }

    def apply(self, views: Tensor, of_views: Sequence[Tensor], draws: Mapping[str, Draws]) -> Tensor:
        """Distort views ``[V, B, leads, samples]`` of records by their draws.

        of_views: the signals ``[B, leads, samples]`` of which each view is.
        """
        if not draws:
            return views
        settings = self.settings
        x = views.flatten(0, 1)
        by_view = {name: of_records.swapaxes(0, 1).reshape(len(x), -1) for name, of_records in draws.items()}
        deviation = torch.cat([signals.std(dim=(1, 2), correction=0) for signals in of_views])
        if "vcg_rotation" in draws:
            degrees = settings.vcg_rotation * (2 * by_view["vcg_rotation"] - 1)
            x = rotate_vector(x, degrees, *self._transforms)
        if "scale" in draws:
            x = scale(x, settings.scale, by_view["scale"][:, 0])
        if "wander" in draws:
            x = add_wander(x, settings.wander * deviation, by_view["wander"], self.sampling_rate)
        if "hum" in draws:
            x = add_hum(x, settings.hum * deviation, by_view["hum"], self.sampling_rate)
        if "noise" in draws:
            x = add_noise(x, settings.noise * deviation, by_view["noise"])
        if "lead_dropout" in draws:
            x = drop_leads(x, settings.lead_dropout, by_view["lead_dropout"])
        return x.view_as(views)


def rotate_vector(signals: Tensor, degrees: Draws, to_leads: Draws, to_vector: Draws) -> Tensor:
    """Rotate the vectorcardiogram of signals ``[N, L, T]``; what of them it does not explain stays.

    ``signals + to_leads (R − 1) to_vector signals``, R the rotation by `degrees` ``[N, 3]`` about x, then y, then z;
    the transforms as of `dower_transforms`.
    """
    change = to_leads @ (rotations(degrees) - np.eye(3)) @ to_vector
    return signals + torch.bmm(_like(change, signals), signals)


def rotations(degrees: Draws) -> Draws:
    """Matrices ``[N, 3, 3]`` of rotations by `degrees` ``[N, 3]`` about x, then y, then z.

    >>> rotations(np.array([[0.0, 0.0, 90.0]])).round(6)[0] @ [1, 0, 0]  # from x to y
    array([0., 1., 0.])
    """
    matrices = np.broadcast_to(np.eye(3), (len(degrees), 3, 3))
    for axis, angle in enumerate(np.radians(degrees).T):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        one = np.zeros((len(degrees), 3, 3))
        one[:, axis, axis] = 1
        one[:, first, first] = one[:, second, second] = np.cos(angle)
        one[:, second, first] = np.sin(angle)
        one[:, first, second] = -np.sin(angle)
        matrices = one @ matrices
    return matrices


def scale(signals: Tensor, most: float, draws: Draws) -> Tensor:
    """Multiply signals ``[N, L, T]`` by ``exp(U(−most, most))``, by `draws` ``[N]``."""
    return signals * _like(np.exp(most * (2 * draws - 1)), signals)[:, None, None]


def add_wander(signals: Tensor, most: Tensor, draws: Draws, sampling_rate: float) -> Tensor:
    """Add baseline wander to signals ``[N, L, T]``: a sine of 0.05 to 0.5 Hz.

    most: the largest amplitude ``[N]``; draws ``[N, 3 + L]``: frequency, phase, amplitude, and what part of it, from −1
    to 1, each lead has.
    """
    low, high = WANDER_HZ
    return _add_sine(signals, low + (high - low) * draws[:, 0], most, draws[:, 1:], sampling_rate)


def add_hum(signals: Tensor, most: Tensor, draws: Draws, sampling_rate: float) -> Tensor:
    """Add mains hum to signals ``[N, L, T]``: a sine of 50 or 60 Hz, if that is below half of the rate; as wander."""
    frequencies = np.array(hum_frequencies(sampling_rate))
    chosen = frequencies[(draws[:, 0] * len(frequencies)).astype(int)]
    return _add_sine(signals, chosen, most, draws[:, 1:], sampling_rate)


def hum_frequencies(sampling_rate: float) -> tuple[float, ...]:
    """Those of 50 and 60 Hz that are below half of the rate: others would be seen as lower ones.

    >>> hum_frequencies(500.0), hum_frequencies(102.4)
    ((50.0, 60.0), (50.0,))
    """
    return tuple(frequency for frequency in HUM_HZ if frequency < sampling_rate / 2)


def _add_sine(signals: Tensor, frequencies: Draws, most: Tensor, draws: Draws, sampling_rate: float) -> Tensor:
    """Add a sine; draws ``[N, 2 + L]``: phase, amplitude, gain of each lead."""
    seconds = torch.arange(signals.shape[2], device=signals.device, dtype=signals.dtype) / sampling_rate
    turns = _like(frequencies, signals)[:, None] * seconds + _like(draws[:, :1], signals)
    gains = _like(draws[:, 1:2] * (2 * draws[:, 2:] - 1), signals) * most[:, None]
    return signals + gains[:, :, None] * torch.sin(2 * math.pi * turns)[:, None]


def add_noise(signals: Tensor, most: Tensor, draws: Draws) -> Tensor:
    """Add white noise to signals ``[N, L, T]``.

    most: the largest standard deviation ``[N]``; draws ``[N, 2]``: what part of it the noise has, and its seed.
    """
    _, n_leads, n_samples = signals.shape
    seeds = torch.from_numpy((draws[:, 1] * 2**53).astype(np.int64)).to(signals.device)
    pairs = (n_samples + 1) // 2
    normal = hashed_normal(seeds, n_leads * pairs).view(len(signals), n_leads, 2 * pairs)[:, :, :n_samples]
    return signals + (most * _like(draws[:, 0], signals))[:, None, None] * normal.to(signals.dtype)


def hashed_normal(seeds: Tensor, n_pairs: int) -> Tensor:
    """Standard normal numbers ``[N, 2 · n_pairs]`` by seeds ``[N]``: those of a seed are the same in any batch.

    SplitMix64's hash of seed and place, and the transform of Box and Muller; the same on all devices but for rounding.
    """
    steps = torch.arange(1, n_pairs + 1, device=seeds.device)
    hashed = _hash(_hash(seeds)[:, None] + steps * _STEP)
    radius = (-2 * (((hashed >> 40) & 0xFFFFFF) + 0.5).mul(2.0**-24).log()).sqrt()
    angle = (hashed & 0xFFFFFF) * (2 * math.pi * 2.0**-24)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=2).flatten(1)


def _hash(x: Tensor) -> Tensor:
    """SplitMix64's finaliser of 64-bit integers, whose products wrap around."""
    for shift, multiplier in zip(_SHIFTS, (*_MULTIPLIERS, 1), strict=True):
        # PyTorch shifts the sign in, which is masked out again.
        x = (x ^ ((x >> shift) & (2 ** (64 - shift) - 1))) * multiplier
    return x


def drop_leads(signals: Tensor, probability: float, draws: Draws) -> Tensor:
    """Set leads of signals ``[N, L, T]`` to zero, each with `probability`; where all would be, one by chance stays.

    draws: ``[N, L]``.
    """
    keep = draws >= np.minimum(probability, draws.max(axis=1, keepdims=True))
    return signals * _like(keep, signals)[:, :, None]


def _like(values: NDArray[np.generic], signals: Tensor) -> Tensor:
    """`values` on the device of `signals`, in their precision."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(signals.device, signals.dtype)
