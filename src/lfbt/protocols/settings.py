"""The settings of a benchmark, its tasks, and what each protocol prescribes."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from lfbt.errors import LfbtError
from lfbt.models.feature_maps import FeatureName
from lfbt.runs.encoder_folder import BUNDLED
from lfbt.utils import settings as fields
from lfbt.utils.settings import Affects, Range, Seed, With

DataName = Literal["ptbxl", "cpsc2018", "chapman"]
TaskName = Literal["statements", "subclass", "superclass", "form", "rhythm", "diagnostic", "single", "diagnosis"]
ProtocolName = Literal["linear", "attentive"]

#: The tasks of each data set.
TASKS: dict[DataName, tuple[TaskName, ...]] = {
    "ptbxl": ("statements", "subclass", "superclass", "form", "rhythm", "diagnostic", "single"),
    "cpsc2018": ("diagnosis",),
    "chapman": ("rhythm",),
}
#: The rule of the source whose labels hold those of all tasks.
LABELS: dict[DataName, str] = {"ptbxl": "statements", "cpsc2018": "diagnosis", "chapman": "rhythm"}
TITLES: dict[DataName, str] = {"ptbxl": "PTB-XL", "cpsc2018": "CPSC2018", "chapman": "Chapman"}


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What a protocol prescribes. AdamW's rate is 1e-3 in both, and a record gives one window by chance to an epoch.

    Parameters
    ----------
    stride
        From one window to the next, in parts of a window.
    average
        What is averaged over the windows of a record.
    keeps_unlabelled
        Whether records without a class of the task stay, as negatives of all classes.
    batch_size
        Records of a batch, at most.
    weight_decay
        Of weights, not of biases.
    rounds
        How many times the validation records are asked; the round with the highest macro AUROC is kept.
    steps
        Batches of a round; None for all training records once, which is an epoch.
    clip
        The greatest norm of the gradient; None for any.
    """

    stride: float
    average: Literal["probabilities", "logits"]
    keeps_unlabelled: bool
    batch_size: int
    weight_decay: float
    rounds: int
    steps: int | None = None
    clip: float | None = None


#: linear: as AI4HealthUOL/ecg-fm-benchmarking has it; attentive: as kweimann/ECG-JEPA.
PROTOCOLS: dict[ProtocolName, Protocol] = {
    "linear": Protocol(1.0, "probabilities", True, batch_size=64, weight_decay=1e-3, rounds=100),
    "attentive": Protocol(0.5, "logits", False, batch_size=128, weight_decay=0.1, rounds=50, steps=100, clip=1.0),
}
_LINEAR = With("protocol", ("linear",))


@dataclasses.dataclass(frozen=True)
class BenchmarkSettings:
    """A frozen encoder scored by a protocol of the field.

    Examples
    --------
    >>> BenchmarkSettings.create("chapman", "downloads/chapman", "benchmark").list_tasks()
    ('rhythm',)
    """

    data: DataName
    """What the download is of: ptbxl, cpsc2018 or chapman."""
    download: Annotated[Path, Affects.LOCATION]
    """Folder with the download, searched through."""
    out: Annotated[Path, Affects.LOCATION]
    """Folder for the prepared data, the trials and the tables: a new one, or to go on with, one that this command
    began."""
    checkpoint: Annotated[Path, Affects.LOCATION] = Path(BUNDLED)
    """Frozen encoder: a run folder, an encoder folder, a .pth file of the authors, lfbt-small, which comes with lfbt,
    or owner/name of the Hugging Face Hub."""
    protocol: Annotated[ProtocolName, Affects.TRIAL] = "linear"
    """linear: a linear layer on the features, as AI4HealthUOL/ecg-fm-benchmarking has it. attentive: a learned query
    attends to the feature map, as kweimann/ECG-JEPA has it."""
    tasks: Annotated[tuple[TaskName, ...], Affects.TRIAL] = ()
    """Label sets; by default all of the data set. Of ptbxl: statements (71), subclass, superclass, form, rhythm,
    diagnostic (44), single (records of one superclass); cpsc2018 has diagnosis, chapman rhythm."""
    fraction: Annotated[tuple[float, ...], Range("(0, 1]"), Affects.TRIAL] = (1.0,)
    """Parts of the training patients whose labels are used, stratified, seeded, a smaller one within a larger."""
    seeds: Annotated[tuple[Seed, ...], Affects.TRIAL] = (0,)
    """Seeds of weights, order and fraction: each is a trial of its own."""
    features: Annotated[FeatureName, _LINEAR, Affects.TRIAL] = "paper"
    """For linear: what is taken from the encoder, as `lfbt probe` has it; rich is standardised."""
    standardise: Annotated[bool, _LINEAR, Affects.TRIAL] = False
    """For linear: standardise every feature by mean and standard deviation over the training records, which the
    protocol does not."""
    window: Annotated[float, Range("(0, 10]", "records have ten seconds")] = 2.5
    """Seconds of a window; the protocols have 2.5 to 5."""
    epochs: Annotated[int | None, Range("[1, 1000000]")] = None
    """Rounds of training, after each of which the validation records are asked: epochs, by default 100; for attentive
    each of 100 batches, by default 50."""
    allow_test_records: Annotated[bool, Affects.RUNTIME] = False
    """Score an encoder on test records that it was pretrained on."""
    skip_unreadable: bool = False
    """Drop files that cannot be read, with the reason, instead of stopping at the first."""
    device: Annotated[str, Affects.PROCESS] = "auto"
    """auto, cpu or cuda."""
    workers: Annotated[int, Range("[1, 1024]"), Affects.PROCESS] = dataclasses.field(
        default_factory=lambda: os.cpu_count() or 1
    )
    """Processes that prepare."""

    @classmethod
    def create(cls, data: Any, download: Any, out: Any, **settings: Any) -> BenchmarkSettings:
        """Create settings from keyword arguments, as `lfbt.utils.settings.create` does."""
        return fields.create(cls, {"data": data, "download": download, "out": out} | settings)

    @property
    def variant(self) -> str:
        """The protocol and in what it is departed from, as folders are named."""
        rich = "rich" if self.features == "rich" else ""
        return "-".join(filter(None, (self.protocol, rich, "standardised" if self.standardise else "")))

    def list_tasks(self) -> tuple[TaskName, ...]:
        """List the tasks that are asked for."""
        return self.tasks or TASKS[self.data]

    def check(self) -> None:
        """Raise LfbtError for a task that the data set does not have, and for what is named twice or not at all."""
        other = [task for task in self.tasks if task not in TASKS[self.data]]
        if other:
            raise LfbtError(f"tasks: {other[0]} is not one of {self.data}, which has {', '.join(TASKS[self.data])}")
        for name, values in (("tasks", self.list_tasks()), ("fraction", self.fraction), ("seeds", self.seeds)):
            if not values or len(set(values)) < len(values):
                raise LfbtError(f"{name}: {' '.join(map(str, values)) or 'none given'}; give one or more, each once")
