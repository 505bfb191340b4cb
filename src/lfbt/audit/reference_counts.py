"""Class counts of published data sets, and how a prepared data set compares with them."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

from lfbt.data.dataset import Dataset
from lfbt.sources.listing import SPLITS


@dataclasses.dataclass(frozen=True)
class ReferenceCounts:
    """Recordings per class in a release of a data set, and per split where there is an official one."""

    name: str
    classes: dict[str, int]
    splits: dict[str, int] = dataclasses.field(default_factory=dict)


#: Records of PTB-XL with exactly one superclass in train, val and test, by release.
PTBXL_SIZES = {"1.0.1": (12978, 1642, 1652), "1.0.3": (12957, 1637, 1650)}


def _ptbxl(release: str, classes: Sequence[int], splits: Sequence[int]) -> ReferenceCounts:
    names = ("NORM", "MI", "STTC", "CD", "HYP")
    return ReferenceCounts(
        f"PTB-XL {release}", dict(zip(names, classes, strict=True)), dict(zip(SPLITS, splits, strict=True))
    )


def _cpsc2018(*classes: int) -> ReferenceCounts:
    names = ("Normal", "AF", "I-AVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE")
    return ReferenceCounts("CPSC2018", dict(zip(names, classes, strict=True)))


# By source, label rule, and whether records with several labels are kept. Counted in ptbxl_database.csv and
# scp_statements.csv by the rule of `prepare`, CPSC2018's REFERENCE.csv, Chapman's Diagnostics.xlsx, and the Challenge's
# files of Ningbo.
_REFERENCES: dict[tuple[str, str, bool], tuple[ReferenceCounts, ...]] = {
    ("ptbxl", "superclass", False): (
        _ptbxl("1.0.3", (9069, 2532, 2400, 1708, 535), PTBXL_SIZES["1.0.3"]),
        _ptbxl("1.0.1", (9083, 2538, 2406, 1709, 536), PTBXL_SIZES["1.0.1"]),
    ),
    ("ptbxl", "superclass", True): (_ptbxl("1.0.3", (9514, 5469, 5235, 4898, 2649), (17084, 2146, 2158)),),
    ("cpsc2018", "diagnosis", False): (_cpsc2018(918, 976, 686, 179, 1533, 532, 607, 784, 185),),
    ("cpsc2018", "diagnosis", True): (_cpsc2018(918, 1221, 722, 236, 1857, 616, 700, 869, 220),),
    ("chapman", "merged", False): (ReferenceCounts("Chapman", {"AFIB": 2225, "GSVT": 2307, "SB": 3889, "SR": 2225}),),
    ("ningbo", "none", False): (ReferenceCounts("Ningbo, Challenge 2021", {"": 34905}),),
}

#: Published sources: a patient has the same name in whatever was prepared from the same one.
SOURCES_WITH_COUNTS = frozenset(source for source, _, _ in _REFERENCES)


@dataclasses.dataclass(frozen=True)
class CountComparison:
    """Counts of a data set beside those of a release. too_many: some are above those of every release."""

    message: str
    too_many: bool


def compare_counts(dataset: Dataset) -> CountComparison | None:
    """Compare the recordings per class and split with the published numbers.

    Parameters
    ----------
    dataset
        A prepared data set, whose manifest names the source and the label rule; pieces of one recording count once.

    Returns
    -------
    CountComparison | None
        Beside the release with the nearest counts; None where no counts of the source are known.
    """
    source, settings = dataset.manifest.source, dataset.manifest.settings
    if source is None:
        return None
    rule = (source.name, str(source.options.get("labels", "")), bool(settings.get("keep_multi_label")))
    releases = _REFERENCES.get(rule, ())
    if not releases:
        return None
    # Pieces of a recording are called ID-0, ID-1 …; published ids have no hyphen.
    recordings = {name.split("-")[0]: row for row, name in enumerate(dataset.ids)}
    counts = collections.Counter(label for row in recordings.values() for label in dataset.labels[row] or ("",))
    splits = collections.Counter(str(dataset.split[row]) for row in recordings.values())

    def pair_up(release: ReferenceCounts) -> dict[str, tuple[int, int]]:
        """Counts of the data set and of the release, by class and split."""
        by_class = {name or "records": (counts[name], n) for name, n in release.classes.items()}
        return by_class | {name: (splits[name], n) for name, n in release.splits.items()}

    for release in releases:
        if all(own == published for own, published in pair_up(release).values()):
            return CountComparison(f"counts as in {release.name}", too_many=False)
    nearest = min(releases, key=lambda release: sum(abs(own - n) for own, n in pair_up(release).values()))
    listed = ", ".join(f"{name} {own} of {n}" for name, (own, n) in pair_up(nearest).items())
    too_many = all(any(own > n for own, n in pair_up(release).values()) for release in releases)
    return CountComparison(f"against {nearest.name}: {listed}", too_many)
