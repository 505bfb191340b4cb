"""The task that probe and fine-tuning share: folds, and what is refused."""

import functools
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from tests.evaluation.helpers import PATIENTS, features_of, logistic, predicted, results_of, table_of, targets_of
from tests.factories import (
    CLASSES,
    KINDS,
    LABELS,
    MULTI_LABELS,
    SPLIT,
    waves,
    write_labelled,
    write_multi_label,
    write_packed,
)
from tests.outputs import contents, read_lines

from lfbt.errors import LfbtError
from lfbt.evaluation.metrics import evaluate


def literal_folds(n_folds, labels, seed=0):
    """Rows of training, validation and test of each fold: patients dealt out by the rarest of their classes."""
    records_of = Counter(name for text in labels for name in text.split(";"))
    strata = {}
    for patient in PATIENTS:
        mine = {name for p, text in zip(PATIENTS, labels, strict=True) if p == patient for name in text.split(";")}
        strata[patient] = min(mine, key=lambda name: (records_of[name], CLASSES.index(name)))
    names = list(strata)
    dealt = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(names, list(strata.values()))
    fold_of = {names[i]: fold for fold, (_, test) in enumerate(dealt) for i in test}
    fold = np.array([fold_of[patient] for patient in PATIENTS])
    for k in range(n_folds):
        val = (k + 1) % n_folds
        yield np.flatnonzero((fold != k) & (fold != val)), np.flatnonzero(fold == val), np.flatnonzero(fold == k)


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
def test_folds_equal_a_hand_written_loop(run, data, multi, checkpoint, several):
    """Of one value nothing is chosen: all but the test fold is training. Of two each fold chooses, on the next fold."""
    place, labels = (multi, MULTI_LABELS) if several else (data, LABELS)
    x, y = features_of(checkpoint, place), targets_of(labels)

    def fitted(rows, c):
        if not several:
            return logistic(x[rows], y[rows].argmax(axis=1), c)
        of_each = [logistic(x[rows], of_class[rows], c) for of_class in y.T]
        return lambda features: np.stack([one(features)[:, 1] for one in of_each], axis=1)

    def loss(p, known):
        return (
            np.mean([log_loss(k, q, labels=[0, 1]) for k, q in zip(known.T, p.T, strict=True)])
            if several
            else (log_loss(known.argmax(axis=1), p, labels=[0, 1, 2]))
        )

    one, chosen, best, cs = np.empty((48, 3)), np.empty((48, 3)), [], (1.0, 0.03, 0.003)
    for train, val, test in literal_folds(4, labels):
        one[test] = fitted(np.sort(np.append(train, val)), 0.05)(x[test])
        models = {c: fitted(train, c) for c in cs}
        best.append(min(models, key=lambda c, models=models, val=val: loss(models[c](x[val]), y[val])))  # type: ignore[misc]
        chosen[test] = models[best[-1]](x[test])
    assert len(set(best)) > 1
    without = run("without", data_dir=place, classifier="logistic", c=(0.05,), folds=4)
    choosing = run("choosing", data_dir=place, classifier="logistic", c=cs, folds=4)
    for folder, expected in ((without, one), (choosing, chosen)):
        predictions = table_of(folder)
        assert predictions["id"].tolist() == [f"r{i}" for i in range(48)]
        assert predictions["label"].tolist() == labels
        np.testing.assert_allclose(predicted(folder), expected, rtol=0, atol=2e-3)
        found = evaluate(predicted(folder).astype(np.float32), y, CLASSES, exclusive=not several)
        test = results_of(folder).test
        assert (test.records, test.auroc) == (48, pytest.approx(found.auroc))
        assert test.intervals.patients == 24
    assert [one["c"] for one in results_of(choosing).chosen] == best
    assert results_of(without).val is results_of(without).val_loss is None
    assert results_of(choosing).val.records == 48


