"""Fine-tuning: a hand-written loop gives the same weights, the best epoch is what is kept, and the test stays apart."""

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from tests.evaluation.helpers import results_of
from tests.factories import (
    CLASSES,
    KINDS,
    LABELS,
    MULTI_TARGETS,
    ROWS,
    SPLIT,
    waves,
    write_labelled,
    write_multi_label,
)
from tests.literal import literal_embeddings, literal_encoder
from tests.outputs import assert_same_tensors, contents, read_lines

import lfbt.evaluation.fine_tuning as finetune_module
from lfbt.data.layouts import open_dataset
from lfbt.data.loader import epoch_batches, prefetch_batches
from lfbt.errors import LfbtError
from lfbt.evaluation.fine_tuning import run_finetune
from lfbt.evaluation.settings import FinetuneSettings
from lfbt.inference.embed_settings import EmbedSettings
from lfbt.inference.embedding_folder import write_embeddings
from lfbt.models.encoder import EncoderConfig, random_encoder
from lfbt.models.heads import Head, load_head
from lfbt.models.pretrained import load_encoder, load_history, save_encoder
from lfbt.runs.results import EncoderOrigin
from lfbt.utils.tensors import load_tensors, seeded

TARGETS = np.array([CLASSES.index(label) for label in LABELS])
QUICK: dict[str, Any] = {"epochs": 2, "batch_size": 12, "learning_rate": 1e-3, "device": "cpu", "workers": 0}
#: Five of the twelve validation labels are moved on by one class: after some epochs of training, validation suffers.
MOVED_ON = [LABELS[i + 1] if 24 <= i < 29 else LABELS[i] for i in range(48)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_labelled(tmp_path_factory.mktemp("finetune") / "data")


@pytest.fixture(scope="module")
def base(data, checkpoint):
    """A finished run with the quick settings; to be left as it is."""
    folder = data.with_name("base")
    run_finetune(FinetuneSettings.create(data_dir=data, run_dir=folder, checkpoint=checkpoint, **QUICK))
    return folder


@pytest.fixture
def run(data, checkpoint, tmp_path):
    """Fine-tune with some settings changed; returns the run folder."""

    def go(name="run", **changes):
        settings = QUICK | {"data_dir": data, "checkpoint": checkpoint, "run_dir": tmp_path / name}
        run_finetune(FinetuneSettings.create(**(settings | changes)))
        return tmp_path / name

    return go


def learned(folder):
    """The weights of a run: the encoder's and the head's."""
    return [load_tensors(folder / part / "model.safetensors") for part in ("encoder", "head")]


def assert_same_learning(one, other):
    """The same weights, bit by bit, from the same history and the same epoch of it."""
    for mine, theirs in zip(learned(one), learned(other), strict=True):
        assert_same_tensors(mine, theirs)
    assert read_lines(one / "history.jsonl") == read_lines(other / "history.jsonl")
    assert results_of(one).chosen == results_of(other).chosen


def literal_cross_entropy(logits, rows, several):
    """Of class numbers; or of the mean over records and classes, each of which a record may have."""
    if not several:
        return F.cross_entropy(logits, torch.from_numpy(TARGETS[rows]))
    y, p = torch.from_numpy(MULTI_TARGETS[rows]), torch.sigmoid(logits)
    return -torch.where(y, p, 1 - p).log().mean()


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
def test_finetune_equals_a_hand_written_loop(data, checkpoint, run, tmp_path, monkeypatch, double_precision, several):
    """Two epochs of three batches with plain layers and PyTorch's plain Adam, on the data set's signals.

    In double precision both differ by 1e-12 or so, but for what only rounding moves: a bias before a norm, and the mean
    that the norm takes away (see the same test of pretraining).
    """
    monkeypatch.setattr(
        finetune_module, "prefetch_batches", lambda *args: (x.double() for x in prefetch_batches(*args))
    )
    data = write_multi_label(tmp_path / "multi") if several else data
    folder = run(data_dir=data, batch_size=9, seeds=(3,))

    dataset = open_dataset(data)
    encoder = load_encoder(checkpoint).train()
    stacks = [literal_encoder(lead) for lead in encoder.encoders.values()]
    with seeded(3):
        linear = torch.nn.Linear(128, 3)
    parameters = [parameter for module in [*stacks, linear] for parameter in module.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, foreach=False, fused=False)

    def logits_of(rows):
        x = torch.from_numpy(dataset.batch(np.array(rows), "record")).double()
        return linear(torch.cat([stack(x[:, i : i + 1]) for i, stack in enumerate(stacks)], dim=1))

    states = []
    for line, epoch in zip(read_lines(folder / "history.jsonl"), range(2), strict=True):
        total = 0.0
        for batch in epoch_batches(np.arange(24), 9, 3, epoch):
            loss = literal_cross_entropy(logits_of(batch), batch, several)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        for stack in stacks:
            stack.eval()
        with torch.no_grad():
            val_loss = literal_cross_entropy(logits_of(ROWS["val"]), np.array(ROWS["val"]), several).item()
            states.append([{k: v.clone() for k, v in m.state_dict().items()} for m in [*stacks, linear]])
        for stack in stacks:
            stack.train()
        assert line["train_loss"] == pytest.approx(total / 24, rel=1e-10)
        # In evaluation the running mean lags behind what drifts.
        assert line["val_loss"] == pytest.approx(val_loss, rel=1e-7)

    best = states[results_of(folder).chosen["epoch"] - 1]
    tuned = load_encoder(folder)
    for literal, stack, lead in zip(best, stacks, tuned.encoders.values(), strict=False):
        for key, mine in literal_encoder(lead).state_dict().items():
            convolution = isinstance(stack[int(key.split(".")[0])], torch.nn.Conv1d)
            drifts = (convolution and key.endswith("bias")) or key.endswith("running_mean")
            torch.testing.assert_close(mine, literal[key], rtol=0, atol=1e-6 if drifts else 1e-10)
    head, _ = load_head(folder / "head")
    torch.testing.assert_close(head.linear.weight.detach(), best[2]["weight"], rtol=0, atol=1e-10)
    torch.testing.assert_close(head.linear.bias.detach(), best[2]["bias"], rtol=0, atol=1e-10)
    assert head.exclusive is not several


def test_finetune_lowers_the_training_loss(run):
    losses = [line["train_loss"] for line in read_lines(run(epochs=6) / "history.jsonl")]
    assert losses[-1] < 0.7 * losses[0]


def test_finetune_writes_a_run_folder(base, data):
    expected = ["encoder", "head", "history.jsonl", "predictions.csv", "results.json", "splits.csv"]
    assert sorted(path.name for path in base.iterdir()) == expected
    results = results_of(base)
    assert results.kind == "finetune"
    assert results.data.classes == list(CLASSES)
    start = {"checkpoint": "checkpoint", "history": {"method": "test", "epochs_done": 7}}
    assert dataclasses.asdict(results.encoder) == start
    assert load_history(base) == {"kind": "finetune", "start": start}
    assert results.chosen["epoch"] in (1, 2)
    assert results.test.records == results.val.records == 12
    assert load_encoder(base).config == EncoderConfig(("II", "V1"), 6.4, 64)
    predictions = pd.read_csv(base / "predictions.csv")
    assert predictions["id"].tolist() == [f"r{i}" for i in ROWS["test"]]
    assert predictions["label"].tolist() == [LABELS[i] for i in ROWS["test"]]


def test_finetune_trains_the_encoder_and_leaves_the_checkpoint_alone(base, checkpoint, run):
    before = contents(checkpoint)
    run("again", epochs=1)
    assert contents(checkpoint) == before
    start = load_encoder(checkpoint).state_dict()
    for name, tensor in load_encoder(base).state_dict().items():
        # But for a bias before a norm, which only rounding moves.
        if not ("convolutions" in name and name.endswith("bias")):
            assert not torch.equal(tensor, start[name]), name


def test_finetune_predicts_with_the_kept_epoch(run, data, tmp_path):
    """Embedding with the run folder gives the predictions; so do plain layers in double precision, to four digits."""
    other = write_labelled(tmp_path / "moved-on", labels=MOVED_ON)
    folder = run(data_dir=other, epochs=6, learning_rate=3e-4)
    results, losses = results_of(folder), [line["val_loss"] for line in read_lines(folder / "history.jsonl")]
    assert 1 < results.chosen["epoch"] == np.argmin(losses) + 1 < 6
    assert results.val_loss == min(losses)
    # Training no further than to the kept epoch gives the same encoder and head.
    shorter = run("shorter", data_dir=other, epochs=results.chosen["epoch"], learning_rate=3e-4)
    for mine, theirs in zip(learned(folder), learned(shorter), strict=True):
        assert_same_tensors(mine, theirs)

    write_embeddings(EmbedSettings((other,), tmp_path / "embedded", folder, device="cpu", workers=0))
    embedded = pd.read_csv(tmp_path / "embedded" / "probabilities.csv")
    predictions = pd.read_csv(folder / "predictions.csv")
    columns = [f"p_{name}" for name in CLASSES]
    test = embedded["id"].isin(predictions["id"])
    assert embedded["id"][test].tolist() == predictions["id"].tolist()
    # One batch of another size, and decimals of single precision.
    np.testing.assert_allclose(embedded[columns][test], predictions[columns], rtol=1e-5)

    x = literal_embeddings(load_encoder(folder), np.load(other / "signals.npy"))[ROWS["test"]]
    head, _ = load_head(folder / "head")
    with torch.no_grad():
        literal = head.double()(torch.from_numpy(x)).softmax(dim=1).numpy()
    np.testing.assert_allclose(predictions[columns], literal, rtol=1e-4)


def test_finetune_learns_nothing_of_test_records(base, run, tmp_path):
    changed = waves(KINDS)
    changed[36:] = waves([0] * 12, seed=8)
    labels = LABELS[:36] + ["fast"] * 8 + ["slow"] * 4
    other = run(data_dir=write_labelled(tmp_path / "other", signals=changed, labels=labels))
    assert_same_learning(base, other)
    assert results_of(base).test != results_of(other).test
    assert results_of(base).val == results_of(other).val


def test_finetune_uses_validation_records_for_the_epoch_only(base, run, tmp_path):
    changed = waves(KINDS)
    changed[24:36] = waves([0] * 12, seed=8)
    other = run(data_dir=write_labelled(tmp_path / "other", signals=changed))
    losses = [[line["train_loss"] for line in read_lines(folder / "history.jsonl")] for folder in (base, other)]
    assert losses[0] == losses[1]


def test_finetune_is_repeatable(base, run):
    torch.manual_seed(9)
    assert_same_learning(base, run(workers=2))


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": (1,)},
        {"learning_rate": 1e-4},
        {"batch_size": 8},
        {"epochs": 1},
        {"fraction": (0.5,)},
        {"from_scratch": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_finetune_ignores_no_setting(base, run, change):
    if "from_scratch" in change:
        change = change | {"checkpoint": None}
    lines = [read_lines(folder / "history.jsonl") for folder in (base, run(**change))]
    assert lines[0] != lines[1]


def test_finetune_from_scratch_equals_one_from_random_weights(run, tmp_path):
    """Bit by bit what a checkpoint with the seed's random encoder gives."""
    save_encoder(tmp_path / "random", random_encoder(EncoderConfig(("II", "V1"), 6.4, 64), 4), {})
    scratch = run("scratch", checkpoint=None, from_scratch=True, seeds=(4,))
    assert_same_learning(scratch, run("tuned", checkpoint=tmp_path / "random", seeds=(4,)))
    results = results_of(scratch)
    assert results.kind == "scratch"
    assert dataclasses.asdict(results.encoder) == {"checkpoint": None, "history": {"method": "random", "seed": 4}}


def test_finetune_learns_from_its_fraction_only(run, tmp_path):
    """The other training records may be anything."""
    part = run("part", fraction=(0.5,))
    table = pd.read_csv(part / "splits.csv")
    chosen = [int(name[1:]) for name in table["id"][table["split"] == "train"]]
    assert sorted(LABELS[i] for i in chosen) == ["fast"] * 4 + ["middle"] * 4 + ["slow"] * 4
    changed = waves(KINDS)
    changed[[i for i in ROWS["train"] if i not in chosen]] = 1e3
    other = write_labelled(tmp_path / "other", signals=changed)
    assert_same_learning(part, run("other-part", data_dir=other, fraction=(0.5,)))


def test_finetune_takes_some_leads(run, tmp_path):
    folder = run(leads=("V1",), epochs=1)
    assert load_encoder(folder).config.leads == ("V1",)
    assert load_head(folder / "head")[0].linear.in_features == 64
    assert results_of(folder).leads == ["V1"]


def test_finetune_starts_from_a_run(base, run):
    again = run(checkpoint=base, epochs=1, learning_rate=1e-12)
    # Such steps move nothing that single precision can tell.
    assert results_of(again).encoder == EncoderOrigin("base", load_history(base))
    mine = dict(load_encoder(again).named_parameters())
    for name, tensor in load_encoder(base).named_parameters():
        torch.testing.assert_close(mine[name], tensor, rtol=0, atol=1e-8)


def test_finetune_learns_from_a_last_batch_of_one_record(run, tmp_path):
    """Five records in batches of two: two, two and one."""
    keep = [*range(5), *range(24, 48)]
    split = [SPLIT[i] for i in keep]
    labels = [LABELS[i] for i in keep]
    data = write_labelled(tmp_path / "data", signals=waves(KINDS)[keep], labels=labels, split=split)
    folder = run(data_dir=data, batch_size=2, epochs=1)
    assert all(tensor.isfinite().all() for part in learned(folder) for tensor in part.values())


@pytest.mark.parametrize("part", ["train", "val"])
def test_finetune_refuses_a_loss_that_is_not_finite(run, monkeypatch, tmp_path, part):
    """In training or in validation; nothing is written."""
    forward, calls = Head.forward, iter(range(100))

    def corrupt(self, embeddings):
        # Two training batches, then validation.
        return forward(self, embeddings) * (math.nan if next(calls) == (1 if part == "train" else 2) else 1)

    monkeypatch.setattr(Head, "forward", corrupt)
    with pytest.raises(LfbtError, match="epoch 1: the loss is not finite; try a lower --learning-rate"):
        run()
    assert list(tmp_path.iterdir()) == []
