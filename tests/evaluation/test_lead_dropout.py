"""Leads left out in training: the draws, the features, both commands against loops written out, and what is scored."""

import json
import shutil
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluation.helpers import QUICK, assert_same_but_settings, results_of
from tests.factories import CLASSES, KINDS, LABELS, ROWS, waves, write_checkpoint, write_labelled
from tests.literal import literal_encoder
from tests.outputs import contents, read_lines

import lfbt.evaluation.fine_tuning as finetune_module
from lfbt.data.layouts import open_dataset
from lfbt.data.loader import epoch_batches, prefetch_batches
from lfbt.errors import LfbtError
from lfbt.evaluation.fine_tuning import run_finetune
from lfbt.evaluation.lead_dropout import SubsetInputs, draw_subsets, normalise_by
from lfbt.evaluation.metrics import evaluate
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import FinetuneSettings, ProbeSettings
from lfbt.inference.classifier import load_classifier
from lfbt.models.heads import load_head
from lfbt.models.pretrained import load_encoder
from lfbt.signal import normalise
from lfbt.utils.tensors import seeded

LEADS = ("II", "V1", "V2")
TARGETS = torch.tensor([CLASSES.index(label) for label in LABELS])
DROPOUT: dict[str, Any] = {"leads_dropout": 0.6, "lead_subsets": (("II",), ("chest",))}
#: The columns of lead `i` are 64 from 64 · i.
SUBSETS = {"II": [0], "chest": [1, 2]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    signals = waves(KINDS, 3) + np.random.default_rng(3).standard_normal((48, 3, 64))
    return write_labelled(tmp_path_factory.mktemp("dropout") / "data", signals=signals, leads=LEADS)


@pytest.fixture(scope="module")
def checkpoint(data):
    return write_checkpoint(data.with_name("checkpoint"), LEADS)


@pytest.fixture
def command(data, checkpoint, tmp_path):
    def go(name, tune=False, **changes):
        given = QUICK | {"data_dir": data, "checkpoint": checkpoint, "run_dir": tmp_path / name} | DROPOUT | changes
        if tune:
            run_finetune(FinetuneSettings.create(**given))
        else:
            run_probe(ProbeSettings.create(**given))
        return tmp_path / name

    return go


@given(st.integers(1, 5), st.floats(0, 1), st.integers(0, 2**32 - 1), st.integers(0, 1000))
def test_draw_subsets_draws_a_subset_as_often_as_wanted_and_each_alike(n_subsets, probability, seed, epoch):
    drawn = draw_subsets(4000, n_subsets, probability, seed, epoch)
    np.testing.assert_array_equal(drawn, draw_subsets(4000, n_subsets, probability, seed, epoch))
    counts = np.bincount(drawn, minlength=n_subsets + 1)
    assert len(counts) == n_subsets + 1
    # Six standard deviations.
    for share, wanted in zip(counts / 4000, [1 - probability, *[probability / n_subsets] * n_subsets], strict=True):
        assert abs(share - wanted) <= 6 * np.sqrt(wanted * (1 - wanted) / 4000) + 1e-9


def test_draw_subsets_differ_between_epochs_and_seeds():
    one = draw_subsets(100, 3, 0.5, 0, 0)
    assert (one != draw_subsets(100, 3, 0.5, 0, 1)).any()
    assert (one != draw_subsets(100, 3, 0.5, 1, 0)).any()


def test_subset_inputs_spread_leaves_absent_columns_nan():
    part = SubsetInputs(torch.tensor([1, 3]), {"val": torch.tensor([[1.0, 2.0], [3.0, 4.0]])})
    nan = np.nan
    np.testing.assert_array_equal(part.spread("val", torch.tensor([1]), 4), [[nan, 3, nan, 4]])
    np.testing.assert_array_equal(part.spread("val", slice(None), 4), [[nan, 1, nan, 2], [nan, 3, nan, 4]])


@settings(max_examples=30)
@given(st.data())
def test_normalise_by_equals_normalise_of_the_leads_that_there_are(data):
    masks = data.draw(st.lists(st.lists(st.booleans(), min_size=3, max_size=3).filter(any), min_size=1, max_size=4))
    signals = 2 + np.random.default_rng(len(masks)).standard_normal((len(masks), 3, 50)).astype(np.float32)
    found = normalise_by(torch.from_numpy(signals), torch.tensor(masks), "record").numpy()
    for mask, mine, signal in zip(masks, found, signals, strict=True):
        np.testing.assert_allclose(mine[mask], normalise(signal[mask], "record"), atol=1e-5)
    for how in ("lead", "none"):
        assert normalise_by(torch.from_numpy(signals), torch.tensor(masks), how) is not None
        np.testing.assert_array_equal(normalise_by(torch.from_numpy(signals), torch.tensor(masks), how), signals)


def dropped(features, leads, n_leads=3):
    """Features ``[records, leads, 64]`` where only some leads are left: the others zero, these scaled up."""
    out = torch.zeros_like(features)
    out[:, leads] = features[:, leads] * (n_leads / len(leads))
    return out.flatten(1)


def features_of(stacks, signals, rows, leads, dtype=torch.float32):
    """By plain layers, of records normalised as those that have some leads only: ``[records, leads, 64]``."""
    x = torch.from_numpy(normalise(signals[rows][:, leads], "record")).to(dtype)
    whole = torch.zeros(len(x), 3, 64, dtype=dtype)
    for k, lead in enumerate(leads):
        whole[:, lead] = stacks[lead](x[:, k : k + 1])
    return whole


def test_probe_with_dropout_equals_a_hand_written_loop(command, data, checkpoint):
    folder = command("run", learning_rate=(1e-2,), seeds=(3,))
    signals = np.load(data / "signals.npy")
    stacks = [literal_encoder(lead).eval() for lead in load_encoder(checkpoint).eval().encoders.values()]
    every = np.arange(48)
    with torch.no_grad():
        views = [features_of(stacks, signals, every, [0, 1, 2]).flatten(1)]
        views += [dropped(features_of(stacks, signals, every, leads), leads) for leads in SUBSETS.values()]
    with seeded(3):
        linear = torch.nn.Linear(192, 3)
    optimizer = torch.optim.Adam(linear.parameters(), lr=1e-2, foreach=False, fused=False)
    lowest: Any = np.inf
    for line, epoch in zip(read_lines(folder / "history.jsonl"), range(3), strict=True):
        rng, total = np.random.default_rng((3, epoch, 2)), 0.0
        which = rng.integers(1, 3, 24)
        which[rng.random(24) >= 0.6] = 0
        assert len(set(which)) == 3
        for batch in epoch_batches(np.arange(24), 8, 3, epoch):
            x = torch.stack([views[which[row]][row] for row in batch])
            loss = F.cross_entropy(linear(x), TARGETS[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        with torch.no_grad():
            val_loss = np.mean([F.cross_entropy(linear(x[24:36]), TARGETS[24:36]).item() for x in views])
            if val_loss < lowest:
                lowest, best = val_loss, [linear(x[36:]).softmax(dim=1).numpy() for x in views]
        assert line == pytest.approx({"epoch": epoch + 1, "train_loss": total / 24, "val_loss": val_loss}, rel=1e-4)
    results = results_of(folder)
    assert results.val_loss == pytest.approx(lowest, rel=1e-4)
    targets = open_dataset(data).targets()[36:]
    for mine, p in zip([results, *results.by_lead_subset.values()], best, strict=True):
        assert mine.test.auroc == pytest.approx(evaluate(p, targets, CLASSES, None, exclusive=True).auroc, abs=1e-9)
    assert {name: one.leads for name, one in results.by_lead_subset.items()} == {"II": ["II"], "chest": ["V1", "V2"]}
    assert results.lead_subset is None


def test_finetune_with_dropout_equals_a_hand_written_loop(command, data, checkpoint, monkeypatch, double_precision):
    """Dropped leads count in the batch statistics, normalised as the others of their record are."""
    monkeypatch.setattr(
        finetune_module, "prefetch_batches", lambda *args: (x.double() for x in prefetch_batches(*args))
    )
    folder = command("run", tune=True, learning_rate=1e-3, epochs=2)
    signals = np.load(data / "signals.npy").astype(np.float64)
    stacks = [literal_encoder(lead).train() for lead in load_encoder(checkpoint).train().encoders.values()]
    with seeded(0):
        linear = torch.nn.Linear(192, 3)
    parameters = [parameter for module in [*stacks, linear] for parameter in module.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, foreach=False, fused=False)
    leads_of = [[0, 1, 2], *SUBSETS.values()]

    def logits_of(rows, which):
        x = signals[rows].copy()
        for i, number in enumerate(which):
            part = x[i, leads_of[number]]
            x[i] = (x[i] - part.mean()) / (part.std() + 1e-5)
        x = torch.from_numpy(x)
        features = torch.stack([stack(x[:, k : k + 1]) for k, stack in enumerate(stacks)], dim=1)
        kept = [dropped(features[i : i + 1], leads_of[number]) for i, number in enumerate(which)]
        return linear(torch.cat(kept))

    for line, epoch in zip(read_lines(folder / "history.jsonl"), range(2), strict=True):
        rng, total = np.random.default_rng((0, epoch, 2)), 0.0
        which = rng.integers(1, 3, 48)
        which[rng.random(48) >= 0.6] = 0
        for batch in epoch_batches(np.arange(24), 8, 0, epoch):
            loss = F.cross_entropy(logits_of(batch, which[batch]), TARGETS[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        for stack in stacks:
            stack.eval()
        val = np.arange(24, 36)
        with torch.no_grad():
            losses = [F.cross_entropy(logits_of(val, [number] * 12), TARGETS[val]).item() for number in range(3)]
        for stack in stacks:
            stack.train()
        assert line["train_loss"] == pytest.approx(total / 24, rel=1e-7)
        assert line["val_loss"] == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("tune", [False, True], ids=["probe", "finetune"])
def test_figures_of_subsets_are_those_of_recordings_that_have_these_leads(command, data, tune):
    folder = command("run", tune)
    dataset, results, classifier = open_dataset(data), results_of(folder), load_classifier(folder, "cpu")
    for name, leads in {"II": ("II",), "chest": ("V1", "V2")}.items():
        table = classifier.predict(dataset.select_leads(leads))
        assert set(table["leads"]) == {",".join(leads)}
        for split, scores in (("test", results.by_lead_subset[name].test), ("val", results.by_lead_subset[name].val)):
            p = table[[f"p_{label}" for label in CLASSES]].to_numpy(float)[ROWS[split]]
            found = evaluate(p, dataset.targets()[ROWS[split]], CLASSES, None, exclusive=True)
            assert scores.auroc == pytest.approx(found.auroc, abs=1e-9)
            assert scores.ece == pytest.approx(found.ece, abs=1e-5)
        thresholds = {label: one.threshold for label, one in scores.per_class.items()}
        above = [
            ";".join(label for label in CLASSES if row[f"p_{label}"] >= thresholds[label])
            for _, row in table.iterrows()
        ]
        assert table["above_threshold"].tolist() == above


@pytest.mark.parametrize("tune", [False, True], ids=["probe", "finetune"])
def test_dropout_does_not_depend_on_the_order_in_which_leads_of_a_subset_are_named(command, tune):
    one = command("one", tune, lead_subsets=(("V2", "II"),))
    other = command("other", tune, lead_subsets=(("II", "V2"),))
    for part in ("head", "encoder"):
        assert (one / part / "model.safetensors").read_bytes() == (other / part / "model.safetensors").read_bytes()
    assert (one / "history.jsonl").read_bytes() == (other / "history.jsonl").read_bytes()
    (mine,), (its,) = (results_of(folder).by_lead_subset.values() for folder in (one, other))
    assert mine == its


@pytest.mark.parametrize("tune", [False, True], ids=["probe", "finetune"])
def test_resumed_trials_with_dropout_equal_those_never_stopped(command, tune):
    whole = command("whole", tune, seeds=(0, 1))
    stopped = shutil.copytree(whole, whole.with_name("stopped"))
    shutil.rmtree(stopped / "fraction-1-seed-1")
    command("stopped", tune, seeds=(0, 1), resume=True)
    for seed in (0, 1):
        name = f"fraction-1-seed-{seed}"
        assert_same_but_settings(stopped / name, whole / name)
    alone = command("alone", tune, seeds=(1,))
    for path in alone.glob("[Xy]_*.npy"):
        path.unlink()
    assert_same_but_settings(alone, whole / "fraction-1-seed-1")


@pytest.mark.parametrize("tune", [False, True], ids=["probe", "finetune"])
def test_dropout_works_in_folds(command, tune):
    folder = command("run", tune, folds=3, epochs=1)
    results = results_of(folder)
    assert {name: one.test.records for name, one in results.by_lead_subset.items()} == {"II": 48, "chest": 48}
    assert all(one.test.intervals is not None for one in results.by_lead_subset.values())


def test_head_says_what_it_was_trained_for_and_results_of_others_have_no_subsets(command):
    folder, plain = command("run"), command("plain", leads_dropout=0.0, lead_subsets=())
    config = json.loads((folder / "head" / "config.json").read_text())
    assert config["lead_dropout"] == {"probability": 0.6, "subsets": {"II": ["II"], "chest": ["V1", "V2"]}}
    assert load_classifier(folder, "cpu").lead_subsets == (("II",), ("V1", "V2"))
    dropout = load_head(folder / "head")[0].lead_dropout
    assert dropout is not None
    assert dropout.subsets == {"II": ("II",), "chest": ("V1", "V2")}
    assert "lead_dropout" not in json.loads((plain / "head" / "config.json").read_text())
    assert "by_lead_subset" not in json.loads((plain / "results.json").read_text())
    assert load_classifier(plain, "cpu").lead_subsets == ()
    assert contents(folder)["head/model.safetensors"] != contents(plain)["head/model.safetensors"]


@pytest.mark.parametrize("normalisation", ["lead", "none"])
def test_subset_features_without_a_normalisation_over_leads_are_columns(command, data, tmp_path, normalisation):
    encoder = load_encoder(write_checkpoint(tmp_path / "c", LEADS))
    config = json.loads((tmp_path / "c" / "config.json").read_text()) | {"normalisation": normalisation}
    (tmp_path / "c" / "config.json").write_text(json.dumps(config))
    assert encoder.config.normalisation == "record"
    folder = command("run", checkpoint=tmp_path / "c")
    table = load_classifier(folder, "cpu").predict(open_dataset(data).select_leads(("II",)))
    p = table[[f"p_{label}" for label in CLASSES]].to_numpy(float)[ROWS["test"]]
    found = evaluate(p, open_dataset(data).targets()[ROWS["test"]], CLASSES, None, exclusive=True)
    assert results_of(folder).by_lead_subset["II"].test.auroc == pytest.approx(found.auroc, abs=1e-9)


@pytest.mark.parametrize(
    ("tune", "changes", "message"),
    [
        (False, {"lead_subsets": ()}, "leads_dropout: 0.6, but no lead_subsets to train for"),
        (True, {"lead_subsets": ()}, "leads_dropout: 0.6, but no lead_subsets to train for"),
        (True, {"leads_dropout": 0.0}, "lead_subsets: has no effect without leads_dropout"),
        (False, {"leads_dropout": 1.5}, r"leads_dropout: 1.5 is outside \[0, 1\]"),
        (True, {"leads_dropout": -0.1}, r"leads_dropout: -0.1 is outside \[0, 1\]"),
        (False, {"lead_subsets": (("all",),)}, "lead_subsets: all is all of the encoder's II,V1,V2"),
        (True, {"lead_subsets": (("V2", "V1", "II"),)}, "lead_subsets: V2,V1,II is all of the encoder's"),
        (True, {"lead_subsets": (("V9",),)}, "lead_subsets: V9: the encoder has II,V1,V2"),
    ],
)
def test_dropout_refuses_what_cannot_be_served(command, tmp_path, tune, changes, message):
    with pytest.raises(LfbtError, match=message):
        command("run", tune, **changes)
    assert not (tmp_path / "run").exists()


def test_probe_refuses_dropout_with_other_classifiers(data, checkpoint, tmp_path):
    given = {"data_dir": data, "checkpoint": checkpoint, "run_dir": tmp_path / "run", "classifier": "logistic"}
    with pytest.raises(LfbtError, match="leads_dropout: has no effect with classifier logistic, only with adam"):
        ProbeSettings.create(**given, **DROPOUT)


@pytest.mark.parametrize("tune", [False, True], ids=["probe", "finetune"])
def test_series_is_not_resumed_with_other_lead_dropout(command, tune):
    off: dict[str, Any] = {"leads_dropout": 0.0, "lead_subsets": ()}
    for name, begun, resumed in (("on", {}, off), ("off", off, {}), ("more", {}, {"leads_dropout": 0.7})):
        command(name, tune, seeds=(0, 1), epochs=1, **begun)
        with pytest.raises(LfbtError, match=r"^resume: .*leads_dropout|^resume: .*lead_subsets") as caught:
            command(name, tune, seeds=(0, 1), epochs=1, resume=True, **resumed)
        # This version has the setting.
        assert "had no setting" not in str(caught.value)
        if name == "off":
            assert "leads_dropout is 0.6 but was 0.0" in str(caught.value)
