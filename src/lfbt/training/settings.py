"""How an encoder is pretrained: settings by concern, and presets."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from lfbt.errors import LfbtError
from lfbt.losses.objectives import Objective
from lfbt.models.config import MIN_SAMPLES, WIDTH_RANGE
from lfbt.models.feature_maps import FeatureName
from lfbt.runs.run_folder import SETTINGS, RunSettings, check_resume
from lfbt.runs.trackers import TrackerName
from lfbt.signal import Normalisation
from lfbt.utils import settings as fields
from lfbt.utils.settings import Affects, Form, LeadNames, Range, Seed, With, check_range

Preset = Literal["paper", "small"]
Schedule = Literal["constant", "cosine"]
Precision = Literal["fp32", "bf16", "fp16", "auto"]
BatchNorm = Literal["global", "process"]
Crop = Literal["resized", "fixed"]

#: Of a record, at least this part stays in a view's crop, and at most that part of the view is set to zero.
SHORTEST_CROP, LONGEST_TIME_OUT = 0.5, 0.5
CROP_RANGE, TIME_OUT_RANGE = Range("[0.1, 1]"), Range("[0, 0.9]")
VIEWS_RANGE = Range("[2, 8]")
#: What the sizes of a projector's layers are written as.
PROJECTOR_FORM = Form("layer sizes such as 2048-2048-2048")
# The largest that has been of use elsewhere is 16384.
_MAX_LAYERS, _MAX_LAYER = 8, 32768
_LFBT = With("objective", ("lfbt",))


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """Which records are learned from."""

    data_dir: Annotated[tuple[Path, ...], Affects.LOCATION]
    """Data sets to learn from: packed ones, or the authors' folders."""
    leads: LeadNames = ()
    """Leads to learn, by name, comma-separated; all of the data set's if none are named."""
    splits: tuple[Literal["train", "val", "test"], ...] = ("train",)
    """Splits of the data sets to learn from. Unlabelled data sets are all train."""
    exclude: Annotated[Path | None, Affects.LOCATION] = None
    """File of records to leave out: a CSV with a column id, as `lfbt check --out` writes it, or one id per line."""
    allow_test_records: Annotated[bool, Affects.RUNTIME] = False
    """Learn from test records, too: of split test, or copies of test records."""
    split_seed: Seed = 0
    """Seed of the split of class folders without split folders."""

    def check(self) -> None:
        """Raise LfbtError for splits that no encoder should learn from."""
        if not self.splits:
            raise LfbtError("splits: none given; name one or more of train, val, test")
        if "test" in self.splits and not self.allow_test_records:
            raise LfbtError(
                "splits: test is among them, so no test of the encoder would be fair; name train and val only, or "
                "insist with --allow-test-records"
            )


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """How long and how fast the encoder learns."""

    epochs: Annotated[int, Range("[1, 1000000]")] = 200
    """Passes over the records."""
    batch_size: Annotated[int, Range("[2, 1000000]")] = 128
    """Records of a batch over all processes, at most; batches of an epoch are of one size."""
    learning_rate: Annotated[float, Range("(0, 1000]")] = 1e-3
    """Adam's rate."""
    schedule: Schedule = "constant"
    """The rate over time. constant: the same throughout. cosine: from the rate to zero."""
    warmup_epochs: Annotated[float, Range("[0, 1000000)")] = 0.0
    """Epochs over which the rate rises from zero first."""
    weight_decay: Annotated[float, Range("[0, 1]")] = 0.0
    """Part of the weights, times the rate, taken off at each step (AdamW); norms and biases keep theirs."""
    ema: Annotated[float, Range("[0, 1)", "0.99 to 0.9999 are usual, 0 is none")] = 0.0
    """Decay of a moving average of the encoder's weights and running statistics, which then is the encoder that is
    evaluated and kept; 0 for none."""

    def check(self) -> None:
        """Raise LfbtError for a warm-up that does not end before the run."""
        advice = "it must end before --epochs; give fewer, or 0 for none, also where a preset sets them"
        check_range("warmup_epochs", self.warmup_epochs, f"[0, {self.epochs})", advice)


