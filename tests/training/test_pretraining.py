"""Pretraining: a hand-written loop gives the same weights, a resumed run too, and no setting is ignored."""

import contextlib
import itertools
import json
import math
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from tests.factories import waves, write_packed
from tests.literal import literal_encoder, literal_loss, literal_projector, literal_view
from tests.outputs import assert_same_tensors, contents, read_lines
from tests.training.helpers import assert_same_run, checkpoints, learned

import lfbt.training.pretraining as pretrain_module
import lfbt.training.views as views_module
from lfbt.data.layouts import open_dataset
from lfbt.data.loader import epoch_batches
from lfbt.errors import FinishedError, LfbtError
from lfbt.losses.lfbt import lfbt_loss
from lfbt.models.encoder import EncoderConfig, LeadEncoders
from lfbt.models.pretrained import load_encoder, load_history
from lfbt.models.projector import Projectors
from lfbt.training.augmentation import random_view
from lfbt.training.checkpoints import save_checkpoint
from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import PretrainSettings
from lfbt.utils.settings import list_fields
from lfbt.utils.tensors import load_tensors, seeded

#: Ten records of three kinds.
SIGNALS = waves([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])


#: A longer run: five epochs of two steps, saved after the fourth step, the eighth and the last.
LONGER = {"epochs": 5, "save_steps": 4, "schedule": "cosine", "warmup_epochs": 1.0}


