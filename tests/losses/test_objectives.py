"""All objectives: what holds for each of them, in several processes, and in `lfbt pretrain`."""

import itertools
import json
import math
from typing import Any

import pytest
import torch
import torch.distributed as dist
from tests.factories import waves, write_packed
from tests.losses.helpers import random_pair, value_and_gradient
from tests.outputs import assert_same_tensors, read_lines
from tests.processes import in_processes

from lfbt.cli.app import main
from lfbt.errors import LfbtError
from lfbt.losses.lead_contrastive import lead_contrastive_loss
from lfbt.losses.lfbt import LossTerms, lfbt_loss
from lfbt.losses.objectives import METHODS, Objective, build_loss, mean_over_pairs
from lfbt.losses.simclr import simclr_loss
from lfbt.losses.vicreg import covariance_term, variance_term, vicreg_loss
from lfbt.models.pretrained import load_history
from lfbt.models.projector import Projectors
from lfbt.training import steps as steps_module
from lfbt.training.settings import PretrainSettings
from lfbt.utils.collectives import shard_sizes
from lfbt.utils.tensors import load_tensors, seeded


def own_part(x):
    """The records of this process, or all where there is one."""
    if not dist.is_initialized():
        return x, None
    sizes = shard_sizes(len(x), dist.get_world_size())
    return x.split(sizes)[dist.get_rank()], sizes


LOSSES: dict[str, Any] = {"simclr": simclr_loss, "vicreg": vicreg_loss, "lead-contrastive": lead_contrastive_loss}
CONTRASTIVE = ("simclr", "lead-contrastive")


def total_lfbt_loss(z1, z2, sizes=None):
    return lfbt_loss(z1, z2, sizes=sizes).total


IN_PARTS = LOSSES | {"lfbt": total_lfbt_loss}


@pytest.mark.parametrize("name", METHODS)
def test_build_loss_computes_the_loss_of_each_objective(name: Objective):
    z1, z2 = random_pair(6, 3, 8)
    terms = build_loss(name, gamma=0.6, lambd=0.01, temperature=0.2)(z1, z2, None)
    if name == "lfbt":
        assert isinstance(terms, LossTerms)
        assert terms == lfbt_loss(z1, z2, gamma=0.6, lambd=0.01)
    else:
        args = (0.2,) if name in CONTRASTIVE else ()
        assert tuple(terms) == (LOSSES[name](z1, z2, *args),)


@pytest.mark.parametrize("name", METHODS)
def test_mean_over_pairs_is_the_mean_of_the_loss_over_all_pairs_of_views(name: Objective):
    loss = build_loss(name, gamma=0.6, lambd=0.01, temperature=0.2)
    z1, z2 = random_pair(6, 3, 8)
    views = torch.stack([z1, z2, z1 - 0.5 * z2, z2.roll(1, 0)]).requires_grad_()
    a, b, c, d = views
    pairs = [loss(*pair, None) for pair in ((a, b), (a, c), (a, d), (b, c), (b, d), (c, d))]
    mine, literal = mean_over_pairs(loss, views), [sum(terms) / 6 for terms in zip(*pairs, strict=True)]
    torch.testing.assert_close(mine, literal, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(terms[0], views, retain_graph=True)[0] for terms in (mine, literal)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)
    assert torch.equal(torch.stack(mean_over_pairs(loss, views[:2])), torch.stack(tuple(pairs[0])))


@pytest.mark.parametrize("shape", [(4, 2, 3), (9, 2, 2)])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_have_the_gradients_of_finite_differences(name, shape):
    assert torch.autograd.gradcheck(LOSSES[name], [z.requires_grad_() for z in random_pair(*shape)])


