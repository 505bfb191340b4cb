"""The train state: progress by hand, everything that resuming needs, gradients freed early."""

import copy
import math

import pytest
import torch
from tests.outputs import assert_same_tensors

from lfbt.errors import LfbtError
from lfbt.losses.lfbt import lfbt_loss
from lfbt.models.encoder import EncoderConfig
from lfbt.runs.history import PretrainingEpoch
from lfbt.training.steps import train_step
from lfbt.training.train_state import (
    Progress,
    TrainState,
    average_weights,
    create_train_state,
    free_gradients_early,
    warm_up_buckets,
)

CONFIG = EncoderConfig(("II", "V1"), 6.4, 64)


def views(seed=0):
    return torch.randn((2, 5, 2, 64), generator=torch.Generator().manual_seed(seed))


def learn(state: TrainState, seed: int = 0) -> None:
    """One step of LFBT."""
    train_step(views(seed), state.model, state.optimizer, lambda z1, z2, sizes: lfbt_loss(z1, z2, 0.8, 0.0051, sizes))


def copies(state):
    return {name: tensor.clone() for name, tensor in state.state().items()}


def test_progress_add_and_end_epoch_mean_over_records():
    progress = Progress(epoch=2)
    progress.add([10.0, 8.0, 2.0], 3, 1.0)
    progress.add([5.0, 4.0, 1.0], 2, 1.5)
    assert (progress.step, progress.loss, progress.intra, progress.inter) == (2, 40.0, 32.0, 8.0)
    line = progress.end_epoch(5, 1e-3, of_lfbt=True)
    assert line == PretrainingEpoch(3, 8.0, 1e-3, 2.5, 2.0, 6.4, 1.6)
    assert progress == Progress(epoch=3)


def test_progress_of_other_objectives_has_a_loss_only():
    progress = Progress()
    progress.add([10.0], 4, 2.0)
    assert progress.end_epoch(4, 1e-3, of_lfbt=False) == PretrainingEpoch(1, 10.0, 1e-3, 2.0, 2.0)


@pytest.mark.parametrize("progress", [Progress(), Progress(3, 1, 0.1, 0.2, 0.3, 1e9, 0.75, 512.0, 7)])
def test_progress_to_tensor_and_from_tensor_are_inverse(progress):
    restored = Progress.from_tensor(progress.to_tensor())
    assert restored == progress
    assert isinstance(restored.epoch, int)
    assert isinstance(restored.loss_scale_age, int)


def test_create_train_state_draws_the_same_weights_from_the_same_seed():
    torch.manual_seed(9)
    first = create_train_state(CONFIG, (16, 16), 1e-3, seed=1)
    torch.manual_seed(8)
    assert_same_tensors(first.state(), create_train_state(CONFIG, (16, 16), 1e-3, seed=1).state())
    other = create_train_state(CONFIG, (16, 16), 1e-3, seed=2)
    name = "encoder.encoders.II.convolutions.0.weight"
    assert not torch.equal(first.state()[name], other.state()[name])


def test_create_train_state_draws_the_same_encoder_with_any_projector():
    one, other = (create_train_state(CONFIG, sizes, 1e-3).encoder.state_dict() for sizes in ((16, 16), (8,)))
    assert_same_tensors(one, other)


