"""LFBT beside rivals that need no pretraining, and beside one another, on PTB-XL's records 1 to 500.

    python -m benchmarks.rivals --data ../shared/data --out rivals --docs docs/rivals.md

The 415 records with exactly one superclass, all and a tenth of the training labels, three seeds: a seed deals the
patients to ten folds, and draws the fraction, the random weights and the rival's kernels. Each fold is the test once
and the next is validation, on which C, the round or the epoch is chosen. Finished trials are kept: the same command
resumes. Results go to ``rivals.json`` beside the page.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.bundled_figures import prepared
from benchmarks.render import with_section
from lfbt.data.layouts import open_dataset
from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.evaluation.fine_tuning import run_finetune
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import FinetuneSettings, ProbeSettings
from lfbt.reports.comparison_rows import MetricSummary, Row, table_rows
from lfbt.reports.scored_trials import ScoredTrial, open_trials
from lfbt.runs.encoder_folder import BUNDLED
from lfbt.sources import PtbXl
from lfbt.utils.figures import format_estimate, format_figure
from lfbt.utils.files import read_json, write_json
from lfbt.utils.tables import as_markdown

SEEDS = (0, 1, 2)
FRACTIONS = (1.0, 0.1)
_N_FOLDS = 10
_C = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_PUBLISHED = "published γ 0.8"
_MEAN = ", mean with "
_GAMMA = "encoder_group_gamma_0.8.pth"
# From scratch: fewer samples and epochs, as two cores allow. Validation chooses the rate of each fraction, and of each
# fold the epoch.
SCRATCH_SAMPLES = 512
SCRATCH: dict[str, Any] = {"epochs": 15, "batch_size": 32}
SCRATCH_RATES = (3e-4, 1e-3)

_LOGISTIC: dict[str, Any] = {"classifier": "logistic", "c": _C}

#: Settings of the probe of each row, the baseline first. The published weights have a data set of their own.
ROWS: dict[str, dict[str, Any]] = {
    _PUBLISHED: {"checkpoint": _GAMMA, **_LOGISTIC},
    BUNDLED: {"checkpoint": BUNDLED, **_LOGISTIC},
    "random encoder": {"random_encoder": True, **_LOGISTIC},
    f"{_PUBLISHED}, rich": {"checkpoint": _GAMMA, "features": "rich", **_LOGISTIC},
    f"{BUNDLED}, rich": {"checkpoint": BUNDLED, "features": "rich", **_LOGISTIC},
    "random encoder, rich": {"random_encoder": True, "features": "rich", **_LOGISTIC},
    "MiniRocket": {"rival": "minirocket", **_LOGISTIC},
    "statistics": {"rival": "statistics", **_LOGISTIC},
    "statistics, boosting": {"rival": "statistics", "classifier": "boosting"},
    "median beats, PCA": {"rival": "beats", **_LOGISTIC},
    f"{_PUBLISHED} + MiniRocket": {"checkpoint": _GAMMA, "rival": "minirocket", **_LOGISTIC},
    f"{_PUBLISHED} + statistics": {"checkpoint": _GAMMA, "rival": "statistics", **_LOGISTIC},
    f"{BUNDLED} + MiniRocket": {"checkpoint": BUNDLED, "rival": "minirocket", **_LOGISTIC},
    f"{BUNDLED} + statistics": {"checkpoint": BUNDLED, "rival": "statistics", **_LOGISTIC},
}
FROM_SCRATCH = "from scratch"

#: What LFBT adds to what a rival knows, by the rival's row: columns side by side, and the mean of both answers.
ADDED = {
    rival: tuple(f"{encoder}{how}{rival}" for encoder in (_PUBLISHED, BUNDLED) for how in (" + ", _MEAN))
    for rival in ("MiniRocket", "statistics")
}


def _folder(out: Path, name: str, seed: int) -> Path:
    return out / "runs" / name.replace(" ", "-") / f"seed-{seed}"


def run_row(name: str, data: Path, out: Path, seed: int) -> None:
    """Score a row of one seed at both fractions, unless that is done already."""
    common: dict[str, Any] = {
        "run_dir": _folder(out, name, seed),
        "folds": _N_FOLDS,
        "fraction": FRACTIONS,
        "seeds": (seed,),
        "split_seed": seed,
        "device": "cpu",
        "resume": True,
    }
    if name == FROM_SCRATCH:
        folder = out / f"ptbxl-{SCRATCH_SAMPLES}"
        for rate in SCRATCH_RATES:
            common["run_dir"] = _folder(out, f"{name} {rate}", seed)
            run_finetune(FinetuneSettings.create(folder, **common, **SCRATCH, learning_rate=rate, from_scratch=True))
        return
    settings = dict(ROWS[name])
    folder = out / "ptbxl"
    if settings.get("checkpoint") == _GAMMA:
        folder, settings["checkpoint"] = out / "ptbxl-published", data / "weights" / _GAMMA
    run_probe(ProbeSettings.create(folder, **common, **settings))


def compare_rows(out: Path, names: Sequence[str], fraction: float) -> list[Row]:
    """Compare rows at one fraction with the first of `names`."""
    trials: list[ScoredTrial] = []
    for name in names:
        of_parts = [_open(out, part, fraction) for part in name.split(_MEAN)]
        for first, *others in zip(*of_parts, strict=True):
            p = np.mean([one.predictions.probabilities for one in (first, *others)], axis=0)
            predictions = dataclasses.replace(first.predictions, probabilities=p)
            trials.append(dataclasses.replace(first, run=name, predictions=predictions))
    return table_rows(trials)


def _open(out: Path, name: str, fraction: float) -> list[ScoredTrial]:
    """The trials of a row, by seed."""
    names = [f"{name} {rate}" for rate in SCRATCH_RATES] if name == FROM_SCRATCH else [name]
    of_names = [
        [
            one
            for seed in SEEDS
            for one in open_trials(_folder(out, each, seed), name)
            if one.results.fraction == fraction
        ]
        for each in names
    ]
    return best_on_validation(of_names)


def best_on_validation(rows: Sequence[list[ScoredTrial]]) -> list[ScoredTrial]:
    """The trials with the highest mean over seeds of the macro AUROC of their validation records."""

    def mean(trials: Sequence[ScoredTrial]) -> float:
        return float(np.mean([-1.0 if one.results.val is None else one.results.val.auroc or -1.0 for one in trials]))

    return max(rows, key=mean)


def measured(out: Path) -> dict[str, Any]:
    """All rows, by fraction: of each against the published weights, and of LFBT beside a rival against the rival."""
    names = [*ROWS, FROM_SCRATCH]
    return {
        "classes": _class_counts(out),
        "fractions": {
            f"{fraction:g}": {
                "rows": _plain(compare_rows(out, names, fraction)),
                "added": {
                    rival: _plain(compare_rows(out, (rival, *others), fraction)[1:]) for rival, others in ADDED.items()
                },
            }
            for fraction in FRACTIONS
        },
    }


def _plain(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(row) for row in rows]


def _class_counts(out: Path) -> dict[str, int]:
    dataset = open_dataset(out / "ptbxl")
    return dict(zip(dataset.classes, dataset.targets().sum(axis=0).tolist(), strict=True))


# --- the page ---

_METRICS = ("auroc", "auprc", "auroc_without_rare", "auprc_without_rare")


def render(results: Mapping[str, Any]) -> str:
    """The tables as Markdown, and in sentences that follow from them what wins and loses."""
    parts = [_describe(results)]
    for fraction, found in results["fractions"].items():
        labels = "All labels" if fraction == "1" else f"{fraction} of the training patients' labels"
        parts += [f"### {labels}", _table(found["rows"]), _verdicts(found["rows"])]
        parts += [f"What LFBT adds to a rival, with {labels[0].lower()}{labels[1:]}:", _added(found["added"])]
    return "\n\n".join(parts)


def _describe(results: Mapping[str, Any]) -> str:
    first, *others = results["fractions"]["1"]["rows"]
    classes = ", ".join(f"{name} {n}" for name, n in results["classes"].items())
    return (
        f"Real data, and few: {first['test_records']} records of {first['test_patients']} patients ({classes}). Means "
        f"± SD over {len(first['seeds'])} seeds; in brackets 95 % intervals over 1000 draws of patients and seeds. p: "
        f"of the paired difference from {first['run']}, adjusted by Holm's method for the {len(others)} rows compared "
        "with it at each fraction, each metric by itself."
    )


def _titles(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    few = f" without {', '.join(rows[0]['rare_classes'])}"
    return {
        name: name.removesuffix("_without_rare").upper() + (few if name.endswith("_without_rare") else "")
        for name in _METRICS
        if name in rows[0]["figures"]
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    titles = _titles(rows)
    head = ["features"]
    for title in titles.values():
        head += [title, "p"]
    lines = [head]
    for row in rows:
        line = [row["run"]]
        for name in titles:
            found = MetricSummary(**row["figures"][name])
            estimate = format_estimate(found.mean, found.sd, found.interval, ".3f", ".3f")
            line += [estimate, "" if row["against"] is None else format_figure(found.p_holm, ".2g")]
        lines.append(line)
    return as_markdown(lines)


def _verdicts(rows: Sequence[Mapping[str, Any]]) -> str:
    """Which rows are above and below the first by their means, and which so that the interval excludes zero."""
    lines = [f"Beside {rows[0]['run']} (*: the interval of the difference, not adjusted, excludes 0):", ""]
    for name, title in _titles(rows).items():
        of_rows = {row["run"]: MetricSummary(**row["figures"][name]) for row in rows[1:]}
        above = [f"{run}{_mark(found)}" for run, found in of_rows.items() if (found.difference or 0) > 0]
        below = [f"{run}{_mark(found)}" for run, found in of_rows.items() if (found.difference or 0) <= 0]
        lines.append(f"- {title}: above it {'; '.join(above) or 'none'}. Below it {'; '.join(below) or 'none'}.")
    return "\n".join(lines)


def _mark(found: MetricSummary) -> str:
    low, high = found.difference_interval or (0.0, 0.0)
    return "*" if low > 0 or high < 0 else ""


def _added(added: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    titles = _titles(next(iter(added.values())))
    lines = [["features, less the rival's alone", *titles.values()]]
    for rows in added.values():
        for row in rows:
            found = [MetricSummary(**row["figures"][name]) for name in titles]
            gains = [format_estimate(x.difference, None, x.difference_interval, "+.3f", "+.3f") for x in found]
            lines.append([row["run"], *gains])
    return as_markdown(lines)


def main() -> None:
    """Run what is not finished, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder for data sets and runs")
    parser.add_argument("--docs", type=Path, help="Markdown page whose section is replaced, its JSON beside it")
    parser.add_argument("--only", nargs="+", choices=[*ROWS, FROM_SCRATCH], default=[], help="run these, and no page")
    arguments = parser.parse_args()
    out = arguments.out
    warnings.filterwarnings("ignore", "The least populated class", UserWarning)
    # Others compute here, too: threads of small products would wait for each other.
    torch.set_num_threads(1)
    prepared(arguments.data, out)
    scratch = out / f"ptbxl-{SCRATCH_SAMPLES}"
    if not scratch.exists():
        prepare_dataset(PtbXl(), "ptbxl", arguments.data / "ptbxl", scratch, PrepareSettings(n_samples=SCRATCH_SAMPLES))
    with threadpool_limits(1):
        for name in arguments.only or [*ROWS, FROM_SCRATCH]:
            start = time.perf_counter()
            for seed in SEEDS:
                run_row(name, arguments.data, out, seed)
            print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    if arguments.only:
        return
    if arguments.docs:
        write_json(arguments.docs.with_suffix(".json"), measured(out))
        results = read_json(arguments.docs.with_suffix(".json"))
        text = with_section(arguments.docs.read_text(encoding="utf-8"), render(results))
        arguments.docs.write_text(text, encoding="utf-8")
    else:
        results = measured(out)
    print(render(results))


if __name__ == "__main__":
    main()
