"""How many recordings of each class the published data sets have."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from lfbt.data.dataset import Dataset
from lfbt.sources.listing import SPLITS


@dataclasses.dataclass(frozen=True)
class _Published:
    """Recordings of each class in a release, and in each split where there is an official one."""

    name: str
    classes: dict[str, int]
    splits: dict[str, int] = dataclasses.field(default_factory=dict)


#: PTB-XL's records with exactly one superclass in train, val and test, by release.
PTBXL_SIZES = {"1.0.1": (12978, 1642, 1652), "1.0.3": (12957, 1637, 1650)}


def _of_ptbxl(release: str, classes: Sequence[int], splits: Sequence[int]) -> _Published:
    names = ("NORM", "MI", "STTC", "CD", "HYP")
    return _Published(
        f"PTB-XL {release}", dict(zip(names, classes, strict=True)), dict(zip(SPLITS, splits, strict=True))
    )


def _of_cpsc2018(*classes: int) -> _Published:
    names = ("Normal", "AF", "I-AVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE")
    return _Published("CPSC2018", dict(zip(names, classes, strict=True)))


# By source, label rule and whether records with several labels are kept. PTB-XL: its two tables, by the rule of
# `prepare`; CPSC2018: REFERENCE.csv; Chapman: Diagnostics.xlsx; Ningbo: files of the Challenge.
_PUBLISHED: dict[tuple[str, str, bool], tuple[_Published, ...]] = {
    ("ptbxl", "superclass", False): (
        _of_ptbxl("1.0.3", (9069, 2532, 2400, 1708, 535), PTBXL_SIZES["1.0.3"]),
        _of_ptbxl("1.0.1", (9083, 2538, 2406, 1709, 536), PTBXL_SIZES["1.0.1"]),
    ),
    ("ptbxl", "superclass", True): (_of_ptbxl("1.0.3", (9514, 5469, 5235, 4898, 2649), (17084, 2146, 2158)),),
    ("cpsc2018", "diagnosis", False): (_of_cpsc2018(918, 976, 686, 179, 1533, 532, 607, 784, 185),),
    ("cpsc2018", "diagnosis", True): (_of_cpsc2018(918, 1221, 722, 236, 1857, 616, 700, 869, 220),),
    ("chapman", "merged", False): (_Published("Chapman", {"AFIB": 2225, "GSVT": 2307, "SB": 3889, "SR": 2225}),),
    ("ningbo", "none", False): (_Published("Ningbo, Challenge 2021", {"": 34905}),),
}


#: Sources whose patients are named alike wherever they were prepared.
SOURCES_WITH_COUNTS = frozenset(source for source, _, _ in _PUBLISHED)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A data set's counts beside those of a release, in words, and whether any is more than every release has."""

    told: str
    too_many: bool


def compare_counts(dataset: Dataset, manifest: Mapping[str, Any]) -> Comparison | None:
    """How many recordings of each class `dataset` has beside the published numbers; None where none are known.

    manifest: what its ``dataset.json`` holds.
    """
    source, settings = manifest.get("source"), manifest.get("settings")
    if not isinstance(source, dict) or not isinstance(settings, dict):
        return None
    rule = (source.get("name", ""), source.get("options", {}).get("labels", ""), bool(settings.get("keep_multi_label")))
    releases = _PUBLISHED.get(rule, ())
    if not releases:
        return None
    # Pieces of one recording, ID-0 ID-1 ..., are one; published ids have no hyphen.
    recordings = {name.split("-")[0]: row for row, name in enumerate(dataset.ids)}
    counts = collections.Counter(label for row in recordings.values() for label in dataset.labels[row] or ("",))
    splits = collections.Counter(str(dataset.split[row]) for row in recordings.values())

    def beside(release: _Published) -> dict[str, tuple[int, int]]:
        of_classes = {name or "records": (counts[name], n) for name, n in release.classes.items()}
        return of_classes | {name: (splits[name], n) for name, n in release.splits.items()}

    for release in releases:
        if all(mine == theirs for mine, theirs in beside(release).values()):
            return Comparison(f"counts as in {release.name}", too_many=False)
    nearest = min(releases, key=lambda release: sum(abs(mine - theirs) for mine, theirs in beside(release).values()))
    told = ", ".join(f"{name} {mine} of {theirs}" for name, (mine, theirs) in beside(nearest).items())
    too_many = all(any(mine > theirs for mine, theirs in beside(release).values()) for release in releases)
    return Comparison(f"against {nearest.name}: {told}", too_many)
