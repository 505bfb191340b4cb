"""Settings that encoders and classifiers are saved with: the ``config.json`` beside their weights. Free of PyTorch."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import lfbt
from lfbt.data.dataset import Dataset
from lfbt.data.records import MAX_SAMPLES, SAMPLING_RATES
from lfbt.errors import LfbtError
from lfbt.models.feature_maps import PAPER, FeatureMap
from lfbt.recording import check_leads
from lfbt.signal import Normalisation
from lfbt.utils.files import FORMAT, load_json, save_json, write_json
from lfbt.utils.settings import Range, validate

#: The settings of an encoder or head folder.
CONFIG = "config.json"
_FORMAT = 1

#: VGG16 without its head: channels of each convolution at width 1, block by block. A block ends with a pool of two.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
#: Factors on these that leave a channel, and that fit a machine.
WIDTH_RANGE = Range(f"[{1 / BLOCKS[0][0]}, 4]", "the paper has 0.125")
# Inputs of a classifier: far more than any number of leads has.
_MAX_INPUTS = 10**6
# The largest body surface maps have about 250.
_MAX_LEADS = 256
# Twelve leads at the largest width have 942 million, which take 4 GB.
_MAX_WEIGHTS = 10**9
#: The shortest record that leaves a sample after the last pool.
MIN_SAMPLES = 2 ** len(BLOCKS)


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """Settings of an encoder: its leads, its size and the input that it expects.

    Parameters
    ----------
    leads : tuple of str
        Names of the leads, in the order of the signals' lead axis.
    sampling_rate : float
        Of the signals, in Hz.
    n_samples : int
        Samples of a record, 32 or more.
    normalisation : {"record", "lead", "none"}
        The z-score that the signals have had: over the record, per lead, or none (signals in mV).
    width : float
        Factor on VGG16's channels. The paper's 0.125 gives 64 features a lead.

    Raises
    ------
    LfbtError
        For a value out of range, and for leads without a name or named twice.

    Examples
    --------
    >>> EncoderConfig(("II", "V1"), sampling_rate=100.0, n_samples=1000).n_features
    64
    """

    leads: tuple[str, ...]
    sampling_rate: Annotated[float, Range(SAMPLING_RATES)]
    n_samples: Annotated[int, Range(f"[{MIN_SAMPLES}, {MAX_SAMPLES}]", "VGG16 halves them five times")]
    normalisation: Normalisation = "record"
    width: Annotated[float, WIDTH_RANGE] = 0.125

    @property
    def n_features(self) -> int:
        """Features of a lead."""
        return int(BLOCKS[-1][-1] * self.width)

    @property
    def n_weights(self) -> int:
        """Weights of the convolutions of all leads.

        >>> EncoderConfig(("II", "V1"), sampling_rate=100.0, n_samples=1000).n_weights
        153264
        """
        channels = [1, *(int(n * self.width) for block in BLOCKS for n in block)]
        return len(self.leads) * sum(3 * n_in * n_out for n_in, n_out in itertools.pairwise(channels))

    def columns_per_lead(self, features: FeatureMap = PAPER) -> int:
        """Count the features of a lead, with amplitudes.

        >>> EncoderConfig(("II",), sampling_rate=100.0, n_samples=1000).columns_per_lead()
        64
        """
        channels = sum(int(BLOCKS[block - 1][-1] * self.width) for block in features.blocks)
        return channels * len(features.statistics) + len(features.amplitudes)

    def __post_init__(self) -> None:
        validate(self)
        if len(self.leads) > _MAX_LEADS:
            raise LfbtError(f"leads: {len(self.leads)} are more than the {_MAX_LEADS} that an encoder may have")
        check_leads(self.leads)
        if self.n_weights > _MAX_WEIGHTS:
            raise LfbtError(
                f"width: {self.width:g} with {len(self.leads)} leads makes {self.n_weights} weights, over "
                f"{_MAX_WEIGHTS}; take a smaller width or fewer leads"
            )


def list_differences(dataset: Dataset, config: EncoderConfig) -> list[str]:
    """List in words where a data set is not what an encoder takes: leads and their order, rate, samples, unit."""
    differences = []
    if dataset.leads != config.leads:
        assumed = " (assumed: the files name none)" if dataset.names_assumed else ""
        differences.append(f"leads {','.join(dataset.leads)}{assumed} against the encoder's {','.join(config.leads)}")
    if not math.isclose(dataset.sampling_rate, config.sampling_rate, rel_tol=1e-6):
        differences.append(f"{dataset.sampling_rate:g} Hz against the encoder's {config.sampling_rate:g} Hz")
    if dataset.n_samples != config.n_samples:
        differences.append(f"{dataset.n_samples} samples against the encoder's {config.n_samples}")
    if config.normalisation == "none" and not dataset.in_mv:
        differences.append("z-scores, as EchoNext and folders of .npy files have, against the encoder's millivolts")
    return differences


@dataclasses.dataclass(frozen=True)
class EncoderCard:
    """The ``config.json`` of an encoder folder: an `EncoderConfig` side by side with where the encoder came from.

    Parameters
    ----------
    lfbt_version : str
        Version that wrote the file.
    leads, sampling_rate, n_samples, normalisation, width, n_features
        As in `EncoderConfig`.
    history : dict
        Settings and data that the encoder was trained with; plain JSON values.
    """

    lfbt_version: str
    leads: tuple[str, ...]
    sampling_rate: float
    n_samples: int
    normalisation: str
    width: float
    n_features: int
    history: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def create(cls, config: EncoderConfig, history: Mapping[str, Any]) -> EncoderCard:
        """Describe an encoder of this version of lfbt."""
        settings = dataclasses.asdict(config)
        return cls(lfbt.__version__, **settings, n_features=config.n_features, history=dict(history))

    @property
    def config(self) -> EncoderConfig:
        """The settings of the encoder."""
        normalisation = cast(Normalisation, self.normalisation)
        return EncoderConfig(self.leads, self.sampling_rate, self.n_samples, normalisation, self.width)

    def save(self, folder: Path) -> None:
        """Write ``config.json`` in `folder`, complete or not at all."""
        save_json(folder / CONFIG, self, _FORMAT)

    @classmethod
    def load(cls, folder: Path) -> EncoderCard:
        """Read and check ``config.json`` in `folder`. Raises LfbtError that names the file and the field."""
        path = folder / CONFIG
        card = load_json(path, cls, _remedy("an encoder"), _FORMAT)
        try:
            _ = card.config
        except LfbtError as error:
            raise LfbtError(f"{path}: {error}; {_remedy('an encoder')}") from error
        return card


@dataclasses.dataclass(frozen=True)
class LeadDropout:
    """How a classifier was trained for recordings that lack leads.

    Parameters
    ----------
    probability : float
        That a record of a training step had the leads of one of `subsets` only, each as likely as the others.
    subsets : dict
        Leads that suffice, by the subset's name, in the encoder's order; never all of them.
    """

    probability: float
    subsets: dict[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class HeadCard:
    """The ``config.json`` of a head folder.

    Parameters
    ----------
    lfbt_version : str
        Version that wrote the file.
    classes : tuple of str
        Names of the classes, in column order.
    n_inputs : int
        Length of an embedding, leads × features.
    exclusive : bool
        Whether a record has exactly one class.
    lead_dropout : LeadDropout, optional
        None where the classifier needs all leads; the file does not have it then.
    features : FeatureMap, optional
        What an embedding consists of; None for the paper's, and the file does not have it then.
    """

    lfbt_version: str
    classes: tuple[str, ...]
    n_inputs: int
    exclusive: bool = True
    lead_dropout: LeadDropout | None = None
    features: FeatureMap | None = None

    def save(self, folder: Path) -> None:
        """Write ``config.json`` in `folder`, complete or not at all."""
        content = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        write_json(folder / CONFIG, {FORMAT: _FORMAT, **content})

    @classmethod
    def load(cls, folder: Path) -> HeadCard:
        """Read ``config.json`` in `folder`. Raises LfbtError that names the file and the field."""
        path = folder / CONFIG
        card = load_json(path, cls, _remedy("a classifier"), _FORMAT)
        if not 1 <= card.n_inputs <= _MAX_INPUTS:
            raise LfbtError(
                f"{path}: field n_inputs: {card.n_inputs} is outside [1, {_MAX_INPUTS}]; {_remedy('a classifier')}"
            )
        if not card.classes or len(set(card.classes)) < len(card.classes):
            raise LfbtError(f"{path}: field classes: none, or a name twice; {_remedy('a classifier')}")
        dropout = card.lead_dropout
        if dropout is not None and not (dropout.subsets and all(dropout.subsets.values())):
            raise LfbtError(f"{path}: field lead_dropout: no subsets, or one without leads; {_remedy('a classifier')}")
        features = card.features
        if features is not None:
            try:
                features.check(len(BLOCKS))
            except LfbtError as error:
                raise LfbtError(f"{path}: field features: {error}; {_remedy('a classifier')}") from error
        return card


def _remedy(what: str) -> str:
    return f"it does not describe {what}; restore the file, or name a folder that lfbt wrote"