#: Settings that earlier versions did not have.
ADDED = (
    *("quality_features", "ema", "views", "positives", "crop"),
    *("vcg_rotation", "scale", "wander", "hum", "noise", "lead_dropout"),
)
#: What a finished run leaves.
FILES = [".lock", "checkpoints", "encoder", "history.jsonl", "settings.json"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_packed(tmp_path_factory.mktemp("pretrain") / "data", SIGNALS)


@pytest.fixture(scope="module")
def base(data):
    """A finished run with the quick settings; to be left as it is."""
    return Pretrainer(settings_of(data_dir=(data,), run_dir=data.with_name("base"))).run()


@pytest.fixture(scope="module")
def longer(data):
    """A finished longer run; to be left as it is."""
    return Pretrainer(settings_of(data_dir=(data,), run_dir=data.with_name("longer"), **LONGER)).run()


@pytest.fixture
def run(data, tmp_path):
    """Pretrain on the data with some settings changed; returns the run folder."""

    def go(name="run", **changes):
        return Pretrainer(settings_of(**({"data_dir": (data,), "run_dir": tmp_path / name} | changes))).run()

    return go


def settings_of(**changes):
    quick: dict[str, Any] = {"epochs": 2, "batch_size": 5, "projector": "16-16", "device": "cpu", "workers": 0}
    return PretrainSettings.create(**(quick | changes))


def assert_other_weights(one, other):
    mine, theirs = learned(one)[0], learned(other)[0]
    assert any(not torch.equal(tensor, theirs[name]) for name, tensor in mine.items() if "convolutions" in name)


@pytest.mark.parametrize(("n_views", "seed"), [(2, 5), (3, 6)])
def test_pretrainer_equals_a_hand_written_loop(data, run, monkeypatch, double_precision, n_views, seed):
    """Three epochs of three batches: literal encoders, projectors and loss, and PyTorch's plain Adam.

    Both take the package's views and go on in double precision, where both forms differ by 1e-12 or so. Only a bias
    before a norm, whose gradient is nothing but rounding, wanders further (and the mean that the norm takes away):
    Adam divides that gradient by its own size plus 1e-8.
    """
    monkeypatch.setattr(views_module, "random_view", lambda *of: random_view(*of).double())
    views_of: dict[str, Any] = {"shortest_crop": 0.7, "longest_time_out": 0.3}
    loss_of = {"gamma": 0.6, "lambd": 0.01}
    folder = run(
        epochs=3,
        batch_size=4,
        schedule="cosine",
        warmup_epochs=1,
        seed=seed,
        quality_every=0,
        views=n_views,
        **views_of,
        **loss_of,
    )

    dataset = open_dataset(data)
    with seeded(seed):
        encoder = LeadEncoders(EncoderConfig(("II", "V1"), 6.4, 64))
        projectors = Projectors(2, 64, (16, 16))
    encoders = [literal_encoder(lead) for lead in encoder.encoders.values()]
    heads = [literal_projector(projector) for projector in projectors.projectors]
    parameters = [parameter for module in [*encoders, *heads] for parameter in module.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, foreach=False, fused=False)
    step = 0
    for epoch in range(3):
        draws = np.random.default_rng((seed, epoch)).random((10, n_views, 4))
        sums = np.zeros(3)
        for batch in epoch_batches(np.arange(10), 4, seed, epoch):
            rate = 1e-3 * ((step + 1) / 4 if step < 3 else (1 + math.cos(math.pi * (step - 3) / 6)) / 2)
            optimizer.param_groups[0]["lr"] = rate
            signals = torch.from_numpy(dataset.batch(batch, "record"))
            z = []
            for view in range(n_views):
                x = random_view(signals, draws[batch, view], **views_of).double()
                features = [module(x[:, i : i + 1]) for i, module in enumerate(encoders)]
                z.append(torch.stack([head(f) for head, f in zip(heads, features, strict=True)], dim=1))
            of_pairs = [literal_loss(*pair, 0.6, 0.01) for pair in itertools.combinations(z, 2)]
            losses = [sum(terms) / len(of_pairs) for terms in zip(*of_pairs, strict=True)]
            optimizer.zero_grad()
            losses[0].backward()
            optimizer.step()
            sums += len(batch) * np.array([loss.item() for loss in losses])
            step += 1
        line = read_lines(folder / "history.jsonl")[epoch]
        assert [line["loss"], line["intra"], line["inter"]] == pytest.approx(sums / 10, rel=1e-10)
        assert (line["epoch"], line["learning_rate"]) == (epoch + 1, pytest.approx(rate, rel=1e-12))

    tensors, state = learned(folder)
    moved = 0.0
    for lead, (name, module) in enumerate(zip(("II", "V1"), encoders, strict=True)):
        own = dict(encoder.encoders[name].named_parameters())
        prefix = f"encoders.{name}."
        trained = LeadEncoders(encoder.config).encoders[name]
        trained.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        literal = module.state_dict()
        for key, mine in literal_encoder(trained).state_dict().items():
            convolution = isinstance(module[int(key.split(".")[0])], torch.nn.Conv1d)
            drifts = (convolution and key.endswith("bias")) or key.endswith("running_mean")
            torch.testing.assert_close(mine, literal[key], rtol=0, atol=1e-6 if drifts else 1e-10)
        moved = max(moved, *((p - own[k]).abs().max().item() for k, p in trained.named_parameters()))
        linears = [layer for layer in heads[lead] if isinstance(layer, torch.nn.Linear)]
        for i, linear in enumerate(linears):
            torch.testing.assert_close(
                state[f"projectors.projectors.{lead}.linears.{i}.weight"], linear.weight.detach(), rtol=0, atol=1e-10
            )
    assert moved > 1e-3


@pytest.mark.parametrize("views", [2, 3])
def test_pretrainer_with_low_memory_learns_the_same(run, views):
    """Activations computed twice, and Adam's steps taken gradient by gradient: the same bits."""
    assert_same_run(run("default", views=views), run("spared", low_memory=True, views=views))


def test_pretrainer_keeps_the_average_of_the_encoder(base, run, tmp_path, monkeypatch):
    """Decay 1/10, 2/11, then 0.24: weights learn as without, and a run resumed after two steps goes on alike."""
    weights: list[dict[str, torch.Tensor]] = []
    step = Pretrainer.train_step

    def looking(self, *of):
        if not weights:
            weights.append({name: tensor.clone() for name, tensor in self.state.model.encoder.state_dict().items()})
        terms = step(self, *of)
        weights.append({name: tensor.clone() for name, tensor in self.state.model.encoder.state_dict().items()})
        return terms

    with monkeypatch.context() as patch:
        patch.setattr(Pretrainer, "train_step", looking)
        encoder, state = learned(run(ema=0.24))
    average, *others = weights
    assert len(others) == 4
    for decay, other in zip((0.1, 2 / 11, 0.24, 0.24), others, strict=True):
        average = {
            name: decay * own + (1 - decay) * other[name] if own.is_floating_point() else other[name]
            for name, own in average.items()
        }
    torch.testing.assert_close(encoder, average, rtol=1e-5, atol=1e-7)
    assert_same_tensors(encoder, {k.removeprefix("average."): v for k, v in state.items() if k.startswith("average.")})
    assert_same_tensors({k: v for k, v in state.items() if not k.startswith("average.")}, learned(base)[1])
    with monkeypatch.context() as patch, contextlib.suppress(StopError):
        stop_at_step(patch, 2)
        run("stopped", ema=0.24, save_steps=1)
    assert_same_run(run("stopped", ema=0.24, resume=True), tmp_path / "run")


def test_pretrainer_by_default_takes_the_views_that_it_always_took(data, run, monkeypatch):
    """Two of crop and time-out, by the numbers of (seed, epoch): nothing else is done to them."""
    seen = []
    step = Pretrainer.train_step

    def looking(self, views, *of):
        seen.append(views)
        return step(self, views, *of)

    monkeypatch.setattr(Pretrainer, "train_step", looking)
    run(seed=5)
    dataset, steps = open_dataset(data), iter(seen)
    for epoch in range(2):
        draws = np.random.default_rng((5, epoch)).random((10, 2, 4))
        for batch in epoch_batches(np.arange(10), 5, 5, epoch):
            signals = torch.from_numpy(dataset.batch(batch, "record"))
            expected = torch.stack([random_view(signals, draws[batch, view]) for view in range(2)])
            assert torch.equal(next(steps), expected)
    assert next(steps, None) is None


def test_pretrainer_resumes_a_run_of_a_version_without_the_options_that_are_off(run, base, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, contextlib.suppress(StopError):
        stop_at_step(patch, 3)
        run(save_steps=1)
    path = tmp_path / "run" / "settings.json"
    settings = json.loads(path.read_text())
    for name in ADDED:
        del settings[name]
    path.write_text(json.dumps(settings))
    with pytest.raises(LfbtError, match="which had no setting views; begin a new run"):
        run(resume=True, views=3)
    assert_same_run(run(resume=True), base)
    assert not set(ADDED) & set(json.loads(path.read_text()))


def test_pretrainer_resumes_with_low_memory(run):
    folder = run(epochs=2)
    assert run(epochs=2, resume=True, low_memory=True) == folder


def test_pretrainer_lowers_the_loss(run):
    """To between a quarter and a half of what it was, whatever the seed, in twenty steps."""
    folder = run(epochs=20, batch_size=10, learning_rate=3e-3)
    losses = [line["loss"] for line in read_lines(folder / "history.jsonl")]
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])


