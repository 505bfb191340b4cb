"""Fine-tuning: encoder and linear classifier trained together, from pretrained or from random weights."""

from __future__ import annotations

import contextlib
import copy
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lfbt.data.loader import epoch_batches, prefetch_batches, sequential_batches
from lfbt.evaluation.classification import Rows, Task, describe_task, open_task, with_checkpoint
from lfbt.evaluation.classifiers import Fitted
from lfbt.evaluation.lead_dropout import draw_subsets, normalise_by
from lfbt.evaluation.series import write_series
from lfbt.evaluation.settings import FinetuneSettings
from lfbt.evaluation.trials import (
    Trial,
    list_trials,
    load_results,
    plan_dropout,
    series_folder,
    unfinished,
    write_results,
)
from lfbt.models.config import EncoderConfig, LeadDropout
from lfbt.models.encoder import LeadEncoders
from lfbt.models.heads import Head, create_head
from lfbt.runs.history import FittingStep
from lfbt.runs.results import Results
from lfbt.signal import Normalisation
from lfbt.training.distributed import World, check_shard_sizes, init_distributed, select_device
from lfbt.training.precision import MixedPrecision
from lfbt.utils.collectives import all_gather_rows, all_reduce_sum, broadcast_buffers
from lfbt.utils.progress import progress_bar, write_line
from lfbt.utils.settings import Affects, add_named, names_affecting, to_dict, validate
from lfbt.utils.targets import check_creatable


def finetune(
    data: str | os.PathLike[str],
    run_dir: str | os.PathLike[str],
    encoder: str | os.PathLike[str] | None = None,
    **settings: Any,
) -> list[Results]:
    """Train encoder and linear classifier together on labelled records.

    Parameters
    ----------
    data
        Labelled data set: a folder made by `lfbt.prepare`, or class folders of ``.npy`` files.
    run_dir
        New folder for the results, the fine-tuned encoder and its classifier; with several fractions or seeds each
        trial has a folder in it.
    encoder
        Encoder to start from: run folder of `lfbt.pretrain`, encoder folder, a ``.pth`` file of the authors, or
        ``lfbt-small``. Without one give ``from_scratch=True``, the baseline.
    **settings
        Any option of ``lfbt finetune`` by its name, with ``_`` for ``-``: ``epochs=20``, ``fraction=0.1``,
        ``seeds=[0, 1]``.

    Returns
    -------
    list of Results
        One a trial; of several processes only the main one has them.

    Raises
    ------
    LfbtError
        As `lfbt.probe` does.

    Examples
    --------
    The baseline; for a pretrained encoder give its run folder instead of ``from_scratch=True``:

    >>> import tempfile
    >>> import lfbt
    >>> with tempfile.TemporaryDirectory() as place:
    ...     data = f"{place}/data/synthetic"
    ...     report = lfbt.prepare("synthetic", f"{place}/downloads", data, records=60, n_samples=64, workers=1)
    ...     small = {"epochs": 1, "batch_size": 16, "device": "cpu"}
    ...     (results,) = finetune(data, f"{place}/runs/scratch", from_scratch=True, **small)
    >>> results.kind, results.chosen
    ('scratch', {'epoch': 1})
    """
    own = {"data_dir": data, "run_dir": run_dir, "checkpoint": encoder}
    return run_finetune(FinetuneSettings.create(**add_named(own, settings)))


def run_finetune(settings: FinetuneSettings) -> list[Results]:
    """Train encoder and classifier together for every trial, and score and write it.

    The epoch with the lowest validation loss is kept, and the test records are scored once, with it. With
    ``leads_dropout`` the loss is the mean over all leads and each of ``lead_subsets``, each of which is tested.

    Parameters
    ----------
    settings
        See `FinetuneSettings.create`.

    Returns
    -------
    list of Results
        One a trial; where several processes share the work, only the main one writes, and the others return none.

    Raises
    ------
    LfbtError
        For settings out of range, as `open_task` does, and for a loss that is not finite.
    """
    with init_distributed(select_device(settings.compute.device)) as world, contextlib.ExitStack() as held:
        world.run_on_all(lambda: _check(settings, world))
        settings = world.run_on_all(lambda: with_checkpoint(settings, world.is_main))
        trials = world.run_on_all(lambda: list_trials(settings.trials))
        task = world.run_on_all(lambda: _open(settings, world))
        dropout = world.run_on_all(lambda: plan_dropout(settings, task.config.leads))
        world.check_same(
            _shared_settings(settings) | {"data_hash": task.dataset.hash, "kind of device": task.device.type}
        )
        series = series_folder(settings, task, trials)
        world.run_on_all(lambda: held.enter_context(series) if world.is_main else None)
        left = world.broadcast_object(unfinished(settings.trials, trials))
        write_line(describe_task(settings, task), shown=world.is_main and bool(left))
        for trial in left:
            _run(settings, task, trial, world, dropout)
        if world.is_main and len(trials) > 1:
            write_series(settings.trials.run_dir, load_results(trials))
    return load_results(trials) if world.is_main else []