def test_create_train_state_decays_matrices_only():
    state = create_train_state(CONFIG, (16, 16), 1e-3, weight_decay=0.1)
    weights, others = state.optimizer.param_groups
    assert (weights["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert {parameter.ndim > 1 for parameter in weights["params"]} == {True}
    assert {parameter.ndim > 1 for parameter in others["params"]} == {False}
    assert len(weights["params"]) + len(others["params"]) == len(list(state.model.parameters()))


def test_pretraining_model_projects_both_views_of_each_lead():
    assert create_train_state(CONFIG, (32, 16), 1e-3).model(views()).shape == (2, 5, 2, 16)


def test_train_state_has_an_average_where_one_is_kept():
    state, plain = create_train_state(CONFIG, (8,), 1e-3, averaged=True), create_train_state(CONFIG, (8,), 1e-3)
    assert plain.encoder is plain.model.encoder
    assert state.encoder is state.average
    assert_same_tensors(state.encoder.state_dict(), plain.encoder.state_dict())
    assert state.state().keys() - plain.state().keys() == {f"average.{name}" for name in plain.encoder.state_dict()}
    plain.update_average(0.5, 0)
    with pytest.raises(LfbtError, match=r"the checkpoint is of another model \(average\."):
        plain.load(state.checkpoint())


def test_average_weights_moves_weights_and_statistics_and_copies_counts():
    one, other = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    found = {"weight": torch.tensor([2.0, 5.0]), "running_var": torch.tensor([0.0, 3.0])}
    other.load_state_dict(other.state_dict() | found | {"num_batches_tracked": torch.tensor(7)})
    average_weights(one, other, 0.75)
    assert one.weight.tolist() == [1.25, 2.0]
    assert one.state_dict()["running_var"].tolist() == [0.75, 1.5]
    assert one.num_batches_tracked == 7


def test_train_state_has_adams_moments_from_the_start():
    state = create_train_state(CONFIG, (8,), 1e-3)
    before = state.state()
    moments = {name for name in before if name.startswith("adam.")}
    assert moments == {
        f"adam.{name}.{key}" for name, _ in state.model.named_parameters() for key in ("step", "exp_avg", "exp_avg_sq")
    }
    learn(state)
    assert list(state.state()) == list(before)


def test_train_state_load_restores_a_checkpoint_and_goes_on_alike():
    state = create_train_state(CONFIG, (16, 16), 1e-3)
    learn(state)
    state.progress.add([10.0, 8.0, 2.0], 5, 1.0)
    kept = {name: tensor.clone() for name, tensor in state.checkpoint().items()}
    other = create_train_state(CONFIG, (16, 16), 1e-3, seed=1)
    other.load(kept)
    assert other.progress == state.progress
    for each in (state, other):
        learn(each, seed=1)
    assert_same_tensors(state.state(), other.state())


def test_train_state_load_refuses_another_models_checkpoint_and_changes_nothing():
    state = create_train_state(CONFIG, (8,), 1e-3)
    before = copies(state)
    checkpoint = create_train_state(CONFIG, (16,), 1e-3, seed=1).checkpoint()
    with pytest.raises(LfbtError, match=r"^the checkpoint is of another model \(adam\.projectors\..*\)$"):
        state.load(checkpoint)
    lacking = {name: tensor for name, tensor in before.items() if name != "encoder.encoders.II.convolutions.0.weight"}
    with pytest.raises(LfbtError, match=r"another model \(encoder\.encoders\.II\.convolutions\.0\.weight\)"):
        state.load(lacking | {"progress": Progress().to_tensor()})
    with pytest.raises(LfbtError, match=r"another model \(it has no progress\)"):
        state.load(before)
    assert_same_tensors(state.state(), before)


def test_restore_scale_keeps_the_scale_of_fp16():
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


def test_restore_scale_leaves_a_new_runs_scaler_alone():
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    before = scaler.state_dict()
    state = create_train_state(CONFIG, (8,), 1e-3)
    state.restore_scale(scaler)
    assert scaler.state_dict() == before
    assert state.progress.best_auroc == -math.inf


def test_warm_up_buckets_changes_nothing():
    state = create_train_state(CONFIG, (16, 16), 1e-3)
    learn(state)
    before = copies(state)
    warm_up_buckets(state.model, state)
    assert_same_tensors(state.state(), before)
    assert all(parameter.grad is None for parameter in state.model.parameters())


@pytest.mark.parametrize("at_least", [0, 17, 1000])
def test_free_gradients_early_learns_the_same(at_least):
    states = [create_train_state(EncoderConfig(("II", "V1"), 6.4, 64), (16, 16), learning_rate=1e-3) for _ in range(2)]
    free_gradients_early(states[1].model, states[1].optimizer, at_least)
    for state in states:
        learn(state)
        learn(state, seed=1)
    assert_same_tensors(states[1].state(), states[0].state())


def test_free_gradients_early_holds_no_two_gradients_of_projectors():
    """A step for each of their parameters as it comes, and one for the encoders at the end."""
    config = EncoderConfig(("II", "V1"), 6.4, 64)
    train_state = create_train_state(config, (16, 16), learning_rate=1e-3, low_memory=True)
    model, optimizer, projectors = train_state.model, train_state.optimizer, train_state.projectors
    held = []

    def look(*_):
        held.append([name for name, parameter in projectors.named_parameters() if parameter.grad is not None])

    optimizer.register_step_pre_hook(look)
    free_gradients_early(model, optimizer, at_least=0)
    learn(train_state)
    names = [name for name, _ in projectors.named_parameters()]
    assert held[-1] == []
    assert sorted(held[:-1]) == sorted([name] for name in names)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert {int(state["step"]) for state in optimizer.state.values()} == {1}