def test_pretrainer_writes_the_run_folder(run, data):
    folder = run(epochs=3, save_steps=4, workers=1)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert [path.name for path in checkpoints(folder)] == ["step-000000004.safetensors", "step-000000006.safetensors"]
    content = json.loads((folder / "settings.json").read_text())
    expected = {
        "data_dir": [str(data)],
        "run_dir": str(folder),
        "epochs": 3,
        "batch_size": 5,
        "projector": "16-16",
        "save_steps": 4,
        "records": 10,
        "data_hash": open_dataset(data).hash,
        "splits": ["train"],
    }
    assert content | expected == content
    fields = {field.name for field in list_fields(PretrainSettings)} - {"resume", "overwrite"}
    assert set(content) == fields | {
        "format",
        "lfbt_version",
        "records",
        "data_hash",
        "quality_hash",
        "synthetic",
        "names_assumed",
    }
    lines = read_lines(folder / "history.jsonl")
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    for line in lines:
        assert line["learning_rate"] == 1e-3
        assert line["loss"] == pytest.approx(0.8 * line["intra"] + 0.2 * line["inter"], rel=1e-6)
        assert line["records_per_second"] * line["seconds"] == pytest.approx(10)
    encoder = load_encoder(folder)
    assert encoder.config == EncoderConfig(("II", "V1"), 6.4, 64, "record", 0.125)
    history = load_history(folder)
    del content["format"]
    assert history == content | {
        "method": "LFBT",
        "epochs_done": 3,
        "loss": lines[-1]["loss"],
        "synthetic": False,
        "names_assumed": False,
    }
    state = load_tensors(checkpoints(folder)[-1])
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, state[f"encoder.{name}"])
    assert state["progress"][:2].tolist() == [3, 0]


