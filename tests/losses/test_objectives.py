"""Other objectives: against loops that spell them out, by hand, in several processes, and in `lfbt pretrain`."""

import itertools
import json
import math
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from tests.helpers_model import assert_same_tensors, literal_projector, read_lines, waves, write_packed
from tests.helpers_processes import in_processes
from torch.utils.flop_counter import FlopCounterMode

import lfbt.training.pretraining as pretrain_module
from lfbt.cli.app import main
from lfbt.errors import LfbtError
from lfbt.losses.lead_contrastive import lead_contrastive_loss
from lfbt.losses.objectives import METHODS
from lfbt.losses.simclr import simclr_loss
from lfbt.losses.vicreg import covariance_term, variance_term, vicreg_loss
from lfbt.models.encoder import EncoderConfig
from lfbt.models.pretrained import load_history
from lfbt.models.projector import Projectors
from lfbt.training.settings import PretrainSettings
from lfbt.training.train_state import create_train_state
from lfbt.utils.collectives import shard_sizes
from lfbt.utils.tensors import load_tensors, seeded

LOSSES: dict[str, Any] = {"simclr": simclr_loss, "vicreg": vicreg_loss, "lead-contrastive": lead_contrastive_loss}
CONTRASTIVE = ("simclr", "lead-contrastive")

# Records, leads, width: fewer records than dimensions, more, as many, and a batch of two.
SHAPES = [(4, 3, 5), (9, 2, 2), (6, 3, 2), (2, 2, 3)]


def random_pair(n_records, n_leads, n_dims, seed=0, dtype=torch.float64):
    """Projections of two views that are somewhat alike, of various spread, some of it below 1 and some above."""
    generator = torch.Generator().manual_seed(seed)
    z1, noise = torch.randn(2, n_records, n_leads, n_dims, generator=generator, dtype=torch.float64)
    spread = torch.linspace(0.3, 2, n_leads * n_dims, dtype=torch.float64).view(n_leads, n_dims)
    z1, z2 = spread * z1 + 0.5, spread * (z1 + 0.5 * noise) + 0.4
    return z1.to(dtype), z2.to(dtype)


def cosine(a, b):
    return (a * b).sum() / ((a * a).sum() * (b * b).sum()).sqrt()


