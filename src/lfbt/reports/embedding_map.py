"""Section 7: the embeddings on a plane, and the nearest neighbours of a record."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfbt.data.dataset import Dataset
from lfbt.data.people import read_people
from lfbt.evaluation.projections import nearest, principal_components
from lfbt.reports.blocks import Block, Charts, Fold, Heading, Paragraph, Section, table_of
from lfbt.reports.charts import N_COLOURS, Chart, Line, make_chart
from lfbt.reports.data import caption, ecg
from lfbt.reports.encoders import Loaded
from lfbt.reports.errors import find_cases
from lfbt.reports.material import SEED, Material, draw_rows, rows_by_id
from lfbt.sources.listing import SPLITS

#: Records on the map at most.
MOST_RECORDS = 600
_NEIGHBOURS = 5


def embedding_map(material: Material, loaded: Loaded | str) -> Section:
    """Draw the embeddings of records, coloured by class, split and sex, and list the neighbours of one."""
    if isinstance(loaded, str):
        blocks: list[Block] = [Paragraph(f"{loaded}: so there is no map.", "note")]
    else:
        blocks = list(_blocks(material, loaded))
    return Section(
        "map",
        "Embedding map",
        "Classes that lie apart can be told by a line; a split or a sex that lies apart tells that the encoder sees "
        "who was recorded where, and not the disease alone.",
        tuple(blocks),
    )


def _blocks(material: Material, loaded: Loaded) -> Iterator[Block]:
    dataset = loaded.dataset
    chosen = _choose(material, dataset)
    rows = draw_rows(np.arange(len(dataset)), MOST_RECORDS)
    if chosen is not None and chosen not in rows:
        rows = np.sort(np.append(rows[:-1], chosen))
    embeddings = loaded.embed(rows)
    points, shares = principal_components(embeddings)
    drawn = (
        f"{len(rows)} of {len(dataset)} records, drawn by chance (seed {SEED})"
        if len(rows) < len(dataset)
        else (f"all {len(rows)} records")
    )
    note = f"Embeddings by the encoder of {loaded.run.name}: {drawn}, of all splits."
    yield Paragraph(note, "note")
    groups = _colours(dataset, rows)
    labels = [f"component {i + 1} ({100 * share:.0f} % of the variance)" for i, share in enumerate(shares)]
    yield Heading("Principal components")
    yield Charts(tuple(_scatter(f"By {what}", points, groups[what], labels[0], labels[1]) for what in groups), "")
    if importlib.util.find_spec("umap") is not None:
        yield Heading("UMAP")
        placed = _umap(embeddings)
        charts = tuple(_scatter(f"By {what}", placed, groups[what], "UMAP 1", "UMAP 2") for what in groups)
        yield Charts(charts, "Distances between groups mean little in UMAP; which points lie together does.")
    if chosen is not None:
        yield from _neighbours(dataset, rows, embeddings, chosen)


def _choose(material: Material, dataset: Dataset) -> int | None:
    """The record whose neighbours are shown: the most confident mistake of the best run, or else hit."""
    if material.best is None or material.best.name not in material.trials:
        return None
    trial, known = material.trials[material.best.name][0], rows_by_id(dataset)
    cases = find_cases(trial)
    p = trial.predictions.probabilities
    for rows_of in ([of.false_positives for of in cases], [of.true_positives for of in cases]):
        if found := [(p[rows[0], k], rows[0]) for k, rows in enumerate(rows_of) if len(rows)]:
            return known.get(trial.predictions.ids[max(found)[1]])
    return None


def _colours(dataset: Dataset, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """What colours the points: names ``[records]`` of class, split and sex, where these are known."""
    found: dict[str, NDArray[Any]] = {}
    if dataset.classes:
        names = [
            "several" if len(of) > 1 else (of[0] if of else "no label") for of in (dataset.labels[r] for r in rows)
        ]
        found["class"] = np.array(names, dtype=object)
    found["split"] = dataset.split[rows].astype(object)
    people = read_people(dataset.folder, dataset.ids)
    if people is not None:
        found["sex"] = np.where(people.sex[rows] == "", "not known", people.sex[rows].astype(object))
    return found


def _scatter(title: str, points: NDArray[np.float64], names: NDArray[Any], x_label: str, y_label: str) -> Chart:
    order = [name for name in (*SPLITS, "female", "male") if name in set(names)]
    counts = {name: int((names == name).sum()) for name in dict.fromkeys(names.tolist())}
    order += sorted((name for name in counts if name not in order), key=lambda name: -counts[name])
    lines = []
    for colour, name in enumerate(order[: N_COLOURS - 1]):
        here = points[names == name]
        lines.append(Line(here[:, 0], here[:, 1], f"{name} ({counts[name]})", "dots", colour))
    rest = np.isin(names, order[N_COLOURS - 1 :])
    if rest.any():
        others = f"other ({int(rest.sum())})"
        lines.append(Line(points[rest, 0], points[rest, 1], others, "dots", N_COLOURS - 1))
    return make_chart(title, lines, x_label, y_label)


def _umap(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    from umap import UMAP

    placed: NDArray[np.float64] = UMAP(random_state=SEED, n_neighbors=min(15, len(embeddings) - 1)).fit_transform(
        embeddings
    )
    return placed


def _neighbours(
    dataset: Dataset, rows: NDArray[np.int64], embeddings: NDArray[np.float32], chosen: int
) -> Iterator[Block]:
    place = int(np.flatnonzero(rows == chosen)[0])
    near, cosines = nearest(embeddings, place, _NEIGHBOURS)
    cells = [_cells(dataset, chosen, chosen, "1.000")]
    cells += [_cells(dataset, int(rows[i]), chosen, f"{cosine:.3f}") for i, cosine in zip(near, cosines, strict=True)]
    columns: list[tuple[str, str]] = [
        ("record", "t"),
        ("patient", "t"),
        ("labels", "t"),
        ("split", "t"),
        ("cosine", ""),
    ]
    yield Heading(f"Nearest neighbours of record {dataset.ids[chosen]}")
    yield table_of(f"Neighbours of record {dataset.ids[chosen]}", columns, cells)
    yield Paragraph(
        "The record is the most confident mistake above, or a hit where there is none. Where its neighbours have the "
        "label that the classifier gave it, its own may be wrong; where they have its own, the classifier is. "
        "Cosine of standardised features.",
        "note",
    )
    if dataset.in_mv and len(near):
        pair: Sequence[int] = (chosen, int(rows[near[0]]))
        drawn = tuple(ecg(dataset, row) for row in pair)
        yield Fold(f"{caption(dataset, pair[0])}, above its nearest neighbour", drawn)


def _cells(dataset: Dataset, row: int, chosen: int, cosine: str) -> list[str]:
    same = " (same)" if row != chosen and dataset.patients[row] == dataset.patients[chosen] else ""
    labels = ", ".join(dataset.labels[row]) or "no label"
    return [dataset.ids[row], f"{dataset.patients[row]}{same}", labels, str(dataset.split[row]), cosine]
