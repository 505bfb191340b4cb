"""A protocol of the field from a download to a table beside published figures: ``lfbt benchmark``."""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Callable
from typing import Any

import lfbt
from lfbt.audit.leakage import check_leakage
from lfbt.data.dataset import Dataset
from lfbt.data.layouts import open_dataset
from lfbt.data.manifest import MANIFEST
from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.errors import LfbtError
from lfbt.models.encoder import EncoderConfig
from lfbt.models.hub import checkpoint_name, take_checkpoint
from lfbt.models.pretrained import load_with_history, weights_hash
from lfbt.protocols.settings import LABELS, BenchmarkSettings
from lfbt.protocols.tables import benchmark_values, write_tables
from lfbt.protocols.tasks import LabelledTask, label_tasks
from lfbt.protocols.trials import KIND, compute_inputs, list_trials, run_trial
from lfbt.protocols.windows import window_samples
from lfbt.runs.results import EncoderOrigin, Results
from lfbt.runs.run_folder import RunSettings, acquire_run_folder, check_run_folder
from lfbt.sources import SOURCES
from lfbt.utils.device import resolve_device
from lfbt.utils.files import PARTIAL
from lfbt.utils.settings import Affects, names_affecting, to_dict, validate

__all__ = ["BenchmarkSettings", "benchmark"]

# Of a record; the releases of PTB-XL and Chapman have ten.
_SECONDS = 10


def benchmark(settings: BenchmarkSettings, log: Callable[[str], None] = print) -> tuple[str, dict[str, Any]]:
    """Run the trials that are not done yet, and write the tables.

    `out` holds the prepared ``data/``, a folder a trial, and ``PROTOCOL.md``, ``.txt`` and ``.json``. Called again it
    continues, also with another protocol, more tasks, fractions or seeds.

    Parameters
    ----------
    settings
        What is scored, by which protocol.
    log
        Receives a line of progress for each trial.

    Returns
    -------
    text
        The tables.
    values
        The same as plain JSON values.

    Raises
    ------
    LfbtError
        For settings out of range, or other than those that `out` was begun with; a download that is not of the data
        set; test records that the encoder was pretrained on, unless allowed; and no task that can be scored.
    """
    validate(settings)
    check_run_folder(settings.out, resume=True, overwrite=False)
    device = resolve_device(settings.device)
    checkpoint = take_checkpoint(settings.checkpoint)
    encoder, history = load_with_history(checkpoint)
    origin = EncoderOrigin(checkpoint_name(checkpoint), history)
    window_samples(settings.window, encoder.config.sampling_rate, _count_samples(encoder.config))
    run_settings = RunSettings(lfbt.__version__, to_dict(settings), kind=KIND, encoder=weights_hash(encoder))
    free = names_affecting(BenchmarkSettings, Affects.TRIAL, Affects.RUNTIME, Affects.PROCESS, Affects.LOCATION)
    with acquire_run_folder(settings.out, run_settings, free, resume=True):
        # Trials that were being written when the command was killed.
        for partial in settings.out.glob(PARTIAL):
            shutil.rmtree(partial)
        dataset = _prepare(settings, encoder.config, log)
        tasks, left_out = _sort_out(label_tasks(dataset, settings))
        check_leakage(checkpoint, dataset, dataset.rows("test"), settings.allow_test_records)
        trials = list_trials(settings, tasks)
        inputs = functools.cache(functools.partial(compute_inputs, settings, dataset, encoder, device))
        for number, trial in enumerate(trials, start=1):
            line = f"[{number}/{len(trials)}] {trial.description}"
            if trial.is_done:
                log(f"{line}: done before")
                continue
            start = time.monotonic()
            try:
                run_trial(settings, trial, dataset, (encoder, origin), inputs)
            except KeyboardInterrupt as stop:
                stop.add_note("finished trials are kept; the same command goes on")
                raise
            log(f"{line}: {time.monotonic() - start:.0f} s")
        results = [(trial, Results.load(trial.folder)) for trial in trials]
        values = benchmark_values(settings, dataset, encoder.config, results, left_out)
        return write_tables(settings, values), values


def _prepare(settings: BenchmarkSettings, config: EncoderConfig, log: Callable[[str], None]) -> Dataset:
    """Open records of ten seconds with the encoder's leads and at its rate; prepare them where they are absent."""
    folder = settings.out / "data" / settings.data
    if (folder / MANIFEST).is_file():
        dataset = open_dataset(folder)
        origin = dataset.manifest.source
        if origin is not None and origin.folder != settings.download.absolute().name:
            raise LfbtError(
                f"download: {settings.download}, but {folder} was prepared from a folder {origin.folder}; give that, "
                "or name another out"
            )
        return dataset
    n_samples = _count_samples(config)
    options = PrepareSettings(
        leads=config.leads,
        n_samples=n_samples,
        duration=n_samples / config.sampling_rate,
        pieces="first",
        shortest=n_samples / config.sampling_rate,
        keep_multi_label=True,
        # As eight folds, one and one.
        test_fraction=0.1,
        val_fraction=1 / 9,
        skip_unreadable=settings.skip_unreadable,
        workers=settings.workers,
    )
    source = SOURCES[settings.data](labels=LABELS[settings.data])  # type: ignore[call-arg]
    prepare_dataset(source, settings.data, settings.download, folder, options, log)
    return open_dataset(folder)


def _count_samples(config: EncoderConfig) -> int:
    """Samples of a record at the encoder's rate."""
    return int(_SECONDS * config.sampling_rate + 1e-6)


def _sort_out(tasks: list[LabelledTask]) -> tuple[list[LabelledTask], dict[str, str]]:
    """The tasks that can be scored, and why others cannot. Raises LfbtError where none can."""
    left_out: dict[str, str] = {task.name: task.fault for task in tasks if task.fault}
    if len(left_out) == len(tasks):
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise LfbtError(f"tasks: none can be scored on these records ({reasons}); give a larger download")
    return [task for task in tasks if not task.fault], left_out
