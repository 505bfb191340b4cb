"""How the loops are compiled; what they compute is tested in test_layer_ops."""

import numba
import numpy as np
import torch

from lfbt.models.cpu import numba_ops


def test_jit_compiles_without_a_folder_for_its_cache(monkeypatch):
    plain = numba.njit

    def no_locator(*args, **options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return plain(*args, **options)

    monkeypatch.setattr(numba, "njit", no_locator)

    def double(values):
        for i in range(len(values)):
            values[i] *= 2

    values = np.arange(3.0)
    numba_ops._jit(double)(values)
    np.testing.assert_array_equal(values, [0, 2, 4])


def test_loops_are_compiled_once_for_a_number_of_channels():
    y = torch.zeros(2, 4, 8)
    numba_ops.moments(y)
    before = numba_ops._compile_loops.cache_info()
    numba_ops.moments(y)
    numba_ops.activate(y, torch.ones(8), torch.zeros(8), pool=False)
    after = numba_ops._compile_loops.cache_info()
    assert (after.misses, after.currsize) == (before.misses, before.currsize)
