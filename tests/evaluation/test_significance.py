"""P-values and their adjustment: by hand, and by the rejections that they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfbt.evaluation.significance import holm, paired_p


def test_paired_p_by_hand():
    """Of nine draws one is not above 0: 2·(1 + 1)/(1 + 9)."""
    assert paired_p(np.array([-1.0, 1, 2, 3, 4, 5, 6, 7, 8])) == pytest.approx(0.4)
    assert paired_p(-np.array([-1.0, 1, 2, 3, 4, 5, 6, 7, 8])) == pytest.approx(0.4)
    assert paired_p(np.array([1.0, 2, 3, np.nan])) == 2 / 4
    assert paired_p(np.array([0.0, 0, 0])) == 1
    assert paired_p(np.array([-1.0, 1])) == 1
    assert paired_p(np.array([np.nan])) is None


def test_holm_adjusts_as_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, None, 0.6]) == [1, None, 1]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_step_by_step(p_values):
    """From the smallest on, rejected at the level over how many are left, until one is not."""
    adjusted = holm(p_values)
    for level in (0.01, 0.05, 0.2):
        rejected, left = set(), sorted(range(len(p_values)), key=lambda i: p_values[i])
        while left and p_values[left[0]] * len(left) <= level:
            rejected.add(left.pop(0))
        assert {i for i, p in enumerate(adjusted) if p is not None and p <= level} == rejected
