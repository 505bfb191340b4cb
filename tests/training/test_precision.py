"""Half precision end to end, across modules: results that agree with single precision."""

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.factories import waves, write_packed
from tests.models.cpu.test_fused import encode_node
from tests.outputs import read_lines

from lfbt.errors import LfbtError
from lfbt.losses.lfbt import lfbt_loss
from lfbt.models.cpu import layer_ops
from lfbt.models.encoder import EncoderConfig, random_encoder
from lfbt.runs.run_folder import RunSettings
from lfbt.training import precision
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


@pytest.mark.parametrize("low_memory", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_autocast_on_a_cpu_keeps_the_encoders_outputs_in_half_precision(low_memory, compiled, monkeypatch):
    """Half the memory; features and gradients of the weights in single precision."""
    if not compiled:
        monkeypatch.setattr(layer_ops, "has_numba", lambda: False)
    encoder = random_encoder(EncoderConfig(("II", "V1"), 6.4, 64), 0, low_memory=low_memory)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = encoder(VIEWS)
    assert features.dtype == torch.float32
    kept = [tensor for tensor in encode_node(features).saved_tensors if tensor.dtype == torch.bfloat16]
    assert len(kept) == (0 if low_memory else 2 * 2 * 13)
    features.sum().backward()
    gradients = [parameter.grad for parameter in encoder.parameters()]
    assert all(gradient is not None and gradient.dtype == torch.float32 for gradient in gradients)


def test_pretrainer_in_bf16_agrees_with_single_precision(tmp_path):
    data = write_packed(tmp_path / "data", waves([0, 1, 2] * 32))
    losses = {}
    for name in ("fp32", "bf16"):
        settings = PretrainSettings.create(
            (data,), tmp_path / name, precision=name, epochs=3, batch_size=48, projector="64-64",
            learning_rate=2e-4, device="cpu", workers=0,
        )  # fmt: skip
        losses[name] = [line["loss"] for line in read_lines(Pretrainer(settings).run() / "history.jsonl")]
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.02)


def test_pretrainer_resumed_in_bf16_equals_one_that_never_stopped(tmp_path):
    data = write_packed(tmp_path / "data", waves([0, 1, 2] * 8))

    def pretrained(name, epochs, **settings):
        own: dict[str, Any] = {"precision": "bf16", "batch_size": 12, "projector": "64-64", "device": "cpu"}
        all_settings = own | {"epochs": epochs, "workers": 0} | settings
        return Pretrainer(PretrainSettings.create((data,), tmp_path / name, **all_settings)).run()

    whole = pretrained("whole", 3)
    pretrained("stopped", 1)
    resumed = pretrained("stopped", 3, resume=True)
    one, other = (load_file(folder / "encoder" / "model.safetensors") for folder in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    """What is chosen for auto where bf16 has a ratio of times and an error."""

    def choose(ratio, error, device="cpu", **settings):
        monkeypatch.setattr(precision, "probe_bf16", lambda: (ratio, error))
        asked = PretrainSettings.create((tmp_path / "data",), tmp_path / "run", precision="auto", **settings)
        return precision.settle_precision(asked, torch.device(device))

    return choose


def test_settle_precision_takes_bf16_where_it_is_faster_and_right(chosen):
    assert chosen(1.9, 0.004) == ("bf16", "precision bf16: a convolution in bf16 is 1.9 times as fast here")
    assert chosen(0.4, 0.004) == ("fp32", "precision fp32: a convolution in bf16 is 0.4 times as fast here")
    assert chosen(1.9, 0.5)[0] == "fp32"
    assert chosen(1.9, float("nan"))[0] == "fp32"
    assert chosen(1.9, 0.004, device="cuda")[0] == "fp32"


def test_settle_precision_keeps_what_was_asked_for(tmp_path):
    settings = PretrainSettings.create((tmp_path / "data",), tmp_path / "run", precision="bf16")
    assert precision.settle_precision(settings, torch.device("cpu")) == ("bf16", "")


def test_pretrainer_with_auto_writes_what_it_took_and_resumes_with_it(tmp_path, monkeypatch, capsys):
    data = write_packed(tmp_path / "data", waves([0, 1, 2] * 8))
    own: dict[str, Any] = {"precision": "auto", "batch_size": 12, "projector": "64-64", "device": "cpu", "workers": 0}
    for epochs, ratio in ((1, 2.0), (2, 0.1)):
        monkeypatch.setattr(precision, "probe_bf16", lambda ratio=ratio: (ratio, 0.001))
        settings = PretrainSettings.create((data,), tmp_path / "run", epochs=epochs, resume=True, **own)
        Pretrainer(settings).run()
        assert RunSettings.load(tmp_path / "run").to_dict()["precision"] == "bf16"
    err = capsys.readouterr().err
    assert "precision bf16: a convolution in bf16 is 2.0 times as fast here" in err
    assert "precision bf16: the run began with it" in err


def test_probe_bf16_measures_time_and_rounding():
    ratio, error = precision.probe_bf16()
    assert ratio > 0
    assert 2**-12 < error < 2**-7


def test_check_precision_refuses_another_than_the_launchers(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    precision.check_precision("bf16", cpu)
    with pytest.raises(LfbtError, match="precision: accelerate launch has bf16, lfbt fp32; give both the same"):
        precision.check_precision("fp32", cpu)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    precision.check_precision("fp16", gpu)
    with pytest.raises(LfbtError, match="precision: fp16 needs a GPU"):
        precision.check_precision("fp16", cpu)