@pytest.mark.parametrize(
    ("kind", "several"),
    [("adam", False), ("adam", True), ("knn", False), ("adam of a random encoder", False), ("finetune", True)],
    ids=lambda value: value if isinstance(value, str) else "several labels" if value else "one label",
)
def test_folds_equal_plain_runs_on_their_splits(run, data, multi, tmp_path, kind, several):
    """Bit by bit: the probabilities, the history, and what was chosen. The encoder begins as it was in every fold."""
    place, labels = (multi, MULTI_LABELS) if several else (data, LABELS)
    given: dict[str, Any] = {"tune": True} if kind == "finetune" else {"classifier": kind.split()[0]}
    given |= {"neighbours": (3, 9)} if kind == "knn" else {}
    if kind.endswith("encoder"):
        given |= {"checkpoint": None, "random_encoder": True}
    folder = run("folds", data_dir=place, folds=3, split_seed=5, **given)
    whole, results = table_of(folder).set_index("id"), results_of(folder)
    lines = read_lines(folder / "history.jsonl")
    for k, rows in enumerate(literal_folds(3, labels, seed=5)):
        split = np.full(48, "train ")
        for name, chosen in zip(("train", "val", "test"), rows, strict=True):
            split[chosen] = name
        write = write_multi_label if several else write_labelled
        own = write(
            tmp_path / f"data{k}", signals=np.load(place / "signals.npy"), patients=PATIENTS, split=split.tolist()
        )
        alone = run(f"alone{k}", data_dir=own, **given)
        pd.testing.assert_frame_equal(table_of(alone).set_index("id"), whole.loc[[f"r{i}" for i in rows[2]]])
        assert [{"fold": k} | line for line in read_lines(alone / "history.jsonl")] == [
            line for line in lines if line["fold"] == k
        ]
        assert results.chosen[k] == results_of(alone).chosen
        assert results.data.training_records == len(rows[0])


@pytest.mark.parametrize("random_start", [False, True])
def test_folds_learn_nothing_of_their_test_records(run, data, tmp_path, random_start):
    """Not on what is learned and chosen there, nor on the statistics of a random encoder."""
    given: dict[str, Any] = {"folds": 3, "learning_rate": (1e-2, 1e-3)}
    given |= {"random_encoder": True, "checkpoint": None} if random_start else {}
    one = run("one", **given)
    rows = list(literal_folds(3, LABELS))[1][2]
    signals = np.load(data / "signals.npy")
    signals[rows] = waves([0] * len(rows), seed=9)
    two = run("two", data_dir=write_labelled(tmp_path / "other", signals=signals, patients=PATIENTS), **given)
    for k in range(3):
        lines = [[line for line in read_lines(folder / "history.jsonl") if line["fold"] == k] for folder in (one, two)]
        assert (lines[0] == lines[1]) == (k == 1)
    assert results_of(one).chosen[1] == results_of(two).chosen[1]
    assert not np.allclose(predicted(one)[rows], predicted(two)[rows])


def test_open_task_cross_validates_a_data_set_without_splits(run, data, tmp_path):
    other = write_labelled(
        tmp_path / "d", signals=np.load(data / "signals.npy"), split=["train"] * 48, patients=PATIENTS
    )
    one, two = run("one", data_dir=other, folds=4), run("two", folds=4)
    np.testing.assert_array_equal(predicted(one), predicted(two))
    with pytest.raises(LfbtError, match=r"split val has no records; prepare .* or cross-validate with --folds"):
        run("three", data_dir=other)


def test_open_task_takes_two_folds_where_nothing_is_chosen(run):
    for classifier, single in (("logistic", {"c": (0.1,)}), ("knn", {"neighbours": (5,)})):
        folder = run(classifier, folds=2, classifier=classifier, **single)
        assert results_of(folder).data.training_records == 24


def test_open_task_refuses_a_record_without_a_label_among_several(run, tmp_path):
    write_multi_label(tmp_path / "data", labels=["", *MULTI_LABELS[1:]])
    with pytest.raises(LfbtError, match="record r0 has no label; a classifier needs one or more"):
        run(data_dir=tmp_path / "data")