def literal_simclr(z1, z2, temperature=0.1):
    """View by view: its similarity to the record's other view against those to all views but itself."""
    views = [*z1, *z2]
    n = len(views)
    total = torch.zeros((), dtype=z1.dtype)
    for i in range(n):
        exps = [torch.exp(cosine(views[i], views[k]) / temperature) for k in range(n) if k != i]
        found = torch.exp(cosine(views[i], views[(i + n // 2) % n]) / temperature)
        total = total - torch.log(found / torch.stack(exps).sum())
    return total / n


def literal_lead_contrastive(z1, z2, temperature=0.1):
    """Pair by pair of different leads, record by record, in both directions."""
    n_records, n_leads, _ = z1.shape
    terms = []
    for i, j in itertools.permutations(range(n_leads), 2):
        for a in range(n_records):
            found = torch.exp(cosine(z1[a, i], z2[a, j]) / temperature)
            by_i = torch.stack([torch.exp(cosine(z1[a, i], z2[b, j]) / temperature) for b in range(n_records)])
            by_j = torch.stack([torch.exp(cosine(z1[b, i], z2[a, j]) / temperature) for b in range(n_records)])
            terms += [-torch.log(found / by_i.sum()), -torch.log(found / by_j.sum())]
    return torch.stack(terms).mean()


def literal_covariance(z):
    """The covariance of ``[B, D]``, entry by entry."""
    n_records, n_dims = z.shape
    means = [sum(z[:, a]) / n_records for a in range(n_dims)]
    entries = [
        sum((z[k, a] - means[a]) * (z[k, b] - means[b]) for k in range(n_records)) / (n_records - 1)
        for a in range(n_dims)
        for b in range(n_dims)
    ]
    return torch.stack(entries).view(n_dims, n_dims)


def literal_vicreg(z1, z2):
    """25 invariance, 25 variance and 1 covariance, dimension by dimension."""
    n_records = len(z1)
    total = torch.zeros((), dtype=z1.dtype)
    views = [z.reshape(n_records, -1) for z in (z1, z2)]
    n_dims = views[0].shape[1]
    for k, a in itertools.product(range(n_records), range(n_dims)):
        total = total + 25 * (views[0][k, a] - views[1][k, a]) ** 2 / (n_records * n_dims)
    for z in views:
        c = literal_covariance(z)
        for a in range(n_dims):
            spread = torch.sqrt(c[a, a] + 1e-4)
            total = total + 25 * (1 - spread if spread < 1 else 0 * spread) / n_dims / 2
            for b in range(n_dims):
                if b != a:
                    total = total + c[a, b] ** 2 / n_dims
    return total


LITERAL: dict[str, Any] = {
    "simclr": literal_simclr,
    "vicreg": literal_vicreg,
    "lead-contrastive": literal_lead_contrastive,
}


def value_and_gradient(function, z1, z2, *args):
    z1, z2 = z1.detach().requires_grad_(), z2.detach().requires_grad_()
    loss = function(z1, z2, *args)
    return loss.detach(), *torch.autograd.grad(loss, [z1, z2])


# The losses themselves


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradient_equal_the_literal_form(name, shape):
    z1, z2 = random_pair(*shape)
    for mine, literal in zip(*(value_and_gradient(of[name], z1, z2) for of in (LOSSES, LITERAL)), strict=True):
        torch.testing.assert_close(mine, literal, rtol=1e-10, atol=1e-12)
        assert mine.abs().max() > 1e-6


@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
@pytest.mark.parametrize("name", CONTRASTIVE)
def test_temperatures(name, temperature):
    z1, z2 = random_pair(4, 3, 5)
    pairs = zip(*(value_and_gradient(of[name], z1, z2, temperature) for of in (LOSSES, LITERAL)), strict=True)
    for mine, literal in pairs:
        torch.testing.assert_close(mine, literal, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["simclr", "vicreg"])
def test_one_lead_will_do(name):
    z1, z2 = random_pair(5, 1, 6)
    for mine, literal in zip(*(value_and_gradient(of[name], z1, z2) for of in (LOSSES, LITERAL)), strict=True):
        torch.testing.assert_close(mine, literal, rtol=1e-10, atol=1e-12)


def test_one_lead_has_no_other_to_contrast_with():
    with pytest.raises(LfbtError, match="objective: lead-contrastive was given 1 lead but needs two or more"):
        lead_contrastive_loss(*random_pair(5, 1, 6))


@pytest.mark.parametrize("shape", [(4, 2, 3), (9, 2, 2)])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name, shape):
    assert torch.autograd.gradcheck(LOSSES[name], [z.requires_grad_() for z in random_pair(*shape)])


@pytest.mark.parametrize("name", LOSSES)
def test_single_precision(name):
    z1, z2 = random_pair(24, 4, 64)
    mine = LOSSES[name](z1.float(), z2.float())
    assert mine.dtype == torch.float32
    torch.testing.assert_close(mine.double(), LOSSES[name](z1, z2), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_what_must_not_matter(name):
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


def test_simclr_by_hand():
    """Two records of two leads; with τ = 1, cosines 0.8 and 1 of a record's views, 0 of different records."""
    z1 = torch.tensor([[[3.0, 0], [0, 4]], [[0, 1], [0, 0]]])
    z2 = torch.tensor([[[0.0, 0], [0, 7]], [[0, 2], [0, 0]]])
    expected = (math.log(1 + 2 * math.exp(-0.8)) + math.log(1 + 2 * math.exp(-1))) / 2
    assert simclr_loss(z1, z2, 1.0).item() == pytest.approx(expected, rel=1e-6)
    # The views of one record are those of the other: 0 to be found, 1 and 0 beside it.
    swapped = torch.eye(2)[:, None]
    assert simclr_loss(swapped, swapped.flip(0), 1.0).item() == pytest.approx(math.log(2 + math.e), rel=1e-6)


def test_lead_contrast_by_hand():
    """Two records of two leads: lead 0 in view 1 is lead 1 in view 2 and the reverse, and no lead is like itself."""
    e = torch.eye(4)
    z1 = torch.stack([torch.stack([e[0], e[2]]), torch.stack([e[1], e[3]])])
    z2 = z1.flip(1)
    assert (z1 * z2).sum() == 0
    assert lead_contrastive_loss(z1, z2, 0.5).item() == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-6)
    # Lead 0 of both records alike in view 1: of its similarities, rows 1 0 | 1 0, the columns cannot tell records.
    z1[1, 0] = e[0]
    rows = (math.log(1 + math.exp(-1)) + math.log(1 + math.e)) / 2
    columns = math.log(2)
    of_other_pair = math.log(1 + math.exp(-1))
    expected = ((rows + columns) / 2 + of_other_pair) / 2
    assert lead_contrastive_loss(z1, z2, 1.0).item() == pytest.approx(expected, rel=1e-6)


def test_vicreg_by_hand():
    """Two records, one lead of two dimensions; variances 2 2 | 2 0, covariances 2 | 0, one difference of 2."""
    z1, z2 = torch.tensor([[[0.0, 0]], [[2, 2]]]), torch.tensor([[[0.0, 0]], [[2, 0]]])
    assert [variance_term(z[:, 0]).item() for z in (z1, z2)] == pytest.approx([0, (1 - 0.01) / 2], rel=1e-6)
    assert [covariance_term(z[:, 0]).item() for z in (z1, z2)] == pytest.approx([2 * 2**2 / 2, 0], rel=1e-6)
    expected = 25 * 2**2 / 4 + 25 * (0 + 0.495) / 2 + 4
    assert vicreg_loss(z1, z2).item() == pytest.approx(expected, rel=1e-6)


def test_a_collapse_costs():
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


def test_vicreg_of_equal_views_with_variance_and_without_covariance_is_nothing():
    """Columns of a Hadamard matrix, of three leads: variances of 4/3."""
    z = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])[:, :, None]
    assert vicreg_loss(z, z).item() == 0


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (5, 5), (2, 30), (30, 2)])
def test_the_covariance_term_is_that_of_the_matrix_whichever_form_is_cheaper(shape):
    z = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    c = literal_covariance(z)
    expected = (c.square().sum() - c.diagonal().square().sum()) / shape[1]
    torch.testing.assert_close(covariance_term(z), expected, rtol=1e-11, atol=1e-14)
    with FlopCounterMode(display=False) as counter:
        covariance_term(z)
    assert counter.get_total_flops() == 2 * shape[0] * shape[1] * min(shape)


