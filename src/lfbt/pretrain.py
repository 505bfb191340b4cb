"""Pretraining: one readable loop over epochs and batches."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import lfbt
from lfbt.batches import epoch_batches, read_ahead
from lfbt.checkpoints import last_checkpoint, save_checkpoint
from lfbt.dataset import DataSet, open_dataset, open_datasets
from lfbt.encoder import EncoderConfig, LeadEncoders, parse_projector
from lfbt.fingerprints import Fingerprints, fingerprints
from lfbt.interrupt import StoppedError, StopRequest, stop_requests
from lfbt.kernels import has_numba
from lfbt.launch import BatchNorm, Launch, Precision, check_batch_norm, check_shares, launched, own_device
from lfbt.learner import Learner, new_learner, settle_buckets, spare_memory
from lfbt.loss import check_gamma, lfbt_loss
from lfbt.objectives import (
    METHODS,
    Objective,
    check_several_leads,
    check_temperature,
    lead_contrastive_loss,
    simclr_loss,
    vicreg_loss,
)
from lfbt.output import Bar, progress_bar, write_json
from lfbt.quality import Examination, sample_rows
from lfbt.recording import LfbtError, check_range
from lfbt.runfolder import (
    BEST_ENCODER_FOLDER,
    CHECKPOINTS,
    ENCODER_FOLDER,
    add_to_history,
    read_history,
    run_folder,
    write_history,
)
from lfbt.seen import SEEN, refuse_copies, save_seen, without
from lfbt.signal import Normalisation
from lfbt.trackers import Tracker, check_trackers, start_trackers, tell_trackers
from lfbt.views import LONGEST_TIME_OUT, SHORTEST_CROP, random_views, view_draws
from lfbt.weights import CONFIG, load_history, match, save_encoder

#: Before so many steps, the running statistics of the norms still remember what they were at first.
STEPS_BEFORE_QUALITY = 50

#: The records of the batch whose loss was not finite.
NOT_FINITE = "not_finite.json"

Preset = Literal["paper", "small"]
Schedule = Literal["constant", "cosine"]

#: The loss of the projections of two views, and what else of it is told; of the whole batch, if given parts' sizes.
LossOf = Callable[[Tensor, Tensor, Sequence[int] | None], Sequence[Tensor]]


@dataclasses.dataclass(frozen=True)
class PretrainSettings:
    """How an encoder is pretrained. Defaults are the paper's."""

    data_dir: tuple[Path, ...]
    """Data sets to learn from: packed ones, or the authors' folders."""
    run_dir: Path
    """New folder for the encoder, the history and the settings; to resume, the run's own."""
    preset: Preset = "paper"
    """Named defaults for the settings below. paper: as published. small: for few records or no GPU."""
    epochs: int = 200
    """Passes over the records."""
    batch_size: int = 128
    """Records of a batch over all processes, at most; batches of an epoch are of one size."""
    learning_rate: float = 1e-3
    """Adam's rate."""
    schedule: Schedule = "constant"
    """The rate over time: constant, or a cosine from the rate to zero."""
    warmup_epochs: float = 0.0
    """Epochs over which the rate rises from zero first."""
    weight_decay: float = 0.0
    """Part of the weights, times the rate, taken off at each step (AdamW); norms and biases keep theirs."""
    objective: Objective = "lfbt"
    """What is learned by; others than lfbt are there to compare it with. Plain Barlow Twins per lead is --gamma 1."""
    gamma: float = 0.8
    """Of lfbt: weight of the intra-lead loss, in [0, 1]; the inter-lead loss has the rest."""
    lambd: float = 0.0051
    """Of lfbt: weight of the off-diagonal terms."""
    temperature: float = 0.1
    """Of simclr and lead-contrastive: what cosines are divided by, in [0.001, 100]."""
    shortest_crop: float = SHORTEST_CROP
    """Of the views: the shortest part of a record that is cut out and stretched to the whole length."""
    longest_time_out: float = LONGEST_TIME_OUT
    """Of the views: the longest part of one that is set to zero."""
    projector: str = "2048-2048-2048"
    """Sizes of the projectors' layers."""
    width: float = 0.125
    """Factor on VGG16's channels; 0.125 gives 64 features a lead."""
    normalisation: Normalisation = "record"
    """The z-score of every input: over the record, per lead, or none."""
    leads: tuple[str, ...] = ()
    """Leads to learn, by name, comma-separated; all of the data set's if none are named."""
    splits: tuple[Literal["train", "val", "test"], ...] = ("train",)
    """Splits of the data sets to learn from. Unlabelled data sets are all train."""
    exclude: Path | None = None
    """File of records not to learn from: a CSV with a column id, as `lfbt check --out` writes it, or an id a line."""
    allow_test_records: bool = False
    """Learn from test records, too: of split test, or copies of those of the data sets or of --quality-data."""
    seed: int = 0
    """Seed of weights, order and views."""
    split_seed: int = 0
    """Seed of the split of class folders without split folders."""
    device: str = "auto"
    """auto, cpu or cuda."""
    precision: Precision = "fp32"
    """fp32, or bf16 or fp16 for the products of matrices; the loss and its statistics stay in fp32."""
    batch_norm: BatchNorm = "global"
    """With several processes: statistics of the whole batch, or of each process's part of it."""
    low_memory: bool = False
    """Compute the encoders' activations twice instead of keeping them: the same but for rounding, with less memory."""
    workers: int = 2
    """Threads that read batches ahead."""
    print_freq: int = 0
    """Steps between printed losses; 0 prints those of epochs only."""
    save_steps: int = 0
    """Steps between checkpoints, besides those by time; 0 for none."""
    save_minutes: float = 10.0
    """Minutes between checkpoints; 0 for none by time. The end is always saved."""
    keep: int = 2
    """Checkpoints that are kept, the last ones."""
    quality_data: Path | None = None
    """Labelled data set; the encoder is probed in closed form on its training and validation records, never on test."""
    quality_every: int = 5
    """Epochs between looks at the encoder's quality, besides the first and the last, from step 50 on; 0 never looks."""
    trackers: tuple[Tracker, ...] = ()
    """Also tell these of the run; each is an extra: pip install 'lfbt[tensorboard]'."""
    resume: bool = False
    """Go on with the run in the run folder from its last checkpoint; begin where there is none."""


