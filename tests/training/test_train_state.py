"""The train state: model, optimizer, progress, and all of it as tensors."""

import copy

import pytest
import torch

from lfbt.errors import LfbtError
from lfbt.losses.lfbt import lfbt_loss
from lfbt.models.encoder import EncoderConfig
from lfbt.training.pretraining import train_step
from lfbt.training.train_state import Progress, create_train_state, free_gradients_early


def test_free_gradients_early_holds_no_two_gradients_of_projectors():
    """A step for each of their parameters as it comes, and one for the encoders at the end."""
    config = EncoderConfig(("II", "V1"), 6.4, 64)
    train_state = create_train_state(config, (16, 16), learning_rate=1e-3, low_memory=True)
    model, optimizer, projectors = train_state.model, train_state.optimizer, train_state.projectors
    held = []

    def look(*_):
        held.append([name for name, parameter in projectors.named_parameters() if parameter.grad is not None])

    optimizer.register_step_pre_hook(look)
    free_gradients_early(model, optimizer)
    views = torch.randn((2, 5, 2, 64), generator=torch.Generator().manual_seed(0))
    train_step(views, model, optimizer, lambda z1, z2, sizes: lfbt_loss(z1, z2, 0.8, 0.0051, sizes))
    names = [name for name, _ in projectors.named_parameters()]
    assert held[-1] == []
    assert sorted(held[:-1]) == sorted([name] for name in names)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert {int(state["step"]) for state in optimizer.state.values()} == {1}


def test_checkpoint_and_restore_scale_keep_the_scale_of_fp16():
    """What scales the gradients goes on where it was; on a CPU it can be asked for by hand."""
    train_state = create_train_state(EncoderConfig(("II",), 6.4, 64), (8,), learning_rate=1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    scaler.scale(torch.ones(1))
    scaler._growth_tracker.fill_(7)  # type: ignore[union-attr]
    kept = train_state.checkpoint(scaler)
    other, new = copy.deepcopy(train_state), torch.amp.GradScaler("cpu")
    other.load(kept)
    other.restore_scale(new)
    assert (new.state_dict()["scale"], new.state_dict()["_growth_tracker"]) == (512.0, 7)


def test_create_train_state_draws_from_the_seed():
    config = EncoderConfig(("II", "V1"), 6.4, 64)
    one, same, other = (create_train_state(config, (8, 8), 1e-3, seed=seed) for seed in (1, 1, 2))
    for name, tensor in one.state().items():
        assert torch.equal(tensor, same.state()[name]), name
    weights = [next(state.projectors.parameters()) for state in (one, other)]
    assert not torch.equal(*weights)


def test_create_train_state_decays_weights_but_not_norms_and_biases():
    state = create_train_state(EncoderConfig(("II",), 6.4, 64), (8, 8), 1e-3, weight_decay=0.1)
    weights, others = state.optimizer.param_groups
    assert (weights["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert all(parameter.ndim > 1 for parameter in weights["params"])
    assert all(parameter.ndim <= 1 for parameter in others["params"])


def test_load_is_the_inverse_of_checkpoint_and_refuses_another_model():
    config = EncoderConfig(("II",), 6.4, 64)
    state, other = create_train_state(config, (8, 8), 1e-3, seed=1), create_train_state(config, (8, 8), 1e-3, seed=2)
    state.progress.add([2.0, 1.0, 3.0], 4, 0.5)
    other.load(state.checkpoint())
    assert other.progress == state.progress
    assert all(torch.equal(tensor, other.state()[name]) for name, tensor in state.state().items())
    with pytest.raises(LfbtError, match="the checkpoint is of another model"):
        create_train_state(config, (8, 16), 1e-3).load(state.checkpoint())


def test_end_epoch_returns_means_over_records_and_begins_anew():
    progress = Progress()
    progress.add([2.0, 1.0, 6.0], 3, 0.5)
    progress.add([4.0, 3.0, 8.0], 1, 1.5)
    line = progress.end_epoch(4, 1e-3, of_lfbt=True)
    assert (line.epoch, line.loss, line.intra, line.inter) == (1, 2.5, 1.5, 6.5)
    assert (line.seconds, line.records_per_second, line.learning_rate) == (2.0, 2.0, 1e-3)
    assert progress == Progress(epoch=1)
    assert Progress.from_tensor(progress.to_tensor()) == progress
