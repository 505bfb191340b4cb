"""Section 1: what it is at a glance."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Iterator

import lfbt
from lfbt.reports.blocks import Block, Fact, Facts, Paragraph, Section
from lfbt.reports.commands import command_of
from lfbt.reports.grouping import Group
from lfbt.reports.material import Material, compare_groups
from lfbt.runs.loading import ClassifierRun
from lfbt.runs.results import RESULTS, Results
from lfbt.runs.run_folder import SETTINGS
from lfbt.utils.figures import format_count, format_estimate, format_figure, format_interval, format_names

_PACKAGES = ("numpy", "torch", "scikit-learn")


def glance(material: Material, seconds: float) -> Section:
    """Say what was done to which data, what came out, and how to repeat it; `seconds`: what the report has taken."""
    facts = [*_task(material), *_outcome(material), *_references(material), *_origin(material, seconds)]
    blocks: list[Block] = [Facts(tuple(facts))]
    few = _few_records(material)
    return Section(
        "glance",
        "At a glance",
        "The best run with its interval. It is better than a random encoder only where the interval of the difference "
        "excludes 0.",
        (*blocks, *few),
    )


def _task(material: Material) -> Iterator[Fact]:
    if material.best is None:
        run = material.pretrainings[0]
        yield Fact("Task", "pretraining, without labels")
        yield Fact("Records", format_count(run.settings.records or 0, "record"))
        return
    results = material.best.first.results
    kind = "exactly one class a record" if results.exclusive else "several classes a record"
    classes = results.data.classes
    yield Fact("Task", f"{kind} ({results.task}), {len(classes)} classes: {format_names(classes, 12)}")
    tested = f"in {results.folds} patient-disjoint folds" if results.folds else "on the test split"
    intervals = results.test.intervals
    patients = "" if intervals is None else f" of {format_count(intervals.patients, 'patient')}"
    yield Fact(
        "Data",
        f"{results.data.folder}: {format_count(results.data.training_records, 'training record')}, "
        f"{format_count(results.test.records, 'test record')}{patients}, scored {tested}",
    )


def _outcome(material: Material) -> Iterator[Fact]:
    best = material.best
    if best is None:
        return
    by = f", chosen among {len(material.groups)} by its {material.chosen_by} AUROC" if len(material.groups) > 1 else ""
    by += "; the best of several is too good by chance" if material.chosen_by == "test" and by else ""
    seeds = f", {format_count(len(best.runs), 'seed')}"
    yield Fact("Best run", f"{best.name}: {best.first.title}{seeds}{by}")
    for metric, name in (("auroc", "AUROC"), ("auprc", "AUPRC")):
        yield Fact(f"Test {name}", f"{_estimate(material, best, metric)}{_chance(best.first.results, metric)}")


def _estimate(material: Material, group: Group, metric: str) -> str:
    row = material.rows.get(group.name)
    if row is not None:
        figure = row.figures[metric]
        return format_estimate(figure.mean, figure.sd, figure.interval)
    intervals = group.first.results.test.intervals
    bounds = None if intervals is None else getattr(intervals, metric)
    return format_estimate(group.mean("test", metric), None, bounds if len(group.runs) == 1 else None)


def _chance(results: Results, metric: str) -> str:
    return f" (by chance {format_figure(0.5 if metric == 'auroc' else results.test.prior)}), mean over classes"


def _references(material: Material) -> Iterator[Fact]:
    """The paired difference of the best run from a random encoder, training from scratch, and a rival."""
    best = material.best
    if best is None or not material.rows:
        return
    kinds = {
        "a random encoder": lambda group: group.is_random and group.first.results.kind == "probe",
        "training from scratch": lambda group: group.first.results.kind == "scratch",
        "features without pretraining": lambda group: bool(group.first.results.settings.get("rival")),
    }
    found = {words: next(filter(kind, material.groups), None) for words, kind in kinds.items()}
    if not any(found.values()) and material.baseline is not best:
        found["the first run"] = material.baseline
    for words, group in found.items():
        if group is best:
            yield Fact(f"Against {words}", "it is the best run itself")
        elif group is not None:
            both = {one.name: material.trials[one.name] for one in (group, best)}
            figure = compare_groups(both, material.n_draws, group.name)[best.name].figures["auroc"]
            bounds = figure.difference_interval
            sure = bounds is not None and (bounds[0] > 0 or bounds[1] < 0)
            verdict = "better" if (figure.difference or 0) > 0 else "worse"
            verdict += (
                ", by an interval that is not adjusted for the number of runs" if len(material.groups) > 2 else ""
            )
            yield Fact(
                f"Against {words}",
                f"AUROC {format_figure(figure.difference, '+.4f')} {format_interval(bounds, '+.3f')} against "
                f"{group.name}: {verdict if sure else 'no difference shown'}",
            )
        elif words == "a random encoder":
            yield Fact("Against a random encoder", "not among the runs; add one: lfbt probe --random-encoder")


def _origin(material: Material, seconds: float) -> Iterator[Fact]:
    first = material.best.first if material.best else material.pretrainings[0]
    now = datetime.datetime.now().astimezone()
    yield Fact("Report made", f"{now:%Y-%m-%d %H:%M %Z}, in {seconds:.1f} s")
    written = _written(first.folder / (RESULTS if isinstance(first, ClassifierRun) else SETTINGS))
    by = ", ".join(dict.fromkeys(run.settings.lfbt_version for run in material.runs))
    yield Fact("Runs", f"{format_count(len(material.runs), 'run')}, by lfbt {by}; {first.name} written {written}")
    if material.pretrainings:
        spent = sum(line.seconds for run in material.pretrainings for line in run.history)
        yield Fact("Time of pretraining", f"{spent:.0f} s")
    versions = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    yield Fact("Versions", f"lfbt {lfbt.__version__}, Python {platform.python_version()}, {versions}")
    yield Fact("Machine", f"{platform.system()} {platform.machine()}, {format_count(os.cpu_count() or 1, 'processor')}")
    yield Fact("Repeat it", command_of(first), is_code=True)


def _written(path: os.PathLike[str]) -> str:
    try:
        return f"{datetime.datetime.fromtimestamp(os.stat(path).st_mtime):%Y-%m-%d %H:%M}"  # noqa: PTH116
    except OSError:
        return "at a time not known"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _few_records(material: Material) -> list[Block]:
    if material.best is None:
        return []
    test = material.best.first.results.test
    blocks: list[Block] = []
    if test.rare_classes:
        counts = ", ".join(f"{name} ({test.per_class[name].records})" for name in test.rare_classes)
        text = f"Few test records of {counts}: their figures say little, and means are shown without them, too."
        blocks.append(Paragraph(text, "warning"))
    if test.absent_classes:
        text = f"No test record of {', '.join(test.absent_classes)}: left out of the means."
        blocks.append(Paragraph(text, "warning"))
    return blocks
