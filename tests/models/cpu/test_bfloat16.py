"""bfloat16 in compiled loops: every number as PyTorch converts it."""

import numba
import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lfbt.models.cpu.bfloat16 import narrow, widen


@numba.njit
def widened(bits):
    out = np.empty(len(bits), np.float32)
    for i in range(len(bits)):
        out[i] = widen(bits[i])
    return out


@numba.njit
def narrowed(values):
    out = np.empty(len(values), np.uint16)
    for i in range(len(values)):
        out[i] = narrow(values[i], out[i])
    return out


def test_widen_is_exact_for_every_bfloat16():
    bits = np.arange(2**16, dtype=np.uint16)
    expected = torch.from_numpy(bits).view(torch.bfloat16).float().numpy()
    assert np.array_equal(widened(bits), expected, equal_nan=True)


@given(arrays(np.uint32, 64, elements=st.integers(0, 2**32 - 1)))
def test_narrow_rounds_any_float_as_pytorch_does(bits):
    values = bits.view(np.float32)
    own = torch.from_numpy(narrowed(values)).view(torch.bfloat16)
    expected = torch.from_numpy(values.copy()).bfloat16()
    assert torch.equal(own.isnan(), expected.isnan())
    assert torch.equal(own[~own.isnan()], expected[~expected.isnan()])


def test_narrow_takes_the_even_one_of_two_equally_near():
    # 1 + 2⁻⁸ lies between 1 and 1 + 2⁻⁷, 1 + 3 · 2⁻⁸ between 1 + 2⁻⁷ and 1 + 2⁻⁶.
    own = torch.from_numpy(narrowed(np.array([1 + 2**-8, 1 + 3 * 2**-8], np.float32))).view(torch.bfloat16)
    assert own.tolist() == [1.0, 1 + 2**-6]


def test_narrow_keeps_nan_whose_bits_are_all_ones():
    assert np.isnan(widened(narrowed(np.array([0xFFFFFFFF, 0x7FFFFFFF], np.uint32).view(np.float32)))).all()


def test_other_numbers_are_left_as_they_are():
    @numba.njit
    def both(values):
        out = np.empty_like(values)
        for i in range(len(values)):
            out[i] = narrow(widen(values[i]), values[i])
        return out

    for dtype in (np.float32, np.float64):
        values = np.array([1 / 3, -np.pi, np.inf], dtype)
        assert both(values).dtype == dtype
        np.testing.assert_array_equal(both(values), values)