def test_open_task_refuses_test_records_that_the_encoder_was_fine_tuned_on(run, tmp_path):
    """Its own test records are not among them; in folds the others are. Of slower rates than this nothing is known."""
    data = write_labelled(tmp_path / "longer", signals=waves(KINDS, n_samples=320))
    run = functools.partial(run, data_dir=data, epochs=1)
    tuned = run("tuned", tune=True, checkpoint=None, from_scratch=True)
    with pytest.raises(LfbtError, match=r"36 of 48 test records .* has learned from"):
        run("folds", checkpoint=tuned, folds=4)
    run("allowed", checkpoint=tuned, folds=4, allow_test_records=True)
    run("test", checkpoint=tuned)


@pytest.mark.parametrize("missing", ["train", "val", "test"])
def test_open_task_refuses_a_data_set_without_a_split(command, tmp_path, missing):
    split = ["train" if name == missing != "train" else "val" if name == missing else name for name in SPLIT]
    write_labelled(tmp_path / "data", split=split)
    with pytest.raises(LfbtError, match=f"data: split {missing} has no records"):
        command(data_dir=tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["slow"] * 48}, r"1 class \(slow\); a classifier needs two or more"),
        ({"labels": [""] * 48}, r"0 classes \(no labels\); a classifier needs two or more"),
        ({"labels": ["", *LABELS[1:]]}, "record r0 has no label"),
        ({"labels": ["slow"] * 24 + LABELS[24:]}, "the training records are all of class slow"),
        ({"leads": ("II", "V2")}, "does not fit the encoder: leads II,V2 against the encoder's II,V1"),
        ({"sampling_rate": 50.0}, "50 Hz against the encoder's 6.4 Hz"),
        ({"signals": waves(KINDS, 2, 80)}, "8 Hz against the encoder's 6.4 Hz; 80 samples against the encoder's 64"),
    ],
)
def test_open_task_refuses_unsuitable_data_sets(command, tmp_path, changes, message):
    write_labelled(tmp_path / "data", **changes)
    with pytest.raises(LfbtError, match=message):
        command(data_dir=tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_commands_leave_nothing_of_a_run_that_fails(command, tmp_path):
    """A record that cannot be used comes up only when it is read."""
    signals = waves(KINDS)
    signals[40, 1, 5] = np.nan
    write_packed(tmp_path / "data", signals, LABELS, SPLIT, hash="x")
    with pytest.raises(LfbtError, match="record r40 holds NaN or infinity"):
        command(data_dir=tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_commands_refuse_an_occupied_folder(command, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text("{}")
    with pytest.raises(LfbtError, match=r"run: has results\.json, but no predictions\.csv any more"):
        command()
    (tmp_path / "run" / "predictions.csv").write_text("")
    with pytest.raises(LfbtError, match="run: holds other results already"):
        command()
    assert contents(tmp_path / "run") == {"results.json": b"{}", "predictions.csv": b""}


@pytest.mark.parametrize(
    ("changes", "said", "differing"),
    [
        (
            {"classifier": "logistic", "c": (0.1, 1.0)},
            "logistic regression on 128 frozen features a record",
            "classifier logistic, c 0.1,1",
        ),
        ({"tune": True}, "encoder and linear layer, 1 epoch", "epochs 1, batch size 12, learning rate 0.001"),
    ],
)
def test_describe_task_says_what_is_fitted_on_which_records(run, capfd, changes, said, differing):
    run(**changes)
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("records: ")]
    assert line.startswith(f"records: 24 train, 12 val, 12 test; 2 leads, 3 classes; {said}; cpu, ")
    assert line.endswith(f"; unlike the defaults {differing}")


def test_describe_task_counts_folds(run, capfd):
    run(classifier="knn", folds=4, neighbours=3)
    assert "records: 48 in 4 folds; 2 leads" in capfd.readouterr().err
