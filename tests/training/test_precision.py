"""Half precision end to end, across modules: products of matrices only, results that agree with single precision."""

import numpy as np
import pytest
import torch
from tests.factories import waves, write_packed
from tests.outputs import read_lines

from lfbt.losses.lfbt import lfbt_loss
from lfbt.models.encoder import EncoderConfig
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import PretrainSettings
from lfbt.training.train_state import create_train_state

VIEWS = torch.from_numpy(np.stack([waves([0, 1, 2, 1] * 4, seed=seed) for seed in (0, 1)]))


def step(grouped, dtype=None, rounded_to=None):
    """Projections, loss and all gradients of weights, the encoders by grouped convolutions as on a GPU, or fused.

    dtype: half precision by autocast; rounded_to: single precision, with weights and views rounded to half.
    """
    train_state, views = create_train_state(EncoderConfig(("II", "V1"), 6.4, 64), (32, 32), learning_rate=1e-3), VIEWS
    if rounded_to is not None:
        views = views.to(rounded_to).float()
        with torch.no_grad():
            for parameter in train_state.model.parameters():
                parameter.copy_(parameter.to(rounded_to).float())
    if grouped:
        train_state.encoder._can_be_fused = lambda signals: False  # type: ignore[method-assign]
    with torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        z = train_state.model(views)
    loss = lfbt_loss(z[0], z[1]).total
    loss.backward()
    gradients = [parameter.grad for parameter in train_state.model.parameters() if parameter.ndim > 1]
    return z.detach(), loss.detach(), torch.cat([gradient.flatten() for gradient in gradients if gradient is not None])


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_agrees_with_single_precision(dtype, grouped):
    """Results differ no more than a few times as much as rounding weights and views alone makes them differ."""
    single, half, rounded = step(grouped), step(grouped, dtype), step(grouped, rounded_to=dtype)
    for exact, mine, by_rounding in zip(single, half, rounded, strict=True):
        assert mine.dtype == torch.float32
        assert 0 < (mine - exact).norm() < 3 * (by_rounding - exact).norm()
    # Standardised in single precision: to its rounding, not to half's.
    z = half[0]
    assert z.mean(dim=1).abs().max() < 1e-5
    assert (z.var(dim=1, correction=0) - 1).abs().max() < 1e-3


def test_autocast_on_a_cpu_leaves_the_encoders_in_single_precision():
    encoder = create_train_state(EncoderConfig(("II", "V1"), 6.4, 64), (32, 32), learning_rate=1e-3).encoder
    features = encoder(VIEWS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(encoder(VIEWS), features)


def test_pretrainer_in_bf16_agrees_with_single_precision(tmp_path):
    data = write_packed(tmp_path / "data", waves([0, 1, 2] * 8))
    losses = {}
    for precision in ("fp32", "bf16"):
        settings = PretrainSettings.create(
            (data,), tmp_path / precision, precision=precision, epochs=3, batch_size=12, projector="64-64",
            device="cpu", workers=0,
        )  # fmt: skip
        losses[precision] = [line["loss"] for line in read_lines(Pretrainer(settings).run() / "history.jsonl")]
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)
