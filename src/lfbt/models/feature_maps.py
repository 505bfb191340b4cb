"""What is taken from a frozen encoder as the features of a record, by name. Free of PyTorch."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError

#: Names of feature maps, as settings have them.
FeatureName = Literal["paper", "rich"]

#: Over the time of a block's activations.
Statistic = Literal["mean", "max"]

#: Of the voltages of a lead in mV.
Amplitude = Literal["log_std", "peak_to_peak"]

#: A deviation of 1 µV, finer than recorders resolve: the logarithm of a flat lead is that of this one.
LEAST_MV = 1e-3


@dataclasses.dataclass(frozen=True)
class FeatureMap:
    """What the features of a lead consist of, in this order.

    Parameters
    ----------
    name : str
        As settings have it.
    blocks : tuple of int
        Blocks of the encoder, from 1 to 5, whose activations are pooled.
    statistics : tuple of str
        Of each channel of a block over time, one statistic of all channels after the other.
    amplitudes : tuple of str
        Of the voltages in mV, before any z-score.
    amplitude_weight : float
        What standardised amplitudes are multiplied by for a classifier; the other features have weight 1.
    """

    name: FeatureName
    blocks: tuple[int, ...]
    statistics: tuple[Statistic, ...]
    amplitudes: tuple[Amplitude, ...] = ()
    amplitude_weight: float = 1.0

    def check(self, n_blocks: int) -> None:
        """Raise LfbtError for blocks that are not some of `n_blocks`, ascending, and what is named twice."""
        ascending = tuple(block for block in range(1, n_blocks + 1) if block in self.blocks)
        if not self.blocks or self.blocks != ascending:
            raise LfbtError(f"blocks: {list(self.blocks)} are not some of 1 to {n_blocks}, ascending")
        for name, values in (("statistics", self.statistics), ("amplitudes", self.amplitudes)):
            if len(set(values)) < len(values) or (name == "statistics" and not values):
                raise LfbtError(f"{name}: {list(values)}; one or more are due, each once")

    def weights(self, n_leads: int, n_columns: int) -> NDArray[np.float32]:
        """Return the weight of each column of standardised embeddings of `n_leads` leads.

        >>> RICH.weights(n_leads=2, n_columns=6).tolist()
        [1.0, 3.0, 3.0, 1.0, 3.0, 3.0]
        """
        weights = np.ones((n_leads, n_columns // n_leads), np.float32)
        weights[:, weights.shape[1] - len(self.amplitudes) :] = self.amplitude_weight
        return weights.ravel()


#: The paper's: the mean over time of the last block.
PAPER = FeatureMap("paper", (5,), ("mean",))

#: Chosen by ``benchmarks.rich_features``.
RICH = FeatureMap("rich", (4, 5), ("mean", "max"), ("log_std", "peak_to_peak"), 3.0)

#: Feature maps by their names.
FEATURE_MAPS: dict[FeatureName, FeatureMap] = {PAPER.name: PAPER, RICH.name: RICH}


def feature_map(name: str) -> FeatureMap:
    """Return the feature map of a name. Raises LfbtError for another name.

    >>> feature_map("paper").blocks
    (5,)
    """
    for known, features in FEATURE_MAPS.items():
        if known == name:
            return features
    raise LfbtError(f"features: {name!r} is not one of {', '.join(FEATURE_MAPS)}")


def measure_amplitudes(signals: NDArray[Any], features: FeatureMap) -> NDArray[np.float32]:
    """Measure the amplitudes of voltages.

    Parameters
    ----------
    signals : ndarray, ``[..., samples]``
        In mV.
    features : FeatureMap
        Which amplitudes.

    Returns
    -------
    ndarray of float32, ``[..., amplitudes]``
        ``log_std``: natural logarithm of the standard deviation, of at least 1 µV; ``peak_to_peak``: in mV.

    Examples
    --------
    >>> measure_amplitudes(np.array([[-1.0, 1.0, -1.0, 1.0], [0.5, 0.5, 0.5, 0.5]]), RICH).round(4).tolist()
    [[0.0, 2.0], [-6.907800197601318, 0.0]]
    """
    measured = {"log_std": _log_std, "peak_to_peak": _peak_to_peak}
    return np.stack([measured[name](signals) for name in features.amplitudes], axis=-1).astype(np.float32)


def _log_std(signals: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.log(np.maximum(signals.std(axis=-1, dtype=np.float64), LEAST_MV)))


def _peak_to_peak(signals: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(signals.max(axis=-1) - signals.min(axis=-1))