@dataclasses.dataclass(frozen=True)
class LossSettings:
    """What the encoder learns by."""

    objective: Objective = "lfbt"
    """What is learned by; all but lfbt are there for comparison. lfbt: Lead-Fusion Barlow Twins; with --gamma 1 plain
    Barlow Twins per lead. simclr: contrast of views. vicreg: variance, invariance, covariance. lead-contrastive:
    contrast of a record's leads."""
    gamma: Annotated[float, Range("[0, 1]", "the paper has 0.8 and 0.6, 1 is plain Barlow Twins per lead"), _LFBT] = 0.8
    """Of lfbt: weight of the intra-lead loss; the inter-lead loss has the rest."""
    lambd: Annotated[float, Range("[0, 1000000]"), _LFBT] = 0.0051
    """Of lfbt: weight of the off-diagonal terms."""
    temperature: Annotated[
        float,
        Range("[0.001, 100]", "SimCLR and CLOCS have 0.1"),
        With("objective", ("simclr", "lead-contrastive")),
    ] = 0.1
    """Of simclr and lead-contrastive: what cosines are divided by."""


@dataclasses.dataclass(frozen=True)
class AugmentationSettings:
    """How the views of a record are drawn."""

    views: Annotated[int, VIEWS_RANGE] = 2
    """Views of each record; the loss is the mean over all pairs of them."""
    positives: Literal["record", "patient"] = "record"
    """Which records give the views that are made alike. record: all views are of one record. patient: the first is of
    the record, the others are of another record of the same patient, if there is one."""
    crop: Crop = "resized"
    """Of the views: what is done with the part of a record that is cut out. resized: of random length, resampled to
    that of the record, so that heart rates change. fixed: of the length of --shortest-crop, left as it is."""
    shortest_crop: Annotated[float, CROP_RANGE] = SHORTEST_CROP
    """Of the views: the shortest part of a record that is cut out."""
    longest_time_out: Annotated[float, TIME_OUT_RANGE] = LONGEST_TIME_OUT
    """Of the views: the longest part of one that is set to zero."""

    @property
    def parts(self) -> tuple[float, float, Crop]:
        """What is cut out and set to zero, as `lfbt.random_views` takes it."""
        return self.shortest_crop, self.longest_time_out, self.crop

    def check_samples(self, n_samples: int) -> None:
        """Raise LfbtError for views of records of `n_samples` that are shorter than an encoder takes."""
        if self.crop == "fixed" and int(self.shortest_crop * n_samples) < MIN_SAMPLES:
            raise LfbtError(
                f"shortest_crop: {self.shortest_crop:g} of {n_samples} samples is less than the {MIN_SAMPLES} that an "
                "encoder takes; give more"
            )


@dataclasses.dataclass(frozen=True)
class DistortionSettings:
    """What else is done to views; 0 is none of it."""

    vcg_rotation: Annotated[float, Range("[0, 180]")] = 0.0
    """Degrees by which the vectorcardiogram of a view is rotated about each axis, at most; what it does not explain of
    the leads stays. It takes V1 to V6 and two limb leads."""
    scale: Annotated[float, Range("[0, 3]")] = 0.0
    """A view is multiplied by e to the power of up to this, or divided."""
    wander: Annotated[float, Range("[0, 10]")] = 0.0
    """Baseline wander: the largest amplitude of a sine of 0.05 to 0.5 Hz, in standard deviations of the record."""
    hum: Annotated[float, Range("[0, 10]")] = 0.0
    """Mains hum: the same of a sine of 50 or 60 Hz, if below half of the sampling rate."""
    noise: Annotated[float, Range("[0, 10]")] = 0.0
    """White noise: its largest standard deviation, in those of the record."""
    lead_dropout: Annotated[float, Range("[0, 1)")] = 0.0
    """Probability that a lead of a view is set to zero, never all of them."""


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """The encoder and its projectors."""

    projector: Annotated[str, PROJECTOR_FORM] = "2048-2048-2048"
    """Sizes of the projectors' layers."""
    width: Annotated[float, WIDTH_RANGE] = 0.125
    """Factor on VGG16's channels; 0.125 gives 64 features a lead."""
    normalisation: Normalisation = "record"
    """The z-score of every input. record: over all leads of a record. lead: over each lead. none: millivolts as they
    are."""

    @property
    def projector_sizes(self) -> tuple[int, ...]:
        """The sizes of the projectors' layers as numbers."""
        return parse_projector(self.projector)

    def check(self) -> None:
        """Raise LfbtError for sizes that are none."""
        parse_projector(self.projector)


