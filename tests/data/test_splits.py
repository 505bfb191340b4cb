"""Splits: patient-disjoint, of exact sizes, stratified, seeded; fractions of labels nested."""

import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfbt.data.splits import assign_splits, patient_folds, split_by_patient, stratified_fraction
from lfbt.errors import LfbtError
from lfbt.sources.listing import SPLITS, Entry

#: Records as (patient, label): few patients with many records, rare labels, in any order.
RECORDS = st.lists(st.tuples(st.integers(0, 30), st.sampled_from("aaaabbc")), min_size=1, max_size=80)


def split(records, test=0.2, val=0.1, seed=0):
    return split_by_patient([str(patient) for patient, _ in records], [label for _, label in records], test, val, seed)


def sizes(n_patients, test, val):
    """How many patients each split has, rounded as scikit-learn does."""
    n_test = math.ceil(test * n_patients)
    n_val = math.ceil(val * (n_patients - n_test))
    return {"train": n_patients - n_test - n_val, "val": n_val, "test": n_test}


@settings(max_examples=200)
@given(RECORDS, st.sampled_from([0.0, 0.1, 0.2, 0.5]), st.sampled_from([0.0, 0.1, 0.3]), st.integers(0, 3))
def test_split_by_patient_never_shares_patients_and_has_its_sizes(records, test, val, seed):
    patients = {patient for patient, _ in records}
    wanted = sizes(len(patients), test, val)
    try:
        found = split(records, test, val, seed)
    except LfbtError:
        assert wanted["train"] == 0
        return
    assert wanted["train"] > 0
    assert len(found) == len(records)
    splits_of = defaultdict(set)
    for (patient, _), name in zip(records, found, strict=True):
        splits_of[patient].add(name)
    assert {len(names) for names in splits_of.values()} == {1}
    assert Counter(name for names in splits_of.values() for name in names) == Counter(
        {name: n for name, n in wanted.items() if n}
    )


@given(RECORDS.filter(lambda records: len({patient for patient, _ in records}) > 3), st.randoms(use_true_random=False))
def test_split_by_patient_does_not_depend_on_the_order_of_records(records, random):
    shuffled = random.sample(records, len(records))
    assert dict(zip(records, split(records), strict=True)) == dict(zip(shuffled, split(shuffled), strict=True))


def test_split_by_patient_gives_the_papers_sizes_of_chapman():
    # 10,646 records less 18 with faults; each record a patient; the mix of the four merged rhythms.
    mix = ["SB"] * 3889 + ["GSVT"] * 2307 + ["AFIB"] * 2225 + ["SR"] * 2207
    found = split(list(enumerate(mix)))
    assert [found.count(name) for name in SPLITS] == [7651, 851, 2126]
    table = Counter(zip(found, mix, strict=True))
    for label, n in Counter(mix).items():
        for name, part in (("train", 7651), ("val", 851), ("test", 2126)):
            assert abs(table[name, label] - part * n / 10628) < 2


def test_split_by_patient_stratifies_by_the_most_frequent_label():
    # 40 patients are "a" at heart, with one record of "b" among three; 20 are "b".
    records = [(p, label) for p in range(40) for label in "aba"] + [(p, "b") for p in range(40, 60)]
    split_of = {patient: name for (patient, _), name in zip(records, split(records, 0.2, 0.25), strict=True)}
    assert Counter((split_of[p], "a" if p < 40 else "b") for p in range(60)) == {
        ("test", "a"): 8,
        ("test", "b"): 4,
        ("val", "a"): 8,
        ("val", "b"): 4,
        ("train", "a"): 24,
        ("train", "b"): 12,
    }


def test_split_by_patient_puts_a_class_of_two_patients_on_both_sides():
    records = [(p, "common") for p in range(18)] + [(18, "rare"), (19, "rare")]
    for seed in range(10):
        found = split(records, 0.5, 0.0, seed)
        assert sorted(found[18:]) == ["test", "train"]


def test_split_by_patient_takes_classes_of_one_patient():
    records = [(p, "common") for p in range(10)] + [(10 + i, f"only{i}") for i in range(10)]
    found = split(records, 0.5, 0.0)
    assert Counter(found) == {"train": 10, "test": 10}
    assert Counter(found[10:]) == {"train": 5, "test": 5}
    assert Counter(split([*records[:19], (19, "common")])) == sizes(20, 0.2, 0.1)
    assert Counter(split([*records[:10], (10, "only")])) == sizes(11, 0.2, 0.1)


