"""The tables of a reproduction: its figures and split sizes beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lfbt.data.manifest import DatasetManifest
from lfbt.evaluation.aggregation import mean_over_seeds
from lfbt.paper.protocol import DOWNLOADS, FRACTIONS, LABELLED, SIZES, Cell, Kind, compare_sizes, list_cells
from lfbt.paper.settings import ReproduceSettings, affected_stages
from lfbt.paper.stages import load_manifest, trial_folder
from lfbt.runs.results import Results, describe_rare
from lfbt.utils.figures import format_estimate, format_figure
from lfbt.utils.files import atomic_file
from lfbt.utils.tables import as_markdown, as_text

if TYPE_CHECKING:
    import pandas as pd


#: The tables in the reproduction's folder, in three forms, and that of the split sizes.
TABLE = "table"
SIZES_TABLE = "sizes.csv"

_METHODS: dict[Kind, str] = {"probe": "LP", "finetune": "FT", "scratch": "TFS"}
_METRICS: tuple[Literal["auroc", "auprc"], ...] = ("auroc", "auprc")
_WITHOUT_RARE = "_without_rare"
# Why `prepare` excludes a labelled record for its signal, by the reason's first words.
_SIGNAL_QUALITY = ("not finite", "flat", "saturated")


def write_tables(settings: ReproduceSettings, names: Sequence[str]) -> str:
    """Write all tables of the data sets `names` from their finished stages, and return them as text."""
    manifests = {name: load_manifest(settings, name) for name in names}
    sizes = sizes_table(manifests)
    results = results_table(
        {
            cell: [Results.load(trial_folder(settings, cell, seed)) for seed in settings.seeds]
            for cell in list_cells([name for name in names if name in LABELLED])
        }
    )
    title, notes = _title(settings, manifests), _notes(settings, names)
    text = "\n\n".join([title, as_text(format_results(results)), as_text(format_sizes(sizes)), "\n".join(notes)])
    page = [
        f"# {title}",
        as_markdown(format_results(results)),
        "## Records",
        as_markdown(format_sizes(sizes)),
        "\n".join(f"- {note}" for note in notes),
    ]
    for name, content in (
        (f"{TABLE}.txt", text + "\n"),
        (f"{TABLE}.md", "\n\n".join(page) + "\n"),
        (f"{TABLE}.csv", results.to_csv(index=False)),
        (SIZES_TABLE, sizes.to_csv(index=False)),
    ):
        with atomic_file(settings.out / name) as partial:
            partial.write_text(content, encoding="utf-8")
    return text


def sizes_table(manifests: Mapping[str, DatasetManifest]) -> pd.DataFrame:
    """Tabulate split sizes, a row a data set: own, the paper's, records excluded for their quality, and the verdict.

    Parameters
    ----------
    manifests
        Of each prepared data set, by the name of its source.
    """
    import pandas as pd

    rows = []
    for name, manifest in manifests.items():
        train, val, test = (sum(manifest.counts.get(split, {}).values()) for split in ("train", "val", "test"))
        n_excluded = sum(n for reason, n in manifest.dropped.items() if reason.startswith(_SIGNAL_QUALITY))
        published = next(iter(SIZES[name].values()))
        as_published, verdict = compare_sizes(name, (train, val, test), n_excluded)
        rows.append((LABELLED.get(name, "Ningbo"), train, val, test, *published, n_excluded, as_published, verdict))
    own, paper = ("train", "val", "test"), ("paper_train", "paper_val", "paper_test")
    return pd.DataFrame(rows, columns=["data", *own, *paper, "faulty", "as_published", "verdict"])


def results_table(found: Mapping[Cell, Sequence[Results]]) -> pd.DataFrame:
    """Tabulate test figures, a row a cell: means over seeds, with the spread of several or the interval of one.

    Parameters
    ----------
    found
        The results of each cell, one a seed.

    Returns
    -------
    pandas.DataFrame
        Of each metric the mean, ``_sd`` (standard deviation over seeds, with n − 1), ``_low`` and ``_high`` (95 %
        interval over test patients), and ``paper_``: the paper's figure. NaN where there is none. Where classes are
        rare also ``_without_rare``, the mean without these, and ``rare_classes``.
    """
    import pandas as pd

    rows = []
    for cell, trials in found.items():
        first = trials[0].test
        row: dict[str, Any] = {
            "data": LABELLED[cell.data],
            "method": _METHODS[cell.kind],
            "gamma": cell.gamma,
            "fraction": cell.fraction,
            "seeds": len(trials),
            "test_records": first.records,
        }
        for i, metric in enumerate(_METRICS):
            over_seeds = mean_over_seeds([getattr(trial.test, metric) for trial in trials])
            bounds = getattr(first.intervals, metric, None) if len(trials) == 1 else None
            row[metric], row[f"{metric}_sd"] = over_seeds.mean, over_seeds.sd
            row[f"{metric}_low"], row[f"{metric}_high"] = bounds or (None, None)
            row[f"paper_{metric}"] = cell.paper[i] if cell.paper else None
        if first.rare_classes:
            row["rare_classes"] = ";".join(first.rare_classes)
            for metric in _METRICS:
                without = mean_over_seeds([trial.test.without_rare(metric) for trial in trials])
                row[f"{metric}{_WITHOUT_RARE}"] = without.mean
        rows.append(row)
    figures = [name for metric in _METRICS for name in _columns(metric)]
    return pd.DataFrame(rows).astype(dict.fromkeys(["gamma", *figures], float))


def _columns(metric: str) -> list[str]:
    return [metric, f"{metric}_sd", f"{metric}_low", f"{metric}_high", f"paper_{metric}"]


def format_results(table: pd.DataFrame) -> list[list[str]]:
    """Format `results_table` as rows of cells, the first of them its header."""
    rows = [["data", "method", "γ", "labels", "AUROC", "paper's", "AUPRC", "paper's", "test records"]]
    for row in table.to_dict("records"):
        cells = [row["data"], row["method"], format_figure(row["gamma"], "g"), f"{row['fraction']:g}"]
        for metric in _METRICS:
            mean, sd, low, high, paper = (row[name] for name in _columns(metric))
            figure = format_estimate(mean, sd, None if np.isnan(low) else (low, high))
            rare = row.get("rare_classes")
            if isinstance(rare, str):
                figure += f" ({describe_rare(rare.split(';'))} {format_figure(row[metric + _WITHOUT_RARE])})"
            cells += [figure, format_figure(paper)]
        rows.append([*cells, str(row["test_records"])])
    return rows


def format_sizes(table: pd.DataFrame) -> list[list[str]]:
    """Format `sizes_table` as rows of cells, the first of them its header."""
    rows = [["data", "train / val / test", "paper's", "left out for quality", "verdict"]]
    for row in table.to_dict("records"):
        own, paper = (" / ".join(str(row[of + split]) for split in ("train", "val", "test")) for of in ("", "paper_"))
        rows.append([row["data"], own, paper, str(row["faulty"]), row["verdict"]])
    return rows


def _title(settings: ReproduceSettings, manifests: Mapping[str, DatasetManifest]) -> str:
    title = "lfbt reproduce: the paper's protocol"
    if list_departures(settings):
        command = "lfbt reproduce --quick" if settings.quick else "lfbt reproduce"
        title = f"{command}: NOT the paper's protocol"
    synthetic = [name for name, manifest in manifests.items() if manifest.synthetic]
    if len(synthetic) == len(manifests):
        return f"{title}, on SYNTHETIC data"
    return f"{title}, {', '.join(synthetic)} SYNTHETIC" if synthetic else title


def list_departures(settings: ReproduceSettings) -> list[str]:
    """List the settings that differ from the paper's, as text."""
    paper = ReproduceSettings(settings.out)
    # Without pretraining its settings have no effect; downloads and unreadable files are not the paper's to choose.
    unused = ("pretrain_epochs", "projector", "exclude") if settings.encoders else ()
    passed_over = {*DOWNLOADS, "quick", "encoders", "skip_unreadable", *unused}
    changed = [
        name
        for name in affected_stages()
        if name not in passed_over and getattr(settings, name) != getattr(paper, name)
    ]
    departures = ["pretraining preset small"] if settings.quick else []
    if settings.encoders:
        departures = ["encoders from elsewhere"]
    return departures + [f"{name.replace('_', '-')} {getattr(settings, name)}" for name in changed]


def _notes(settings: ReproduceSettings, names: Sequence[str]) -> list[str]:
    n_seeds = len(settings.seeds)
    spread = "[ ] is the 95 % interval over test patients" if n_seeds == 1 else f"± is the spread over {n_seeds} seeds"
    fractions = ", ".join(f"{fraction:g}" for fraction in FRACTIONS)
    notes = [
        "LP: linear probe; FT: fine-tuned; TFS: trained from scratch; labels: the part of the training labels used "
        f"({fractions}).",
        f"Macro AUROC and AUPRC of the test split, scored once; {spread}.",
        "The paper's figures are as a third party's notes give them, of pretraining on Ningbo; - where none is known.",
    ]
    departures = list_departures(settings)
    if departures:
        notes.append(f"Other than the paper's: {', '.join(departures)}.")
    if settings.encoders:
        notes.append(f"Encoders, not pretrained here: {', '.join(path.name for path in settings.encoders)}.")
    if settings.allow_test_records:
        notes.append("Test records may be among those pretrained on (--allow-test-records).")
    absent = [LABELLED[name] for name in LABELLED if name not in names]
    if absent:
        notes.append(f"No download was given of {', '.join(absent)}.")
    return notes
