"""Settings of the probe and of fine-tuning: nested dataclasses, one a concern."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from lfbt.errors import LfbtError
from lfbt.models.feature_maps import FeatureName
from lfbt.runs.run_folder import check_resume
from lfbt.training.settings import BatchNorm
from lfbt.utils import settings as fields
from lfbt.utils.settings import Affects, LeadNames, Range, Seed, With, check_range

Classifier = Literal["adam", "logistic", "knn", "boosting"]
#: Features that need no pretraining.
Rival = Literal["minirocket", "statistics", "beats"]
_ADAM = With("classifier", ("adam",))


@dataclasses.dataclass(frozen=True)
class TaskSettings:
    """Which records are classified, and the encoder to start from."""

    data_dir: Annotated[Path, Affects.LOCATION]
    """Labelled data set: a packed one, or class folders of .npy files."""
    checkpoint: Annotated[Path | None, Affects.LOCATION] = None
    """Encoder to start from: a run folder, an encoder folder, a .pth file of the authors, lfbt-small, which comes with
    lfbt, or owner/name of the Hugging Face Hub."""
    leads: LeadNames = ()
    """Use the encoders of these leads only, by name, comma-separated."""
    allow_mismatch: bool = False
    """Use a data set although its leads, sampling rate or samples are not the encoder's."""
    allow_test_records: Annotated[bool, Affects.RUNTIME] = False
    """Score an encoder on test records that it was pretrained on."""
    num_classes: Annotated[int | None, Range("[1, 1000000]")] = None
    """How many classes the data set must have, if it is to be checked."""
    split_seed: Seed = 0
    """Seed of the folds, and of the split of class folders without split folders."""


@dataclasses.dataclass(frozen=True)
class TrialSettings:
    """Which trials there are, what each trains and is scored on, and where their results go."""

    run_dir: Annotated[Path, Affects.LOCATION]
    """New folder for the results; with several fractions, seeds or lead subsets each has a folder in it."""
    fraction: Annotated[tuple[float, ...], Range("(0, 1]"), Affects.TRIAL] = (1.0,)
    """Parts of the training patients whose labels are used, stratified, seeded, a smaller one within a larger."""
    seeds: Annotated[tuple[Seed, ...], Affects.TRIAL] = (0,)
    """Seeds of weights, order and fraction: each is a trial of its own."""
    folds: Annotated[int, Range("[0, 1000]")] = 0
    """Cross-validate all records in so many patient-disjoint folds instead of the data set's splits; 0 does not."""
    resume: Annotated[bool, Affects.RUNTIME] = False
    """Go on with several trials in the run folder: those that are there already stay as they are."""
    overwrite: Annotated[bool, Affects.RUNTIME] = False
    """Replace the trials in the run folder: a single one once the new one is complete, several when the data is open;
    never other files."""

    def check(self) -> None:
        """Raise LfbtError for trials that are the same, for none, and for those that are to go on and to be removed."""
        check_resume(self.resume, self.overwrite)
        for name, values in (("fraction", self.fraction), ("seeds", self.seeds)):
            if not values or len(set(values)) < len(values):
                raise LfbtError(f"{name}: {' '.join(map(str, values)) or 'none given'}; give one or more, each once")


@dataclasses.dataclass(frozen=True)
class ComputeSettings:
    """What computes."""

    device: Annotated[str, Affects.PROCESS] = "auto"
    """auto, cpu or cuda."""
    workers: Annotated[int, Range("[0, 1024]"), Affects.PROCESS] = 2
    """Threads that read batches ahead."""