def test_split_by_patient_takes_more_classes_than_test_patients():
    records = [(p, f"class{p // 2}") for p in range(10)]
    assert Counter(split(records)) == {"train": 7, "val": 1, "test": 2}


def test_split_by_patient_follows_the_seed():
    records = [(p, "ab"[p % 2]) for p in range(100)]
    assert split(records, seed=4) == split(records, seed=4)
    assert split(records, seed=4) != split(records, seed=5)


def test_split_by_patient_leaves_a_split_of_fraction_zero_empty():
    records = [(p, "a") for p in range(10)]
    assert Counter(split(records, 0.0, 0.0)) == {"train": 10}
    assert Counter(split(records, 0.2, 0.0)) == {"train": 8, "test": 2}
    assert Counter(split(records, 0.0, 0.1)) == {"train": 9, "val": 1}


def test_split_by_patient_needs_three_patients():
    assert Counter(split([(1, "a"), (2, "a"), (3, "b")])) == {"train": 1, "val": 1, "test": 1}
    with pytest.raises(LfbtError, match=r"^1 patient is too few to put 0\.1 of them aside; .*split column"):
        split([(1, "a"), (2, "a"), (2, "b")])


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.5, float("nan")])
def test_split_by_patient_refuses_fractions_out_of_range_by_name(fraction):
    with pytest.raises(LfbtError, match=f"test_fraction: {fraction} is outside"):
        split([(1, "a")], test=fraction)
    with pytest.raises(LfbtError, match=f"val_fraction: {fraction} is outside"):
        split([(1, "a")], val=fraction)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_split_by_patient_refuses_seeds_out_of_range(seed):
    with pytest.raises(LfbtError, match=f"split_seed: {seed} is outside"):
        split([(p, "a") for p in range(9)], seed=seed)


# --- fractions of the training labels ---

TARGETS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(lambda found: np.array(found, dtype=np.int64))
FRACTIONS = (0.1, 0.2, 0.5, 1.0)


def one_hot(numbers):
    return numbers[:, None] == np.arange(5)


def fraction_of(numbers, fraction, seed):
    """A fraction of records of one class and one patient each."""
    return stratified_fraction([f"p{i}" for i in range(len(numbers))], one_hot(numbers), fraction, seed)


@given(TARGETS, st.integers(0, 2**31))
def test_stratified_fraction_is_stratified_sorted_and_nested(targets, seed):
    smaller: set[int] = set()
    for fraction in FRACTIONS:
        found = fraction_of(targets, fraction, seed)
        assert found.tolist() == sorted(set(found.tolist()))
        counts = Counter(targets.tolist())
        assert Counter(targets[found].tolist()) == {k: math.ceil(fraction * n) for k, n in counts.items()}
        assert smaller <= set(found.tolist())
        smaller = set(found.tolist())
    assert smaller == set(range(len(targets)))


def test_stratified_fraction_follows_the_seed():
    targets = np.repeat(np.arange(3), 100)
    one, again, other = (fraction_of(targets, 0.1, seed).tolist() for seed in (1, 1, 2))
    assert one == again != other
    assert len(one) == 30


#: Records as (patient, classes), of which a record has one or more.
MULTI = st.lists(st.tuples(st.integers(0, 12), st.sets(st.integers(0, 4), min_size=1)), min_size=1, max_size=60)


def multi_hot(records):
    return np.array([[k in classes for k in range(5)] for _, classes in records])


def literal_strata(records):
    """The rarest class of each patient, the first of several; rare is what few records have."""
    counts = Counter(k for _, classes in records for k in classes)
    classes_of: dict[int, set[int]] = defaultdict(set)
    for patient, classes in records:
        classes_of[patient] |= classes
    return {patient: min(classes, key=lambda k: (counts[k], k)) for patient, classes in classes_of.items()}


