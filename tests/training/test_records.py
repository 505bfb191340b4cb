"""The records that an encoder learns from."""

import numpy as np
import pytest
from tests.helpers_model import waves, write_packed

from lfbt.errors import LfbtError
from lfbt.training.records import describe_run, open_training_records
from lfbt.training.settings import PretrainSettings

SPLIT = ["train"] * 7 + ["val"] * 2 + ["test"]


@pytest.fixture
def settings(tmp_path):
    folder = write_packed(tmp_path / "data", waves([0, 1] * 5), split=SPLIT)

    def create(**changes):
        return PretrainSettings.create(folder, tmp_path / "run", **({"batch_size": 4} | changes))

    return create


def test_open_training_records_takes_the_splits_named(settings):
    assert open_training_records(settings()).rows.tolist() == list(range(7))
    assert open_training_records(settings(splits=("train", "val"))).rows.tolist() == list(range(9))


def test_open_training_records_chooses_leads(settings):
    assert open_training_records(settings(leads="V1")).dataset.leads == ("V1",)
    with pytest.raises(LfbtError, match="lead V9: not in the data set"):
        open_training_records(settings(leads="V9"))


def test_batches_have_every_record_once_in_an_order_of_seed_and_epoch(settings):
    records = open_training_records(settings())
    assert (records.batch_sizes, records.steps_per_epoch, len(records)) == ([4, 3], 2, 7)
    first, again, second = (np.concatenate(records.batches(epoch)).tolist() for epoch in (0, 0, 1))
    assert first == again != second
    assert sorted(first) == sorted(second) == list(range(7))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 8}, "batch-size: 8 is more than the 7 records of split train in .*data"),
        ({"batch_size": 2, "exclude": "ids.txt"}, "exclude: .*ids.txt cannot be read"),
    ],
)
def test_open_training_records_refuses_what_makes_no_batches(settings, changes, message):
    with pytest.raises(LfbtError, match=message):
        open_training_records(settings(**changes))


def test_open_training_records_leaves_out_the_records_of_a_file(settings, tmp_path):
    (tmp_path / "ids.txt").write_text("r0\nr3\n")
    excluding = settings(exclude=tmp_path / "ids.txt")
    records = open_training_records(excluding)
    assert records.rows.tolist() == [1, 2, 4, 5, 6]
    described = describe_run(excluding, records, n_processes=1, quality_hash=None)
    assert (described.records, described.processes) == (5, None)
    assert described.records_hash is not None
    assert "resume" not in described.settings


def test_describe_run_names_the_processes_where_the_result_hangs_on_them(settings):
    records = open_training_records(settings())
    assert describe_run(settings(batch_norm="process"), records, 3, None).processes == 3
    assert describe_run(settings(), records, 3, "q").to_dict()["quality_hash"] == "q"