_SMALL: dict[str, Any] = {
    "preset": "small",
    "epochs": 120,
    "batch_size": 64,
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "warmup_epochs": 3.0,
    "projector": "512-512-512",
    "normalisation": "none",
}


def preset_settings(preset: Preset, data_dir: tuple[Path, ...], run_dir: Path) -> PretrainSettings:
    """The settings that `preset` stands for. Raises LfbtError for a preset that is none."""
    if preset == "paper":
        return PretrainSettings(data_dir, run_dir)
    if preset == "small":
        return PretrainSettings(data_dir, run_dir, **_SMALL)
    raise LfbtError(f"preset: {preset!r} is not one of paper, small")


def _check(settings: PretrainSettings) -> None:
    if settings.objective not in METHODS:
        raise LfbtError(f"objective: {settings.objective!r} is not one of {', '.join(METHODS)}")
    check_gamma(settings.gamma)
    check_temperature(settings.temperature)
    parse_projector(settings.projector)
    if settings.schedule not in get_args(Schedule):
        raise LfbtError(f"schedule: {settings.schedule!r} is not one of {', '.join(get_args(Schedule))}")
    check_range("epochs", settings.epochs, "[1, inf)")
    check_range("batch-size", settings.batch_size, "[2, inf)")
    check_range("learning-rate", settings.learning_rate, "(0, 1000]")
    check_range("lambd", settings.lambd, "[0, inf)")
    check_range("shortest-crop", settings.shortest_crop, "[0.1, 1]")
    check_range("longest-time-out", settings.longest_time_out, "[0, 0.9]")
    check_range("warmup-epochs", settings.warmup_epochs, f"[0, {settings.epochs})", "it must end before --epochs")
    check_range("seed", settings.seed, "[0, 4294967295]")
    check_range("workers", settings.workers, "[0, inf)")
    check_range("weight-decay", settings.weight_decay, "[0, 1]")
    check_range("print-freq", settings.print_freq, "[0, inf)")
    check_range("save-steps", settings.save_steps, "[0, inf)")
    check_range("save-minutes", settings.save_minutes, "[0, inf)")
    check_range("keep", settings.keep, "[1, inf)")
    check_range("quality-every", settings.quality_every, "[0, inf)")
    check_batch_norm(settings.batch_norm)
    check_trackers(settings.trackers)