def test_pretrainer_reproduces_golden_losses(tmp_path, monkeypatch, double_precision):
    """A tiny run's losses, as lfbt 0.1.0 computed them with torch 2.13: whatever changes them changes every result.

    In double precision, with literal views: single precision's rounding grows a thousandfold in two such steps, while
    these came out alike to 1e-9 with one thread and two, with and without vector instructions.
    """

    def literal(signals, draws, *bounds):
        assert bounds == (0.5, 0.5, "resized")
        return torch.from_numpy(np.array([literal_view(*pair) for pair in zip(signals.numpy(), draws, strict=True)]))

    monkeypatch.setattr(views_module, "random_view", literal)
    i, lead, t = np.ogrid[:8, :3, :64]
    signals = np.sin(0.1 * (i + 1) * t + lead) + 0.3 * np.cos(0.37 * t * (lead + 1) + i)
    folder = write_packed(tmp_path / "data", signals, leads=("II", "V1", "V5"))
    changes = {"epochs": 6, "batch_size": 4, "projector": "32-32", "learning_rate": 2e-3, "seed": 3}
    changes |= {"normalisation": "none", "data_dir": (folder,), "run_dir": tmp_path / "run", "quality_every": 0}
    losses = [line["loss"] for line in read_lines(Pretrainer(settings_of(**changes)).run() / "history.jsonl")]
    golden = [43.945505629, 39.973950294, 39.244242672, 38.924909152, 36.390424021, 35.021052345]
    assert losses == pytest.approx(golden, rel=1e-6)


def test_pretrainer_gives_the_same_weights_again(base, run):
    """Whatever else draws from the global generators."""
    torch.manual_seed(2)
    np.random.seed(3)  # noqa: NPY002
    assert_same_run(base, run())


@pytest.mark.parametrize("change", [{"workers": 3}, {"print_freq": 1}, {"save_steps": 1}, {"split_seed": 4}])
def test_pretrainer_learns_the_same_whatever_settings_without_effect_on_it(base, run, change):
    assert_same_run(base, run(**change))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"gamma": 0.5},
        {"lambd": 0.1},
        {"learning_rate": 2e-3},
        {"schedule": "cosine"},
        {"warmup_epochs": 0.5},
        {"weight_decay": 0.1},
        {"precision": "bf16"},
        {"projector": "16-24"},
        {"batch_size": 10},
        {"epochs": 1},
        {"views": 3},
        {"crop": "fixed"},
        {"ema": 0.9},
        {"scale": 0.2},
        {"wander": 0.2},
        {"noise": 0.2},
        {"lead_dropout": 0.2},
        {"normalisation": "lead"},
        {"normalisation": "none"},
    ],
    ids=lambda change: "-".join(map(str, next(iter(change.items())))),
)
def test_pretrainer_applies_every_setting_that_affects_the_result(base, run, change):
    assert_other_weights(base, run(**change))


def test_pretrainer_learns_from_other_records_of_a_patient(base, run, tmp_path):
    of_one = write_packed(tmp_path / "of-one", SIGNALS, patients=["p"] * len(SIGNALS))
    assert_other_weights(base, run(data_dir=(of_one,), positives="patient"))


def test_pretrainer_refuses_fixed_crops_that_no_encoder_takes(run):
    with pytest.raises(LfbtError, match=r"shortest_crop: 0\.2 of 64 samples is less than the 32 that an encoder takes"):
        run(crop="fixed", shortest_crop=0.2)


