"""MiniRocket against its description, literally."""

import itertools

import numpy as np
import pytest

from lfbt.errors import LfbtError
from lfbt.evaluation.minirocket import KERNELS, MiniRocket, spread_dilations


def signals_of(n_records=3, n_leads=4, n_samples=41):
    return np.random.default_rng(0).standard_normal((n_records, n_leads, n_samples)).astype(np.float32)


def convolved(signal, kernel, dilation):
    """One lead, sample by sample, with zeros beyond the ends."""
    weights = [2 if j in kernel else -1 for j in range(9)]
    places = range(len(signal))
    return [
        sum(w * signal[t + (j - 4) * dilation] for j, w in enumerate(weights) if t + (j - 4) * dilation in places)
        for t in places
    ]


def test_kernels_are_all_ways_to_place_three_weights_of_nine():
    assert KERNELS.tolist() == [list(places) for places in itertools.combinations(range(9), 3)]
    assert len(KERNELS) == 84


@pytest.mark.parametrize("n_samples", [9, 33, 512, 1000, 1024, 2048])
def test_spread_dilations_are_from_one_to_the_length_of_the_signal(n_samples):
    dilations, counts = spread_dilations(n_samples)
    assert counts.sum() == 119
    assert dilations[0] == 1
    assert dilations[-1] == (n_samples - 1) // 8
    assert (np.diff(dilations) > 0).all()
    assert len(dilations) <= 32


def test_fit_has_biases_of_quantiles_of_one_record():
    """Of the first and the last pair: some record's output of the drawn leads has all of its biases as quantiles."""
    signals = signals_of()
    rocket = MiniRocket.fit(signals, seed=1)
    golden = (np.sqrt(5) + 1) / 2
    quantiles = [n * golden % 1 for n in range(1, 9997)]
    counts = spread_dilations(41)[1]
    for d, k, start in ((0, 0, 0), (len(counts) - 1, 83, 9996 - counts[-1])):
        leads = rocket.leads[d, k, : rocket.n_leads[d, k]]
        outputs = [convolved(one[leads].sum(axis=0), KERNELS[k], rocket.dilations[d]) for one in signals]
        expected = [np.quantile(output, quantiles[start : start + counts[d]]) for output in outputs]
        found = rocket.biases[d, k, : counts[d]]
        assert any(np.allclose(one, found, rtol=1e-4, atol=1e-5) for one in expected)
        assert np.isnan(rocket.biases[d, k, counts[d] :]).all()


def test_fit_draws_different_leads_from_one_to_all():
    rocket = MiniRocket.fit(signals_of())
    assert set(rocket.n_leads.ravel()) == {1, 2, 3, 4}
    assert all(len(set(leads)) == 4 for leads in rocket.leads.reshape(-1, 4))
    assert (MiniRocket.fit(signals_of(), seed=0).biases[..., 0] == rocket.biases[..., 0]).all()
    assert (MiniRocket.fit(signals_of(), seed=1).biases[..., 0] != rocket.biases[..., 0]).any()


def test_transform_is_the_share_above_each_bias():
    """Every other pair counts only samples at which the kernel is within the signal."""
    signals = signals_of()
    rocket = MiniRocket.fit(signals[:2])
    found = rocket.transform(signals)
    assert found.shape == (3, 9996)
    column = 0
    for d, dilation in enumerate(rocket.dilations):
        n_biases = int((~np.isnan(rocket.biases[d, 0])).sum())
        for k in range(84):
            if k in (0, 5, 83):
                leads = rocket.leads[d, k, : rocket.n_leads[d, k]]
                output = np.array([convolved(one[leads].sum(axis=0), KERNELS[k], dilation) for one in signals])
                inside = output[:, 4 * dilation : 41 - 4 * dilation] if (d + k) % 2 else output
                for b in range(n_biases):
                    # A bias is a value of the output: rounding may put that one sample on either side.
                    share = (inside > rocket.biases[d, k, b]).mean(axis=1)
                    assert found[:, column + b] == pytest.approx(share, abs=1.01 / inside.shape[1])
            column += n_biases
    assert column == 9996


def test_fit_refuses_fewer_samples_than_a_kernel_has():
    with pytest.raises(LfbtError, match="minirocket: 8 samples; a kernel has 9"):
        MiniRocket.fit(signals_of(n_samples=8))