@dataclasses.dataclass(frozen=True)
class FittingSettings:
    """The classifier on frozen features, and what is chosen between on validation."""

    epochs: Annotated[int, Range("[1, 1000000]"), _ADAM] = 100
    """For adam: passes over the training records; the one with the lowest validation loss is kept."""
    batch_size: Annotated[int, Range("[2, 1000000]"), _ADAM] = 128
    """For adam: records of a batch, at most."""
    classifier: Classifier = "adam"
    """adam: a linear layer trained by Adam, as the paper has it. logistic: scikit-learn's logistic regression. knn: the
    nearest training records by cosine. boosting: scikit-learn's trees by histograms; the round with the lowest
    validation loss is kept."""
    learning_rate: Annotated[tuple[float, ...], Range("(0, 1000]"), _ADAM] = (1e-3,)
    """For adam: its rate, constant; of several the one with the lowest validation loss is kept."""
    c: Annotated[tuple[float, ...], Range("[1e-10, 1e10]"), With("classifier", ("logistic",))] = (0.001, 0.01, 0.1, 1.0)
    """For logistic: the inverse of the L2 penalty; of several the one with the lowest validation loss is kept."""
    neighbours: Annotated[tuple[int, ...], Range("[1, 1000000]"), With("classifier", ("knn",))] = (5, 10, 20, 50)
    """For knn: how many neighbours; of several numbers the one with the lowest validation loss is kept, of
    those that are not more than the training records."""
    standardise: Annotated[bool, _ADAM] = False
    """For adam: standardise every feature by mean and standard deviation over the training records. The others do."""

    @property
    def needs_val(self) -> bool:
        """Whether something is chosen on validation: an epoch, or one of several candidates."""
        n_candidates = {"logistic": len(self.c), "knn": len(self.neighbours)}
        return self.classifier in ("adam", "boosting") or n_candidates[self.classifier] > 1

    def check(self) -> None:
        """Raise LfbtError where the classifier has no candidate."""
        name = {"adam": "learning_rate", "logistic": "c", "knn": "neighbours"}.get(self.classifier)
        if name and not getattr(self, name):
            raise LfbtError(f"{name}: none given; give one or more")


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How encoder and classifier are trained together."""

    epochs: Annotated[int, Range("[1, 1000000]")] = 100
    """Passes over the training records; the one with the lowest validation loss is kept."""
    batch_size: Annotated[int, Range("[2, 1000000]")] = 128
    """Records of a batch over all processes, at most."""
    learning_rate: Annotated[float, Range("(0, 1000]")] = 1e-4
    """Adam's rate, constant."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """fp32, or bf16 or fp16 for the products of matrices in training; scores are computed in fp32."""
    batch_norm: BatchNorm = "global"
    """With several processes: statistics of the whole batch, or of each process's part of it."""


@dataclasses.dataclass(frozen=True)
class ProbeSettings:
    """How a frozen encoder is probed. Defaults are the paper's.

    Examples
    --------
    >>> settings = ProbeSettings.create("data/ptbxl", "runs/probe", "runs/pretrain", classifier="knn", seeds=[0, 1])
    >>> settings.fitting.classifier, settings.trials.seeds
    ('knn', (0, 1))
    """

    task: TaskSettings
    trials: TrialSettings
    fitting: FittingSettings = FittingSettings()
    compute: ComputeSettings = ComputeSettings()
    features: FeatureName = "paper"
    """What is taken from the encoder. paper: the mean over time of its last block. rich: mean and maximum over time of
    its last two blocks, and the amplitudes of each lead in mV; standardised for every classifier."""
    lead_subsets: Annotated[tuple[LeadNames, ...], Affects.TRIAL] = ()
    """Probe subsets of the encoder's leads, each a trial, from the same features: II,V1 or each (every lead alone),
    limb, chest, all. The z-score stays that of all leads. With --leads-dropout: what one classifier serves."""
    leads_dropout: Annotated[float, Range("[0, 1]"), _ADAM] = 0.0
    """For adam: train one classifier that serves --lead-subsets, too: how probable it is that a record of a step has
    the leads of one of them only."""
    random_encoder: bool = False
    """Probe a random encoder, its batch-norm statistics estimated on the training records: the baseline."""
    rival: Rival | None = None
    """Probe features that need no pretraining, alone or, with --checkpoint or --random-encoder, beside the encoder's:
    does it earn its keep? minirocket: 9,996 fixed convolutions. statistics: amplitudes, spectrum and rhythm. beats:
    principal components of the median beat."""

    @classmethod
    def create(cls, data_dir: Any, run_dir: Any, checkpoint: Any = None, **settings: Any) -> ProbeSettings:
        """Create settings from keyword arguments, as `lfbt.utils.settings.create` does."""
        return fields.create(cls, {"data_dir": data_dir, "run_dir": run_dir, "checkpoint": checkpoint} | settings)

    @property
    def kind(self) -> str:
        """The kind of its results."""
        return "probe"

    @property
    def needs_val(self) -> bool:
        """Whether something is chosen on validation."""
        return self.fitting.needs_val

    def check(self) -> None:
        """Raise LfbtError unless there is one encoder to start from or a rival, and for too few folds."""
        if self.rival is None or self.random_encoder:
            _check_start(self.task, self.random_encoder)
        if self.rival is not None and self.lead_subsets:
            raise LfbtError(
                f"lead_subsets: cannot be given with rival {self.rival}, whose features are of all leads; name leads "
                "with --leads"
            )
        if self.rival is not None and self.features != "paper" and not (self.random_encoder or self.task.checkpoint):
            raise LfbtError(f"features: {self.features} are an encoder's, and rival {self.rival} has none; name one")
        _check_folds(self.trials, self.needs_val)
        _check_dropout(self.leads_dropout, self.lead_subsets)
        if self.features != "paper" and self.fitting.standardise:
            raise LfbtError(
                f"standardise: has no effect with features {self.features}, which are always standardised; leave it out"
            )
        if self.leads_dropout and self.fitting.classifier != "adam":
            raise LfbtError(f"leads_dropout: has no effect with classifier {self.fitting.classifier}, only with adam")


