"""The records that an encoder learns from: which ones, in which batches, and what settings.json records of them."""

import hashlib
from typing import Any

import numpy as np
import pytest
from tests.factories import waves, write_packed

import lfbt
from lfbt.data.layouts import open_dataset
from lfbt.data.loader import epoch_batches
from lfbt.errors import LfbtError
from lfbt.training.pretraining import Pretrainer
from lfbt.training.records import TrainingRecords, describe_run, open_training_records
from lfbt.training.settings import PretrainSettings
from lfbt.utils.settings import to_dict

SIGNALS = waves([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
SPLIT = ["train"] * 6 + ["val"] * 3 + ["test"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_packed(tmp_path_factory.mktemp("records") / "data", SIGNALS, split=SPLIT)


def settings_of(**changes):
    quick: dict[str, Any] = {"epochs": 2, "batch_size": 3, "projector": "16-16", "device": "cpu", "workers": 0}
    return PretrainSettings.create(**({"run_dir": "run"} | quick | changes))


def test_training_records_batches_are_those_of_seed_and_epoch(data):
    rows = np.array([1, 4, 5, 7, 9])
    records = TrainingRecords(open_dataset(data), rows, batch_size=2, seed=7)
    for epoch in (0, 3):
        for mine, theirs in zip(records.batches(epoch), epoch_batches(rows, 2, 7, epoch), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert (len(records), records.batch_sizes, records.steps_per_epoch) == (5, [2, 2, 1], 3)


@pytest.mark.parametrize(
    ("splits", "rows"),
    [(("train",), range(6)), (("val",), range(6, 9)), (("train", "val", "test"), range(10))],
)
def test_open_training_records_takes_the_splits_named(data, splits, rows):
    records = open_training_records(settings_of(data_dir=data, splits=splits, seed=4))
    assert records.rows.tolist() == list(rows)
    assert (records.batch_size, records.seed) == (3, 4)


def test_open_training_records_chooses_leads_in_the_order_asked_for(data):
    assert open_training_records(settings_of(data_dir=data)).dataset.leads == ("II", "V1")
    assert open_training_records(settings_of(data_dir=data, leads="V1,II")).dataset.leads == ("V1", "II")


def test_open_training_records_joins_data_sets(data, tmp_path):
    other = write_packed(tmp_path / "other", SIGNALS[:4] + 1)
    records = open_training_records(settings_of(data_dir=(data, other)))
    assert records.rows.tolist() == [*range(6), *range(10, 14)]


def test_open_training_records_leaves_excluded_records_out(data, tmp_path):
    file = tmp_path / "exclude.txt"
    file.write_text("r1\nr4\nr8\n")
    assert open_training_records(settings_of(data_dir=data, exclude=file)).rows.tolist() == [0, 2, 3, 5]


def test_open_training_records_refuses_unknown_excluded_records(data, tmp_path):
    file = tmp_path / "exclude.txt"
    file.write_text("r1\nr99\n")
    with pytest.raises(LfbtError, match=r"exclude: .*exclude\.txt names r99, which .* does not have"):
        open_training_records(settings_of(data_dir=data, exclude=file))


def test_open_training_records_refuses_a_batch_larger_than_the_data(data, tmp_path):
    with pytest.raises(LfbtError) as caught:
        open_training_records(settings_of(data_dir=data, batch_size=7))
    assert (
        str(caught.value)
        == f"batch_size: 7 is more than the 6 records of split train in {data}; give --batch-size 6 or less"
    )
    file = tmp_path / "exclude.txt"
    file.write_text("r1\nr4\n")
    with pytest.raises(LfbtError, match="batch_size: 5 is more than the 4 records of split train,val"):
        open_training_records(
            settings_of(
                data_dir=write_packed(tmp_path / "few", SIGNALS[:6]),
                batch_size=5,
                exclude=file,
                splits=("train", "val"),
            )
        )


@pytest.mark.parametrize(("n_records", "batch_size"), [(3, 2), (5, 2)])
def test_open_training_records_refuses_a_batch_of_one(tmp_path, n_records, batch_size):
    folder = write_packed(tmp_path / "few", SIGNALS[:n_records])
    place: dict[str, Any] = {"data_dir": (folder,), "run_dir": tmp_path / "run"}
    with pytest.raises(LfbtError, match=f"batch_size: 2 leaves a batch of one of {n_records} records"):
        Pretrainer(settings_of(**place, batch_size=batch_size)).run()
    assert not (tmp_path / "run").exists()
    Pretrainer(settings_of(**place, batch_size=3, epochs=1)).run()


def test_describe_run_has_settings_but_resume_and_overwrite_and_what_they_were_applied_to(data):
    settings = settings_of(data_dir=data, resume=True)
    described = describe_run(settings, open_training_records(settings), n_processes=2, quality_hash="q")
    assert described.settings == {
        name: value for name, value in to_dict(settings).items() if name not in ("resume", "overwrite")
    }
    assert (described.lfbt_version, described.kind) == (lfbt.__version__, "pretrain")
    assert (described.records, described.data_hash) == (6, open_dataset(data).hash)
    assert (described.quality_hash, described.synthetic, described.names_assumed) == ("q", False, False)
    # Neither matters to this run.
    assert (described.records_hash, described.processes) == (None, None)


def test_describe_run_counts_processes_where_each_has_its_own_statistics(data):
    settings = settings_of(data_dir=data, batch_norm="process")
    assert describe_run(settings, open_training_records(settings), 2, None).processes == 2


def test_describe_run_hashes_the_ids_that_an_exclude_leaves(data, tmp_path):
    file = tmp_path / "exclude.txt"
    file.write_text("r1\nr4\n")
    settings = settings_of(data_dir=data, exclude=file)
    described = describe_run(settings, open_training_records(settings), 1, None)
    assert described.records_hash == hashlib.sha256(b"r0\nr2\nr3\nr5").hexdigest()


def test_describe_run_marks_synthetic_data(tmp_path):
    settings = settings_of(data_dir=write_packed(tmp_path / "synthetic", SIGNALS, synthetic=True))
    assert describe_run(settings, open_training_records(settings), 1, None).synthetic


def test_open_training_records_refuses_z_scores_for_an_encoder_of_millivolts(tmp_path):
    (tmp_path / "samples").mkdir()
    for number in range(4):
        np.save(tmp_path / "samples" / f"{number}.npy", np.zeros((8, 64), np.float32))
    options: dict[str, Any] = {"batch_size": 2, "projector": "8-8"}
    settings = PretrainSettings.create(tmp_path, tmp_path / "run", normalisation="none", **options)
    with pytest.raises(LfbtError, match=r"^normalisation: none takes millivolts, but .* has z-scores.*take --norm"):
        open_training_records(settings)
    settings = PretrainSettings.create(tmp_path, tmp_path / "run", normalisation="record", **options)
    assert len(open_training_records(settings)) == 4
