"""The linear probe, and what it shares with fine-tuning: the head, the task, the results and what is refused."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from tests.helpers_model import (
    CLASSES,
    KINDS,
    LABELS,
    ROWS,
    SPLIT,
    assert_same_tensors,
    contents,
    literal_embeddings,
    read_lines,
    waves,
    write_checkpoint,
    write_labelled,
    write_packed,
)

import lfbt
from lfbt.data.dataset import open_dataset
from lfbt.data.loader import epoch_batches
from lfbt.errors import LfbtError
from lfbt.evaluation.bootstrap import intervals
from lfbt.evaluation.fine_tuning import finetune
from lfbt.evaluation.metrics import choose_thresholds, evaluate
from lfbt.evaluation.probing import probe
from lfbt.evaluation.settings import FinetuneSettings, ProbeSettings
from lfbt.models.encoder import EncoderConfig, random_encoder
from lfbt.models.features import compute_embeddings
from lfbt.models.heads import Head, load_head, save_head
from lfbt.models.pretrained import load_encoder, load_history
from lfbt.runs.results import Results
from lfbt.utils.tensors import load_tensors, seeded

TARGETS = np.array([CLASSES.index(label) for label in LABELS])
QUICK: dict[str, Any] = {"epochs": 4, "batch_size": 8, "learning_rate": (1e-2,), "device": "cpu", "workers": 0}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_labelled(tmp_path_factory.mktemp("probe") / "data")


@pytest.fixture(scope="module")
def checkpoint(data):
    return write_checkpoint(data.with_name("checkpoint"))


@pytest.fixture(scope="module")
def base(data, checkpoint):
    """A finished probe with the quick settings; to be left as it is."""
    folder = data.with_name("base")
    probe(ProbeSettings.create(data_dir=data, run_dir=folder, checkpoint=checkpoint, **QUICK))
    return folder


@pytest.fixture
def run(data, checkpoint, tmp_path):
    """Probe with some settings changed; returns the run folder."""

    def go(name="run", **changes):
        settings = QUICK | {"data_dir": data, "checkpoint": checkpoint, "run_dir": tmp_path / name}
        probe(ProbeSettings.create(**(settings | changes)))
        return tmp_path / name

    return go


def head_of(folder):
    return load_tensors(folder / "head" / "model.safetensors")


def results_of(folder) -> Any:
    return Results.load(folder)


def features_of(folder):
    return {split: np.load(folder / f"X_{split}.npy") for split in ROWS}


def used(folder, split):
    """The ids of the records that served as a split."""
    table = pd.read_csv(folder / "splits.csv")
    return table["id"][table["split"] == split].tolist()


def scored(probabilities, numbers, split, classes):
    """What the results say of a split: its metrics at the thresholds of validation and, of the test, intervals."""
    known = {name: y[:, None] == np.arange(len(classes)) for name, y in numbers.items()}
    thresholds = choose_thresholds(probabilities["val"], known["val"])
    found = evaluate(probabilities[split], known[split], classes, thresholds)
    if split == "test":
        patients = [f"p{i}" for i in ROWS["test"]]
        p, y = probabilities["test"], known["test"]
        found = dataclasses.replace(found, intervals=intervals(p, y, patients, True, thresholds, classes=classes))
    return found


def assert_same_learning(one, other):
    """The same head, bit by bit, from the same history and the same epoch of it."""
    assert_same_tensors(head_of(one), head_of(other))
    assert read_lines(one / "history.jsonl") == read_lines(other / "history.jsonl")
    assert results_of(one).chosen == results_of(other).chosen


def test_waves_that_differ_are_told_apart(run, tmp_path):
    """Three waves, each sixteen times with a little noise, and a random encoder: no test record is mistaken."""
    noise = 0.05 * np.random.default_rng(1).standard_normal((48, 2, 64))
    data = write_labelled(tmp_path / "data", signals=waves([0, 1, 2])[KINDS] + noise)
    test = results_of(run(data_dir=data, checkpoint=None, random_encoder=True, epochs=20)).test
    assert (test.auroc, test.auprc, test.accuracy) == (1, 1, 1)
    assert test.confusion_matrix == [[4, 0, 0], [0, 4, 0], [0, 0, 4]]


def test_the_run_folder(base, data, checkpoint):
    names = [f"{x}_{split}.npy" for x in "Xy" for split in ("test", "train", "val")]
    expected = sorted([*names, "encoder", "head", "history.jsonl", "predictions.csv", "results.json", "splits.csv"])
    assert sorted(path.name for path in base.iterdir()) == expected
    # The encoder is the checkpoint's, untouched.
    assert_same_tensors(load_encoder(base).state_dict(), load_encoder(checkpoint).state_dict())
    results = results_of(base)
    assert results.kind == "probe"
    assert results.lfbt_version == lfbt.__version__
    assert results.synthetic is False
    counts = {split: dict.fromkeys(CLASSES, len(rows) // 3) for split, rows in ROWS.items()}
    told = {"folder": "data", "hash": open_dataset(data).hash, "classes": list(CLASSES), "counts": counts}
    assert dataclasses.replace(results.data, **told) == results.data
    assert results.leads == ["II", "V1"]
    start = {"checkpoint": "checkpoint", "history": {"method": "test", "epochs_done": 7}}
    assert dataclasses.asdict(results.encoder) == start
    assert load_history(base) == {"kind": "probe", "start": start}
    settings = results.settings
    assert settings | json.loads(json.dumps(QUICK)) == settings
    assert settings["data_dir"] == str(data)
    assert used(base, "train") == [f"r{i}" for i in ROWS["train"]]
    assert used(base, "val") == [f"r{i}" for i in ROWS["val"]]
    assert used(base, "test") == [f"r{i}" for i in ROWS["test"]]


def test_results_are_returned_as_they_are_written(data, checkpoint, tmp_path):
    (results,) = probe(ProbeSettings.create(data_dir=data, checkpoint=checkpoint, run_dir=tmp_path / "run", **QUICK))
    assert results == results_of(tmp_path / "run")


def test_features_are_the_frozen_encoders(base, checkpoint, data):
    """Those of plain layers in double precision, to five digits of the largest; rows in the data set's order."""
    expected = literal_embeddings(load_encoder(checkpoint), np.load(data / "signals.npy"))
    for split, x in features_of(base).items():
        assert x.dtype == np.float32
        assert x.shape == (len(ROWS[split]), 128)
        literal = expected[ROWS[split]]
        np.testing.assert_allclose(x, literal, rtol=0, atol=1e-5 * np.abs(literal).max())
        y = np.load(base / f"y_{split}.npy")
        np.testing.assert_array_equal(y, TARGETS[ROWS[split]])