@dataclasses.dataclass(frozen=True)
class ComputeSettings:
    """What computes, and how."""

    device: Annotated[str, Affects.PROCESS] = "auto"
    """auto, cpu or cuda."""
    precision: Precision = "fp32"
    """Of the products of matrices and, on a CPU, of what the encoders keep; the loss, all statistics, weights and the
    optimiser stay in fp32. fp32: single. bf16: half, with the range of single. fp16: half, on a GPU, with scaled
    gradients. auto: bf16 on a CPU that computes it faster, else fp32."""
    batch_norm: BatchNorm = "global"
    """What several processes normalise with. global: statistics of the whole batch. process: those of its own part."""
    low_memory: Annotated[bool, Affects.RUNTIME] = False
    """Compute the encoders' activations twice instead of keeping them: the same but for rounding, with less memory."""
    workers: Annotated[int, Range("[0, 1024]"), Affects.PROCESS] = 2
    """Threads that read batches ahead."""


@dataclasses.dataclass(frozen=True)
class CheckpointSettings:
    """When the train state is saved."""

    save_steps: Annotated[int, Range("[0, 1000000000]"), Affects.RUNTIME] = 0
    """Steps between checkpoints, besides those by time; 0 for none."""
    save_minutes: Annotated[float, Range("[0, 1000000]"), Affects.RUNTIME] = 10.0
    """Minutes between checkpoints; 0 for none by time. The end is always saved."""
    keep: Annotated[int, Range("[1, 1000000]"), Affects.RUNTIME] = 2
    """Checkpoints that are kept, the last ones."""
    resume: Annotated[bool, Affects.RUNTIME] = False
    """Resume the run in the run folder from its last checkpoint, or begin where there is none. With a constant rate it
    may get more --epochs."""
    overwrite: Annotated[bool, Affects.RUNTIME] = False
    """Remove the run in the run folder once the data is open, and begin anew; never other files."""

    def check(self) -> None:
        """Raise LfbtError for a run that is both to go on and to be removed."""
        check_resume(self.resume, self.overwrite)


@dataclasses.dataclass(frozen=True)
class MonitorSettings:
    """What is shown of a run while it learns."""

    print_freq: Annotated[int, Range("[0, 1000000000]"), Affects.RUNTIME] = 0
    """Steps between printed losses; 0 prints those of epochs only."""
    quality_data: Annotated[Path | None, Affects.LOCATION] = None
    """Labelled data set; the encoder is probed in closed form on its training and validation records, never on test,
    and the best one is kept, too."""
    quality_every: Annotated[int, Range("[0, 1000000]"), Affects.RUNTIME] = 5
    """Epochs between evaluations of the encoder, besides the first and the last, from step 50 on (with --quality-data
    the last in any case); 0 for none."""
    quality_features: FeatureName = "paper"
    """What --quality-data is probed with. paper: the mean over time of the last block. rich: mean and maximum over time
    of the last two blocks, and amplitudes in mV."""
    trackers: Annotated[tuple[TrackerName, ...], Affects.RUNTIME] = ()
    """Also report the run to these; each is an extra: pip install 'lfbt[tensorboard]'."""

    def check(self) -> None:
        """Raise LfbtError for features of no quality data."""
        if self.quality_features != "paper" and self.quality_data is None:
            raise LfbtError(
                f"quality_features: {self.quality_features} has no effect without quality_data; name a data set"
            )


@dataclasses.dataclass(frozen=True)
class PretrainSettings:
    """How an encoder is pretrained. Defaults are the paper's."""

    data: DataSettings
    run_dir: Annotated[Path, Affects.LOCATION]
    """New folder for the encoder, the history and the settings; to resume, the run's own."""
    preset: Preset = "paper"
    """Named defaults of the other options. paper: as published. small: for few records or no GPU; prepare the data with
    --n-samples 1024."""
    optimizer: OptimizerSettings = OptimizerSettings()
    loss: LossSettings = LossSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    distortion: DistortionSettings = DistortionSettings()
    model: ModelSettings = ModelSettings()
    seed: Seed = 0
    """Seed of weights, order and views."""
    compute: ComputeSettings = ComputeSettings()
    checkpoints: CheckpointSettings = CheckpointSettings()
    monitor: MonitorSettings = MonitorSettings()

    def check(self) -> None:
        """Raise LfbtError for a vectorcardiogram of leads that are no longer in proportion to each other."""
        if self.distortion.vcg_rotation and self.model.normalisation == "lead":
            raise LfbtError(
                "vcg_rotation: needs leads in proportion to each other, which normalisation lead takes away; take "
                "--normalisation record or none, or leave the rotation out"
            )

    @classmethod
    def create(cls, data_dir: Any, run_dir: Any, preset: str = "paper", **settings: Any) -> PretrainSettings:
        """Create settings from keyword arguments, those not given as `preset` has them.

        The preset's warm-up is shortened as `shorten_warmup` does. Raises LfbtError for a preset or a name that is
        none, and for a value of another type.
        """
        given = {"data_dir": data_dir, "run_dir": run_dir} | settings
        created = fields.create(cls, _defaults_of(preset) | given)
        return created if "warmup_epochs" in settings else shorten_warmup(created)


