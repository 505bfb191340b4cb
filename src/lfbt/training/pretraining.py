"""Pretraining: one readable loop over epochs and batches."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import lfbt
from lfbt.audit.fingerprints import Fingerprints, compute_fingerprints
from lfbt.audit.leakage import FINGERPRINTS, check_copies, exclude_records, save_fingerprints
from lfbt.data.dataset import Dataset, open_dataset, open_datasets
from lfbt.data.loader import epoch_batches, prefetch_batches
from lfbt.errors import LfbtError
from lfbt.losses.lead_contrastive import check_several_leads, lead_contrastive_loss
from lfbt.losses.lfbt import lfbt_loss
from lfbt.losses.objectives import METHODS, Objective
from lfbt.losses.simclr import simclr_loss
from lfbt.losses.vicreg import vicreg_loss
from lfbt.models.cpu.layer_ops import has_numba
from lfbt.models.encoder import EncoderConfig, LeadEncoders
from lfbt.models.pretrained import CONFIG, load_history, match, save_encoder
from lfbt.models.projector import parse_projector
from lfbt.runs.history import PretrainingEpoch, append_history, read_history, write_history
from lfbt.runs.run_folder import BEST_ENCODER_FOLDER, CHECKPOINTS, ENCODER_FOLDER, acquire_run_folder
from lfbt.runs.settings import SETTINGS, RunSettings
from lfbt.runs.trackers import start_trackers, tell_trackers
from lfbt.training.augmentation import draw_views, random_views
from lfbt.training.checkpoints import last_checkpoint, save_checkpoint
from lfbt.training.distributed import Launch, check_shard_sizes, init_distributed, select_device
from lfbt.training.monitor import QualityMonitor, sample_rows
from lfbt.training.schedule import learning_rate_at
from lfbt.training.settings import PretrainSettings, _check
from lfbt.training.train_state import TrainState, create_train_state, reduce_memory, warm_up_buckets
from lfbt.utils.device import peak_memory_gb
from lfbt.utils.interrupts import StoppedError, StopRequest, catch_stop_signals
from lfbt.utils.json_files import write_json
from lfbt.utils.progress import Bar, progress_bar

#: Before so many steps, the running statistics of the norms still remember what they were at first.
STEPS_BEFORE_QUALITY = 50

#: The records of the batch whose loss was not finite.
NOT_FINITE = "not_finite.json"

# None of these changes what is learned.
_FREE_ON_RESUME = frozenset(
    {
        "data_dir", "run_dir", "device", "low_memory", "workers", "print_freq", "save_steps", "save_minutes", "keep",
        "quality_data", "quality_every", "trackers", "exclude", "allow_test_records",
    }
)  # fmt: skip

#: The loss of the projections of two views, and what else of it is told; of the whole batch, if given parts' sizes.
LossOf = Callable[[Tensor, Tensor, Sequence[int] | None], Sequence[Tensor]]


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
    device = select_device(settings.device)
    with (
        catch_stop_signals() as stop,
        init_distributed(device, settings.precision, settings.trackers, settings.run_dir) as launch,
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
    dataset: Dataset
    rows: NDArray[np.int64]
    steps_per_epoch: int
    learner: TrainState
    content: dict[str, Any]
    labelled: Dataset | None
    examination: QualityMonitor | None
    history: list[PretrainingEpoch] = dataclasses.field(default_factory=list)
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
        rows = exclude_records(dataset, settings.data_dir, rows, settings.exclude)
    if settings.batch_size > len(rows):
        raise LfbtError(
            f"batch-size: {settings.batch_size} is more than the {len(rows)} records of split "
            f"{','.join(settings.splits)} in {', '.join(map(str, settings.data_dir))}"
        )
    sizes = [len(batch) for batch in epoch_batches(rows, settings.batch_size, settings.seed, 0)]
    if min(sizes) < 2:
        raise LfbtError(f"batch-size: {settings.batch_size} leaves a batch of one of {len(rows)} records; take another")
    shared = launch.n_processes > 1 and settings.batch_norm == "global"
    check_shard_sizes(sizes, launch.n_processes, least=1 if shared or launch.n_processes == 1 else 2)
    config = EncoderConfig(
        dataset.leads, dataset.sampling_rate, dataset.n_samples, settings.normalisation, settings.width
    )
    learner = create_train_state(
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
        examination = QualityMonitor(dataset, sample, labelled, launch.device, settings.workers)
    return _Run(settings, launch, stop, dataset, rows, len(sizes), learner, content, labelled, examination)


def _labelled(folder: Path, split_seed: int, encoder: LeadEncoders) -> Dataset:
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
    settings = RunSettings.from_dict(run.content, run.folder / SETTINGS)
    going_on = held.enter_context(acquire_run_folder(run.folder, settings, _FREE_ON_RESUME, run.settings.resume))
    # A run that was killed before it saved anything may have been killed before it looked.
    if not (run.folder / ENCODER_FOLDER / FINGERPRINTS).is_file():
        _look_for_test_records(run)
    start_trackers(run.launch.accelerator, run.folder, run.content)
    return going_on


def _look_for_test_records(run: _Run) -> None:
    """Take the fingerprints of the records to learn from, and refuse test records among them unless told."""
    run.seen = compute_fingerprints(run.dataset, run.rows)
    if run.settings.allow_test_records:
        return
    tests = [(dataset, dataset.rows("test")) for dataset in (run.dataset, run.labelled) if dataset is not None]
    check_copies(run.seen, run.dataset, run.rows, tests)


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
    n_epochs, lines = run.learner.progress.epoch, read_history(run.folder, PretrainingEpoch)
    if len(lines) < n_epochs:
        bar.say(f"the history has {len(lines)} of the {n_epochs} epochs that the checkpoint has; the others are lost")
    # Lines of epochs that the checkpoint does not have yet are written again.
    run.history = [line for line in lines if line.epoch <= n_epochs]
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
        reduce_memory(learner.model, learner.optimizer, at_once=model is learner.model and run.scaler is None)
    if launch.n_processes > 1:
        warm_up_buckets(model, learner)
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
        draws = draw_views(settings.seed, epoch, len(run.dataset))
        model.train()
        began = time.perf_counter()
        signals_of = prefetch_batches(run.dataset, shares, settings.normalisation, launch.device, settings.workers)
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
    sums: dict[str, Any] = {"loss": progress.loss} | (
        {"intra": progress.intra, "inter": progress.inter} if is_lfbt else {}
    )
    losses: dict[str, Any] = {name: value / n_records for name, value in sums.items()}
    line = PretrainingEpoch(
        epoch=progress.epoch + 1,
        **losses,
        learning_rate=rate,
        seconds=progress.seconds,
        records_per_second=n_records / progress.seconds,
    )
    progress.end_epoch()
    _check_weights(run)
    if not run.launch.is_main:
        return
    quality = None
    if run.examination is not None and _is_time_to_look(run):
        quality = run.examination.measure(run.learner.encoder, give_up=lambda: run.stop.signal is not None)
        if quality is not None:
            line = dataclasses.replace(line, val_auroc=quality.auroc, rank=quality.rank, spread=quality.spread)
    run.history.append(line)
    append_history(run.folder, line)
    tell_trackers(run.launch.accelerator, line.figures(), progress.epoch, bar.say)
    bar.say(
        f"epoch {progress.epoch}/{settings.epochs}  {_terms(*losses.values())}  "
        f"{line.records_per_second:.0f} records/s" + ("" if quality is None else f"  {quality}")
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


def _settings_content(settings: PretrainSettings, dataset: Dataset, rows: NDArray[np.int64]) -> dict[str, Any]:
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
    last = run.history[-1] if run.history else None
    method = METHODS[run.settings.objective]
    known = {"method": method, "epochs_done": run.learner.progress.epoch, "loss": last and last.loss}
    return run.content | known | ({} if last is None or last.val_auroc is None else {"val_auroc": last.val_auroc})


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
    if run.seen is None and not (folder / FINGERPRINTS).is_file():
        run.seen = compute_fingerprints(run.dataset, run.rows)
    if run.seen is not None:
        save_fingerprints(folder, run.seen)
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
