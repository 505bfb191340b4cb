"""The linear probe: features, the head by Adam, and what is written."""

import dataclasses
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from tests.evaluation.helpers import results_of
from tests.factories import CLASSES, KINDS, LABELS, ROWS, SPLIT, waves, write_checkpoint, write_labelled, write_packed
from tests.literal import literal_embeddings, z_score
from tests.outputs import assert_same_tensors, contents, read_lines

import lfbt
from lfbt.data.layouts import open_dataset
from lfbt.data.loader import epoch_batches
from lfbt.errors import LfbtError
from lfbt.evaluation import probing
from lfbt.evaluation.bootstrap import intervals
from lfbt.evaluation.classifiers import fit
from lfbt.evaluation.ecg_statistics import compute_statistics
from lfbt.evaluation.metrics import choose_thresholds, evaluate
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.rivals import compute_rival_features
from lfbt.evaluation.settings import ProbeSettings
from lfbt.models.encoder import EncoderConfig, estimate_batch_norm, random_encoder
from lfbt.models.features import compute_embeddings
from lfbt.models.heads import Head, load_head, save_head
from lfbt.models.pretrained import load_encoder, load_history
from lfbt.utils.tensors import load_tensors, seeded

TARGETS = np.array([CLASSES.index(label) for label in LABELS])


QUICK: dict[str, Any] = {"epochs": 4, "batch_size": 8, "learning_rate": (1e-2,), "device": "cpu", "workers": 0}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_labelled(tmp_path_factory.mktemp("probe") / "data")


@pytest.fixture(scope="module")
def base(data, checkpoint):
    """A finished probe with the quick settings; to be left as it is."""
    folder = data.with_name("base")
    run_probe(ProbeSettings.create(data_dir=data, run_dir=folder, checkpoint=checkpoint, **QUICK))
    return folder


@pytest.fixture
def run(data, checkpoint, tmp_path):
    """Probe with some settings changed; returns the run folder."""

    def go(name="run", **changes):
        settings = QUICK | {"data_dir": data, "checkpoint": checkpoint, "run_dir": tmp_path / name}
        run_probe(ProbeSettings.create(**(settings | changes)))
        return tmp_path / name

    return go


def head_of(folder):
    return load_tensors(folder / "head" / "model.safetensors")


def features_of(folder):
    return {split: np.load(folder / f"X_{split}.npy") for split in ROWS}


def used(folder, split):
    """The ids of the records that served as a split."""
    table = pd.read_csv(folder / "splits.csv")
    return table["id"][table["split"] == split].tolist()


def scored(probabilities, numbers, split, classes):
    """The results of a split: its metrics at the thresholds of validation and, of the test, intervals."""
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


def test_probe_separates_waves_that_differ(run, tmp_path):
    """Three waves, each sixteen times with a little noise, and a random encoder: no test record is mistaken."""
    noise = 0.05 * np.random.default_rng(1).standard_normal((48, 2, 64))
    data = write_labelled(tmp_path / "data", signals=waves([0, 1, 2])[KINDS] + noise)
    test = results_of(run(data_dir=data, checkpoint=None, random_encoder=True, epochs=20)).test
    assert (test.auroc, test.auprc, test.accuracy) == (1, 1, 1)
    assert test.confusion_matrix == [[4, 0, 0], [0, 4, 0], [0, 0, 4]]


def test_probe_writes_a_run_folder(base, data, checkpoint):
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
    of_data = {"folder": "data", "hash": open_dataset(data).hash, "classes": list(CLASSES), "counts": counts}
    assert dataclasses.replace(results.data, **of_data) == results.data
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


def test_probe_returns_results_as_written(data, checkpoint, tmp_path):
    (results,) = run_probe(
        ProbeSettings.create(data_dir=data, checkpoint=checkpoint, run_dir=tmp_path / "run", **QUICK)
    )
    assert results == results_of(tmp_path / "run")


