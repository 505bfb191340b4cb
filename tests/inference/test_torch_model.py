"""A model computed by PyTorch: what it says is the encoder and the head written out; it is loaded from a run only."""

import numpy as np
import pytest
import torch

from lfbt.errors import LfbtError
from lfbt.inference.torch_model import TorchModel, load_trained
from lfbt.models.config import EncoderConfig
from lfbt.models.encoder import random_encoder
from lfbt.models.heads import Head


def test_compute_is_the_encoder_and_the_head_and_leaves_absent_leads_nan():
    encoder = random_encoder(EncoderConfig(("II", "V1"), 6.4, 64), seed=0).eval()
    head = Head(128, 2)
    model = TorchModel(encoder, head, ("A", "B"), (0.5, 0.5))
    signals = np.random.default_rng(0).standard_normal((3, 2, 64)).astype(np.float32)
    embeddings, logits = model.compute(signals)
    with torch.no_grad():
        features = encoder(torch.from_numpy(signals)).flatten(1)
        expected = head(features).numpy()
    np.testing.assert_allclose(embeddings, features.numpy(), atol=1e-6)
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    np.testing.assert_allclose(model.classify(embeddings), expected, atol=1e-6)
    with pytest.raises(LfbtError, match="an encoder without classes"):
        TorchModel(encoder).classify(embeddings)
    signals[1, 0] = np.nan
    absent = TorchModel(encoder).compute(signals)[0]
    assert np.isnan(absent[1, :64]).all()
    np.testing.assert_allclose(absent[1, 64:], embeddings[1, 64:], atol=1e-6)


def test_load_trained_refuses_a_folder_without_a_head(tmp_path):
    with pytest.raises(LfbtError, match="is no run with a classifier"):
        load_trained(tmp_path, torch.device("cpu"))