@pytest.mark.parametrize("name", LOSSES)
def test_losses_in_single_precision_are_close_to_double(name):
    z1, z2 = random_pair(24, 4, 64)
    mine = LOSSES[name](z1.float(), z2.float())
    assert mine.dtype == torch.float32
    torch.testing.assert_close(mine.double(), LOSSES[name](z1, z2), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_invariant_where_they_must_be(name):
    z1, z2 = random_pair(6, 3, 8)
    generator = torch.Generator().manual_seed(1)
    records, leads, dims = (torch.randperm(n, generator=generator) for n in z1.shape)
    lengths = 0.5 + torch.rand(6, 3, 1, generator=generator, dtype=torch.float64)
    same = {
        "order of the records": (z1[records], z2[records]),
        "order of the leads": (z1[:, leads], z2[:, leads]),
        "order of the features": (z1[..., dims], z2[..., dims]),
        "which view is first": (z2, z1),
        # Cosines of whole records, and of their leads; distances.
        "length of a record": (z1 * lengths[:, :1], z2) if name == "simclr" else (z1, z2),
        "length of a lead": (z1 * lengths, z2) if name == "lead-contrastive" else (z1, z2),
        "where zero is": (z1 + 3, z2 + 3) if name == "vicreg" else (z1, z2),
    }
    loss = LOSSES[name]
    for what, (a, b) in same.items():
        assert loss(a, b).item() == pytest.approx(loss(z1, z2).item(), rel=1e-11), what
    # And what does: records of one view in another order than those of the other.
    assert loss(z1.roll(1, 0), z2) > 1.05 * loss(z1, z2)


def test_losses_of_a_collapse_are_high():
    """Projections that are the same for all records: by hand, and more than those of records that differ."""
    z = torch.ones(6, 3, 4, dtype=torch.float64)
    assert variance_term(z.flatten(1)).item() == pytest.approx(0.99)
    assert covariance_term(z.flatten(1)).item() == 0
    by_hand = {"simclr": math.log(11), "vicreg": 25 * 0.99, "lead-contrastive": math.log(6)}
    for name, loss in LOSSES.items():
        value, *gradients = value_and_gradient(loss, z, z)
        assert value.item() == pytest.approx(by_hand[name])
        assert all(gradient.isfinite().all() for gradient in gradients)
    each_its_own = torch.eye(6, dtype=torch.float64)[:, None].repeat(1, 3, 1)
    for name in CONTRASTIVE:
        assert LOSSES[name](each_its_own, each_its_own) < 0.1 * by_hand[name]


def in_parts(name):
    """Loss and gradient, of seven records."""
    (z1, sizes), (z2, _) = map(own_part, random_pair(7, 3, 5))
    args = (0.2, sizes) if name in CONTRASTIVE else (sizes,)
    return value_and_gradient(IN_PARTS[name], z1, z2, *args)


def vicreg_of_a_model():
    """Loss, and gradients of all projectors, of the features of seven records."""
    with seeded(1):
        projectors = Projectors(3, 8, (16, 12), standardised=False, sync_batch_norm=dist.is_initialized()).double()
    features, sizes = own_part(torch.randn(7, 2, 3, 8, generator=torch.Generator().manual_seed(2)).double())
    z1, z2 = projectors(features.transpose(0, 1))
    loss = vicreg_loss(z1, z2, sizes)
    loss.backward()
    return loss.detach(), {name: parameter.grad for name, parameter in projectors.named_parameters()}


def all_of_it():
    return {name: in_parts(name) for name in IN_PARTS} | {"model": vicreg_of_a_model()}


@pytest.fixture(scope="module", params=[2, 3])
def several(request):
    """What each of several processes found, in the order of their ranks."""
    return in_processes(request.param, all_of_it)


@pytest.mark.parametrize("name", IN_PARTS)
def test_losses_in_several_processes_are_those_of_the_complete_batch(several, name):
    loss, *gradients = in_parts(name)
    for found in several:
        torch.testing.assert_close(found[name][0], loss, rtol=1e-9, atol=0)
    for i, gradient in enumerate(gradients, start=1):
        torch.testing.assert_close(torch.cat([found[name][i] for found in several]), gradient, rtol=1e-9, atol=1e-12)


def test_vicreg_loss_in_several_processes_has_gradients_that_add_up(several):
    loss, gradients = vicreg_of_a_model()
    for found in several:
        torch.testing.assert_close(found["model"][0], loss, rtol=1e-9, atol=0)
    for name, gradient in gradients.items():
        assert gradient is not None
        total = sum(found["model"][1][name] for found in several)
        torch.testing.assert_close(total, gradient, rtol=1e-9, atol=1e-11)


class StopError(Exception):
    """Somebody pulls the plug."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_packed(tmp_path_factory.mktemp("objectives") / "data", waves([0, 1, 2, 0, 1, 2, 0, 1, 2, 0]))


def command(data, run_dir, *more):
    """`lfbt pretrain` with quick settings: two steps an epoch, three epochs."""
    quick = ["--epochs", 3, "--batch-size", 5, "--projector", "16-16", "--device", "cpu", "--workers", 0]
    main([str(word) for word in ("pretrain", "--data-dir", data, "--run-dir", run_dir, *quick, *more)])
    return run_dir


@pytest.fixture(scope="module")
def finished(data):
    """A finished run of each objective; to be left as they are."""
    return {name: command(data, data.with_name(name), "--objective", name) for name in METHODS}


def encoder_of(run_dir):
    return load_tensors(run_dir / "encoder" / "model.safetensors")


def checkpoint_of(run_dir):
    tensors = load_tensors(max((run_dir / "checkpoints").iterdir()))
    # What a clock says differs from run to run.
    return tensors | {"progress": tensors["progress"][:5]}


def differ(one, other):
    theirs = encoder_of(other)
    return any(not torch.equal(tensor, theirs[name]) for name, tensor in encoder_of(one).items())


def test_pretrain_records_the_objective(finished):
    for name, run_dir in finished.items():
        history, settings = load_history(run_dir), json.loads((run_dir / "settings.json").read_text())
        assert (history["method"], history["objective"]) == (METHODS[name], name)
        assert (settings["objective"], settings["temperature"]) == (name, 0.1)
        parts = {"intra", "inter"} if name == "lfbt" else set()
        for line in read_lines(run_dir / "history.jsonl"):
            assert math.isfinite(line["loss"])
            assert set(line) & {"intra", "inter"} == parts
    assert {load_history(run_dir)["method"] for run_dir in finished.values()} == {
        "LFBT", "SimCLR", "VICReg", "lead-contrastive",
    }  # fmt: skip


def test_pretrain_learns_something_else_by_each_objective(finished):
    for one, other in itertools.combinations(finished.values(), 2):
        assert differ(one, other)


def test_pretrain_has_lfbt_as_default(data, finished, tmp_path):
    assert_same_tensors(checkpoint_of(command(data, tmp_path / "run")), checkpoint_of(finished["lfbt"]))


@pytest.mark.parametrize("name", LOSSES)
def test_pretrain_resumed_equals_a_run_never_stopped(data, finished, tmp_path, monkeypatch, name):
    """Killed in the middle of the second epoch, after the step that was saved and one more."""
    words = ("--objective", name, "--save-steps", 3, "--resume")
    with monkeypatch.context() as patch:
        step, steps = steps_module.train_step, iter(range(100))

        def stopping(*args):
            if next(steps) == 4:
                raise StopError
            return step(*args)

        patch.setattr(steps_module, "train_step", stopping)
        with pytest.raises(StopError):
            command(data, tmp_path / "run", *words)
    assert checkpoint_of(tmp_path / "run")["progress"][:2].tolist() == [1, 1]
    command(data, tmp_path / "run", *words)
    assert_same_tensors(encoder_of(tmp_path / "run"), encoder_of(finished[name]))
    assert_same_tensors(checkpoint_of(tmp_path / "run"), checkpoint_of(finished[name]))
    mine, theirs = (read_lines(folder / "history.jsonl") for folder in (tmp_path / "run", finished[name]))
    assert [line["loss"] for line in mine] == [line["loss"] for line in theirs]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--objective", "vicreg"), "--resume: --objective is vicreg but was simclr"),
        (("--objective", "simclr", "--temperature", 0.2), "--resume: --temperature is 0.2 but was 0.1"),
    ],
)
def test_pretrain_refuses_to_resume_with_another_objective(data, finished, capfd, words, message):
    before = checkpoint_of(finished["simclr"])
    with pytest.raises(SystemExit, match="2"):
        command(data, finished["simclr"], "--resume", *words)
    assert message in capfd.readouterr().err
    assert_same_tensors(checkpoint_of(finished["simclr"]), before)


@pytest.mark.parametrize("name", METHODS)
def test_pretrain_takes_the_temperature_in_contrastive_objectives_only(data, finished, tmp_path, name, capsys):
    words = (data, tmp_path / "run", "--objective", name, "--temperature", 0.5)
    if name in CONTRASTIVE:
        assert differ(command(*words), finished[name])
        return
    with pytest.raises(SystemExit):
        command(*words)
    said = f"temperature: has no effect with objective {name}, only with simclr or lead-contrastive; leave it out"
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", LOSSES)
def test_pretrain_lowers_the_loss(data, tmp_path, name):
    words = ("--objective", name, "--epochs", 25, "--learning-rate", 3e-3, "--batch-size", 10)
    losses = [line["loss"] for line in read_lines(command(data, tmp_path / "run", *words) / "history.jsonl")]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_pretrain_explains_the_losses_of_lfbt_only(data, tmp_path, capfd):
    """That hundreds are normal is said of LFBT only, whose terms are named."""
    command(data, tmp_path / "lfbt", "--epochs", 1)
    said = capfd.readouterr().err
    assert "losses in the hundreds" in said
    assert "(intra " in said
    command(data, tmp_path / "simclr", "--epochs", 1, "--objective", "simclr", "--print-freq", 1)
    said = capfd.readouterr().err
    (line,) = read_lines(tmp_path / "simclr" / "history.jsonl")
    assert f"epoch 1/1  loss {line['loss']:.4f}  " in said
    assert "epoch 1 step 1/2  loss " in said
    assert "hundreds" not in said
    assert "intra" not in said


@pytest.mark.parametrize("name", LOSSES)
def test_pretrain_in_half_precision_computes_the_loss_in_single(data, finished, tmp_path, monkeypatch, name):
    function = f"{name.replace('-', '_')}_loss"
    loss, seen = LOSSES[name], []

    def looking(z1, z2, *args):
        result = loss(z1, z2, *args)
        seen.extend([z1.dtype, z2.dtype, result.dtype])
        return result

    # Wherever pretraining looks the function up.
    monkeypatch.setattr(f"lfbt.losses.{name.replace('-', '_')}.{function}", looking)
    run_dir = command(data, tmp_path / "run", "--objective", name, "--precision", "bf16")
    assert set(seen) == {torch.float32}
    assert differ(run_dir, finished[name])


def test_pretrain_with_low_memory_learns_the_same(data, finished, tmp_path):
    run_dir = command(data, tmp_path / "run", "--objective", "vicreg", "--low-memory")
    assert_same_tensors(encoder_of(run_dir), encoder_of(finished["vicreg"]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--objective", "lead-contrastive", "--leads", "V1"),
            "lead-contrastive was given 1 lead but needs two or more",
        ),
        (("--objective", "simclr", "--temperature", 0), "temperature: 0.0 is outside [0.001, 100]"),
        (("--objective", "byol"), "byol"),
    ],
)
def test_pretrain_command_refuses_wrong_settings_of_objectives(data, tmp_path, capfd, words, message):
    with pytest.raises(SystemExit, match="2"):
        command(data, tmp_path / "run", *words)
    assert message in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_pretrain_refuses_an_objective_that_is_not_one(tmp_path):
    changes: dict[str, Any] = {"objective": "byol"}
    with pytest.raises(LfbtError, match="objective: 'byol' is not one of lfbt, simclr, vicreg, lead-contrastive"):
        PretrainSettings.create((tmp_path,), tmp_path / "run", **changes)
