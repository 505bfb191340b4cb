"""The probe: a linear classifier, or the nearest neighbours, on the features of a frozen encoder."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lfbt.data.loader import INFERENCE_BATCH, epoch_batches, prefetch_batches
from lfbt.errors import LfbtError
from lfbt.evaluation.classification import Rows, Task, describe_task, has_encoder, open_task, with_checkpoint
from lfbt.evaluation.classifiers import Fold, fit
from lfbt.evaluation.lead_dropout import SubsetInputs
from lfbt.evaluation.rivals import compute_rival_features
from lfbt.evaluation.series import write_series
from lfbt.evaluation.settings import ProbeSettings
from lfbt.evaluation.trials import (
    Trial,
    list_trials,
    load_results,
    plan_dropout,
    series_folder,
    unfinished,
    write_results,
)
from lfbt.models.config import LeadDropout
from lfbt.models.encoder import LeadEncoders, estimate_batch_norm
from lfbt.models.feature_maps import FeatureMap, feature_map
from lfbt.models.features import check_voltages_known, compute_embeddings
from lfbt.runs.results import Results
from lfbt.utils.device import resolve_device
from lfbt.utils.figures import format_count
from lfbt.utils.progress import write_line
from lfbt.utils.settings import add_named, validate
from lfbt.utils.targets import check_creatable

# An encoder, embeddings of all records, and of those of each lead subset that the classifier has to serve.
Frozen = tuple[LeadEncoders, Tensor, dict[str, Tensor]]


def probe(
    data: str | os.PathLike[str],
    run_dir: str | os.PathLike[str],
    encoder: str | os.PathLike[str] | None = None,
    **settings: Any,
) -> list[Results]:
    """Score a frozen encoder with a classifier on its features.

    Parameters
    ----------
    data
        Labelled data set: a folder made by `lfbt.prepare`, or class folders of ``.npy`` files.
    run_dir
        New folder for the results; with several fractions, seeds or lead subsets each trial has a folder in it.
    encoder
        Run folder of `lfbt.pretrain`, encoder folder, a ``.pth`` file of the authors, or ``lfbt-small``. Without one
        give ``random_encoder=True``, the baseline.
    **settings
        Any option of ``lfbt probe`` by its name, with ``_`` for ``-``: ``classifier="logistic"``,
        ``fraction=[0.1, 1]``, ``seeds=[0, 1, 2]``, ``folds=10``.

    Returns
    -------
    list of Results
        One a trial: ``results.test.auroc``, ``results.test.intervals.auroc``, ``results.test.per_class["MI"].auprc``.

    Raises
    ------
    LfbtError
        For settings out of range, data that does not fit the encoder, an occupied run folder, test records that the
        encoder was pretrained on unless allowed, and a loss that is not finite.

    Examples
    --------
    The baseline; for a pretrained encoder give its run folder instead of ``random_encoder=True``:

    >>> import tempfile
    >>> import lfbt
    >>> with tempfile.TemporaryDirectory() as place:
    ...     data = f"{place}/data/synthetic"
    ...     report = lfbt.prepare("synthetic", f"{place}/downloads", data, records=60, n_samples=64, workers=1)
    ...     (results,) = probe(data, f"{place}/runs/random", random_encoder=True, epochs=2, device="cpu")
    >>> results.kind, results.test.records, sorted(results.test.per_class)
    ('probe', 6, ['CD', 'HYP', 'MI', 'NORM', 'STTC'])
    """
    own = {"data_dir": data, "run_dir": run_dir, "checkpoint": encoder}
    return run_probe(ProbeSettings.create(**add_named(own, settings)))


def run_probe(settings: ProbeSettings) -> list[Results]:
    """Compute features once, and fit, score and write a classifier for every trial.

    The candidate with the lowest validation loss is kept, and the test records are scored once, with it. The folder of
    a single trial without folds holds the features ``X_{train,val,test}.npy`` ``[records, leads × 64]`` and the classes
    ``y_*.npy`` (class numbers; multi-label: ``[records, classes]``) besides the files of `write_results`.

    With ``leads_dropout`` one classifier serves all leads and each of ``lead_subsets``, whose features are those of
    recordings that have these leads only. The validation loss is the mean over all of these, and each is tested.

    Parameters
    ----------
    settings
        See `ProbeSettings.create`.

    Returns
    -------
    list of Results
        One a trial.

    Raises
    ------
    LfbtError
        For settings out of range, as `open_task` does, and for a loss that is not finite.
    """
    validate(settings)
    check_creatable(settings.trials.run_dir, in_place=True)
    settings = with_checkpoint(settings)
    task = open_task(settings, resolve_device(settings.compute.device))
    dropout = plan_dropout(settings, task.config.leads)
    trials = list_trials(settings.trials, () if dropout else settings.lead_subsets, task.config.leads)
    _check_neighbours(task, settings, trials)
    # A checkpoint gives the same features for all seeds and folds; a random encoder does not.
    cache = functools.lru_cache(maxsize=max(1, settings.trials.folds))
    features = feature_map(settings.features)
    if has_encoder(settings):
        check_voltages_known(task.dataset, features)
    frozen = cache(functools.partial(_frozen, task, settings.compute.workers, dropout, features))
    beside = cache(functools.partial(_beside, task, settings))
    with series_folder(settings, task, trials):
        left = unfinished(settings.trials, trials)
        write_line(describe_task(settings, task), shown=bool(left))
        # Trials that share a random encoder follow each other.
        for trial in sorted(left, key=lambda trial: trial.seed):
            _run(task, settings, trial, (frozen, beside), dropout, with_features=len(trials) == 1)
        if len(trials) > 1:
            write_series(settings.trials.run_dir, load_results(trials))
    return load_results(trials)


def _check_neighbours(task: Task, settings: ProbeSettings, trials: Sequence[Trial]) -> None:
    """Raise LfbtError where a trial has fewer training records than any number of neighbours."""
    if settings.fitting.classifier != "knn":
        return
    n = min(len(task.rows(k, trial.fraction, trial.seed)["train"]) for trial in trials for k in range(len(task.folds)))
    wanted = settings.fitting.neighbours
    if min(wanted) > n:
        raise LfbtError(
            f"neighbours: {min(wanted)} is more than the {format_count(n, 'training record')} that there are at least; "
            f"give {n} or fewer"
        )


def _run(
    task: Task,
    settings: ProbeSettings,
    trial: Trial,
    computed: tuple[Callable[[int, int], Frozen], Callable[[int, int], Tensor]],
    dropout: LeadDropout | None,
    with_features: bool,
) -> None:
    """Fit and score one trial, and write its folder; of a single fold also the features, if these are wanted.

    computed: by seed and fold, the features of the encoder and those of the rival.
    """
    frozen, beside = computed
    features, folds = feature_map(settings.features), []
    for fold in range(len(task.folds)):
        rows = task.rows(fold, trial.fraction, trial.seed)
        if has_encoder(settings):
            encoder, embeddings, of_subsets = frozen(*((trial.seed, fold) if settings.random_encoder else (0, 0)))
            if settings.rival is not None:
                embeddings = torch.cat([embeddings, beside(trial.seed, fold)], dim=1)
        else:
            encoder, embeddings, of_subsets = task.encoder(trial.seed), beside(trial.seed, fold), {}
        inputs = _divide(
            embeddings if trial.subset is None else embeddings[:, _columns(task, trial.subset.leads, features)], rows
        )
        targets = {split: task.targets[where] for split, where in rows.items()}
        subsets = {
            name: SubsetInputs(_columns(task, leads, features), _divide(of_subsets[name], rows))
            for name, leads in (dropout.subsets if dropout else {}).items()
        }
        weights = None
        if features.amplitudes:
            n_leads = len(task.config.leads if trial.subset is None else trial.subset.leads)
            weights = torch.ones(inputs["train"].shape[1], device=task.device)
            # The rival's columns stand behind the encoder's.
            of_encoder = features.weights(n_leads, n_leads * task.config.columns_per_lead(features))
            weights[: len(of_encoder)] = torch.from_numpy(of_encoder).to(task.device)
        of_fold = Fold(rows, inputs, targets, task.exclusive, dropout, subsets, features, weights)
        folds.append(fit(of_fold, settings.fitting, trial.seed))
    arrays = {}
    if with_features and len(folds) == 1:
        arrays = {f"X_{split}": x.cpu().numpy() for split, x in inputs.items()}
        arrays |= {f"y_{split}": y.argmax(axis=1) if task.exclusive else y for split, y in targets.items()}
    write_results(settings, task, trial, folds, encoder, arrays)


def _divide(embeddings: Tensor, rows: Rows) -> dict[str, Tensor]:
    return {split: embeddings[torch.from_numpy(where)] for split, where in rows.items()}


def _frozen(
    task: Task, workers: int, dropout: LeadDropout | None, features: FeatureMap, seed: int, fold: int
) -> Frozen:
    """The encoder, the embeddings ``[records, columns]`` of all records, and those of the leads of each subset."""
    encoder = task.encoder(seed)
    if task.loaded is None:
        # In random order: in class folders a batch would be of one class.
        batches = epoch_batches(task.folds[fold]["train"], INFERENCE_BATCH, seed, 0)
        normalisation = encoder.config.normalisation
        estimate_batch_norm(encoder, prefetch_batches(task.dataset, batches, normalisation, task.device, workers))
    rows = np.arange(len(task.dataset))
    embed = functools.partial(compute_embeddings, rows=rows, device=task.device, workers=workers, features=features)
    embeddings = embed(encoder, task.dataset, what="features")
    of_subsets = {}
    for name, leads in (dropout.subsets if dropout else {}).items():
        if encoder.config.normalisation == "record":
            # As a recording that has these leads only is normalised; by position, as names may be allowed to differ.
            dataset = task.dataset.select_leads([task.dataset.leads[task.config.leads.index(lead)] for lead in leads])
            part = encoder.select_leads(leads)
            of_subsets[name] = embed(part, dataset, what=f"features of {name}")
        else:
            of_subsets[name] = embeddings[:, _columns(task, leads, features)]
    return encoder, embeddings, of_subsets


def _beside(task: Task, settings: ProbeSettings, seed: int, fold: int) -> Tensor:
    """The features ``[records, columns]`` of the rival, fitted to the training records of the fold."""
    if settings.rival is None:
        raise TypeError("there is no rival")
    found = compute_rival_features(settings.rival, task.dataset, task.folds[fold]["train"], seed)
    return torch.from_numpy(found).to(task.device)


def _columns(task: Task, leads: Sequence[str], features: FeatureMap) -> Tensor:
    """The columns of the embeddings that are of some leads."""
    n = task.config.columns_per_lead(features)
    starts = [n * task.config.leads.index(lead) for lead in leads]
    return torch.cat([torch.arange(start, start + n) for start in starts])