def test_features_are_computed_in_evaluation_mode(data, checkpoint):
    """Whatever mode the encoder was left in: its running statistics are used, and stay as they are."""
    encoder = load_encoder(checkpoint)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    x = compute_embeddings(encoder.train(), open_dataset(data), np.arange(48), torch.device("cpu"), 0, "test")
    assert_same_tensors(before, encoder.state_dict())
    expected = literal_embeddings(encoder, np.load(data / "signals.npy"))
    np.testing.assert_allclose(x.numpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("standardise", [False, True])
def test_the_head_equals_a_hand_written_loop(run, standardise):
    """Adam on the written features from the seed's weights; single precision keeps four digits over 16 steps."""
    folder = run(standardise=standardise, seeds=(3,), epochs=5)
    x = {split: torch.from_numpy(features) for split, features in features_of(folder).items()}
    y = {split: torch.from_numpy(np.load(folder / f"y_{split}.npy")) for split in ROWS}
    mean, std = torch.zeros(128), torch.ones(128)
    if standardise:
        mean, std = x["train"].mean(dim=0), x["train"].std(dim=0, correction=0)
        std[std == 0] = 1
    with seeded(3):
        linear = torch.nn.Linear(128, 3)
    optimizer = torch.optim.Adam(linear.parameters(), lr=1e-2, foreach=False, fused=False)
    history, states = [], []
    for epoch in range(5):
        total = 0.0
        for batch in epoch_batches(np.arange(24), 8, 3, epoch):
            loss = F.cross_entropy(linear((x["train"][batch] - mean) / std), y["train"][batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        with torch.no_grad():
            history.append((total / 24, F.cross_entropy(linear((x["val"] - mean) / std), y["val"]).item()))
            states.append((linear.weight.clone(), linear.bias.clone()))
    lines = read_lines(folder / "history.jsonl")
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5]
    for line, (train_loss, val_loss) in zip(lines, history, strict=True):
        assert line["train_loss"] == pytest.approx(train_loss, rel=1e-4)
        assert line["val_loss"] == pytest.approx(val_loss, rel=1e-4)
    best = results_of(folder).chosen["epoch"]
    head = head_of(folder)
    torch.testing.assert_close(head["linear.weight"], states[best - 1][0], rtol=0, atol=1e-5)
    torch.testing.assert_close(head["linear.bias"], states[best - 1][1], rtol=0, atol=1e-5)
    torch.testing.assert_close(head["mean"], mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(head["std"], std, rtol=0, atol=1e-6)


def test_the_epoch_with_the_lowest_validation_loss_is_kept(run, tmp_path):
    """Four of the twelve validation labels are moved on by one class: after some epochs, validation suffers."""
    labels = [LABELS[i + 1] if 24 <= i < 28 else LABELS[i] for i in range(48)]
    folder = run(data_dir=write_labelled(tmp_path / "data", labels=labels), epochs=12)
    results, losses = results_of(folder), [line["val_loss"] for line in read_lines(folder / "history.jsonl")]
    assert 1 < results.chosen["epoch"] == np.argmin(losses) + 1 < 12
    assert results.val_loss == min(losses)
    # What is kept is the head of that epoch, and validation and test are scored with it.
    head, classes = load_head(folder / "head")
    x = {split: torch.from_numpy(features) for split, features in features_of(folder).items()}
    y = {split: np.load(folder / f"y_{split}.npy") for split in ROWS}
    with torch.no_grad():
        loss = F.cross_entropy(head(x["val"]), torch.from_numpy(y["val"])).item()
        p = {split: head(x[split]).softmax(dim=1).numpy() for split in ("val", "test")}
    assert loss == pytest.approx(min(losses), rel=1e-5)
    for split in ("val", "test"):
        assert getattr(results, split) == scored(p, y, split, classes)
    # Training no further gives the same head.
    shorter = run("shorter", data_dir=tmp_path / "data", epochs=results.chosen["epoch"])
    assert_same_tensors(head_of(folder), head_of(shorter))


def test_predictions_name_every_test_record(base):
    """Probabilities of the kept head in the order of the classes, from which the test's figures follow."""
    predictions = pd.read_csv(base / "predictions.csv")
    assert list(predictions) == ["id", "patient", "label", "p_fast", "p_middle", "p_slow"]
    assert predictions["id"].tolist() == [f"r{i}" for i in ROWS["test"]]
    assert predictions["patient"].tolist() == [f"p{i}" for i in ROWS["test"]]
    assert predictions["label"].tolist() == [LABELS[i] for i in ROWS["test"]]
    head, classes = load_head(base / "head")
    assert classes == CLASSES
    with torch.no_grad():
        expected = head(torch.from_numpy(features_of(base)["test"])).softmax(dim=1).numpy()
    p = predictions[["p_fast", "p_middle", "p_slow"]].to_numpy()
    # Written as single precision in decimals.
    np.testing.assert_allclose(p, expected, rtol=1e-6)
    x = torch.from_numpy(features_of(base)["val"])
    with torch.no_grad():
        val = head(x).softmax(dim=1).numpy()
    y = {split: TARGETS[rows] for split, rows in ROWS.items()}
    assert scored({"val": val, "test": expected}, y, "test", CLASSES) == results_of(base).test


@pytest.mark.parametrize("random_start", [False, True])
def test_test_records_have_no_influence(run, tmp_path, random_start):
    """Other test signals and labels: the same head, history and kept epoch, and the same encoder."""
    changed = waves(KINDS)
    changed[36:] = waves([0] * 12, seed=8)
    labels = LABELS[:36] + ["fast"] * 8 + ["slow"] * 4
    other = write_labelled(tmp_path / "other", signals=changed, labels=labels)
    start = {"random_encoder": True, "checkpoint": None} if random_start else {}
    one, two = run("one", **start), run("two", data_dir=other, **start)
    assert_same_learning(one, two)
    assert_same_tensors(load_encoder(one).state_dict(), load_encoder(two).state_dict())
    assert results_of(one).test != results_of(two).test
    assert results_of(one).val == results_of(two).val


def test_validation_records_decide_on_the_epoch_only(run, tmp_path):
    """The encoder of a random start and every epoch's training loss are those of the training records."""
    changed = waves(KINDS)
    changed[24:36] = waves([0] * 12, seed=8)
    start = {"random_encoder": True, "checkpoint": None, "standardise": True}
    one = run("one", **start)
    two = run("two", data_dir=write_labelled(tmp_path / "other", signals=changed), **start)
    assert_same_tensors(load_encoder(one).state_dict(), load_encoder(two).state_dict())
    losses = [[line["train_loss"] for line in read_lines(folder / "history.jsonl")] for folder in (one, two)]
    assert losses[0] == losses[1]


def test_the_same_command_gives_the_same_results(base, run):
    torch.manual_seed(9)
    again = run(workers=2)
    assert_same_learning(base, again)
    ours, theirs = contents(base), contents(again)
    del ours["results.json"], theirs["results.json"]
    assert ours == theirs


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": (1,)},
        {"learning_rate": (1e-3,)},
        {"batch_size": 24},
        {"epochs": 1},
        {"standardise": True},
        {"fraction": (0.5,)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_no_setting_is_ignored(base, run, change):
    assert not torch.equal(head_of(base)["linear.weight"], head_of(run(**change))["linear.weight"])


def test_standardised_features_have_the_training_records_mean_and_deviation(run):
    folder = run(standardise=True)
    x, head = features_of(folder)["train"].astype(float), head_of(folder)
    np.testing.assert_allclose(head["mean"], x.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(head["std"], np.where(x.std(axis=0) > 0, x.std(axis=0), 1), rtol=1e-4, atol=1e-6)


def test_a_head_by_hand():
    head = Head(2, 2)
    head.standardise(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    # Mean 2 and 5; deviation 1, and nothing for a constant, which is only centred.
    assert head.mean.tolist() == [2, 5]
    assert head.std.tolist() == [1, 1]
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        head.linear.bias.copy_(torch.tensor([0.5, 0.0]))
    assert head(torch.tensor([[4.0, 6.0]])).tolist() == [[2.5, 2.0]]


def test_a_head_comes_back_bit_by_bit(tmp_path):
    head = Head(6, 3)
    head.standardise(torch.randn(5, 6, generator=torch.Generator().manual_seed(0)))
    save_head(tmp_path / "head", head, ("x", "y z", "ü"))
    loaded, classes = load_head(tmp_path / "head")
    assert classes == ("x", "y z", "ü")
    assert not loaded.training
    assert_same_tensors(head.state_dict(), loaded.state_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["a", "b"]}, "does not hold the weights"),
        ({"n_inputs": 7}, "does not hold the weights"),
        ({"n_inputs": "many"}, "does not describe a classifier"),
        ({"classes": None}, "does not describe a classifier"),
    ],
)
def test_a_head_that_is_not_whole_is_refused(tmp_path, changes, message):
    save_head(tmp_path / "head", Head(6, 3), "abc")
    path = tmp_path / "head" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(LfbtError, match=message):
        load_head(tmp_path / "head")


def test_fractions_are_stratified_nested_and_seeded(run):
    folders = {part: run(f"part-{part}", fraction=(part,), epochs=1) for part in (0.125, 0.3, 0.5, 1.0)}
    chosen = {part: used(folder, "train") for part, folder in folders.items()}
    # Eight records a class: 1, ⌈2.4⌉, 4 and 8 of each.
    for part, each in ((0.125, 1), (0.3, 3), (0.5, 4), (1.0, 8)):
        assert results_of(folders[part]).data.counts["train"] == dict.fromkeys(CLASSES, each)
        assert sorted(np.load(folders[part] / "y_train.npy")) == [0] * each + [1] * each + [2] * each
        assert len(features_of(folders[part])["train"]) == 3 * each
        assert [LABELS[int(name[1:])] for name in chosen[part]].count("slow") == each
        assert results_of(folders[part]).fraction == part
        # Validation and test stay whole.
        assert used(folders[part], "val") == used(folders[1.0], "val")
        assert used(folders[part], "test") == used(folders[1.0], "test")
    assert set(chosen[0.125]) < set(chosen[0.3]) < set(chosen[0.5]) < set(chosen[1.0])
    assert used(run("again", fraction=(0.5,), epochs=2), "train") == chosen[0.5]
    assert used(run("other", fraction=(0.5,), epochs=1, seeds=(1,)), "train") != chosen[0.5]


def test_a_random_encoder_has_its_norms_estimated(run, data):
    """On the training records alone, and drawn from the seed."""
    start = {"random_encoder": True, "checkpoint": None, "epochs": 1}
    folder = run("one", **start, seeds=(4,))
    encoder = load_encoder(folder)
    assert encoder.config == EncoderConfig(("II", "V1"), 6.4, 64, "record", 0.125)
    drawn = random_encoder(encoder.config, 4)
    assert_same_tensors(dict(drawn.named_parameters()), dict(encoder.named_parameters()))
    norm = "encoders.II.norms.0."
    state = encoder.state_dict()
    assert state[norm + "num_batches_tracked"] == 1
    signals = torch.from_numpy(open_dataset(data).batch(np.arange(24), "record"))
    entry = F.conv1d(signals[:, :1], state["encoders.II.convolutions.0.weight"], padding=1)
    entry += state["encoders.II.convolutions.0.bias"][:, None]
    torch.testing.assert_close(state[norm + "running_mean"], entry.mean(dim=(0, 2)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(state[norm + "running_var"], entry.transpose(0, 1).flatten(1).var(1), rtol=1e-4, atol=0)
    results = results_of(folder)
    assert dataclasses.asdict(results.encoder) == {"checkpoint": None, "history": {"method": "random", "seed": 4}}
    other = load_encoder(run("two", **start, seeds=(5,)))
    name = "encoders.V1.convolutions.3.weight"
    assert not torch.equal(state[name], other.state_dict()[name])


def test_a_subset_of_leads_gives_their_features(base, run):
    folder = run(leads=("V1",))
    assert results_of(folder).leads == ["V1"]
    assert load_encoder(folder).config.leads == ("V1",)
    # The record is z-scored over the leads that are used: with one of two, not the same features as in both.
    data_set = open_dataset(base.with_name("data"))
    expected = literal_embeddings(load_encoder(folder), np.load(data_set.folder / "signals.npy")[:, 1:])
    for split, x in features_of(folder).items():
        literal = expected[ROWS[split]]
        np.testing.assert_allclose(x, literal, rtol=0, atol=1e-5 * np.abs(literal).max())


def test_leads_are_put_in_the_order_asked_for(base, run):
    swapped = run(leads=("V1", "II"))
    for split, x in features_of(base).items():
        both = features_of(swapped)[split]
        largest = np.abs(x).max()
        np.testing.assert_allclose(both, np.hstack([x[:, 64:], x[:, :64]]), rtol=0, atol=1e-5 * largest)


def test_the_authors_folders(base, run, tmp_path):
    """DIR/{train,val,test}/CLASS/*.npy: the same features as the packed set's, record by record."""
    for i, signal in enumerate(waves(KINDS)):
        folder = tmp_path / "npy" / SPLIT[i] / LABELS[i]
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"r{i}.npy", signal)
    (tmp_path / "npy" / "dataset.json").write_text(json.dumps({"leads": ["II", "V1"]}))
    folder = run(data_dir=tmp_path / "npy", num_classes=3)
    assert results_of(folder).data.classes == list(CLASSES)
    for split, x in features_of(folder).items():
        names = used(folder, split)
        assert all(name.startswith(f"{split}/") for name in names)
        rows = [int(name.rsplit("/r", 1)[1]) - ROWS[split][0] for name in names]
        np.testing.assert_allclose(x, features_of(base)[split][rows], rtol=0, atol=1e-5 * np.abs(x).max())
        np.testing.assert_array_equal(np.load(folder / f"y_{split}.npy"), np.load(base / f"y_{split}.npy")[rows])


def test_a_class_missing_from_the_test_is_reported(run, tmp_path):
    labels = [("fast" if split == "test" and LABELS[i] == "slow" else LABELS[i]) for i, split in enumerate(SPLIT)]
    folder = run(data_dir=write_labelled(tmp_path / "data", labels=labels))
    test = results_of(folder).test
    assert test.absent_classes == ["slow"]
    assert test.per_class["slow"].auroc is None
    assert test.auroc == pytest.approx(np.mean([test.per_class[name].auroc for name in ("fast", "middle")]))
    assert len(test.confusion_matrix) == 3
    assert results_of(folder).val.absent_classes == []


def test_a_test_of_one_record_is_scored(run, tmp_path):
    keep = 37
    split = SPLIT[:keep]
    folder = run(
        data_dir=write_labelled(tmp_path / "d", signals=waves(KINDS)[:keep], labels=LABELS[:keep], split=split)
    )
    assert results_of(folder).test.records == 1
    assert results_of(folder).test.auroc is None


def test_synthetic_data_leaves_its_mark(run, tmp_path):
    folder = run(data_dir=write_labelled(tmp_path / "made", synthetic=True), epochs=1)
    assert results_of(folder).synthetic is True


# What is refused, alike by the probe and by fine-tuning


@pytest.fixture(params=["probe", "finetune"])
def command(request, data, checkpoint, tmp_path):
    """Probe or fine-tune into a folder that must not be there afterwards."""

    def go(**changes):
        random_start = changes.pop("random_start", False)
        rate = changes.pop("learning_rate", 1e-2)
        settings = QUICK | {"data_dir": data, "checkpoint": checkpoint, "run_dir": tmp_path / "run"} | changes
        if request.param == "probe":
            probe(ProbeSettings.create(**settings | {"random_encoder": random_start, "learning_rate": (rate,)}))
        else:
            finetune(FinetuneSettings.create(**settings | {"from_scratch": random_start, "learning_rate": rate}))

    return go


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs: 0 "),
        ({"batch_size": 1}, "batch-size: 1 "),
        ({"learning_rate": 0.0}, r"learning-rate: 0\.0 "),
        ({"learning_rate": math.inf}, "learning-rate: inf "),
        ({"seeds": (-1,)}, "seeds: -1 "),
        ({"workers": -1}, "workers: -1 "),
        ({"fraction": (0.0,)}, r"fraction: 0\.0 is outside \(0, 1\]"),
        ({"fraction": (1.5,)}, r"fraction: 1\.5 is outside \(0, 1\]"),
        ({"num_classes": 4}, "num-classes: 4 contradicts the 3 classes of .*: fast, middle, slow"),
        ({"checkpoint": None}, "checkpoint: give either --checkpoint, or --random-encoder"),
        ({"random_start": True}, "checkpoint: give either --checkpoint, or --random-encoder"),
        ({"device": "abacus"}, "device: 'abacus' cannot be used"),
        ({"leads": ("V9",)}, "lead V9: the encoder has none of that name; it has II,V1"),
        ({"checkpoint": None, "random_start": True, "leads": ("V9",)}, "lead V9: not in the data set"),
    ],
    ids=lambda value: "-".join(f"{k}-{v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_settings_out_of_range_are_refused(command, tmp_path, changes, message):
    with pytest.raises(LfbtError, match=message):
        command(**changes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["train", "val", "test"])
def test_a_data_set_without_a_split_is_refused(command, tmp_path, missing):
    split = ["train" if name == missing != "train" else "val" if name == missing else name for name in SPLIT]
    write_labelled(tmp_path / "data", split=split)
    with pytest.raises(LfbtError, match=f"data: split {missing} has no records"):
        command(data_dir=tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["slow"] * 48}, r"1 class\(es\) \(slow\); a classifier needs two or more"),
        ({"labels": [""] * 48}, r"0 class\(es\) \(no labels\); a classifier needs two or more"),
        ({"labels": ["", *LABELS[1:]]}, "record r0 has no label"),
        ({"labels": ["slow"] * 24 + LABELS[24:]}, "the training records are all of class slow"),
        ({"leads": ("II", "V2")}, "does not fit the encoder: leads II,V2 against the encoder's II,V1"),
        ({"sampling_rate": 50.0}, "50 Hz against the encoder's 6.4 Hz"),
        ({"signals": waves(KINDS, 2, 80)}, "8 Hz against the encoder's 6.4 Hz; 80 samples against the encoder's 64"),
    ],
)
def test_data_sets_that_do_not_serve_are_refused(command, tmp_path, changes, message):
    write_labelled(tmp_path / "data", **changes)
    with pytest.raises(LfbtError, match=message):
        command(data_dir=tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_whoever_insists_may_use_other_leads_and_samples(run, tmp_path):
    other = write_labelled(tmp_path / "other", signals=waves(KINDS, 2, 80), leads=("I", "V2"))
    folder = run(data_dir=other, allow_mismatch=True)
    assert results_of(folder).leads == ["II", "V1"]
    expected = literal_embeddings(load_encoder(folder), np.load(other / "signals.npy"))[ROWS["test"]]
    atol = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(features_of(folder)["test"], expected, rtol=0, atol=atol)


def test_nothing_is_left_of_a_run_that_fails(command, tmp_path):
    """A record that cannot be used comes up only when it is read."""
    signals = waves(KINDS)
    signals[40, 1, 5] = np.nan
    write_packed(tmp_path / "data", signals, LABELS, SPLIT, hash="x")
    with pytest.raises(LfbtError, match="record r40 holds NaN or infinity"):
        command(data_dir=tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_another_runs_folder_is_refused(command, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text("{}")
    with pytest.raises(LfbtError, match="run: holds other results already"):
        command()
    assert contents(tmp_path / "run") == {"results.json": b"{}"}


def test_defaults_are_the_papers(tmp_path):
    probing, tuning = ProbeSettings.create(tmp_path, tmp_path), FinetuneSettings.create(tmp_path, tmp_path)
    fitting, training = probing.fitting, tuning.training
    assert (fitting.classifier, fitting.learning_rate, training.learning_rate) == ("adam", (1e-3,), 1e-4)
    assert (fitting.epochs, fitting.batch_size) == (training.epochs, training.batch_size) == (100, 128)
    for trials in (probing.trials, tuning.trials):
        assert (trials.fraction, trials.seeds) == ((1.0,), (0,))
    assert not fitting.standardise