@dataclasses.dataclass(frozen=True)
class FinetuneSettings:
    """How an encoder is fine-tuned. Defaults are the paper's.

    Examples
    --------
    >>> FinetuneSettings.create("data/ptbxl", "runs/scratch", from_scratch=True, fraction=0.1).trials.fraction
    (0.1,)
    """

    task: TaskSettings
    trials: TrialSettings
    training: TrainingSettings = TrainingSettings()
    compute: ComputeSettings = ComputeSettings()
    from_scratch: bool = False
    """Start from random weights instead of a checkpoint: the paper's baseline."""
    lead_subsets: tuple[LeadNames, ...] = ()
    """With --leads-dropout: subsets of the encoder's leads that the classifier serves, too: II,V1 or each (every lead
    alone), limb, chest. Each is tested."""
    leads_dropout: Annotated[float, Range("[0, 1]")] = 0.0
    """How probable it is that a record of a training step has the leads of one of --lead-subsets only."""

    @classmethod
    def create(cls, data_dir: Any, run_dir: Any, checkpoint: Any = None, **settings: Any) -> FinetuneSettings:
        """Create settings from keyword arguments, as `lfbt.utils.settings.create` does."""
        return fields.create(cls, {"data_dir": data_dir, "run_dir": run_dir, "checkpoint": checkpoint} | settings)

    @property
    def kind(self) -> str:
        """The kind of its results."""
        return "scratch" if self.from_scratch else "finetune"

    @property
    def needs_val(self) -> bool:
        """Whether something is chosen on validation: the epoch is."""
        return True

    def check(self) -> None:
        """Raise LfbtError unless there is one encoder to start from, and for too few folds."""
        _check_start(self.task, self.from_scratch)
        _check_folds(self.trials, self.needs_val)
        _check_dropout(self.leads_dropout, self.lead_subsets)
        if self.lead_subsets and not self.leads_dropout:
            raise LfbtError(
                "lead_subsets: has no effect without leads_dropout, such as 0.5; to fine-tune on some leads only, name "
                "them with leads"
            )


ClassifySettings = ProbeSettings | FinetuneSettings


def _check_start(task: TaskSettings, random_start: bool) -> None:
    if random_start == (task.checkpoint is not None):
        raise LfbtError(
            "checkpoint: give either --checkpoint, or --random-encoder (probe) or --from-scratch (finetune)"
        )


def _check_dropout(leads_dropout: float, lead_subsets: tuple[LeadNames, ...]) -> None:
    if leads_dropout and not lead_subsets:
        raise LfbtError(
            f"leads_dropout: {leads_dropout:g}, but no lead_subsets to train for; name them, such as limb chest II,V1"
        )


def _check_folds(trials: TrialSettings, needs_val: bool) -> None:
    if trials.folds:
        allowed = "[3, inf)" if needs_val else "[2, inf)"
        hint = "one is the test" + (", one validation" if needs_val else "") + "; 0 takes the data set's splits instead"
        check_range("folds", trials.folds, allowed, hint)