def learning_rate_at(step: int, steps_per_epoch: int, settings: PretrainSettings) -> float:
    """Adam's rate at `step`, counted from 0."""
    warmup = settings.warmup_epochs * steps_per_epoch
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    if settings.schedule == "constant":
        return settings.learning_rate
    done = (step - warmup) / (settings.epochs * steps_per_epoch - warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def pretrain(settings: PretrainSettings) -> Path:
    """Learn an encoder from unlabelled records; returns the run folder.

    The run folder holds ``encoder/``, ``checkpoints/`` from which ``resume`` goes on, ``history.jsonl`` (a line an
    epoch), ``settings.json`` and, with labelled records, ``encoder-best/``. The same settings give the same weights on
    the same machine and number of processes, whether resumed or not; on others they differ by rounding.

    Raises LfbtError for settings out of range, data sets that do not fit each other, a batch larger than the data, test
    records among it unless allowed, a run folder in use, a disk that is full, and a loss that is not finite;
    StoppedError when a signal has asked the run to save and end.
    """
    _check(settings)
    device = own_device(settings.device)
    with (
        stop_requests() as stop,
        launched(device, settings.precision, settings.trackers, settings.run_dir) as launch,
        contextlib.ExitStack() as held,
    ):
        run = launch.together(lambda: _open(settings, launch, stop))
        launch.check_same(run.content | {"kind of device": launch.device.type})
        going_on = launch.together(lambda: _hold(run, held))
        with progress_bar(settings.epochs * run.steps_per_epoch, "pretrain", launch.is_main) as bar:
            launch.together(lambda: _begin(run, bar, going_on))
            _go(run, bar)
    return settings.run_dir


@dataclasses.dataclass
class _Run:
    """A run in one process: what it learns from, what it changes, and what is left to do."""

    settings: PretrainSettings
    launch: Launch
    stop: StopRequest
    dataset: DataSet
    rows: NDArray[np.int64]
    steps_per_epoch: int
    learner: Learner
    content: dict[str, Any]
    labelled: DataSet | None
    examination: Examination | None
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    seen: Fingerprints | None = None
    saved: float = 0.0
    saved_step: int = -1

    @property
    def folder(self) -> Path:
        return self.settings.run_dir

    @property
    def steps_done(self) -> int:
        return self.learner.progress.epoch * self.steps_per_epoch + self.learner.progress.step

    @property
    def scaler(self) -> Any:
        return self.launch.accelerator.scaler


def _open(settings: PretrainSettings, launch: Launch, stop: StopRequest) -> _Run:
    """The data, and a model that is new."""
    dataset = open_datasets(settings.data_dir, settings.split_seed)
    if settings.leads:
        dataset = dataset.select_leads(settings.leads)
    if settings.objective == "lead-contrastive":
        check_several_leads(len(dataset.leads))
    rows = dataset.rows(*settings.splits)
    if not settings.splits:
        raise LfbtError("splits: none given; name one or more of train, val, test")
    if "test" in settings.splits and not settings.allow_test_records:
        raise LfbtError(
            "splits: test is among them, so no test of the encoder would be fair; name train and val only, or insist "
            "with --allow-test-records"
        )
    if settings.exclude is not None:
        rows = without(dataset, settings.data_dir, rows, settings.exclude)
    if settings.batch_size > len(rows):
        raise LfbtError(
            f"batch-size: {settings.batch_size} is more than the {len(rows)} records of split "
            f"{','.join(settings.splits)} in {', '.join(map(str, settings.data_dir))}"
        )
    sizes = [len(batch) for batch in epoch_batches(rows, settings.batch_size, settings.seed, 0)]
    if min(sizes) < 2:
        raise LfbtError(f"batch-size: {settings.batch_size} leaves a batch of one of {len(rows)} records; take another")
    shared = launch.n_processes > 1 and settings.batch_norm == "global"
    check_shares(sizes, launch.n_processes, least=1 if shared or launch.n_processes == 1 else 2)
    config = EncoderConfig(
        dataset.leads, dataset.sampling_rate, dataset.n_samples, settings.normalisation, settings.width
    )
    learner = new_learner(
        config,
        parse_projector(settings.projector),
        settings.learning_rate,
        settings.weight_decay,
        settings.seed,
        launch.device,
        standardised=settings.objective != "vicreg",
    )
    learner.encoder.shared_statistics = learner.projectors.shared_statistics = shared
    content = _settings_content(settings, dataset, rows)
    if settings.batch_norm == "process":
        content["processes"] = launch.n_processes
    labelled, examination, content["quality_hash"] = None, None, None
    if launch.is_main and settings.quality_data is not None:
        labelled = _labelled(settings.quality_data, settings.split_seed, learner.encoder)
    if launch.is_main and settings.quality_every:
        content["quality_hash"] = None if labelled is None else labelled.hash
        sample = sample_rows(rows, settings.seed)
        examination = Examination(dataset, sample, labelled, launch.device, settings.workers)
    return _Run(settings, launch, stop, dataset, rows, len(sizes), learner, content, labelled, examination)


def _labelled(folder: Path, split_seed: int, encoder: LeadEncoders) -> DataSet:
    """The labelled data set that quality is looked at with; its test records are not used."""
    _, labelled = match(encoder, open_dataset(folder, split_seed).select_leads(encoder.config.leads))
    labelled.targets()
    for split in ("train", "val"):
        if not len(labelled.rows(split)):
            raise LfbtError(f"quality-data: {folder} has no records in split {split}; it needs some")
    return labelled


def _hold(run: _Run, held: contextlib.ExitStack) -> bool:
    """Take the run folder for this run; says whether a run is there to go on with."""
    if not run.launch.is_main:
        return False
    going_on = held.enter_context(run_folder(run.folder, run.content, run.settings.resume))
    # A run that was killed before it saved anything may have been killed before it looked.
    if not (run.folder / ENCODER_FOLDER / SEEN).is_file():
        _look_for_test_records(run)
    start_trackers(run.launch.accelerator, run.folder, run.content)
    return going_on


def _look_for_test_records(run: _Run) -> None:
    """Take the fingerprints of the records to learn from, and refuse test records among them unless told."""
    run.seen = fingerprints(run.dataset, run.rows)
    if run.settings.allow_test_records:
        return
    tests = [(dataset, dataset.rows("test")) for dataset in (run.dataset, run.labelled) if dataset is not None]
    refuse_copies(run.seen, run.dataset, run.rows, tests)


def _begin(run: _Run, bar: Bar, going_on: bool) -> None:
    """Load the last checkpoint, if there is one to go on from."""
    if run.settings.resume and not going_on and run.launch.is_main:
        bar.say(f"nothing to resume in {run.folder}: beginning")
    if not going_on:
        return
    tensors = last_checkpoint(run.folder / CHECKPOINTS, bar.say)
    if tensors is not None:
        run.learner.load(tensors)
    elif (run.folder / ENCODER_FOLDER / CONFIG).is_file():
        raise LfbtError(
            f"resume: {run.folder} has an encoder but no checkpoint any more, so nothing goes on from it; put the "
            "checkpoints back, or name a new run folder"
        )
    else:
        bar.say(f"no checkpoint in {run.folder} yet: beginning anew")
    n_epochs, lines = run.learner.progress.epoch, read_history(run.folder)
    if len(lines) < n_epochs:
        bar.say(f"the history has {len(lines)} of the {n_epochs} epochs that the checkpoint has; the others are lost")
    # Lines of epochs that the checkpoint does not have yet are written again.
    run.history = [line for line in lines if line.get("epoch", 0) <= n_epochs]
    write_history(run.folder, run.history)


def _go(run: _Run, bar: Bar) -> None:
    """Learn until all epochs are done, or a signal asks to stop."""
    settings, launch, learner, n_steps = run.settings, run.launch, run.learner, run.steps_per_epoch
    if launch.n_processes > 1:
        learner.send(launch.device)
    if run.scaler is not None:
        learner.restore_scale(run.scaler)
    model, optimizer = launch.accelerator.prepare(learner.model, learner.optimizer)
    if settings.low_memory:
        spare_memory(learner.model, learner.optimizer, at_once=model is learner.model and run.scaler is None)
    if launch.n_processes > 1:
        settle_buckets(model, learner)
    progress, loss_of = learner.progress, _loss_of(settings)
    bar.begin_at(run.steps_done)
    if launch.device.type == "cpu" and not has_numba():
        bar.say("Numba is not there, or does not fit this NumPy: on a CPU, pip install 'lfbt[fast]' makes this faster")
    if run.examination is not None and settings.quality_data and n_steps * settings.epochs < STEPS_BEFORE_QUALITY:
        bar.say(f"quality is looked at after {STEPS_BEFORE_QUALITY} steps, which this run does not have")
    run.saved = time.monotonic()
    if launch.is_main and progress.epoch == settings.epochs:
        _save_encoder_if_older(run)
    while progress.epoch < settings.epochs:
        epoch = progress.epoch
        batches = epoch_batches(run.rows, settings.batch_size, settings.seed, epoch)[progress.step :]
        shares = [launch.share(batch) for batch in batches]
        draws = view_draws(settings.seed, epoch, len(run.dataset))
        model.train()
        began = time.perf_counter()
        signals_of = read_ahead(run.dataset, shares, settings.normalisation, launch.device, settings.workers)
        for batch, share, signals in zip(batches, shares, signals_of, strict=True):
            must_stop = launch.ask(lambda: run.stop.signal is not None)
            rate = learning_rate_at(run.steps_done, n_steps, settings)
            for group in optimizer.param_groups:
                group["lr"] = rate

            views = random_views(signals, draws[share], settings.shortest_crop, settings.longest_time_out)
            sizes, backward = launch.sizes(len(batch)), launch.accelerator.backward
            try:
                terms = train_step(views, model, optimizer, loss_of, sizes, backward)
            except FloatingPointError as error:
                raise _not_finite(run, batch, rate, str(error)) from error

            began, seconds = time.perf_counter(), time.perf_counter() - began
            progress.add(terms, len(batch), seconds)
            speed = f"{len(batch) / seconds:.0f} records/s"
            bar.advance(told=f"{_terms(*terms)}  {speed}  {peak_memory_gb(launch.device):.1f} GB")
            if settings.print_freq and progress.step % settings.print_freq == 0:
                bar.say(f"epoch {epoch + 1} step {progress.step}/{n_steps}  {_terms(*terms)}")
            if progress.step == n_steps:
                _end_epoch(run, rate, bar)
            _save_if_due(run)
            if must_stop() and progress.epoch < settings.epochs:
                _stop(run)


def _loss_of(settings: PretrainSettings) -> LossOf:
    """The objective that `settings` name."""
    temperature = settings.temperature
    losses: dict[Objective, LossOf] = {
        "lfbt": lambda z1, z2, sizes: lfbt_loss(z1, z2, settings.gamma, settings.lambd, sizes),
        "simclr": lambda z1, z2, sizes: [simclr_loss(z1, z2, temperature, sizes)],
        "vicreg": lambda z1, z2, sizes: [vicreg_loss(z1, z2, sizes)],
        "lead-contrastive": lambda z1, z2, sizes: [lead_contrastive_loss(z1, z2, temperature, sizes)],
    }
    return losses[settings.objective]


def train_step(
    views: Tensor,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_of: LossOf,
    sizes: Sequence[int] | None = None,
    backward: Callable[[Tensor], None] = Tensor.backward,
) -> list[float]:
    """Learn from two views ``[2, B, leads, samples]`` of a batch; returns what `loss_of` does, the loss first.

    sizes: of the batch's parts, where several processes share it and `model` takes the mean of their gradients.

    Raises FloatingPointError, and learns nothing, when the loss is not finite.
    """
    z1, z2 = model(views)  # B L D each
    losses = loss_of(z1, z2, sizes)
    terms: list[float] = torch.stack(tuple(losses)).tolist()
    if not math.isfinite(terms[0]):
        raise FloatingPointError(terms[0])
    # Each process has the part of the gradient of its records: their sum is wanted, not their mean.
    backward(losses[0] * len(sizes) if sizes else losses[0])
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return terms


def _end_epoch(run: _Run, rate: float, bar: Bar) -> None:
    """Write and print the epoch's line, and look at the encoder's quality."""
    settings, progress, n_records = run.settings, run.learner.progress, len(run.rows)
    is_lfbt = settings.objective == "lfbt"
    sums = {"loss": progress.loss} | ({"intra": progress.intra, "inter": progress.inter} if is_lfbt else {})
    losses = {name: value / n_records for name, value in sums.items()}
    line: dict[str, Any] = {
        "epoch": progress.epoch + 1,
        **losses,
        "learning_rate": rate,
        "seconds": progress.seconds,
        "records_per_second": n_records / progress.seconds,
    }
    progress.end_epoch()
    _check_weights(run)
    if not run.launch.is_main:
        return
    quality = None
    if run.examination is not None and _is_time_to_look(run):
        quality = run.examination.measure(run.learner.encoder, give_up=lambda: run.stop.signal is not None)
        line |= {} if quality is None else quality.figures()
    run.history.append(line)
    add_to_history(run.folder, line)
    figures = {name: value for name, value in line.items() if name != "epoch"}
    tell_trackers(run.launch.accelerator, figures, progress.epoch, bar.say)
    bar.say(
        f"epoch {progress.epoch}/{settings.epochs}  {_terms(*losses.values())}  "
        f"{line['records_per_second']:.0f} records/s" + ("" if quality is None else f"  {quality}")
    )
    if progress.epoch == 1 and is_lfbt:
        bar.say("losses in the hundreds or thousands are normal: they are sums over the projector's dimensions")
    if quality is None:
        return
    if quality.collapse():
        bar.say(
            f"warning: {quality.collapse()}: the encoder has collapsed; try a lower --learning-rate, a larger "
            "--batch-size, or --warmup-epochs"
        )
    if quality.auroc is not None and quality.auroc > progress.best_auroc:
        progress.best_auroc = quality.auroc
        _write_encoder(run, run.folder / BEST_ENCODER_FOLDER)


def _is_time_to_look(run: _Run) -> bool:
    """Whether quality is looked at after this epoch: early, now and then, and at the end."""
    epoch, settings = run.learner.progress.epoch, run.settings
    of_these = epoch in (1, settings.epochs) or epoch % settings.quality_every == 0
    return of_these and run.steps_done >= STEPS_BEFORE_QUALITY


def _terms(total: float, *of_leads: float) -> str:
    """The loss in words; of LFBT with intra and inter."""
    if not of_leads:
        return f"loss {total:.4f}"
    intra, inter = of_leads
    return f"loss {total:.2f}  (intra {intra:.2f}, inter {inter:.2f})"


def peak_memory_gb(device: torch.device) -> float:
    """The most memory that this process has had so far, on the device or, without a GPU, at all."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _settings_content(settings: PretrainSettings, dataset: DataSet, rows: NDArray[np.int64]) -> dict[str, Any]:
    content = dataclasses.asdict(settings)
    del content["resume"]
    known = {
        "records": len(rows),
        "data_hash": dataset.hash,
        "synthetic": dataset.synthetic,
        "names_assumed": dataset.names_assumed,
    }
    if settings.exclude is not None:
        known["records_hash"] = hashlib.sha256("\n".join(dataset.ids[row] for row in rows).encode()).hexdigest()
    return {"lfbt_version": lfbt.__version__, **content, **known}


def _encoder_history(run: _Run) -> dict[str, Any]:
    """How the encoder came to be."""
    last = run.history[-1] if run.history else {}
    method = METHODS[run.settings.objective]
    known = {"method": method, "epochs_done": run.learner.progress.epoch, "loss": last.get("loss")}
    return run.content | known | ({"val_auroc": last["val_auroc"]} if "val_auroc" in last else {})


def _save(run: _Run) -> None:
    """Write a checkpoint, and the encoder."""
    save_checkpoint(run.folder / CHECKPOINTS, run.steps_done, run.learner.checkpoint(run.scaler), run.settings.keep)
    _write_encoder(run, run.folder / ENCODER_FOLDER)
    run.saved, run.saved_step = time.monotonic(), run.steps_done


def _save_encoder_if_older(run: _Run) -> None:
    """Write the encoder of a run that is over, where it was killed between the last checkpoint and that."""
    folder = run.folder / ENCODER_FOLDER
    if not (folder / CONFIG).is_file() or load_history(folder).get("epochs_done") != run.settings.epochs:
        _write_encoder(run, folder)


def _write_encoder(run: _Run, folder: Path) -> None:
    """Write the encoder, and once what it learns from."""
    if run.seen is None and not (folder / SEEN).is_file():
        run.seen = fingerprints(run.dataset, run.rows)
    if run.seen is not None:
        save_seen(folder, run.seen)
    save_encoder(folder, run.learner.encoder, _encoder_history(run))


def _check_weights(run: _Run) -> None:
    """Raise in this process what a weight that is not finite calls for: the loss before the step did not show it."""
    if not all(bool(parameter.isfinite().all()) for parameter in run.learner.model.parameters()):
        raise run.launch.failure(
            f"after {run.steps_done} steps weights are not finite, and nothing of them was saved; begin a new run with "
            "a lower --learning-rate, with --warmup-epochs or --precision fp32"
        )


def _save_if_due(run: _Run) -> None:
    """Save at the end, and when so many steps or minutes have passed; the main process alone looks at its clock."""
    settings = run.settings
    is_over = run.learner.progress.epoch == settings.epochs
    by_steps = settings.save_steps and run.steps_done % settings.save_steps == 0
    by_time = settings.save_minutes and time.monotonic() - run.saved >= 60 * settings.save_minutes
    if run.launch.is_main and (is_over or by_steps or by_time):
        _check_weights(run)
        _save(run)


def _stop(run: _Run) -> None:
    """Save and raise StoppedError, in every process at the same step."""
    if run.launch.is_main and run.saved_step != run.steps_done:
        _check_weights(run)
        _save(run)
    run.launch.wait_for_all()
    progress = run.learner.progress
    raise StoppedError(
        f"stopped by {run.stop.signal or 'a signal'} and saved in {run.folder}, {progress.epoch} epochs and "
        f"{progress.step} steps done; the same command goes on with --resume"
    )


def _not_finite(run: _Run, batch: NDArray[np.int64], rate: float, loss: str) -> BaseException:
    """What to raise in this process for a loss that is not finite; the main one writes and tells of it."""
    progress, ids = run.learner.progress, [run.dataset.ids[row] for row in batch]
    found = {
        "epoch": progress.epoch + 1,
        "step": progress.step + 1,
        "loss": loss,
        "learning_rate": rate,
        "records": ids,
    }
    if run.launch.is_main:
        with contextlib.suppress(LfbtError):  # the disk may be full: that is not what ends the run
            write_json(run.folder / NOT_FINITE, found)
    more = f" and {len(ids) - 8} more" if len(ids) > 8 else ""
    return run.launch.failure(
        f"epoch {progress.epoch + 1} step {progress.step + 1}: the loss is not finite ({loss}) for the records "
        f"{', '.join(ids[:8])}{more}, all named in {run.folder / NOT_FINITE}; look at these, or begin a new run with a "
        "lower --learning-rate, with --warmup-epochs or --precision fp32. The last checkpoint is as it was"
    )