def test_pretrainer_saves_width_and_normalisation_with_the_encoder(run):
    encoder = load_encoder(run(width=0.0625, normalisation="lead", epochs=1))
    assert (encoder.config.width, encoder.config.normalisation) == (0.0625, "lead")
    assert encoder.config.n_features == 32


def test_pretrainer_learns_from_the_splits_named_only(tmp_path):
    split = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    changed = SIGNALS.copy()
    changed[6:] = waves([2] * 4, seed=9)
    folders = {
        name: write_packed(tmp_path / name, signals, split=split, hash="same")
        for name, signals in (("data", SIGNALS), ("changed", changed))
    }

    def go(name, data, *splits):
        place = {"data_dir": (folders[data],), "run_dir": tmp_path / name}
        return Pretrainer(settings_of(**place, splits=splits, batch_size=3, allow_test_records="test" in splits)).run()

    train = go("train", "data", "train")
    assert_same_run(train, go("train-changed", "changed", "train"))
    all_of_it = go("all", "data", "train", "val", "test")
    assert_other_weights(all_of_it, go("all-changed", "changed", "train", "val", "test"))
    assert_other_weights(train, all_of_it)


def test_pretrainer_learns_from_several_data_sets_as_from_one(base, run, tmp_path):
    one, two = write_packed(tmp_path / "one", SIGNALS[:6]), write_packed(tmp_path / "two", SIGNALS[6:])
    joined = run("joined", data_dir=(one, two))
    assert_same_run(base, joined)
    assert json.loads((joined / "settings.json").read_text())["records"] == 10
    # Leads are chosen in each of them.
    assert_same_run(run("alone-V1", leads=("V1",)), run("joined-V1", data_dir=(one, two), leads=("V1",)))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"leads": ("II", "V2")}, "leads II,V2, 6.4 Hz, 64 samples, but .* II,V1, 6.4 Hz"),
        ({"sampling_rate": 50.0}, "II,V1, 50 Hz, 64 samples, but .* II,V1, 6.4 Hz"),
        ({"signals": SIGNALS[:, :, :48]}, "4.8 Hz, 48 samples, but .* 6.4 Hz, 64 samples"),
    ],
)
def test_pretrainer_refuses_data_sets_that_do_not_fit_each_other(data, tmp_path, other, message):
    folder = write_packed(tmp_path / "other", **({"signals": SIGNALS} | other))
    with pytest.raises(LfbtError, match=message):
        Pretrainer(settings_of(data_dir=(data, folder), run_dir=tmp_path / "run")).run()
    assert not (tmp_path / "run").exists()


def test_pretrainer_learns_a_subset_of_leads_as_if_there_were_no_others(run, tmp_path):
    folder = write_packed(tmp_path / "less", SIGNALS[:, :1], leads=("II",), hash="less")
    subset = run("subset", leads=("II",), normalisation="lead")
    assert_same_run(subset, run("alone", data_dir=(folder,), normalisation="lead"))
    assert load_encoder(subset).config.leads == ("II",)


def test_pretrainer_of_one_lead_has_an_intra_lead_loss_only(run):
    for line in read_lines(run(leads=("V1",), gamma=0.3) / "history.jsonl"):
        assert line["loss"] == line["intra"] > 0
        assert line["inter"] == 0


def test_pretrainer_keeps_the_order_of_leads_asked_for(run):
    assert load_encoder(run(leads=("V1", "II"))).config.leads == ("V1", "II")


def test_pretrainer_learns_from_the_authors_folder(run, tmp_path):
    """DIR/samples/sample_0.npy …, sample_2 before sample_10: the same weights as a packed set's in that order."""
    signals = waves([0, 1, 2] * 4)
    (tmp_path / "npy" / "samples").mkdir(parents=True)
    for i, signal in enumerate(signals):
        np.save(tmp_path / "npy" / "samples" / f"sample_{i}.npy", signal)
    packed = write_packed(tmp_path / "packed", signals, leads=("lead1", "lead2"))
    folder = run("npy-run", data_dir=(tmp_path / "npy",))
    assert_same_run(folder, run("packed-run", data_dir=(packed,)))
    assert load_encoder(folder).config == EncoderConfig(("lead1", "lead2"), 6.4, 64)
    assert load_history(folder)["names_assumed"]