def _shared_settings(settings: FinetuneSettings) -> dict[str, object]:
    """The settings that must be the same in all processes."""
    own = names_affecting(FinetuneSettings, Affects.PROCESS, Affects.LOCATION)
    return {name: value for name, value in to_dict(settings).items() if name not in own}


class _Classifier(nn.Module):
    """Signals ``[B, leads, samples]`` and which leads are present ``[B, leads]`` → logits ``[B, classes]``."""

    def __init__(self, encoder: LeadEncoders, head: Head) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, signals: Tensor, present: Tensor | None = None) -> Tensor:
        features = self.encoder(signals)
        if present is not None:
            features = torch.where(present[:, :, None], features, torch.nan)
        logits: Tensor = self.head(features.flatten(1))
        return logits


def _check(settings: FinetuneSettings, world: World) -> None:
    """Raise LfbtError for settings out of range, and for a run folder that the main process cannot write into."""
    validate(settings)
    if world.is_main:
        check_creatable(settings.trials.run_dir, in_place=True)


def _open(settings: FinetuneSettings, world: World) -> Task:
    """Open the task. Raises LfbtError also where a batch has too few records for each process."""
    task = open_task(settings, world.device)
    MixedPrecision(settings.training.precision, world.device)  # refused before any work
    for fraction in settings.trials.fraction:
        for seed in settings.trials.seeds:
            for fold in range(len(task.folds)):
                train = task.rows(fold, fraction, seed)["train"]
                sizes = [len(batch) for batch in epoch_batches(train, settings.training.batch_size, seed, 0)]
                check_shard_sizes(sizes, world, settings.training.batch_norm)
    return task


def _run(settings: FinetuneSettings, task: Task, trial: Trial, world: World, dropout: LeadDropout | None) -> None:
    """Train and score one trial; the main process writes its folder."""
    folds = []
    for fold in range(len(task.folds)):
        sync_batch_norm = world.size > 1 and settings.training.batch_norm == "global"
        encoder = task.encoder(trial.seed).with_options(sync_batch_norm=sync_batch_norm)
        rows = task.rows(fold, trial.fraction, trial.seed)
        what = settings.kind if len(task.folds) == 1 else f"{settings.kind}, fold {fold + 1}/{len(task.folds)}"
        folds.append(_fit(task, encoder, rows, settings, trial.seed, world, what, dropout))
    world.run_on_all(lambda: write_results(settings, task, trial, folds, encoder) if world.is_main else None)


