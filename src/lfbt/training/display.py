"""What a run of pretraining prints: hints, steps, epochs."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lfbt.models.cpu.layer_ops import has_numba
from lfbt.runs.history import PretrainingEpoch
from lfbt.training.monitor import STEPS_BEFORE_QUALITY, Quality
from lfbt.training.records import TrainingRecords
from lfbt.training.settings import PretrainSettings, changes_to_preset, preset_hints
from lfbt.training.train_state import Progress
from lfbt.training.views import count_paired
from lfbt.utils.device import describe_device, load_hint, peak_memory_gb
from lfbt.utils.figures import format_count
from lfbt.utils.progress import Bar


class Display:
    """Lines above a progress bar; of several processes only the main one's bar prints."""

    def __init__(self, bar: Bar, settings: PretrainSettings, records: TrainingRecords, device: torch.device) -> None:
        self._bar, self._device = bar, device
        self._settings, self._records = settings, records
        self._n_epochs, self._n_steps = settings.optimizer.epochs, records.steps_per_epoch
        self._print_every = settings.monitor.print_freq
        self._has_quality_data = settings.monitor.quality_data is not None and settings.monitor.quality_every > 0
        self._is_lfbt = settings.loss.objective == "lfbt"
        self._preset_hints = preset_hints(settings, records.dataset.n_samples)

    def write(self, line: str) -> None:
        """Print a line."""
        self._bar.write(line)

    def introduce(self, n_processes: int, precision: str = "") -> None:
        """Print what is learned from, where, and with which settings; `precision`, why it is; and who else computes."""
        settings, dataset = self._settings, self._records.dataset
        processes = f"{n_processes} processes of " if n_processes > 1 else ""
        changes = changes_to_preset(settings)
        self.write(
            f"{format_count(len(self._records), 'record')} of {format_count(len(dataset.leads), 'lead')}, "
            f"{dataset.n_samples} samples at {dataset.sampling_rate:g} Hz; {processes}{describe_device(self._device)}; "
            f"preset {settings.preset}{f' but {changes}' if changes else ''}"
        )
        if settings.augmentation.positives == "patient":
            self.write(f"{count_paired(self._records)} of {len(self._records)} records have another of their patient")
        if precision:
            self.write(precision)
        hint = load_hint(self._device)
        if hint is not None:
            self.write(hint)

    def finished(self) -> None:
        """Say that there is nothing left to do."""
        more = "give more --epochs" if self._settings.optimizer.schedule == "constant" else "begin a new run"
        self.write(
            f"{self._settings.run_dir} is finished: all {format_count(self._n_epochs, 'epoch')} were done before; for "
            f"more {more}"
        )

    def begin(self, steps_done: int) -> None:
        """Show the steps that were done before, and print hints."""
        self._bar.begin_at(steps_done)
        if self._device.type == "cpu" and not has_numba():
            self.write("Numba is not installed, or does not fit this NumPy; with it training on a CPU is faster")
        for hint in self._preset_hints:
            self.write(hint)
        if self._has_quality_data and self._n_steps * self._n_epochs < STEPS_BEFORE_QUALITY:
            self.write(
                "quality is evaluated at the end only, and is preliminary: this run has less than the "
                f"{STEPS_BEFORE_QUALITY} steps after which the statistics of the norms have settled"
            )

    def step(self, progress: Progress, terms: Sequence[float], records_per_second: float) -> None:
        """Show a step's loss and speed; print it now and then."""
        loss, memory = format_terms(terms), peak_memory_gb(self._device)
        self._bar.advance(message=f"{loss}  {records_per_second:.0f} records/s  {memory:.1f} GB")
        if self._print_every and progress.step % self._print_every == 0:
            self.write(f"epoch {progress.epoch + 1} step {progress.step}/{self._n_steps}  {loss}")

    def epoch(self, line: PretrainingEpoch, quality: Quality | None) -> None:
        """Print an epoch's loss and speed, the encoder's quality, and what to think of them."""
        loss = format_terms([term for term in (line.loss, line.intra, line.inter) if term is not None])
        shown = "" if quality is None else f"  {quality}"
        self.write(f"epoch {line.epoch}/{self._n_epochs}  {loss}  {line.records_per_second:.0f} records/s{shown}")
        if line.epoch == 1 and self._is_lfbt:
            self.write("losses in the hundreds or thousands are normal: they are sums over the projector's dimensions")
        is_settled = line.epoch * self._n_steps >= STEPS_BEFORE_QUALITY
        if quality is not None and is_settled and quality.collapse():
            self.write(
                f"warning: {quality.collapse()}: the encoder has collapsed; try a lower --learning-rate, a larger "
                "--batch-size, or --warmup-epochs"
            )


def format_terms(terms: Sequence[float]) -> str:
    """Format the loss; of LFBT with its intra- and inter-lead terms.

    >>> format_terms([12.5, 10, 22.5])
    'loss 12.50  (intra 10.00, inter 22.50)'
    """
    if len(terms) == 1:
        return f"loss {terms[0]:.4f}"
    total, intra, inter = terms
    return f"loss {total:.2f}  (intra {intra:.2f}, inter {inter:.2f})"
