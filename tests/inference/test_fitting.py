"""Signals in memory made to fit an encoder."""

import numpy as np
import pytest

from lfbt.errors import AbsentLeadError, LfbtError
from lfbt.inference.fitting import as_records, check_duration, fit_records
from lfbt.models.config import EncoderConfig

CONFIG = EncoderConfig(("II", "III"), sampling_rate=100, n_samples=1000)


def test_as_records_takes_one_record_or_several():
    assert as_records([[1, 2], [3, 4]], ("I", "II")).tolist() == [[[1, 2], [3, 4]]]
    assert as_records(np.zeros((3, 2, 5)), ("I", "II")).shape == (3, 2, 5)
    with pytest.raises(LfbtError, match=r"signals: shape \[3, 5\] is not \[records, 2 leads, samples\]"):
        as_records(np.zeros((3, 5)), ("I", "II"))


@pytest.mark.parametrize(("n_samples", "fits"), [(5000, True), (4999, False), (5001, False), (1, False)])
def test_check_duration_accepts_the_encoders_to_half_a_sample(n_samples, fits):
    if fits:
        check_duration(n_samples, 500.0, CONFIG)
    else:
        with pytest.raises(LfbtError, match="but the encoder's records last 10 s"):
            check_duration(n_samples, 500.0, CONFIG)


def test_fit_records_derives_leads_in_mv():
    records = np.array([[[1000.0] * 1000, [3000.0] * 1000]])
    fitted = fit_records(records, ("I", "II"), "uV", 500.0, CONFIG)
    np.testing.assert_allclose(fitted[0], [[3.0] * 1000, [2.0] * 1000], atol=1e-6)
    with pytest.raises(AbsentLeadError, match=r"absent lead III .* NaN by missing_leads"):
        fit_records(records[:, 1:], ("II",), "uV", None, CONFIG)
