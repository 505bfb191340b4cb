"""Leads unlike those of other records: found where they are inverted or swapped, by hand-made records."""

import numpy as np
import pytest
from tests.audit.helpers import run_check, write

from lfbt.audit.lead_placement import LeadMoments, choose_independent, find_misplaced, measure_moments
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS
from lfbt.sources.synthesis import make_record

LEADS = [STANDARD_LEADS[i] for i in choose_independent(STANDARD_LEADS)]
N = 120


@pytest.fixture(scope="module")
def signals():
    """``[records, 12 leads, samples]`` at 100 Hz."""
    return np.stack([make_record(3, number).signal[:, :5000:5] for number in range(1, N + 1)]).astype(np.float32)


def misplaced(signals, leads=STANDARD_LEADS):
    places = choose_independent(leads)
    return find_misplaced(measure_moments(signals[:, places], 100.0), [leads[place] for place in places])


def test_choose_independent_leaves_out_limb_leads_that_follow_from_two():
    assert LEADS == ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"]
    assert choose_independent(PAPER_LEADS) == list(range(8))
    assert choose_independent(("V1", "II", "aVF", "I")) == [0, 1, 2]


def test_measure_moments_are_those_of_their_definition_and_of_any_unit():
    times = np.arange(1000) / 100
    wave, double = np.sin(2 * np.pi * 5 * times), np.sin(2 * np.pi * 10 * times)
    skewed = wave + np.sin(2 * np.pi * 10 * times + np.pi / 2) / 2
    signals = np.stack([wave, 2 * double, skewed + 7 + np.sin(2 * np.pi * 0.1 * times)])[None]
    moments = measure_moments(signals.astype(np.float32), 100.0)
    # 1/2, 4/2 and 5/8 without what is below 1 Hz.
    products = np.array([[4, 0, 4], [0, 16, 0], [4, 0, 5]]) / 25
    np.testing.assert_allclose(moments.products[0], products, atol=1e-6)
    third = (skewed**3).mean() / (25 / 8) ** 1.5
    np.testing.assert_allclose(moments.skewness[0], [0, 0, third], atol=1e-6)
    louder = measure_moments((1000 * signals).astype(np.float32), 100.0)
    np.testing.assert_allclose(louder.products, moments.products, atol=1e-6)
    np.testing.assert_allclose(louder.skewness, moments.skewness, atol=1e-6)


def test_find_misplaced_finds_none_among_records_that_are_alike(signals):
    assert misplaced(signals) == []


@pytest.mark.parametrize("lead", ["II", "V2", "V4", "V6"])
def test_find_misplaced_names_an_inverted_lead(signals, lead):
    signals = signals.copy()
    signals[7, STANDARD_LEADS.index(lead)] *= -1
    (found,) = misplaced(signals)
    assert (found.row, found.causes[0]) == (7, f"{lead} inverted")


def test_find_misplaced_names_swapped_leads(signals):
    signals = signals.copy()
    i, j = STANDARD_LEADS.index("V1"), STANDARD_LEADS.index("V5")
    signals[9, [i, j]] = signals[9, [j, i]]
    (found,) = misplaced(signals)
    assert (found.row, found.causes[0]) == (9, "V1 and V5 swapped")


def test_find_misplaced_names_a_recording_that_is_inverted_as_a_whole(signals):
    signals = signals.copy()
    signals[11] *= -1
    assert misplaced(signals) == [(11, ("all leads inverted",))]


def test_find_misplaced_does_not_depend_on_the_order_of_records_and_leads(signals):
    signals = signals.copy()
    signals[7, STANDARD_LEADS.index("V4")] *= -1
    order = np.random.default_rng(0).permutation(N)
    (found,) = misplaced(signals[order])
    assert order[found.row] == 7
    turned = list(reversed(range(len(LEADS))))
    moments = measure_moments(signals[:, choose_independent(STANDARD_LEADS)], 100.0)
    moments = LeadMoments(moments.products[:, turned][:, :, turned], moments.skewness[:, turned])
    (again,) = find_misplaced(moments, LEADS[::-1])
    assert again == (7, found.causes)


def test_check_warns_of_misplaced_leads_in_a_hundred_records(signals, tmp_path):
    signals = signals.copy()
    signals[7, STANDARD_LEADS.index("V4")] *= -1
    # A lead that does not move says nothing of the others.
    signals[8, 3] = 0
    report = run_check(write(tmp_path / "data", signals, ["train"] * N))
    kinds = [(finding.kind, finding.records) for finding in report.findings if finding.kind.startswith("leads unlike")]
    assert kinds == [("leads unlike those of the other records: V4 inverted", ("r7",))]
    report = run_check(write(tmp_path / "few", signals[:99], ["train"] * 99))
    assert not [finding for finding in report.findings if finding.kind.startswith("leads unlike")]
