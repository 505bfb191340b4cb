"""The order of limb leads, by their equations."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import median_filter
from tests.published_files import RNG, twelve_leads

from lfbt.errors import LfbtError
from lfbt.io import read_wfdb
from lfbt.recording import STANDARD_LEADS
from lfbt.sources.lead_order import check_lead_order

LIMB = STANDARD_LEADS[:6]


@pytest.mark.parametrize("order", [LIMB, ("I", "II", "III", "aVL", "aVF", "aVR"), LIMB[::-1]])
def test_check_lead_order_takes_the_right_order_only(order):
    signals = [twelve_leads(300, order).T for _ in range(3)]
    check_lead_order(Path("f"), signals, order)
    for one, other in itertools.combinations(range(6), 2):
        wrong = list(order)
        wrong[one], wrong[other] = wrong[other], wrong[one]
        with pytest.raises(
            LfbtError, match=rf"f: its leads are not in the order {','.join(wrong)}, .*{','.join(order)}"
        ):
            check_lead_order(Path("f"), signals, wrong)


def test_check_lead_order_allows_for_filters_and_means_of_each_lead():
    signals = [twelve_leads(300).T * 3 + np.arange(12) + RNG.normal(scale=0.5, size=(300, 12)) for _ in range(5)]
    check_lead_order(Path("f"), signals, STANDARD_LEADS)


def test_check_lead_order_passes_over_recordings_that_say_nothing():
    broken = twelve_leads(50).T
    broken[3, 1] = np.nan
    nothing = [broken, np.ones((50, 12)), np.zeros((50, 12))]
    check_lead_order(Path("f"), [], STANDARD_LEADS)
    check_lead_order(Path("f"), nothing, STANDARD_LEADS)
    # One recording decides then.
    with pytest.raises(LfbtError, match="not in the order II,I,III"):
        check_lead_order(Path("f"), [*nothing, twelve_leads(50).T], ("II", "I", *STANDARD_LEADS[2:]))


def test_check_lead_order_refuses_what_is_no_twelve_lead_ecg():
    with pytest.raises(LfbtError, match=r"the equations of the limb leads, .* fit no order there"):
        check_lead_order(Path("f"), RNG.normal(size=(4, 300, 12)), STANDARD_LEADS)


@pytest.mark.real
def test_check_lead_order_takes_the_right_order_of_real_ecgs_only(shared_data):
    headers = sorted((shared_data / "ptbxl").rglob("*_hr.hea"))[:16]
    signals = [read_wfdb(header).signal.T for header in headers]
    # Median filters of each lead by itself, as those of EchoNext.
    filtered = [signal - median_filter(signal, (301, 1)) for signal in signals]
    for recordings in (signals, filtered):
        check_lead_order(Path("f"), recordings, STANDARD_LEADS)
        for one, other in itertools.combinations(range(6), 2):
            wrong = list(STANDARD_LEADS)
            wrong[one], wrong[other] = wrong[other], wrong[one]
            with pytest.raises(LfbtError, match=f" fit {','.join(LIMB)} there"):
                check_lead_order(Path("f"), recordings, wrong)
