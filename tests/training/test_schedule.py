"""The learning rate over time, by hand."""

import math

import pytest

from lfbt.training.schedule import learning_rate_at
from lfbt.training.settings import PretrainSettings


def rates(steps_per_epoch, n_steps, **changes):
    settings = PretrainSettings.create((), "run", **({"learning_rate": 1.0} | changes))
    return [learning_rate_at(step, steps_per_epoch, settings.optimizer) for step in range(n_steps)]


def test_learning_rate_at_without_warm_up_is_constant():
    assert rates(3, 5, epochs=2) == [1] * 5


def test_learning_rate_at_rises_linearly_during_warm_up():
    # Two epochs of four steps from nothing at step −1 to the full rate at step 8.
    assert rates(4, 10, epochs=3, warmup_epochs=2, learning_rate=9.0) == pytest.approx([1, 2, 3, 4, 5, 6, 7, 8, 9, 9])
    assert rates(2, 3, epochs=2, warmup_epochs=0.5) == pytest.approx([1 / 2, 1, 1])


def test_learning_rate_at_falls_by_a_cosine_after_warm_up():
    half = math.sqrt(2) / 2
    cosine = [1, (1 + half) / 2, 0.5, (1 - half) / 2]
    assert rates(2, 4, epochs=2, schedule="cosine") == pytest.approx(cosine)
    assert rates(2, 6, epochs=3, schedule="cosine", warmup_epochs=1) == pytest.approx([1 / 3, 2 / 3, *cosine])
    assert rates(1, 1, epochs=1, schedule="cosine") == [1]
