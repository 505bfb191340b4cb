"""Which records make a batch, and that reading ahead changes neither order nor content nor errors."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.factories import waves

from lfbt.data.dataset import from_arrays
from lfbt.data.loader import epoch_batches, prefetch_batches, sequential_batches
from lfbt.errors import LfbtError

CPU = torch.device("cpu")
ROWS = [np.array(rows) for rows in ([3, 1], [0, 4, 2], [5], [6, 7], [8], [9])]


@pytest.fixture(scope="module")
def dataset():
    return from_arrays(waves([0] * 10), ("II", "V1"), 6.4)


@given(st.sets(st.integers(0, 500), min_size=1, max_size=60), st.integers(1, 70), st.integers(0, 5), st.integers(0, 5))
def test_epoch_batches_hold_every_record_once_in_batches_of_one_size(chosen, batch_size, seed, epoch):
    rows = np.array(sorted(chosen), dtype=np.int64)
    batches = epoch_batches(rows, batch_size, seed, epoch)
    assert sorted(np.concatenate(batches)) == sorted(chosen)
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    assert len(batches) == int(np.ceil(len(rows) / batch_size))


def test_epoch_batches_follow_from_seed_and_epoch():
    rows = np.arange(40)

    def order(seed, epoch):
        return np.concatenate(epoch_batches(rows, 7, seed, epoch)).tolist()

    assert order(1, 2) == order(1, 2)
    different = {tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(different) == 9
    assert tuple(range(40)) not in different
    assert rows.tolist() == list(range(40))
    # The batch size cuts the same order elsewhere.
    assert np.concatenate(epoch_batches(rows, 11, 1, 2)).tolist() == order(1, 2)


def test_sequential_batches_keep_the_order():
    assert [batch.tolist() for batch in sequential_batches(np.array([5, 3, 8, 1, 2]), 2)] == [[5, 3], [8, 1], [2]]
    assert [len(batch) for batch in sequential_batches(np.arange(300))] == [100, 100, 100]
    assert sequential_batches(np.arange(0)) == []


@pytest.mark.parametrize("workers", [0, 1, 3, 20])
def test_prefetch_batches_keeps_the_order(dataset, workers):
    batches = list(prefetch_batches(dataset, ROWS, "lead", CPU, workers))
    for batch, rows in zip(batches, ROWS, strict=True):
        assert batch.dtype == torch.float32
        np.testing.assert_array_equal(batch.numpy(), dataset.batch(rows, "lead"))
    assert list(prefetch_batches(dataset, [], "lead", CPU, workers)) == []


class Counting:
    """Signals that count how often they are read, and can fail on demand."""

    def __init__(self, signals, bad=()):
        self.signals, self.bad, self.shape = signals, set(bad), signals.shape
        self.reads = 0
        self.lock = threading.Lock()

    def __getitem__(self, rows):
        with self.lock:
            self.reads += 1
        if self.bad & set(rows.tolist()):
            raise OSError("the disk is gone")
        return self.signals[rows]


def counting(dataset, bad=()):
    signals = Counting(dataset.signals, bad)
    other = from_arrays(dataset.signals, dataset.leads, dataset.sampling_rate)
    object.__setattr__(other, "signals", signals)
    return other, signals


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_prefetch_batches_reads_no_more_ahead_than_there_are_workers(dataset, workers):
    spied, signals = counting(dataset)
    batches = prefetch_batches(spied, ROWS, "record", CPU, workers)
    for used in range(1, len(ROWS) + 1):
        next(batches)
        assert used <= signals.reads <= used + workers
    assert list(batches) == []
    assert signals.reads == len(ROWS)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_prefetch_batches_raises_an_error_with_its_batch(dataset, workers):
    spied, _ = counting(dataset, bad=[5])
    batches = prefetch_batches(spied, ROWS, "record", CPU, workers)
    for rows in ROWS[:2]:
        np.testing.assert_array_equal(next(batches).numpy(), dataset.batch(rows, "record"))
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)
    assert list(batches) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_prefetch_batches_names_a_record_that_is_not_finite(workers):
    signals = waves([0] * 10)
    signals[8, 1, 3] = np.inf
    corrupt = from_arrays(signals, ("II", "V1"), 6.4)
    with pytest.raises(LfbtError, match="record 8 holds NaN or infinity"):
        list(prefetch_batches(corrupt, ROWS, "record", CPU, workers))


def test_prefetch_batches_ends_its_threads_when_abandoned(dataset):
    before = threading.active_count()
    batches = prefetch_batches(dataset, ROWS, "record", CPU, 3)
    next(batches)
    del batches
    assert threading.active_count() == before
