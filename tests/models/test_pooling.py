"""Statistics over time: by hand, in half precision too."""

import pytest
import torch

from lfbt.models.pooling import pool_over_time


def test_pool_over_time_gives_each_statistic_of_each_channel():
    x = torch.tensor([[[1.0, -1.0], [5.0, -3.0]]])  # records, samples, channels
    mean, largest = pool_over_time(x, ("mean", "max"), (1,))
    assert (mean.tolist(), largest.tolist()) == ([[3, -2]], [[5, -1]])
    assert [one.tolist() for one in pool_over_time(x, ("max",), (1,))] == [[[5, -1]]]


@pytest.mark.parametrize("statistic", ["mean", "max"])
def test_pool_over_time_of_half_precision_is_in_the_precision_asked_for(statistic):
    x = torch.full((1, 1000, 1), 1 / 3, dtype=torch.bfloat16)
    (pooled,) = pool_over_time(x, (statistic,), (1,), torch.float32)
    assert pooled.dtype == torch.float32
    assert pooled.item() == pytest.approx(x[0, 0, 0].item(), rel=1e-6)
