"""Pretraining: the loop over epochs and batches, from top to bottom."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from lfbt.audit.fingerprints import FINGERPRINTS, Fingerprints, compute_fingerprints, save_fingerprints
from lfbt.audit.leakage import check_copies
from lfbt.data.disk_space import check_disk_space
from lfbt.data.loader import prefetch_batches
from lfbt.errors import LfbtError
from lfbt.losses.lead_contrastive import check_several_leads
from lfbt.losses.objectives import METHODS, LossFunction, build_loss
from lfbt.models.encoder import EncoderConfig
from lfbt.models.feature_maps import feature_map
from lfbt.models.pretrained import CONFIG, load_with_history, save_encoder
from lfbt.runs.history import HISTORY, PretrainingEpoch, append_history, read_history, write_history
from lfbt.runs.run_folder import (
    BEST_ENCODER_FOLDER,
    CHECKPOINTS,
    ENCODER_FOLDER,
    RunSettings,
    acquire_run_folder,
    check_run_folder,
)
from lfbt.runs.trackers import Trackers, check_trackers, tracking
from lfbt.training.checkpoints import NOT_FINITE, OUTPUTS, last_checkpoint, save_checkpoint
from lfbt.training.display import Display
from lfbt.training.distributed import World, check_shard_sizes, init_distributed, select_device
from lfbt.training.monitor import QualityMonitor, open_quality_data
from lfbt.training.precision import MixedPrecision, with_precision
from lfbt.training.records import TrainingRecords, describe_run, open_training_records
from lfbt.training.schedule import learning_rate_at
from lfbt.training.settings import PretrainSettings
from lfbt.training.steps import Steps
from lfbt.training.train_state import (
    TrainState,
    create_train_state,
    describe_not_finite,
    free_gradients_early,
    warm_up_buckets,
)
from lfbt.training.views import Views
from lfbt.utils.figures import format_count
from lfbt.utils.interrupts import StoppedError, StopRequest, catch_stop_signals
from lfbt.utils.progress import progress_bar
from lfbt.utils.settings import Affects, add_named, names_affecting, validate


def pretrain(
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    run_dir: str | os.PathLike[str],
    *,
    preset: str = "paper",
    **settings: Any,
) -> Path:
    """Pretrain an encoder on records without labels.

    Parameters
    ----------
    data
        Data set to learn from, or several: folders made by `lfbt.prepare`, or the authors' folders of ``.npy`` files.
    run_dir
        New folder for ``encoder/``, ``checkpoints/``, ``history.jsonl`` (a line an epoch), ``settings.json`` and, with
        ``quality_data``, ``encoder-best/``.
    preset
        Defaults of the other settings: ``paper``, or ``small`` for few records or no GPU.
    **settings
        Any option of ``lfbt pretrain`` by its name, with ``_`` for ``-``: ``epochs=20``, ``leads="II,V1"``,
        ``resume=True``.

    Returns
    -------
    Path
        The run folder, for `lfbt.load_encoder` and `lfbt.probe`.

    Raises
    ------
    LfbtError
        For settings out of range, data sets that do not fit each other, a batch larger than the data, test records
        among it unless allowed, a run folder in use, a full disk, and a loss that is not finite.
    StoppedError
        When SIGTERM or SIGINT has asked the run to save and end.

    Notes
    -----
    The same settings give the same weights on the same machine and number of processes, whether resumed or not, and
    whether all `epochs` were asked for at first or, with a constant learning rate, more with ``resume``.

    Examples
    --------
    >>> import tempfile
    >>> import lfbt
    >>> with tempfile.TemporaryDirectory() as place:
    ...     data = f"{place}/data/synthetic"
    ...     report = lfbt.prepare("synthetic", f"{place}/downloads", data, records=60, n_samples=64, workers=1)
    ...     small = {"epochs": 2, "batch_size": 16, "projector": "16-16", "device": "cpu"}
    ...     run = pretrain(data, f"{place}/runs/pretrain", **small)
    ...     lfbt.load_encoder(run).config.leads, len(lfbt.load_run(run).history)
    (('II', 'III', 'V1', 'V2', 'V3', 'V4', 'V5', 'V6'), 2)
    """
    own = {"data_dir": data, "run_dir": run_dir, "preset": preset}
    return Pretrainer(PretrainSettings.create(**add_named(own, settings))).run()


class Pretrainer:
    """One run of pretraining in one process: `run` sets it up, then trains epoch by epoch.

    Parameters
    ----------
    settings
        Checked here: raises LfbtError for what is out of range.
    """

    stop: StopRequest
    world: World
    trackers: Trackers
    records: TrainingRecords
    views: Views
    state: TrainState
    model: nn.Module
    step: Steps
    loss: LossFunction
    precision: MixedPrecision
    monitor: QualityMonitor | None
    display: Display

    def __init__(self, settings: PretrainSettings) -> None:
        validate(settings)
        check_trackers(settings.monitor.trackers)
        self.settings = settings
        self.folder = settings.run_dir
        self.history: list[PretrainingEpoch] = []
        self._fingerprints: Fingerprints | None = None
        self._saved_at, self._saved_step = time.monotonic(), -1

    def run(self) -> Path:
        """Pretrain, or resume; returns the run folder. Raises LfbtError and StoppedError as `pretrain` does."""
        device = select_device(self.settings.compute.device)
        with contextlib.ExitStack() as stack:
            # Before signals are caught: one ends a process that waits for others in vain.
            self.world = stack.enter_context(init_distributed(device))
            self.stop = stack.enter_context(catch_stop_signals())
            self.trackers = stack.enter_context(tracking())
            self.settings, reason = with_precision(self.settings, self.world)
            self.world.run_on_all(self.setup)
            self.world.check_same(self._values_of_all_processes())
            resuming = self.world.run_on_all(lambda: self._acquire_run_folder(stack))
            n_steps = self.settings.optimizer.epochs * self.records.steps_per_epoch
            bar = stack.enter_context(progress_bar(n_steps, "pretrain", self.world.is_main))
            self.display = Display(bar, self.settings, self.records, device)
            self.display.introduce(self.world.size, reason)
            self.world.run_on_all(lambda: self._restore_checkpoint(resuming))
            self._parallelise()
            self.train()
        return self.folder

    # --- set-up ---

    def setup(self) -> None:
        """Open the data, and create the model with weights drawn from the seed."""
        settings, world, loss = self.settings, self.world, self.settings.loss
        if world.is_main:
            check_run_folder(self.folder, settings.checkpoints.resume, settings.checkpoints.overwrite)
        compute, optimizer, model, monitor = settings.compute, settings.optimizer, settings.model, settings.monitor
        self.precision = MixedPrecision(compute.precision, world.device)
        self.records = open_training_records(settings)
        check_shard_sizes(self.records.batch_sizes, world, compute.batch_norm)
        dataset = self.records.dataset
        self.views = Views(self.records, settings.augmentation, settings.distortion)
        if loss.objective == "lead-contrastive":
            check_several_leads(len(dataset.leads))
        config = EncoderConfig(
            dataset.leads, dataset.sampling_rate, dataset.n_samples, model.normalisation, model.width
        )
        self.state = create_train_state(
            config,
            model.projector_sizes,
            optimizer.learning_rate,
            optimizer.weight_decay,
            settings.seed,
            world.device,
            standardised=loss.objective != "vicreg",
            low_memory=compute.low_memory,
            sync_batch_norm=world.size > 1 and compute.batch_norm == "global",
            averaged=optimizer.ema > 0,
        )
        if world.is_main:  # for a checkpoint, with both moments of Adam
            check_disk_space(self.folder, 12 * sum(part.numel() for part in self.state.model.parameters()))
        self.loss = build_loss(loss.objective, loss.gamma, loss.lambd, loss.temperature)
        labelled, features = None, feature_map(monitor.quality_features)
        if world.is_main and monitor.quality_data is not None:
            labelled = open_quality_data(monitor.quality_data, settings.data.split_seed, self.state.encoder, features)
        self.monitor, every = None, monitor.quality_every
        if world.is_main and every:
            self.monitor = QualityMonitor(self.records, labelled, every, world.device, compute.workers, features)
        self._labelled = labelled

    @property
    def run_settings(self) -> RunSettings:
        """The settings of the run and hashes of what it learns from."""
        labelled = self._labelled if self.monitor is not None else None
        return describe_run(self.settings, self.records, self.world.size, None if labelled is None else labelled.hash)

    def _values_of_all_processes(self) -> dict[str, Any]:
        own = names_affecting(PretrainSettings, Affects.PROCESS, Affects.LOCATION) | {"quality_hash"}
        values = self.run_settings.to_dict() | {"kind of device": self.world.device.type}
        return {name: value for name, value in values.items() if name not in own}

    def _acquire_run_folder(self, stack: contextlib.ExitStack) -> bool:
        """Take the run folder, and check what is learned from; returns whether there is a run to resume."""
        if not self.world.is_main:
            return False
        free = names_affecting(PretrainSettings, Affects.RUNTIME, Affects.PROCESS, Affects.LOCATION)
        resume, overwrite = self.settings.checkpoints.resume, self.settings.checkpoints.overwrite
        if overwrite:
            # Before the old run is removed.
            self._check_leakage()
        replaces = OUTPUTS if overwrite else None
        held = acquire_run_folder(self.folder, self.run_settings, free, resume, replaces, self._is_finished)
        resuming = stack.enter_context(held)
        # A run that was killed before it saved anything may have been killed before this check.
        if not (overwrite or (self.folder / ENCODER_FOLDER / FINGERPRINTS).is_file()):
            self._check_leakage()
        self.trackers.start(self.settings.monitor.trackers, self.folder, self.run_settings.to_dict())
        return resuming

    def _check_leakage(self) -> None:
        """Refuse test records, of the data sets or of the quality data, among those to learn from unless allowed."""
        dataset, rows = self.records.dataset, self.records.rows
        self._fingerprints = compute_fingerprints(dataset, rows)
        if not self.settings.data.allow_test_records:
            tests = [(other, other.rows("test")) for other in (dataset, self._labelled) if other is not None]
            check_copies(self._fingerprints, dataset, rows, tests)

    def _restore_checkpoint(self, resuming: bool) -> None:
        """Load the last checkpoint, if there is one to resume from."""
        if not resuming:
            if self.settings.checkpoints.resume and self.world.is_main:
                self.display.write(f"nothing to resume in {self.folder}: beginning")
            return
        tensors = last_checkpoint(self.folder / CHECKPOINTS, self.display.write)
        if tensors is not None:
            self.state.load(tensors)
        elif (self.folder / ENCODER_FOLDER / CONFIG).is_file():
            raise LfbtError(
                f"resume: {self.folder} has an encoder but no checkpoint any more, so it cannot be resumed; put the "
                "checkpoints back, or name a new run folder"
            )
        else:
            self.display.write(f"no checkpoint in {self.folder} yet: beginning anew")
        n_epochs, lines = self.state.progress.epoch, read_history(self.folder, PretrainingEpoch)
        if len(lines) < n_epochs:
            self.display.write(
                f"the history has {len(lines)} of the {format_count(n_epochs, 'epoch')} that the checkpoint has; the "
                "others are lost"
            )
        # Lines of epochs that the checkpoint does not have yet are written again.
        self.history = [line for line in lines if line.epoch <= n_epochs]
        write_history(self.folder, self.history)

    def _parallelise(self) -> None:
        """Give every process the main one's train state, and wrap the model to average gradients over processes."""
        state, scaler = self.state, self.precision.scaler
        several = self.world.size > 1
        if several:
            state.broadcast(self.world.device)
        if scaler is not None:
            state.restore_scale(scaler)
        self.model = self.world.parallelise(state.model)
        if several:
            warm_up_buckets(self.model, state)
        recorded = self.world.device.type == "cuda" and not several and not self.settings.compute.low_memory
        if scaler is None and not several and not recorded:
            free_gradients_early(state.model, state.optimizer)
        size = self.records.batch_size if recorded else None
        self.step = Steps(self.model, state.optimizer, self.loss, self.precision, size)

    # --- the loop ---

    def train(self) -> None:
        """Train until all epochs are done, or a signal asks to stop."""
        progress, n_epochs = self.state.progress, self.settings.optimizer.epochs
        self.display.begin(self.steps_done)
        self._saved_at = time.monotonic()
        if self.world.is_main and progress.epoch == n_epochs:
            self.display.finished()
            if not self._is_finished():  # it was killed after its last checkpoint
                self._write_encoder(self.folder / ENCODER_FOLDER)
        while progress.epoch < n_epochs:
            self.train_epoch()

    def train_epoch(self) -> None:
        """Train on the batches of the current epoch that are left."""
        settings, world, progress, dataset = self.settings, self.world, self.state.progress, self.records.dataset
        epoch, n_steps = progress.epoch, self.records.steps_per_epoch
        batches = self.records.batches(epoch)[progress.step :]
        shards = [world.shard(batch) for batch in batches]
        views = self.views.draw(epoch)
        rows, normalisation = [views.rows(shard) for shard in shards], settings.model.normalisation
        signals_of = prefetch_batches(dataset, rows, normalisation, world.device, settings.compute.workers)
        self.model.train()
        began = time.perf_counter()
        for batch, shard, signals in zip(batches, shards, self._saving_before_errors(signals_of), strict=True):
            should_stop = world.any_rank(lambda: self.stop.signal is not None)
            rate = learning_rate_at(self.steps_done, n_steps, settings.optimizer)
            terms = self.train_step(views.make(signals, shard), batch, rate)
            self.state.update_average(settings.optimizer.ema, self.steps_done)

            began, seconds = time.perf_counter(), time.perf_counter() - began
            progress.add(terms, len(batch), seconds)
            self.display.step(progress, terms, len(batch) / seconds)
            if progress.step == n_steps:
                self._end_epoch(rate)
            self._save_if_due()
            if should_stop() and progress.epoch < settings.optimizer.epochs:
                self._save_and_stop()

    def _saving_before_errors(self, signals_of: Iterator[Tensor]) -> Iterator[Tensor]:
        """Yield batches; save where one cannot be read, because the data set was changed, before that ends the run."""
        try:
            yield from signals_of
        except LfbtError as error:
            # In the first epoch it was so from the beginning, unless hours have passed.
            if not (self.world.is_main and (self.state.progress.epoch or self._saved_step > 0)):
                raise
            if self._saved_step != self.steps_done:
                self._check_weights()
                self.save()
            done = format_count(self.steps_done, "step")
            raise LfbtError(
                f"{error}; {done} saved in {self.folder}, where --resume goes on with the data as it was"
            ) from error

    def train_step(self, views: Tensor, batch: NDArray[np.int64], rate: float) -> list[float]:
        """Learn from this process's views ``[V, B, leads, samples]`` of `batch`; returns the loss and its terms.

        Raises LfbtError, and learns nothing, when the loss is not finite.
        """
        for group in self.state.optimizer.param_groups:
            group["lr"] = rate
        try:
            return self.step(views, self.world.shard_sizes(len(batch)))
        except FloatingPointError as error:
            ids = [self.records.dataset.ids[row] for row in batch]
            path = self.folder / NOT_FINITE if self.world.is_main else None
            raise self.world.error(describe_not_finite(path, self.state.progress, ids, rate, str(error))) from error

    @property
    def steps_done(self) -> int:
        """Steps since the run began."""
        return self.state.progress.epoch * self.records.steps_per_epoch + self.state.progress.step

    # --- after steps and epochs ---

    def _end_epoch(self, rate: float) -> None:
        """Record the epoch, and evaluate the encoder where it is due."""
        progress, n_epochs = self.state.progress, self.settings.optimizer.epochs
        line = progress.end_epoch(len(self.records), rate, of_lfbt=self.settings.loss.objective == "lfbt")
        self._check_weights()
        if not self.world.is_main:
            return
        quality = None
        if self.monitor is not None and self.monitor.should_evaluate(progress.epoch, n_epochs, self.steps_done):
            quality = self.monitor.evaluate(self.state.encoder, should_stop=lambda: self.stop.signal is not None)
        if quality is not None:
            line = line.with_quality(quality.auroc, quality.rank, quality.spread)
        self.history.append(line)
        append_history(self.folder, line)
        self.trackers.log(line.figures(), progress.epoch, self.display.write)
        self.display.epoch(line, quality)
        if quality is not None and quality.auroc is not None and quality.auroc > progress.best_auroc:
            progress.best_auroc = quality.auroc
            self._write_encoder(self.folder / BEST_ENCODER_FOLDER)

    def save(self) -> None:
        """Write a checkpoint, then the encoder."""
        checkpoint = self.state.checkpoint(self.precision.scaler)
        save_checkpoint(self.folder / CHECKPOINTS, self.steps_done, checkpoint, self.settings.checkpoints.keep)
        self._write_encoder(self.folder / ENCODER_FOLDER)
        self._saved_at, self._saved_step = time.monotonic(), self.steps_done

    def _save_if_due(self) -> None:
        """Save at the end, and when so many steps or minutes have passed; only the main process reads its clock."""
        settings = self.settings.checkpoints
        is_over = self.state.progress.epoch == self.settings.optimizer.epochs
        by_steps = settings.save_steps and self.steps_done % settings.save_steps == 0
        by_time = settings.save_minutes and time.monotonic() - self._saved_at >= 60 * settings.save_minutes
        if self.world.is_main and (is_over or by_steps or by_time):
            self._check_weights()
            self.save()

    def _save_and_stop(self) -> None:
        """Save and raise StoppedError, in every process at the same step."""
        if self.world.is_main and self._saved_step != self.steps_done:
            self._check_weights()
            self.save()
        self.world.barrier()
        progress = self.state.progress
        raise StoppedError(
            f"stopped by {self.stop.signal or 'a signal'} and saved in {self.folder}, "
            f"{format_count(progress.epoch, 'epoch')} and "
            f"{format_count(progress.step, 'step')} done; the same command goes on"
        )

    def _is_finished(self) -> bool:
        """Whether the encoder of the last epoch is saved, which is the last that a run does, and nothing is lost."""
        written = (f"{ENCODER_FOLDER}/{CONFIG}", f"{ENCODER_FOLDER}/{FINGERPRINTS}", HISTORY)
        if not all((self.folder / name).is_file() for name in written):
            return False
        try:
            _, history = load_with_history(self.folder)
        except LfbtError:
            return False  # damaged; the last checkpoint has it
        return history.get("epochs_done") == self.settings.optimizer.epochs

    def _write_encoder(self, folder: Path) -> None:
        """Write the encoder and, once, fingerprints of what it learns from."""
        if self._fingerprints is None and not (folder / FINGERPRINTS).is_file():
            self._fingerprints = compute_fingerprints(self.records.dataset, self.records.rows)
        if self._fingerprints is not None:
            save_fingerprints(folder, self._fingerprints)
        last = self.history[-1] if self.history else None
        origin = self.run_settings.to_dict() | {
            "method": METHODS[self.settings.loss.objective],
            "epochs_done": self.state.progress.epoch,
            "loss": last and last.loss,
        }
        if last is not None and last.val_auroc is not None:
            origin["val_auroc"] = last.val_auroc
        save_encoder(folder, self.state.encoder, origin)

    # --- what goes wrong ---

    def _check_weights(self) -> None:
        """Raise LfbtError for weights that are not finite: the loss before the step did not show it."""
        if not all(bool(parameter.isfinite().all()) for parameter in self.state.model.parameters()):
            raise self.world.error(
                f"after {self.steps_done} steps weights are not finite, and nothing of them was saved; begin a new run "
                "with a lower --learning-rate, with --warmup-epochs or --precision fp32"
            )
