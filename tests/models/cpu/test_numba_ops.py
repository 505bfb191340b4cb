"""How the loops are compiled; what they compute is tested in test_layer_ops."""

import os
import subprocess
import sys

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


# Prints how often the loops were compiled, and how often they were found on disk.
_COMPUTE = """
import torch
from numba.core.dispatcher import Dispatcher
from lfbt.models.cpu import layer_ops, numba_ops
made = []
cached_loops = numba_ops._jit
numba_ops._jit = lambda loop: made.append(cached_loops(loop)) or made[-1]
for dtype in (torch.float32, torch.bfloat16):
    y, ones = torch.ones(2, 64, 8, dtype=dtype), torch.ones(8)
    layer_ops.moments(y)
    for pool in (False, True):
        out = layer_ops.activate(y, ones, ones, pool)
        layer_ops.gradient_sums(y, out, ones, ones, pool)
        layer_ops.input_gradient(y, out, ones, ones, ones, ones, pool)
print(*(sum(sum(count.values()) for count in (getattr(loop.stats, of) for loop in made)) for of in (\
    "cache_misses", "cache_hits")))
"""


def test_loops_are_found_on_disk_by_the_next_process(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (
        subprocess.run([sys.executable, "-c", _COMPUTE], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    # Four loops without a pool and three with one, in two precisions.
    assert first.stdout.split() == ["14", "0"]
    assert second.stdout.split() == ["0", "14"]
    # The files of another version of Numba have other names.
    assert {f"numba-{numba.__version__}-" in path.name for path in tmp_path.rglob("*.nbi")} == {True}


def test_pool_loops_are_the_same_for_numbers_of_channels_with_rows_of_one_length():
    layers = [torch.zeros(2, 2048 // channels, channels) for channels in (8, 16, 32, 64)]
    numba_ops.activate(layers[0], torch.ones(8), torch.zeros(8), pool=True)
    before = numba_ops._compile_pool_loops.cache_info()
    for y in layers:
        ones = torch.ones(y.shape[2])
        assert torch.equal(numba_ops.activate(y, ones, ones, pool=True), torch.ones(2, y.shape[1] // 2, y.shape[2]))
    assert numba_ops._compile_pool_loops.cache_info().misses == before.misses
