"""Trials that differ in their seed only: how they are grouped, and their means."""

import dataclasses
from typing import Any

import pytest

from lfbt.evaluation.aggregation import MeanOverSeeds, group_by_seed, mean_over_seeds


@dataclasses.dataclass(frozen=True)
class Trial:
    """What of results tells groups apart."""

    leads: list[str]
    lead_subset: str | None
    fraction: float
    seed: int


def test_mean_over_seeds_has_the_deviation_of_a_sample():
    assert mean_over_seeds([0.5, 0.75, 1.0]) == MeanOverSeeds(0.75, 0.25, 3)


def test_mean_over_seeds_has_no_deviation_of_one_seed():
    assert mean_over_seeds([0.5]) == MeanOverSeeds(0.5, None, 1)


@pytest.mark.parametrize("values", [[], [None], [0.5, None]])
def test_mean_over_seeds_is_none_where_a_seed_has_no_value(values):
    assert mean_over_seeds(values) == MeanOverSeeds(None, None, len(values))


def test_group_by_seed_keeps_the_order_and_parts_subsets_and_fractions():
    trials: list[Any] = [
        Trial(leads, subset, fraction, seed)
        for leads, subset in ((["II", "V1"], None), (["II", "V1"], "all"), (["V1"], "chest"))
        for fraction in (1.0, 0.5)
        for seed in (0, 1)
    ]
    groups = group_by_seed(trials)
    assert [(group[0].lead_subset, group[0].fraction, [one.seed for one in group]) for group in groups] == [
        (subset, fraction, [0, 1]) for subset in (None, "all", "chest") for fraction in (1.0, 0.5)
    ]
