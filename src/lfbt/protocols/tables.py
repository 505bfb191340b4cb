"""The tables of a benchmark: our figures beside the published ones, and the records that ours are of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from lfbt.data.dataset import Dataset
from lfbt.evaluation.aggregation import mean_over_seeds
from lfbt.models.config import EncoderConfig
from lfbt.protocols.published import select_figures
from lfbt.protocols.settings import PROTOCOLS, TITLES, BenchmarkSettings
from lfbt.protocols.trials import Trial
from lfbt.runs.results import SERIES_TABLE, Results
from lfbt.sources import published_as
from lfbt.utils.figures import ABSENT, format_count, format_estimate, format_figure, format_names
from lfbt.utils.files import atomic_file, write_json
from lfbt.utils.tables import as_markdown, as_text, terminal_width

# Names of absent classes that are listed.
_LISTED = 10


def benchmark_values(
    settings: BenchmarkSettings,
    dataset: Dataset,
    config: EncoderConfig,
    results: Sequence[tuple[Trial, Results]],
    left_out: Mapping[str, str],
) -> dict[str, Any]:
    """Collect what a benchmark found, as plain JSON values.

    Parameters
    ----------
    settings
        What was scored.
    dataset
        The prepared records.
    config
        Of the encoder.
    results
        Of every trial.
    left_out
        Tasks without a figure, and why.

    Returns
    -------
    dict
        Of these ``figures`` has a row a figure, ours first, and ``tasks`` the records of each task.
    """
    published = published_as(settings.data)
    dropped = dataset.manifest.dropped
    found = len(dataset) + sum(n for reason, n in dropped.items() if reason != "file absent")
    tasks = list(dict.fromkeys(trial.task.name for trial, _ in results))
    figures = [_ours(settings, results, task, fraction) for fraction in settings.fraction for task in tasks]
    figures += [
        dataclasses.asdict(one) for one in select_figures(settings.data, tasks, settings.protocol, settings.fraction)
    ]
    return {
        "data": settings.data,
        "protocol": settings.protocol,
        "synthetic": dataset.synthetic,
        "records": len(dataset),
        "recordings_found": found,
        "recordings_published": published.records if published else None,
        "dropped": dropped,
        "tasks": [_records(next(pair for pair in results if pair[0].task.name == task)) for task in tasks],
        "left_out": dict(left_out),
        "figures": figures,
        "notes": _notes(settings, config),
    }


def _ours(
    settings: BenchmarkSettings, results: Sequence[tuple[Trial, Results]], task: str, fraction: float
) -> dict[str, Any]:
    of_seeds = [found for trial, found in results if (trial.task.name, trial.fraction) == (task, fraction)]
    first = of_seeds[0]
    auroc = mean_over_seeds([found.test.auroc for found in of_seeds])
    bounds = first.test.intervals.auroc if first.test.intervals and len(of_seeds) == 1 else None
    departures = [settings.features] * (settings.features != "paper") + ["standardised"] * settings.standardise
    return {
        "method": ", ".join([f"LFBT: {first.encoder.checkpoint}", *departures]),
        "how": settings.protocol,
        "data": settings.data,
        "task": task,
        "auroc": auroc.mean,
        "source": "this command",
        "fraction": fraction,
        "auroc_sd": auroc.sd,
        "auroc_interval": bounds,
        "auroc_without_rare": mean_over_seeds([found.test.without_rare("auroc") for found in of_seeds]).mean,
        "auprc": mean_over_seeds([found.test.auprc for found in of_seeds]).mean,
        "seeds": len(of_seeds),
        "training_records": first.data.training_records,
    }


def _records(pair: tuple[Trial, Results]) -> dict[str, Any]:
    """The records of a task, and which of its classes are scored."""
    trial, found = pair
    trained = found.data.counts["train"]
    scored = [name for name, scores in found.test.per_class.items() if scores.auroc is not None]
    return {
        "task": trial.task.name,
        "classes": len(trial.task.classes),
        "scored": len(scored),
        "not_scored": [name for name in trial.task.classes if name not in scored],
        "scored_without_training_record": [name for name in scored if not trained[name]],
        "rare": found.test.rare_classes,
        **{split: len(rows) for split, rows in trial.task.rows.items()},
    }


def write_tables(settings: BenchmarkSettings, values: Mapping[str, Any]) -> str:
    """Write the tables as Markdown, text and JSON, the figures as CSV, and return the tables as text."""
    import pandas as pd

    title, notes = describe_data(values), [*values["notes"], *_sources(values)]
    notes += [f"Left out: {task}: {why}." for task, why in values["left_out"].items()]
    figures, records = figure_cells(values), record_cells(values)
    page = [f"# {title}", as_markdown(figures), "## Records", as_markdown(records), "\n".join(f"- {n}" for n in notes)]
    text = [title, as_text(figures), as_text(records), "\n".join(notes)]
    for ending, content in (("md", page), ("txt", text)):
        with atomic_file(settings.out / f"{settings.protocol}.{ending}") as partial:
            partial.write_text("\n\n".join(content) + "\n", encoding="utf-8")
    write_json(settings.out / f"{settings.protocol}.json", dict(values))
    with atomic_file(settings.out / SERIES_TABLE) as partial:
        pd.DataFrame(values["figures"]).to_csv(partial, index=False)
    width = terminal_width()
    return "\n\n".join([title, as_text(figures, width), as_text(records, width), "\n".join(notes)])


def describe_data(values: Mapping[str, Any]) -> str:
    """Say in a line what the figures are of: synthetic records, a part of the release, or the release."""
    title = f"lfbt benchmark {values['data']}, protocol {values['protocol']}"
    name, published = TITLES[values["data"]], values["recordings_published"]
    records = format_count(values["records"], "record")
    if values["synthetic"]:
        return f"{title}: on {records} of SYNTHETIC data, which published figures are NOT of"
    if values["recordings_found"] < published:
        return f"{title}: on a PART of {name}, {records}; the release has {published}, which published figures are of"
    return f"{title}: on {name}, {records} of the release's {published}"


def figure_cells(values: Mapping[str, Any]) -> list[list[str]]:
    """Format the figures, a row a method and fraction, a column a task; the first row is the header."""
    tasks = [task["task"] for task in values["tasks"]]
    rows: dict[tuple[str, str, float, str], dict[str, str]] = {}
    for one in values["figures"]:
        key = (one["method"], one["how"], one["fraction"], _number(one["source"], values))
        cell = format_figure(one["auroc"], ".3f")
        if "auroc_sd" in one:
            cell = format_estimate(one["auroc"], one["auroc_sd"], one["auroc_interval"], ".3f")
        rows.setdefault(key, {})[one["task"]] = cell
    header = ["macro AUROC", "how", "labels", *tasks, "source"]
    return [
        header,
        *(
            [method, how, f"{fraction:g}", *(cells.get(task, ABSENT) for task in tasks), number]
            for (method, how, fraction, number), cells in rows.items()
        ),
    ]


def record_cells(values: Mapping[str, Any]) -> list[list[str]]:
    """Format the records and classes of each task; the first row is the header."""
    rows = [["task", "train / val / test", "classes", "scored", "not scored", "never trained on", "without rare"]]
    for task in values["tasks"]:
        ours = next(one for one in values["figures"] if one["task"] == task["task"])
        rare = f"{format_figure(ours['auroc_without_rare'], '.3f')} ({len(task['rare'])} fewer)" if task["rare"] else ""
        sizes = " / ".join(str(task[split]) for split in ("train", "val", "test"))
        absent, untrained = task["not_scored"], task["scored_without_training_record"]
        rows.append(
            [
                *(task["task"], sizes, str(task["classes"]), str(task["scored"])),
                *(format_names(absent, _LISTED), format_names(untrained, _LISTED), rare),
            ]
        )
    return rows


def _number(source: str, values: Mapping[str, Any]) -> str:
    sources = list(dict.fromkeys(one["source"] for one in values["figures"]))
    return str(sources.index(source)) if sources.index(source) else ""


def _sources(values: Mapping[str, Any]) -> list[str]:
    sources = list(dict.fromkeys(one["source"] for one in values["figures"]))[1:]
    return [f"Source {number}: {source}." for number, source in enumerate(sources, start=1)]


def _notes(settings: BenchmarkSettings, config: EncoderConfig) -> list[str]:
    protocol = PROTOCOLS[settings.protocol]
    stride, length = settings.window * protocol.stride, round(settings.window * config.sampling_rate)
    normalised = {
        "record": "Each is normalised by itself, over its leads.",
        "lead": "Each is normalised by itself, lead by lead.",
        "none": "They stay in mV.",
    }
    form = {
        "linear": f"A linear layer on frozen features ({settings.features}"
        f"{', standardised' if settings.standardise or settings.features == 'rich' else ''})",
        "attentive": "An attentive pooler and a linear layer on the frozen feature map of the last block, a token a "
        "lead and step",
    }
    rounds = settings.epochs or protocol.rounds
    per_round = f"{protocol.steps} batches" if protocol.steps else "all training records"
    unlabelled = "are negatives of all" if protocol.keeps_unlabelled else "are left out"
    spread = "± is the spread over seeds" if len(settings.seeds) > 1 else "[ ] is the 95 % interval over test patients"
    splits = "PTB-XL's folds 1-8 / 9 / 10" if settings.data == "ptbxl" else "80 / 10 / 10 % by chance, stratified"
    return [
        f"{form[settings.protocol]}; binary cross-entropy (single: cross-entropy), AdamW 1e-3, weight decay "
        f"{protocol.weight_decay:g}, batches of {protocol.batch_size}, {format_count(rounds, 'round')} of {per_round}; "
        "the round with the highest macro AUROC of validation is kept.",
        f"Windows of {settings.window:g} s every {stride:g} s: {length} samples, where the encoder expects "
        f"{config.n_samples}; its weights do not depend on the length. {normalised[config.normalisation]}",
        f"{protocol.average.capitalize()} are averaged over the windows of a record, which is the first ten seconds of "
        f"a recording; records without a class of the task {unlabelled}. Splits: {splits}.",
        f"Macro mean over the classes that have test records on either side; {spread}; without rare: without classes "
        "of fewer than 10 test records.",
    ]
