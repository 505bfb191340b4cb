"""The sex and age of those whose records a data set holds: ``people.csv``, where the source states them."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfbt.errors import LfbtError

PEOPLE = "people.csv"
SEXES = ("female", "male")
# Of the oldest person of whom it is certain, and a little.
_OLDEST = 130.0


@dataclasses.dataclass(frozen=True)
class People:
    """Of each record ``[records]`` the sex, female, male or empty, and the age in years, NaN where not known."""

    sex: NDArray[np.str_]
    age: NDArray[np.float64]


def write_people(folder: Path, rows: Iterable[tuple[str, str, float | None]]) -> None:
    """Write id, sex and age of records; no file where none is known."""
    kept = [row for row in rows if row[1] or row[2] is not None]
    if not kept:
        return
    with (folder / PEOPLE).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", "sex", "age"])
        table.writerows((id, sex, "" if age is None else f"{age:g}") for id, sex, age in kept)


def read_people(folder: Path, ids: Sequence[str]) -> People | None:
    """Read what is known of the persons of a data set's records `ids`; None where the source states nothing.

    Raises LfbtError for a file that is no such table.
    """
    path = folder / PEOPLE
    if not path.is_file():
        return None
    place = {id: row for row, id in enumerate(ids)}
    sexes, ages = np.full(len(ids), "", dtype="<U6"), np.full(len(ids), np.nan)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                id, sex, age = line["id"], line["sex"], float(line["age"] or "nan")
                if sex not in ("", *SEXES) or not (np.isnan(age) or 0 <= age <= _OLDEST):
                    raise ValueError(f"record {id} has sex {sex!r}, age {line['age']!r}")
                if id in place:
                    sexes[place[id]], ages[place[id]] = sex, age
    except (KeyError, TypeError, ValueError, OSError, csv.Error) as error:
        raise LfbtError(f"{path}: is no table of id, sex and age ({error}); prepare the data set again") from error
    return People(sexes, ages)
