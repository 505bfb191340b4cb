"""The records that an encoder learns from, and what a run says of them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib

import numpy as np
from numpy.typing import NDArray

import lfbt
from lfbt.audit.leakage import exclude_records
from lfbt.data.dataset import Dataset
from lfbt.data.layouts import open_datasets
from lfbt.data.loader import epoch_batches
from lfbt.errors import LfbtError
from lfbt.runs.run_folder import RunSettings, began_with
from lfbt.training.settings import DistortionSettings, PretrainSettings
from lfbt.utils import settings as fields
from lfbt.utils.figures import format_count

#: Settings that earlier versions did not have; their runs are as those of today with the defaults of these, and go on.
_ADDED = (
    "quality_features",
    "ema",
    "views",
    "positives",
    "crop",
    *(field.name for field in dataclasses.fields(DistortionSettings)),
)


@dataclasses.dataclass(frozen=True)
class TrainingRecords:
    """Rows of a data set, shuffled into batches anew each epoch."""

    dataset: Dataset
    rows: NDArray[np.int64]
    batch_size: int
    seed: int

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, epoch: int) -> list[NDArray[np.int64]]:
        """The rows of each batch of an epoch, in an order drawn from (seed, epoch)."""
        return epoch_batches(self.rows, self.batch_size, self.seed, epoch)

    @functools.cached_property
    def batch_sizes(self) -> list[int]:
        """Records of each batch, alike in all epochs."""
        return [len(batch) for batch in self.batches(0)]

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return len(self.batch_sizes)


def open_training_records(settings: PretrainSettings) -> TrainingRecords:
    """Open the data sets and choose leads, splits and records.

    Raises LfbtError for data sets that do not fit each other, an `exclude` that does not fit them, fewer records than a
    batch, and a batch of one record.
    """
    data, batch_size = settings.data, settings.optimizer.batch_size
    dataset = open_datasets(data.data_dir, data.split_seed)
    if settings.model.normalisation == "none" and not dataset.in_mv:
        raise LfbtError(
            f"normalisation: none takes millivolts, but {', '.join(map(str, data.data_dir))} has z-scores, as EchoNext "
            "and folders of .npy files do; take --normalisation record, or a data set in mV"
        )
    if data.leads:
        dataset = dataset.select_leads(data.leads)
    rows = dataset.rows(*data.splits)
    if data.exclude is not None:
        rows = exclude_records(dataset, data.data_dir, rows, data.exclude)
    if batch_size > len(rows):
        remedy = f"give --batch-size {len(rows)} or less" if len(rows) > 1 else "name other --splits or data sets"
        raise LfbtError(
            f"batch_size: {batch_size} is more than the {format_count(len(rows), 'record')} of split "
            f"{','.join(data.splits)} in {', '.join(map(str, data.data_dir))}; {remedy}"
        )
    records = TrainingRecords(dataset, rows, batch_size, settings.seed)
    if min(records.batch_sizes) < 2:
        raise LfbtError(
            f"batch_size: {batch_size} leaves a batch of one of {format_count(len(rows), 'record')}; take another"
        )
    return records


def describe_run(
    settings: PretrainSettings, records: TrainingRecords, n_processes: int, quality_hash: str | None
) -> RunSettings:
    """The settings of a run and hashes of what it learns from, as ``settings.json`` has them."""
    values = fields.to_dict(settings)
    del values["resume"], values["overwrite"]
    defaults = fields.to_dict(PretrainSettings(settings.data, settings.run_dir))
    for name in _ADDED:
        if values[name] == defaults[name] and began_with(settings.run_dir, name) is False:
            del values[name]
    dataset = records.dataset
    ids = "\n".join(dataset.ids[row] for row in records.rows)
    return RunSettings(
        lfbt.__version__,
        values,
        data_hash=dataset.hash,
        records=len(records),
        records_hash=hashlib.sha256(ids.encode()).hexdigest() if settings.data.exclude is not None else None,
        quality_hash=quality_hash,
        processes=n_processes if settings.compute.batch_norm == "process" else None,
        synthetic=dataset.synthetic,
        names_assumed=dataset.names_assumed,
    )