_SMALL: dict[str, Any] = {
    "epochs": 120,
    "batch_size": 64,
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "warmup_epochs": 3.0,
    "projector": "512-512-512",
    "normalisation": "none",
}
_PRESETS: dict[str, dict[str, Any]] = {"paper": {}, "small": _SMALL}
#: Samples of a record of ten seconds with which `small` was chosen.
_SMALL_SAMPLES = 1024


def _defaults_of(preset: str) -> dict[str, Any]:
    preset = fields.convert("preset", preset, Preset)
    return {"preset": preset, **_PRESETS[preset]}


def apply_preset(settings: PretrainSettings, preset: str) -> PretrainSettings:
    """Replace the settings that `preset` names. Raises LfbtError for a preset that is none."""
    return fields.replace(settings, **_defaults_of(preset))


def shorten_warmup(settings: PretrainSettings) -> PretrainSettings:
    """Shorten a warm-up that would not end before the run to a quarter of the epochs; for one that no user gave.

    A run that is resumed keeps the one that it was begun with, though it may get more epochs.
    """
    epochs, warmup = settings.optimizer.epochs, settings.optimizer.warmup_epochs
    if settings.checkpoints.resume and (settings.run_dir / SETTINGS).is_file():
        begun_with = RunSettings.load(settings.run_dir).settings.get("warmup_epochs")
        if isinstance(begun_with, (int, float)) and begun_with < warmup:
            return fields.replace(settings, warmup_epochs=float(begun_with))
    return settings if warmup < epochs else fields.replace(settings, warmup_epochs=epochs / 4)


def changes_to_preset(settings: PretrainSettings) -> str:
    """Name the settings that affect what is learned and are not as the preset has them, in words; empty for none."""
    defaults = PretrainSettings(DataSettings(settings.data.data_dir), settings.run_dir)
    return fields.describe_changes(settings, apply_preset(defaults, settings.preset))


def preset_hints(settings: PretrainSettings, n_samples: int) -> list[str]:
    """What to know of a preset with these epochs, and with records of `n_samples`."""
    hints = []
    warmup, epochs = settings.optimizer.warmup_epochs, settings.optimizer.epochs
    of_preset = _PRESETS[settings.preset].get("warmup_epochs", OptimizerSettings.warmup_epochs)
    if of_preset >= epochs and warmup == epochs / 4:
        hints.append(
            f"warmup-epochs: {warmup:g} instead of the {of_preset:g} of preset {settings.preset}, because it must end "
            f"before --epochs {epochs}"
        )
    # Fewer have been asked for: `prepare` writes 2048 by default.
    if settings.preset == "small" and n_samples > _SMALL_SAMPLES:
        data = ", ".join(map(str, settings.data.data_dir))
        hints.append(
            f"preset small was chosen with {_SMALL_SAMPLES} samples a record, but {data} has {n_samples}, which take "
            f"longer; prepare it with --n-samples {_SMALL_SAMPLES}"
        )
    return hints


def parse_projector(text: str) -> tuple[int, ...]:
    """Layer sizes from ``2048-2048-2048``. Raises LfbtError for anything else.

    >>> parse_projector("512-256")
    (512, 256)
    """
    parts = text.split("-")
    if not all(part.isdecimal() and len(part) < 10 and int(part) > 0 for part in parts):
        raise LfbtError(f"projector: {text!r} is not a list of {PROJECTOR_FORM.words}")
    sizes = tuple(int(part) for part in parts)
    if len(sizes) > _MAX_LAYERS or max(sizes) > _MAX_LAYER:
        raise LfbtError(
            f"projector: {text!r} has {len(sizes)} layers, the largest of {max(sizes)}; allowed: {_MAX_LAYERS} layers "
            f"of {_MAX_LAYER}"
        )
    return sizes