def test_probe_writes_the_features_of_the_frozen_encoder(base, checkpoint, data):
    """Those of plain layers in double precision, to five digits of the largest; rows in the data set's order."""
    expected = literal_embeddings(load_encoder(checkpoint), np.load(data / "signals.npy"))
    for split, x in features_of(base).items():
        assert x.dtype == np.float32
        assert x.shape == (len(ROWS[split]), 128)
        literal = expected[ROWS[split]]
        np.testing.assert_allclose(x, literal, rtol=0, atol=1e-5 * np.abs(literal).max())
        y = np.load(base / f"y_{split}.npy")
        np.testing.assert_array_equal(y, TARGETS[ROWS[split]])


def test_compute_embeddings_sets_evaluation_mode(data, checkpoint):
    """Whatever mode the encoder was left in: its running statistics are used, and stay as they are."""
    encoder = load_encoder(checkpoint)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    x = compute_embeddings(encoder.train(), open_dataset(data), np.arange(48), torch.device("cpu"), 0, "test")
    assert_same_tensors(before, encoder.state_dict())
    expected = literal_embeddings(encoder, np.load(data / "signals.npy"))
    np.testing.assert_allclose(x.numpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("standardise", [False, True])
def test_fit_adam_equals_a_hand_written_loop(run, standardise):
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


def test_fit_adam_keeps_the_epoch_with_the_lowest_validation_loss(run, tmp_path):
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


def test_probe_writes_predictions_of_every_test_record(base):
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
def test_probe_learns_nothing_of_test_records(run, tmp_path, random_start):
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


def test_probe_uses_validation_records_for_the_epoch_only(run, tmp_path):
    """The encoder of a random start and every epoch's training loss are those of the training records."""
    changed = waves(KINDS)
    changed[24:36] = waves([0] * 12, seed=8)
    start = {"random_encoder": True, "checkpoint": None, "standardise": True}
    one = run("one", **start)
    two = run("two", data_dir=write_labelled(tmp_path / "other", signals=changed), **start)
    assert_same_tensors(load_encoder(one).state_dict(), load_encoder(two).state_dict())
    losses = [[line["train_loss"] for line in read_lines(folder / "history.jsonl")] for folder in (one, two)]
    assert losses[0] == losses[1]


def test_probe_is_repeatable(base, run):
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
def test_probe_ignores_no_setting(base, run, change):
    assert not torch.equal(head_of(base)["linear.weight"], head_of(run(**change))["linear.weight"])


def test_fit_adam_standardises_by_the_training_records(run):
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


def test_probe_fractions_are_stratified_nested_and_seeded(run):
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


def test_probe_of_a_random_encoder_estimates_its_norms(run, data):
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


def test_probe_of_some_leads_gives_their_features(base, run):
    folder = run(leads=("V1",))
    assert results_of(folder).leads == ["V1"]
    assert load_encoder(folder).config.leads == ("V1",)
    # The record is z-scored over the leads that are used: with one of two, not the same features as in both.
    data_set = open_dataset(base.with_name("data"))
    expected = literal_embeddings(load_encoder(folder), np.load(data_set.folder / "signals.npy")[:, 1:])
    for split, x in features_of(folder).items():
        literal = expected[ROWS[split]]
        np.testing.assert_allclose(x, literal, rtol=0, atol=1e-5 * np.abs(literal).max())


def test_probe_takes_leads_in_the_order_asked_for(base, run):
    swapped = run(leads=("V1", "II"))
    for split, x in features_of(base).items():
        both = features_of(swapped)[split]
        largest = np.abs(x).max()
        np.testing.assert_allclose(both, np.hstack([x[:, 64:], x[:, :64]]), rtol=0, atol=1e-5 * largest)


def test_probe_of_the_authors_folders_equals_the_packed_set(base, run, tmp_path):
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


def test_probe_reports_a_class_without_test_records(run, tmp_path):
    labels = [("fast" if split == "test" and LABELS[i] == "slow" else LABELS[i]) for i, split in enumerate(SPLIT)]
    folder = run(data_dir=write_labelled(tmp_path / "data", labels=labels))
    test = results_of(folder).test
    assert test.absent_classes == ["slow"]
    assert test.per_class["slow"].auroc is None
    assert test.auroc == pytest.approx(np.mean([test.per_class[name].auroc for name in ("fast", "middle")]))
    assert len(test.confusion_matrix) == 3
    assert results_of(folder).val.absent_classes == []


def test_probe_scores_a_test_of_one_record(run, tmp_path):
    keep = 37
    split = SPLIT[:keep]
    folder = run(
        data_dir=write_labelled(tmp_path / "d", signals=waves(KINDS)[:keep], labels=LABELS[:keep], split=split)
    )
    assert results_of(folder).test.records == 1
    assert results_of(folder).test.auroc is None


def test_probe_marks_synthetic_data(run, tmp_path):
    folder = run(data_dir=write_labelled(tmp_path / "synthetic", synthetic=True), epochs=1)
    assert results_of(folder).synthetic is True


def test_probe_allows_a_mismatch_if_asked_to(run, tmp_path):
    other = write_labelled(tmp_path / "other", signals=waves(KINDS, 2, 80), leads=("I", "V2"))
    folder = run(data_dir=other, allow_mismatch=True)
    assert results_of(folder).leads == ["II", "V1"]
    expected = literal_embeddings(load_encoder(folder), np.load(other / "signals.npy"))[ROWS["test"]]
    atol = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(features_of(folder)["test"], expected, rtol=0, atol=atol)


def test_probe_refuses_a_learning_rate_out_of_range(tmp_path):
    d, c = write_labelled(tmp_path / "d"), write_checkpoint(tmp_path / "c")
    with pytest.raises(LfbtError, match="learning_rate"):
        ProbeSettings.create(d, tmp_path / "p", c, epochs=2, batch_size=8, device="cpu", learning_rate=(1e38,))


def test_probe_weighs_batches_of_a_random_encoders_statistics_alike(tmp_path):
    """129 training records: two batches of 65 and 64, so that the last record does not weigh 1/2."""
    signals = waves([i % 3 for i in range(153)])
    signals[128] = 0
    signals[128, 0, 5] = 1
    labels = [("slow", "middle", "fast")[i % 3] for i in range(153)]
    d = write_packed(tmp_path / "d", signals, labels, ["train"] * 129 + ["val"] * 12 + ["test"] * 12)
    run_probe(ProbeSettings.create(d, tmp_path / "p", random_encoder=True, epochs=1, device="cpu"))
    got = load_encoder(tmp_path / "p").state_dict()
    whole = random_encoder(EncoderConfig(("II", "V1"), 6.4, 64), 0)
    batches = epoch_batches(np.arange(129), 128, seed=0, epoch=0)
    assert [len(batch) for batch in batches] == [65, 64]
    estimate_batch_norm(whole, [torch.from_numpy(z_score(signals[batch]).astype(np.float32)) for batch in batches])
    for name, tensor in whole.state_dict().items():
        if name.endswith("running_var"):
            torch.testing.assert_close(got[name], tensor, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("n", "fraction", "there"), [((30, 25), (1.0,), 24), ((13,), (0.5, 1.0), 12)])
def test_probe_refuses_more_neighbours_than_the_smallest_trial_has_records(
    data, checkpoint, tmp_path, n, fraction, there
):
    given = {"classifier": "knn", "neighbours": n, "fraction": fraction, "device": "cpu", "workers": 0}
    with pytest.raises(
        LfbtError, match=rf"neighbours: {min(n)} is more than the {there} training records .*; give {there} or fewer$"
    ):
        run_probe(ProbeSettings.create(data, tmp_path / "run", checkpoint, **given))
    assert not (tmp_path / "run").exists()


def test_probe_of_a_rival_has_its_features_alone_or_beside_the_encoders(run, base, data):
    """There is no classifier to write: `lfbt predict` computes no such features."""
    alone = run("alone", checkpoint=None, rival="statistics", seeds=(3,))
    both = run("both", rival="statistics", seeds=(3,))
    random = run("random", checkpoint=None, random_encoder=True, rival="minirocket", seeds=(3,))
    dataset = open_dataset(data)
    expected = compute_statistics(dataset.batch(np.arange(len(dataset)), "none"), dataset.sampling_rate)
    for split, rows in ROWS.items():
        np.testing.assert_array_equal(features_of(alone)[split], expected[rows])
        of_encoder = features_of(base)[split]
        np.testing.assert_array_equal(features_of(both)[split][:, : of_encoder.shape[1]], of_encoder)
        np.testing.assert_array_equal(features_of(both)[split][:, of_encoder.shape[1] :], expected[rows])
        assert features_of(random)[split].shape[1] == of_encoder.shape[1] + 9996
    methods = [results_of(folder).encoder.history["method"] for folder in (alone, both, random)]
    assert methods[0] == "statistics"
    assert methods[1].endswith(" + statistics")
    assert methods[2] == "random + minirocket"
    assert [lfbt.load_run(folder).title for folder in (alone, both)] == [
        "linear probe of statistics", f"linear probe of {methods[1]}",
    ]  # fmt: skip
    for folder in (alone, both, random):
        assert not (folder / "encoder").exists()
        assert not (folder / "head").exists()
    with pytest.raises(LfbtError):
        lfbt.load_classifier(alone)


def test_probe_of_a_rival_fits_it_to_the_training_records_of_each_fold(data, tmp_path, monkeypatch):
    """Not of the fraction: it needs no labels. Its features are those of all trials of a seed."""
    fitted = []

    def watched(rival, dataset, train, seed):
        fitted.append((len(train), seed))
        return compute_rival_features(rival, dataset, train, seed)

    monkeypatch.setattr(probing, "compute_rival_features", watched)
    trials = {"folds": 4, "fraction": (0.5, 1.0), "seeds": (0, 2), "device": "cpu"}
    run_probe(ProbeSettings.create(data, tmp_path / "run", rival="beats", classifier="logistic", **trials))
    assert [seed for _, seed in fitted] == [0] * 4 + [2] * 4
    table = pd.read_csv(tmp_path / "run" / "fraction-1-seed-0" / "splits.csv")
    counts = table[table["split"] == "train"].groupby("fold").size().tolist()
    assert [n for n, _ in fitted] == counts * 2


def test_probe_weighs_the_amplitudes_of_rich_features_beside_a_rival(run, monkeypatch):
    given = []

    def look(fold, settings, seed):
        given.append(fold)
        return fit(fold, settings, seed)

    monkeypatch.setattr(probing, "fit", look)
    run("rich", features="rich")
    run("both", features="rich", rival="statistics")
    rich, both = (one.weights.tolist() for one in given)
    assert 3.0 in rich
    assert both == rich + [1.0] * (len(both) - len(rich))
    assert len(both) > len(rich)


def test_probe_refuses_features_of_an_encoder_with_a_rival_alone(run):
    with pytest.raises(LfbtError, match="features: rich are an encoder's, and rival statistics has none"):
        run("alone", checkpoint=None, features="rich", rival="statistics")


def test_probe_refuses_a_rival_with_lead_subsets_and_two_encoders(run):
    with pytest.raises(LfbtError, match="lead_subsets: cannot be given with rival beats"):
        run(rival="beats", lead_subsets=(("II",),))
    with pytest.raises(LfbtError, match="checkpoint: give either"):
        run(rival="beats", random_encoder=True)
    with pytest.raises(LfbtError, match="rival: 'rocket' is not one of minirocket, statistics, beats"):
        run(rival="rocket")