@settings(max_examples=200)
@given(MULTI, st.integers(0, 2**31))
def test_stratified_fraction_takes_all_records_of_patients_of_every_rarest_class(records, seed):
    patients = [str(patient) for patient, _ in records]
    stratum_of = literal_strata(records)
    smaller: set[int] = set()
    for fraction in FRACTIONS:
        found = set(stratified_fraction(patients, multi_hot(records), fraction, seed).tolist())
        chosen = {records[row][0] for row in found}
        assert found == {row for row, (patient, _) in enumerate(records) if patient in chosen}
        per_stratum = Counter(stratum_of.values())
        assert Counter(stratum_of[p] for p in chosen) == {k: math.ceil(fraction * n) for k, n in per_stratum.items()}
        assert smaller <= found
        smaller = found
    assert smaller == set(range(len(records)))


@settings(max_examples=200)
@given(MULTI, st.integers(2, 5), st.integers(0, 3))
def test_patient_folds_are_disjoint_and_stratified(records, n_folds, seed):
    patients = [str(patient) for patient, _ in records]
    per_stratum = Counter(literal_strata(records).values())
    if max(per_stratum.values()) < n_folds:
        with pytest.raises(LfbtError, match=f"folds: {n_folds} are more than the {max(per_stratum.values())} patient"):
            patient_folds(patients, multi_hot(records), n_folds, seed)
        return
    found = patient_folds(patients, multi_hot(records), n_folds, seed)
    assert set(found.tolist()) == set(range(n_folds))
    fold_of = dict(zip(patients, found.tolist(), strict=True))
    assert [fold_of[patient] for patient in patients] == found.tolist()
    strata = literal_strata(records)
    for stratum, n in per_stratum.items():
        dealt = Counter(fold_of[str(p)] for p, k in strata.items() if k == stratum)
        assert max(dealt.values()) <= math.ceil(n / n_folds)
    assert found.tolist() == patient_folds(patients, multi_hot(records), n_folds, seed).tolist()


def test_patient_folds_of_one_record_a_patient_are_those_of_scikit_learn():
    from sklearn.model_selection import StratifiedKFold

    numbers = np.random.default_rng(0).permutation(np.repeat(np.arange(5), [40, 20, 12, 11, 10]))
    found = patient_folds([f"p{i}" for i in range(len(numbers))], one_hot(numbers), 10, 0)
    for fold, (_, test) in enumerate(StratifiedKFold(10, shuffle=True, random_state=0).split(numbers, numbers)):
        assert np.flatnonzero(found == fold).tolist() == test.tolist()


def test_patients_without_a_class_are_a_stratum_of_their_own():
    patients, targets = [f"p{i}" for i in range(12)], np.repeat([[True, False], [False, False]], 6, axis=0)
    for seed in range(5):
        chosen = stratified_fraction(patients, targets, 0.5, seed)
        assert Counter((chosen < 6).tolist()) == {True: 3, False: 3}
        folds = patient_folds(patients, targets, 3, seed)
        assert Counter(folds[:6].tolist()) == Counter(folds[6:].tolist()) == {0: 2, 1: 2, 2: 2}


def test_patient_folds_refuses_no_records():
    with pytest.raises(LfbtError, match=r"^folds: 2 are more than the 0 patients of the most frequent class"):
        patient_folds([], np.zeros((0, 3), dtype=bool), 2, 0)


def entries(patients, splits, labels=("a", "b")):
    """Entries that are not read."""
    return [
        Entry(str(i), patient, Path("none"), lambda path: pytest.fail(f"{path} is read"), (labels[i % 2],), split)
        for i, (patient, split) in enumerate(zip(patients, splits, strict=True))
    ]


def test_assign_splits_takes_official_ones_and_else_splits_what_has_labels():
    official = ["test", "train", "test", "val"]
    assert assign_splits(entries("papq", official), True, (0.2, 0.1), 0) == official
    unsplit = entries("pqrstuvw", [""] * 8)
    assert assign_splits(unsplit, False, (0.2, 0.1), 0) == ["train"] * 8
    assert assign_splits(unsplit, True, (0.4, 0.3), 5) == split_by_patient(
        list("pqrstuvw"), list("abababab"), 0.4, 0.3, 5
    )


def test_assign_splits_refuses_a_patient_in_two_and_a_record_in_none():
    with pytest.raises(LfbtError, match=r"^patient p is in split test and, with record 2, in val; "):
        assign_splits(entries("pqp", ["test", "train", "val"]), True, (0.2, 0.1), 0)
    with pytest.raises(LfbtError, match=r"^record 1 has no split while others have one; "):
        assign_splits(entries("pqr", ["test", "", "val"]), True, (0.2, 0.1), 0)
