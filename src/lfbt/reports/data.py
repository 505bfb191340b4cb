"""Section 2: the data, in numbers and as ECGs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from lfbt.data.dataset import Dataset
from lfbt.data.people import People, read_people
from lfbt.drawing.ecg_paper import draw_ecg
from lfbt.drawing.layout import Span
from lfbt.inference.drawing import recording_of
from lfbt.reports.blocks import Block, Ecg, Fact, Facts, Fold, Paragraph, Section, table_of
from lfbt.reports.material import SEED, Material
from lfbt.sources.listing import SPLITS
from lfbt.utils.figures import ABSENT

_DRAWN = 4


def data(material: Material) -> Section:
    """Show classes, patients, sex and age by split, what was dropped, and four records on paper."""
    blocks: list[Block] = [*_counts(material)]
    dataset = material.dataset
    if dataset is None:
        blocks.append(
            Paragraph(f"{material.no_dataset}: so there are no more of its numbers here, and no ECG.", "note")
        )
    else:
        people = read_people(dataset.folder, dataset.ids)
        blocks += [Facts(tuple(_facts(dataset))), _people_table(dataset, people)]
        if people is None:
            blocks.append(
                Paragraph("Sex and age of the patients are not known: the data set does not state them.", "note")
            )
        if dataset.manifest.dropped:
            rows = sorted(dataset.manifest.dropped.items(), key=lambda item: -item[1])
            columns = (("reason", "t"), ("recordings and pieces", ""))
            blocks.append(table_of("Dropped by reason", columns, [(reason, str(n)) for reason, n in rows]))
        blocks += _drawings(dataset)
    return Section(
        "data",
        "Data",
        "How many records of each class there are on each side of the split, who they are of, and what they look like: "
        "a class of few test records has wide intervals below.",
        tuple(blocks),
    )


def _counts(material: Material) -> Iterator[Block]:
    if not material.groups:
        return
    results = material.groups[0].first.results
    splits = list(results.data.counts)
    if not splits:
        return
    rows = [
        (name, *(str(results.data.counts[split].get(name, 0)) for split in splits)) for name in results.data.classes
    ]
    columns = [("class", "t"), *((f"{split} records", "") for split in splits)]
    yield table_of("Classes by split", columns, rows)
    if results.folds:
        yield Paragraph(f"Every record is tested once, in one of {results.folds} folds.", "note")


def _facts(dataset: Dataset) -> Iterator[Fact]:
    manifest = dataset.manifest
    seconds = dataset.n_samples / dataset.sampling_rate
    assumed = " (assumed: the files name none)" if dataset.names_assumed else ""
    yield Fact("Leads", f"{', '.join(dataset.leads)}{assumed}")
    yield Fact(
        "Signals",
        f"{seconds:.4g} s of {dataset.n_samples} samples at {dataset.sampling_rate:g} Hz, "
        f"{'mV' if dataset.in_mv else 'z-scores'}",
    )
    if manifest.source is not None and manifest.source.name:
        options = ", ".join(f"{name} {value}" for name, value in manifest.source.options.items() if value is not None)
        yield Fact("Source", f"{manifest.source.name}{f' ({options})' if options else ''}")
    if manifest.label_rule:
        yield Fact("Labels", manifest.label_rule)
    if manifest.assumption:
        yield Fact("Taken for granted", manifest.assumption)
    yield Fact("Hash", dataset.hash)


def _people_table(dataset: Dataset, people: People | None) -> Block:
    rows: list[tuple[str, ...]] = []
    for split in SPLITS:
        here = dataset.rows(split)
        if len(here):
            n_patients = len({dataset.patients[row] for row in here})
            cells = [split, str(len(here)), str(n_patients)]
            rows.append((*cells, *(_describe(people, here) if people else ())))
    columns = [("split", "t"), ("records", ""), ("patients", "")]
    if people:
        columns += [("female", ""), ("male", ""), ("sex not known", ""), ("age: median (5 % to 95 %)", "n")]
    return table_of("Records and patients", columns, rows)


def _describe(people: People, rows: NDArray[np.int64]) -> tuple[str, ...]:
    sexes = people.sex[rows]
    ages = people.age[rows]
    known = ages[np.isfinite(ages)]
    span = ABSENT
    if len(known):
        low, middle, high = np.quantile(known, [0.05, 0.5, 0.95])
        span = f"{middle:.0f} ({low:.0f} to {high:.0f}), {len(rows) - len(known)} not known"
    return str(int((sexes == "female").sum())), str(int((sexes == "male").sum())), str(int((sexes == "").sum())), span


def _drawings(dataset: Dataset) -> Iterator[Block]:
    if not dataset.in_mv:
        yield Paragraph("The signals are z-scores, which have no scale: they are not drawn on paper.", "note")
        return
    yield Paragraph(f"{_DRAWN} records at most, of classes in turn, drawn by chance (seed {SEED}).", "note")
    rows = choose_rows(dataset)
    for place, row in enumerate(rows):
        yield Fold(f"{caption(dataset, row)}", (ecg(dataset, row),), is_open=place == 0)


def choose_rows(dataset: Dataset, n: int = _DRAWN, seed: int = SEED) -> list[int]:
    """Draw rows by chance: one of each class in turn, by the order of classes; of unlabelled data any."""
    order = np.random.default_rng(seed).permutation(len(dataset)).tolist()
    chosen: list[int] = []
    for name in dataset.classes:
        of_class = [row for row in order if name in dataset.labels[row] and row not in chosen]
        chosen += of_class[:1]
    chosen += [row for row in order if row not in chosen]
    return chosen[: min(n, len(order))]


def caption(dataset: Dataset, row: int) -> str:
    """What a record is, in words."""
    labels = ", ".join(dataset.labels[row]) or "no label"
    return f"Record {dataset.ids[row]}, {labels}, {dataset.split[row]}"


def ecg(dataset: Dataset, row: int, more: str = "", spans: Sequence[Span] = ()) -> Ecg:
    """Draw a record on paper."""
    drawn: Any = draw_ecg(recording_of(dataset, row), spans, standalone=False)
    # Every name in it is escaped by `draw_ecg`.
    return Ecg(Markup(drawn), caption(dataset, row) + more)