def _fit(
    task: Task,
    encoder: LeadEncoders,
    rows: Rows,
    settings: FinetuneSettings,
    seed: int,
    world: World,
    what: str,
    dropout: LeadDropout | None,
) -> Fitted:
    """Train `encoder` in place, together with a new head; it ends as in the kept epoch."""
    config, training, workers = encoder.config, settings.training, settings.compute.workers
    n_inputs = len(config.leads) * config.n_features
    head = create_head(n_inputs, len(task.dataset.classes), task.exclusive, seed, dropout).to(task.device)
    classifier = _Classifier(encoder, head)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=training.learning_rate, fused=True)
    model, precision = world.parallelise(classifier), MixedPrecision(training.precision, world.device)
    targets, val_targets = (head.encode_targets(known) for known in (task.targets, task.targets[rows["val"]]))
    masks = {} if dropout is None else _lead_masks(config.leads, dropout, task.device)
    n_steps = len(epoch_batches(rows["train"], training.batch_size, seed, 0)) * training.epochs
    history: list[FittingStep] = []
    lowest = np.inf
    with progress_bar(n_steps, what, world.is_main) as bar:
        for epoch in range(training.epochs):
            batches = epoch_batches(rows["train"], training.batch_size, seed, epoch)
            shards = [world.shard(batch) for batch in batches]
            losses = torch.zeros((), device=task.device)
            model.train()
            present_of: Iterable[Tensor | None] = itertools.repeat(None, len(shards))
            if dropout is not None:
                drawn = draw_subsets(len(task.dataset), len(masks), dropout.probability, seed, epoch)
                of_numbers = torch.stack([torch.ones_like(next(iter(masks.values()))), *masks.values()])
                present_of = [of_numbers[torch.from_numpy(drawn[shard])] for shard in shards]
            inputs_of = _inputs(task, config, shards, workers, present_of)
            for batch, shard, inputs in zip(batches, shards, inputs_of, strict=True):
                loss = head.loss(precision.forward(model, *inputs), targets[torch.from_numpy(shard)])
                optimizer.zero_grad(set_to_none=True)
                # The mean of the processes' gradients is that of the whole batch then.
                precision.backward(loss * (len(shard) * world.size / len(batch)))
                precision.step(optimizer)
                losses += loss.detach() * len(shard)
                bar.advance()
            if world.size > 1:
                all_reduce_sum(losses)
                broadcast_buffers(classifier)
            train_loss = losses.item() / len(rows["train"])
            views = [_logits(task, classifier, rows["val"], workers, world, mask) for mask in (None, *masks.values())]
            val_loss = float(np.mean([head.loss(logits, val_targets).item() for logits in views]))
            if not np.isfinite(train_loss) or not np.isfinite(val_loss):
                raise world.error(f"epoch {epoch + 1}: the loss is not finite; try a lower --learning-rate")
            if val_loss < lowest:
                best, best_epoch, lowest = copy.deepcopy(classifier.state_dict()), epoch + 1, val_loss
            history.append(FittingStep(train_loss, val_loss, epoch + 1))
            bar.write(
                f"epoch {epoch + 1}/{training.epochs}  train loss {train_loss:.4f}  validation loss {val_loss:.4f}"
            )
    classifier.load_state_dict(best)
    probabilities, *of_subsets = (
        {
            split: classifier.head.probabilities(_logits(task, classifier, rows[split], workers, world, mask))
            for split in ("val", "test")
        }
        for mask in (None, *masks.values())
    )
    by_subset = dict(zip(masks, of_subsets, strict=True))
    return Fitted(rows, probabilities, history, {"epoch": best_epoch}, lowest, classifier.head, by_subset)


def _lead_masks(leads: Sequence[str], dropout: LeadDropout, device: torch.device) -> dict[str, Tensor]:
    """Which leads each subset has ``[leads]``, by its name."""
    return {
        name: torch.tensor([lead in subset for lead in leads], device=device)
        for name, subset in dropout.subsets.items()
    }


def _inputs(
    task: Task,
    config: EncoderConfig,
    batches: Sequence[NDArray[np.int64]],
    workers: int,
    present_of: Iterable[Tensor | None],
) -> Iterator[tuple[Tensor, ...]]:
    """The signals of each batch as the encoder takes them, and, unless None, which leads the records have."""
    present = list(present_of)
    by_present = config.normalisation == "record" and any(one is not None for one in present)
    how: Normalisation = "none" if by_present else config.normalisation
    signals_of = prefetch_batches(task.dataset, batches, how, task.device, workers)
    for signals, of_batch in zip(signals_of, present, strict=True):
        if of_batch is None:
            yield (signals,)
        else:
            yield normalise_by(signals, of_batch, config.normalisation), of_batch


@torch.no_grad()
def _logits(
    task: Task,
    classifier: _Classifier,
    rows: NDArray[np.int64],
    workers: int,
    world: World,
    mask: Tensor | None = None,
) -> Tensor:
    """Logits ``[records, classes]`` of `rows`, the encoder in evaluation mode; each process has computed its part.

    mask: which leads are used ``[leads]``; None for all.
    """
    classifier.eval()
    batches = sequential_batches(world.shard(rows))
    present = [None if mask is None else mask.expand(len(batch), -1) for batch in batches]
    inputs_of = _inputs(task, classifier.encoder.config, batches, workers, present)
    parts = [classifier(*inputs) for inputs in inputs_of]
    logits = torch.cat(parts) if parts else torch.zeros(0, len(task.dataset.classes), device=task.device)
    sizes = world.shard_sizes(len(rows))
    return logits if sizes is None else all_gather_rows(logits, sizes)