def test_pretrainer_marks_an_encoder_of_synthetic_data(run, tmp_path):
    folder = write_packed(tmp_path / "synthetic", SIGNALS, synthetic=True)
    assert load_history(run(data_dir=(folder,), epochs=1))["synthetic"]


def test_pretrainer_prints_losses_as_often_as_asked(run, capfd):
    run("one", batch_size=4, print_freq=2)
    printed = capfd.readouterr().err
    assert printed.count("epoch 1 step 2/3  loss") == printed.count("epoch 2 step 2/3  loss") == 1
    assert "step 1/3" not in printed
    assert "step 3/3" not in printed
    run("two")
    printed = capfd.readouterr().err
    assert "step" not in printed
    assert printed.count("epoch 2/2  loss") == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gamma": 1.5}, r"gamma: 1\.5 is outside \[0, 1\]"),
        ({"batch_size": 11}, "batch_size: 11 is more than the 10 records of split train"),
        ({"precision": "fp16"}, "precision: fp16 needs a GPU; take bf16 or fp32 on a CPU"),
        ({"width": 0.001}, r"width: 0\.001 "),
        ({"device": "abacus"}, "device: 'abacus' cannot be used"),
        ({"leads": ("II", "V9")}, "lead V9: not in the data set .*, which has II,V1"),
        ({"splits": ("val",)}, "batch_size: 5 is more than the 0 records of split val"),
        ({"data_dir": ()}, "data_dir: none given"),
    ],
    ids=lambda value: "-".join(map(str, next(iter(value.items())))) if isinstance(value, dict) else "",
)
def test_pretrainer_refuses_what_cannot_be_done_before_it_makes_a_folder(run, tmp_path, changes, message):
    with pytest.raises(LfbtError, match=message):
        run(**changes)
    assert not (tmp_path / "run").exists()


def test_pretrainer_refuses_too_short_records(tmp_path):
    folder = write_packed(tmp_path / "short", SIGNALS[:, :, :31])
    with pytest.raises(LfbtError, match="n_samples: 31 "):
        Pretrainer(settings_of(data_dir=(folder,), run_dir=tmp_path / "run")).run()
    assert not (tmp_path / "run").exists()