@pytest.mark.parametrize("temperature", [0.0, -0.1, 0.0009, 100.5, math.nan, math.inf])
@pytest.mark.parametrize("name", CONTRASTIVE)
def test_temperatures_outside_the_range_are_refused(name, temperature):
    with pytest.raises(
        LfbtError, match=rf"temperature: {temperature} is outside \[0.001, 100\]; SimCLR and CLOCS have"
    ):
        LOSSES[name](*random_pair(4, 2, 3), temperature)


@pytest.mark.parametrize("temperature", [0.001, 100.0])
@pytest.mark.parametrize("name", CONTRASTIVE)
def test_at_the_ends_of_the_range_all_is_finite(name, temperature):
    z1, z2 = random_pair(6, 3, 8, dtype=torch.float32)
    for value in value_and_gradient(LOSSES[name], z1, z2.roll(1, 0), temperature):
        assert value.isfinite().all()


# Projections that are not standardised


def test_projectors_without_the_last_norm():
    """As a plain stack without it, from the same weights as with it."""
    with seeded(3):
        projectors = Projectors(2, 10, (12, 20), standardised=False).double()
    with seeded(3):
        standard = Projectors(2, 10, (12, 20)).double()
    assert_same_tensors(dict(projectors.state_dict()), dict(standard.state_dict()))
    features = torch.randn(7, 2, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    stacks = [literal_projector(projector)[:-1] for projector in projectors.projectors]
    expected = torch.stack([stack(features[:, lead]) for lead, stack in enumerate(stacks)], dim=1)
    torch.testing.assert_close(projectors(features), expected)
    normed = F.batch_norm(expected.flatten(1), None, None, training=True).view_as(expected)
    torch.testing.assert_close(standard(features), normed)
    assert (expected.var(dim=0) < 0.5).any()


def test_with_half_precision_projections_come_out_in_single():
    learner = create_train_state(EncoderConfig(("II", "V1"), 6.4, 64), (16, 12), learning_rate=1e-3, standardised=False)
    views = torch.randn(2, 5, 2, 64, generator=torch.Generator().manual_seed(0))
    exact = learner.model(views)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = learner.model(views)
    assert half.dtype == torch.float32
    assert not torch.equal(half, exact)
    torch.testing.assert_close(half, exact, rtol=0, atol=0.05)


# Several processes


def own_part(x):
    """The records of this process, or all where there is one."""
    if not dist.is_initialized():
        return x, None
    sizes = shard_sizes(len(x), dist.get_world_size())
    return x.split(sizes)[dist.get_rank()], sizes


def in_parts(name):
    """Loss and gradient, of seven records."""
    (z1, sizes), (z2, _) = map(own_part, random_pair(7, 3, 5))
    args = (0.2, sizes) if name in CONTRASTIVE else (sizes,)
    return value_and_gradient(LOSSES[name], z1, z2, *args)


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
    return {name: in_parts(name) for name in LOSSES} | {"model": vicreg_of_a_model()}


@pytest.fixture(scope="module", params=[2, 3])
def several(request):
    """What each of several processes found, in the order of their ranks."""
    return in_processes(request.param, all_of_it)


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_is_that_of_the_whole_batch_and_gradients_are_its_rows(several, name):
    loss, *gradients = in_parts(name)
    for found in several:
        torch.testing.assert_close(found[name][0], loss, rtol=1e-9, atol=0)
    for i, gradient in enumerate(gradients, start=1):
        torch.testing.assert_close(torch.cat([found[name][i] for found in several]), gradient, rtol=1e-9, atol=1e-12)


def test_gradients_of_projectors_add_up_to_those_of_the_whole_batch(several):
    loss, gradients = vicreg_of_a_model()
    for found in several:
        torch.testing.assert_close(found["model"][0], loss, rtol=1e-9, atol=0)
    for name, gradient in gradients.items():
        assert gradient is not None
        total = sum(found["model"][1][name] for found in several)
        torch.testing.assert_close(total, gradient, rtol=1e-9, atol=1e-11)


# The command


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


def test_runs_say_what_they_learned_by(finished):
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


def test_each_objective_learns_something_else(finished):
    for one, other in itertools.combinations(finished.values(), 2):
        assert differ(one, other)


def test_lfbt_is_the_default(data, finished, tmp_path):
    assert_same_tensors(checkpoint_of(command(data, tmp_path / "run")), checkpoint_of(finished["lfbt"]))


@pytest.mark.parametrize("name", LOSSES)
def test_a_resumed_run_equals_one_never_stopped(data, finished, tmp_path, monkeypatch, name):
    """Killed in the middle of the second epoch, after the step that was saved and one more."""
    words = ("--objective", name, "--save-steps", 3, "--resume")
    with monkeypatch.context() as patch:
        step, steps = pretrain_module.train_step, iter(range(100))

        def stopping(*args):
            if next(steps) == 4:
                raise StopError
            return step(*args)

        patch.setattr(pretrain_module, "train_step", stopping)
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
        (("--objective", "vicreg"), "resume: objective is vicreg but was simclr"),
        (("--objective", "simclr", "--temperature", 0.2), "resume: temperature is 0.2 but was 0.1"),
    ],
)
def test_another_objective_is_refused_on_resuming(data, finished, capfd, words, message):
    before = checkpoint_of(finished["simclr"])
    with pytest.raises(SystemExit, match="2"):
        command(data, finished["simclr"], "--resume", *words)
    assert message in capfd.readouterr().err
    assert_same_tensors(checkpoint_of(finished["simclr"]), before)


