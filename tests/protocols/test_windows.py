"""Windows of records, and what an encoder makes of each, against one record at a time."""

import numpy as np
import pytest
import torch
from tests.protocols.helpers import small_dataset

from lfbt.errors import LfbtError
from lfbt.models.encoder import EncoderConfig, random_encoder
from lfbt.models.feature_maps import PAPER, RICH
from lfbt.protocols.windows import cut_windows, embed_windows, map_windows
from lfbt.signal import normalise

CPU = torch.device("cpu")
ENCODER = random_encoder(EncoderConfig(("II", "V1"), sampling_rate=12.8, n_samples=128), 0).eval()


@pytest.mark.parametrize(
    ("seconds", "stride", "starts"), [(2.5, 1.0, [0, 32, 64, 96]), (5, 0.5, [0, 32, 64]), (10, 1.0, [0])]
)
def test_cut_windows_takes_slices_of_records(seconds, stride, starts):
    dataset = small_dataset()
    windows, n = cut_windows(dataset, seconds, stride)
    length = round(seconds * 12.8)
    assert (n, windows.n_samples, len(windows)) == (len(starts), length, 12 * len(starts))
    expected = [record[:, start : start + length] for record in dataset.signals for start in starts]
    order = np.random.default_rng(1).permutation(len(windows))
    np.testing.assert_array_equal(windows.batch(order, "none"), np.stack(expected)[order])
    assert windows.split.tolist() == [name for name in dataset.split for _ in starts]
    assert windows.patients[n - 1 : n + 1] == (("0", "1"))


@pytest.mark.parametrize("seconds", [2.4, 10.1])
def test_cut_windows_refuses_windows_that_do_not_fit(seconds):
    with pytest.raises(LfbtError, match=r"window: .* a window takes 32 to 128, which are 2\.5 to 10 s"):
        cut_windows(small_dataset(), seconds, 1.0)


@pytest.mark.parametrize("features", [PAPER, RICH])
def test_embed_windows_has_the_features_of_each_window_by_itself(features):
    dataset = small_dataset()
    windows, n = cut_windows(dataset, 5, 1.0)
    found = embed_windows(ENCODER, windows, n, features, CPU)
    assert found.shape == (12, 2, 2 * ENCODER.config.columns_per_lead(features))
    signal = torch.from_numpy(normalise(dataset.signals[3:4, :, 64:], "record"))
    with torch.no_grad():
        alone = ENCODER.pool(signal, features)[0]
    n_pooled = alone.shape[1]
    torch.testing.assert_close(found[3, 1].view(2, -1)[:, :n_pooled], alone, rtol=1e-4, atol=1e-6)


def test_map_windows_has_a_token_a_lead_and_step():
    dataset = small_dataset()
    windows, n = cut_windows(dataset, 5, 0.5)
    tokens = map_windows(ENCODER, windows, n, CPU)
    # 64 samples are two steps of each of two leads.
    assert tokens.shape == (12, 3, 2 * 2, 64)
    signal = torch.from_numpy(normalise(dataset.signals[3:4, :, 32:96], "record"))
    torch.testing.assert_close(tokens[3, 1], ENCODER.activations(signal)[0].flatten(0, 1), rtol=1e-4, atol=1e-6)