def test_pretrainer_refuses_a_folder_with_other_results(run, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(LfbtError, match="run: holds other results already"):
        run()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


# Resuming


class StopError(Exception):
    """The process ends, as if it were killed."""


def stop_at_step(monkeypatch, n_steps):
    """Let the loss of step `n_steps`, counted from 0, raise StopError."""
    steps = iter(range(100))

    def stopping(*args):
        if next(steps) == n_steps:
            raise StopError
        return lfbt_loss(*args)

    monkeypatch.setattr("lfbt.losses.lfbt.lfbt_loss", stopping)


@pytest.mark.parametrize(
    ("n_steps", "workers", "saved"),
    [(4, 0, 2), (5, 2, 2), (6, 0, 2), (9, 2, 4)],
    ids=["after a save", "in an epoch", "between saves", "in the last epoch"],
)
def test_pretrainer_resumed_equals_a_run_never_stopped(longer, run, tmp_path, monkeypatch, n_steps, workers, saved):
    """Stopped once, and once more right after it is resumed."""
    with monkeypatch.context() as patch:
        stop_at_step(patch, n_steps)
        with pytest.raises(StopError):
            run("stopped", workers=workers, **LONGER)
    with monkeypatch.context() as patch:
        stop_at_step(patch, 1)
        with pytest.raises(StopError):
            run("stopped", resume=True, **LONGER)
    assert load_history(tmp_path / "stopped")["epochs_done"] == saved
    assert_same_run(longer, run("stopped", resume=True, **LONGER))


def test_pretrainer_resumes_a_run_stopped_while_it_saved(longer, run, tmp_path, monkeypatch):
    """Neither the checkpoint nor the encoder after it is written: the save before that counts."""
    with monkeypatch.context() as patch:
        saves = iter(range(10))

        def stopping(*args):
            if next(saves) == 1:
                raise StopError
            save_checkpoint(*args)

        patch.setattr(pretrain_module, "save_checkpoint", stopping)
        with pytest.raises(StopError):
            run("stopped", **LONGER)
    assert [path.name for path in checkpoints(tmp_path / "stopped")] == ["step-000000004.safetensors"]
    assert load_history(tmp_path / "stopped")["epochs_done"] == 2
    assert_same_run(longer, run("stopped", resume=True, **LONGER))


def test_pretrainer_writes_the_encoder_of_a_finished_run_again_where_it_is_damaged(base, run, tmp_path):
    folder = shutil.copytree(base, tmp_path / "run")
    weights = folder / "encoder" / "model.safetensors"
    before = weights.read_bytes()
    for damage in (weights.unlink, lambda: weights.write_bytes(before[:100])):
        damage()
        run()
        assert weights.read_bytes() == before


def test_pretrainer_writes_lost_fingerprints_again_and_says_that_the_history_is_lost(base, run, tmp_path, capsys):
    folder = shutil.copytree(base, tmp_path / "run")
    fingerprints = folder / "encoder" / "records.safetensors"
    before = fingerprints.read_bytes()
    fingerprints.unlink()
    run()
    assert fingerprints.read_bytes() == before
    (folder / "history.jsonl").unlink()
    run()
    assert "the history has 0 of the" in capsys.readouterr().err
    with pytest.raises(FinishedError):
        run()


def test_pretrainer_changes_nothing_of_a_finished_run(base, run, tmp_path):
    shutil.copytree(base, tmp_path / "run")
    before = contents(tmp_path / "run")
    run(resume=True)
    assert contents(tmp_path / "run") == before


def test_pretrainer_resumes_with_other_settings_without_effect_on_the_result(longer, run, data, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at_step(patch, 7)
        with pytest.raises(StopError):
            run(**LONGER)
    shutil.copytree(data, tmp_path / "moved")
    moved = {"data_dir": (tmp_path / "moved",), "workers": 1, "print_freq": 3, "save_steps": 1, "keep": 3}
    assert_same_run(longer, run(resume=True, **(LONGER | moved)))


@pytest.mark.parametrize(
    "change",
    [
        {"gamma": 0.5},
        {"lambd": 0.1},
        {"epochs": 1},
        {"batch_size": 4},
        {"learning_rate": 1e-2},
        {"schedule": "cosine"},
        {"warmup_epochs": 1.0},
        {"weight_decay": 0.1},
        {"precision": "bf16"},
        {"batch_norm": "process"},
        {"projector": "16-24"},
        {"width": 0.0625},
        {"normalisation": "lead"},
        {"leads": ("II",)},
        {"seed": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_pretrainer_refuses_to_resume_with_other_settings(base, run, tmp_path, change):
    shutil.copytree(base, tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(LfbtError, match=f"resume: {next(iter(change))} is .* but was .*; give the run's own settings"):
        run(resume=True, **change)
    assert contents(tmp_path / "run") == before


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("warmup_epochs", [0.0, 1.5])
def test_pretrainer_lengthened_equals_a_run_of_as_many_epochs_from_the_start(
    run, tmp_path, monkeypatch, finished, warmup_epochs
):
    """Lengthened at its end, or where it was killed; and once more."""
    steady: dict[str, Any] = {"schedule": "constant", "warmup_epochs": warmup_epochs, "weight_decay": 0.1}
    with monkeypatch.context() as patch, contextlib.suppress(StopError):
        if not finished:
            stop_at_step(patch, 3)
        run("lengthened", epochs=2, save_steps=1, **steady)
    run("lengthened", epochs=3, resume=True, **steady)
    whole, lengthened = run("whole", epochs=5, **steady), run("lengthened", epochs=5, resume=True, **steady)
    assert_same_run(whole, lengthened)
    settings = [json.loads((folder / "settings.json").read_text()) for folder in (whole, lengthened)]
    assert [content["epochs"] for content in settings] == [5, 5]
    assert load_history(lengthened)["epochs_done"] == 5
    with pytest.raises(LfbtError, match=r"epochs is 3 but was 5 in .*; a run cannot be shortened, so"):
        run("lengthened", epochs=3, resume=True, **steady)


def test_pretrainer_refuses_to_lengthen_a_run_whose_rate_depends_on_its_end(longer, run, tmp_path):
    shutil.copytree(longer, tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(LfbtError, match=r"epochs is 6 but was 5 in .*; a rate of schedule cosine depends on the last"):
        run(resume=True, **(LONGER | {"epochs": 6}))
    assert contents(tmp_path / "run") == before


def test_pretrainer_refuses_to_resume_a_run_of_a_version_without_a_setting(base, run, tmp_path):
    shutil.copytree(base, tmp_path / "run")
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    del settings["shortest_crop"]
    (tmp_path / "run" / "settings.json").write_text(json.dumps(settings | {"lfbt_version": "0.0.1"}))
    with pytest.raises(LfbtError, match="which had no setting shortest_crop; begin a new run"):
        run(resume=True)


def test_pretrainer_refuses_to_resume_with_other_records(base, run, tmp_path):
    shutil.copytree(base, tmp_path / "run")
    other = write_packed(tmp_path / "other", SIGNALS + 1)
    with pytest.raises(LfbtError, match=r"resume: the data changed in"):
        run(resume=True, data_dir=(other,))
    fewer = write_packed(tmp_path / "fewer", SIGNALS[:8])
    with pytest.raises(LfbtError, match="resume: records is 8 but was 10"):
        run(resume=True, data_dir=(fewer,))


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "a stopped run without a checkpoint"])
def test_pretrainer_begins_where_there_is_no_checkpoint_to_resume(base, run, tmp_path, capfd, there):
    """So that a job that may be killed at any time can be started by one and the same command again and again."""
    if there != "nothing":
        (tmp_path / "run").mkdir()
    if there == "a stopped run without a checkpoint":
        shutil.copy(base / "settings.json", tmp_path / "run")
        (tmp_path / "run" / ".lock").touch()
    assert_same_run(base, run(resume=True))
    begun = "nothing to resume in" in capfd.readouterr().err
    assert begun == (there != "a stopped run without a checkpoint")


def test_pretrainer_refuses_to_resume_other_results(run, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(LfbtError, match=r"resume: .*run holds no run that goes on"):
        run(resume=True)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_pretrainer_leaves_nothing_when_it_fails_before_the_first_save(run, tmp_path, monkeypatch):
    stop_at_step(monkeypatch, 1)
    with pytest.raises(StopError):
        run()
    assert not (tmp_path / "run").exists()


def test_pretrainer_leaves_nothing_when_a_record_is_not_finite(run, tmp_path):
    signals = SIGNALS.copy()
    signals[9, 1, 5] = np.nan
    bad = write_packed(tmp_path / "bad", signals, hash="x")
    with pytest.raises(LfbtError, match="record r9 holds NaN or infinity"):
        run(data_dir=(bad,), batch_size=2)
    assert [path.name for path in tmp_path.iterdir()] == ["bad"]


def test_pretrainer_ends_at_a_loss_that_is_not_finite_and_keeps_the_last_save(longer, run, tmp_path, monkeypatch):
    """Nothing of that epoch is kept, and the run can go on from the one before."""
    with monkeypatch.context() as patch:
        steps = iter(range(100))

        def not_finite(*args):
            result = lfbt_loss(*args)
            return result._replace(total=result.total * math.nan) if next(steps) == 6 else result

        patch.setattr("lfbt.losses.lfbt.lfbt_loss", not_finite)
        with pytest.raises(LfbtError, match=r"epoch 4 step 1: the loss is not finite \(nan\) for the records r\d, "):
            run(**LONGER)
    assert [line["epoch"] for line in read_lines(tmp_path / "run" / "history.jsonl")] == [1, 2, 3]
    assert all(tensor.isfinite().all() for tensor in learned(tmp_path / "run")[0].values())
    assert_same_run(longer, run(resume=True, **LONGER))
