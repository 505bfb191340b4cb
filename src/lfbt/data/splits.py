"""Train, validation and test: patient-disjoint, stratified and seeded."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError
from lfbt.sources.listing import SPLITS, Entry
from lfbt.utils.figures import format_count
from lfbt.utils.settings import check_range


def split_by_patient(
    patients: Sequence[str], labels: Sequence[str], test_fraction: float, val_fraction: float, seed: int
) -> list[str]:
    """Split records into train, val and test, all records of a patient in the same split.

    First the test patients are drawn, then those for validation from the others (the paper's 80/20, then 90/10), each
    stratified by the patient's most frequent label and rounded up as scikit-learn does.

    Parameters
    ----------
    patients, labels : sequence of str
        The patient and the label of each record.
    test_fraction : float
        Of the patients, in [0, 1).
    val_fraction : float
        Of the patients that are not test, in [0, 1).
    seed : int
        Of the draw.

    Returns
    -------
    list of str
        The split of each record.

    Raises
    ------
    LfbtError
        If a fraction is out of range, or there are too few patients for the splits.

    Examples
    --------
    >>> patients = [f"p{number // 2}" for number in range(20)]
    >>> splits = split_by_patient(patients, ["NORM"] * 20, test_fraction=0.2, val_fraction=0.1, seed=0)
    >>> splits.count("train"), splits.count("val"), splits.count("test")
    (14, 2, 4)
    """
    check_range("test_fraction", test_fraction, "[0, 1)")
    check_range("val_fraction", val_fraction, "[0, 1)")
    check_range("split_seed", seed, "[0, 4294967295]")
    names = sorted(set(patients))
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    for patient, label in zip(patients, labels, strict=True):
        counts[patient][label] += 1
    strata = [min(counts[name], key=lambda label, c=counts[name]: (-c[label], label)) for name in names]  # type: ignore[misc]
    rest, test = _two_parts(np.arange(len(names)), strata, test_fraction, seed)
    train, val = _two_parts(rest, strata, val_fraction, seed)
    split_of = {}
    for split, chosen in zip(SPLITS, (train, val, test), strict=True):
        split_of.update({names[i]: split for i in chosen})
    return [split_of[patient] for patient in patients]


def _two_parts(
    chosen: NDArray[np.int64], strata: Sequence[str], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide `chosen` into a larger part and a smaller one, which is `fraction` of it."""
    from sklearn.model_selection import train_test_split

    if fraction == 0:
        return chosen, chosen[:0]
    n_small = int(np.ceil(fraction * len(chosen)))
    if n_small >= len(chosen):
        raise LfbtError(
            f"{format_count(len(chosen), 'patient')} {'is' if len(chosen) == 1 else 'are'} too few to put "
            f"{fraction:g} of them aside; give more records, "
            "a table with a split column, or a smaller test_fraction and val_fraction"
        )
    # A stratum of one cannot be in both parts: such patients are stratified together.
    sizes = Counter(strata[i] for i in chosen)
    common = [strata[i] if sizes[strata[i]] > 1 else "" for i in chosen]
    if common.count("") == 1:
        common = [name or sizes.most_common(1)[0][0] for name in common]
    n_strata = len(set(common))
    stratify = common if n_small >= n_strata and len(chosen) - n_small >= n_strata else None
    large, small = train_test_split(chosen, test_size=n_small, random_state=seed, stratify=stratify)
    return np.sort(large), np.sort(small)


def stratified_fraction(
    patients: Sequence[str], targets: NDArray[np.bool_], fraction: float, seed: int
) -> NDArray[np.int64]:
    """Choose a stratified fraction of the patients; a smaller fraction is a subset of a larger one.

    Of each stratum the rounded-up fraction of its patients is taken, in an order that the seed determines. A patient's
    stratum is the rarest of their classes.

    Parameters
    ----------
    patients : sequence of str
        The patient of each record.
    targets : ndarray of bool, ``[records, classes]``
        The classes of each record.
    fraction : float
        In (0, 1].
    seed : int
        Of the draw.

    Returns
    -------
    ndarray of int, ``[chosen]``
        The positions of all records of the chosen patients, ascending.
    """
    names, strata = _strata(patients, targets)
    kept: set[str] = set()
    for stratum in np.unique(strata):
        positions = np.flatnonzero(strata == stratum)
        order = np.random.default_rng((seed, int(stratum) + 1)).permutation(positions)
        kept.update(names[i] for i in order[: int(np.ceil(round(fraction * len(positions), 9)))])
    return np.flatnonzero([patient in kept for patient in patients])


def patient_folds(patients: Sequence[str], targets: NDArray[np.bool_], n_folds: int, seed: int) -> NDArray[np.int64]:
    """Assign records to folds, all records of a patient to the same fold.

    Patients are distributed by scikit-learn's StratifiedKFold, shuffled; a patient's stratum is the rarest of their
    classes. A stratum of fewer patients than folds is not in every fold.

    Parameters
    ----------
    patients : sequence of str
        The patient of each record.
    targets : ndarray of bool, ``[records, classes]``
        The classes of each record.
    n_folds : int
        At least 2.
    seed : int
        Of the shuffling.

    Returns
    -------
    ndarray of int, ``[records]``
        The fold of each record, from 0 on.

    Raises
    ------
    LfbtError
        If there are more folds than the largest stratum has patients.
    """
    from sklearn.model_selection import StratifiedKFold

    names, strata = _strata(patients, targets)
    most = int(np.bincount(strata).max(initial=0))
    if most < n_folds:
        raise LfbtError(
            f"folds: {n_folds} are more than the {format_count(most, 'patient')} of the most frequent class; take fewer"
        )
    fold_of: dict[str, int] = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(strata, strata)
        for fold, (_, chosen) in enumerate(folds):
            fold_of |= {names[i]: fold for i in chosen}
    return np.array([fold_of[patient] for patient in patients])


def _strata(patients: Sequence[str], targets: NDArray[np.bool_]) -> tuple[list[str], NDArray[np.int64]]:
    """List the patients in the order of their first records, with the number of the rarest class of each.

    The rarest class is that of the fewest records, the first one of equally rare ones. Patients without a class are a
    stratum of their own.
    """
    number = {name: i for i, name in enumerate(dict.fromkeys(patients))}
    of_patient = np.zeros((len(number), targets.shape[1] + 1), dtype=bool)
    np.logical_or.at(of_patient, [number[patient] for patient in patients], np.pad(targets, ((0, 0), (0, 1))))
    of_patient[:, -1] = True
    frequency = np.append(targets.sum(axis=0), len(targets) + 1)
    return list(number), np.where(of_patient, frequency, len(targets) + 2).argmin(axis=1)


def assign_splits(entries: Sequence[Entry], labelled: bool, fractions: tuple[float, float], seed: int) -> list[str]:
    """Take the official split if there is one; else all is train without labels, or split by patient.

    Parameters
    ----------
    entries : sequence of Entry
        The recording of each record.
    labelled : bool
        Whether records have labels.
    fractions : tuple of float
        Of the patients for the test split, and of the others for the validation split.
    seed : int
        Of the split by patient.

    Returns
    -------
    list of str
        The split of each record.

    Raises
    ------
    LfbtError
        Where only some recordings have an official split, or a patient is in two.
    """
    official = [entry.split for entry in entries]
    if all(official):
        split_of: dict[str, str] = {}
        for entry in entries:
            if split_of.setdefault(entry.patient, entry.split) != entry.split:
                raise LfbtError(
                    f"patient {entry.patient} is in split {split_of[entry.patient]} and, with record {entry.id}, "
                    f"in {entry.split}; a patient may be in one only: correct the split column"
                )
        return official
    if any(official):
        entry = next(entry for entry in entries if not entry.split)
        raise LfbtError(f"record {entry.id} has no split while others have one; give every record one, or none")
    if not labelled:
        return ["train"] * len(entries)
    labels = [";".join(entry.labels) for entry in entries]
    patients = [entry.patient for entry in entries]
    return split_by_patient(patients, labels, *fractions, seed)