@pytest.mark.parametrize("name", METHODS)
def test_the_temperature_is_of_those_that_contrast(data, finished, tmp_path, name):
    run_dir = command(data, tmp_path / "run", "--objective", name, "--temperature", 0.5)
    assert differ(run_dir, finished[name]) == (name in CONTRASTIVE)


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_falls(data, tmp_path, name):
    words = ("--objective", name, "--epochs", 25, "--learning-rate", 3e-3, "--batch-size", 10)
    losses = [line["loss"] for line in read_lines(command(data, tmp_path / "run", *words) / "history.jsonl")]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_what_is_said_of_losses(data, tmp_path, capfd):
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
def test_in_half_precision_the_loss_is_in_single(data, finished, tmp_path, monkeypatch, name):
    function = f"{name.replace('-', '_')}_loss"
    loss, seen = getattr(pretrain_module, function), []

    def looking(z1, z2, *args):
        result = loss(z1, z2, *args)
        seen.extend([z1.dtype, z2.dtype, result.dtype])
        return result

    monkeypatch.setattr(pretrain_module, function, looking)
    run_dir = command(data, tmp_path / "run", "--objective", name, "--precision", "bf16")
    assert set(seen) == {torch.float32}
    assert differ(run_dir, finished[name])


def test_low_memory_learns_the_same(data, finished, tmp_path):
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
def test_what_cannot_be_done_is_refused(data, tmp_path, capfd, words, message):
    with pytest.raises(SystemExit, match="2"):
        command(data, tmp_path / "run", *words)
    assert message in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_objective_that_is_none_is_refused_from_python(tmp_path):
    changes: dict[str, Any] = {"objective": "byol"}
    settings = PretrainSettings((tmp_path,), tmp_path / "run", **changes)
    with pytest.raises(LfbtError, match="objective: 'byol' is not one of lfbt, simclr, vicreg, lead-contrastive"):
        pretrain_module.pretrain(settings)
