"""Dower's transform and the inverse one, against published figures and for leads in any order."""

import numpy as np
import pytest

from lfbt.errors import AbsentLeadError
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS
from lfbt.vectorcardiogram import INDEPENDENT_LEADS, LEAD_VECTORS, dower_transforms

# L. Edenbrandt and O. Pahlm, J. Electrocardiol. 21 (1988) 361-367: x, y, z from I, II, V1 to V6.
PUBLISHED = [
    [0.156, -0.010, -0.172, -0.074, 0.122, 0.231, 0.239, 0.194],
    [-0.227, 0.887, 0.057, -0.019, -0.106, -0.022, 0.041, 0.048],
    [0.022, 0.102, -0.229, -0.310, -0.246, -0.063, 0.055, 0.108],
]


def test_dower_transforms_of_the_independent_leads_are_the_published_ones():
    to_leads, to_vector = dower_transforms(INDEPENDENT_LEADS)
    np.testing.assert_array_equal(to_leads, LEAD_VECTORS)
    np.testing.assert_allclose(to_vector, PUBLISHED, rtol=0, atol=0.00051)


@pytest.mark.parametrize("leads", [PAPER_LEADS, STANDARD_LEADS, ("V6", "aVF", "V1", "V2", "V3", "V4", "V5", "aVR")])
def test_dower_transforms_of_other_leads_find_the_vector_that_they_come_from(leads):
    to_leads, to_vector = dower_transforms(leads)
    vector = np.array([0.3, -0.2, 1.1])
    i, ii = vector @ LEAD_VECTORS[0], vector @ LEAD_VECTORS[1]
    limb = {"I": i, "II": ii, "III": ii - i, "aVR": -(i + ii) / 2, "aVL": i - ii / 2, "aVF": ii - i / 2}
    expected = [limb[lead] if lead in limb else vector @ LEAD_VECTORS[1 + int(lead[1])] for lead in leads]
    np.testing.assert_allclose(to_leads @ vector, expected, atol=1e-12)
    np.testing.assert_allclose(to_vector @ expected, vector, atol=1e-12)


@pytest.mark.parametrize("leads", [("II", "V1"), PAPER_LEADS[1:], (*PAPER_LEADS, "X"), PAPER_LEADS[:-1]])
def test_dower_transforms_refuse_leads_without_a_vector(leads):
    with pytest.raises(AbsentLeadError, match="absent lead"):
        dower_transforms(leads)
