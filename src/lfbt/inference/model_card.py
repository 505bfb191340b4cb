"""The model card of an encoder: a README.md with metadata that the Hugging Face Hub reads, and text for people."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lfbt.models.config import EncoderCard
from lfbt.runs.results import Results, Scores, describe_rare
from lfbt.utils.figures import format_count, format_estimate

_TAGS = ["ecg", "electrocardiogram", "self-supervised-learning", "lead-fusion-barlow-twins"]
_KINDS = {"probe": "linear probe", "finetune": "fine-tuned"}
_NORMALISATIONS = {
    "record": "z-score over the record",
    "lead": "z-score of each lead",
    "none": "none: voltages in mV",
}
# By the hub's names of metrics, where it has one.
_METRICS = {"auroc": ("roc_auc", "macro AUROC"), "auprc": ("auprc", "macro AUPRC"), "f1": ("f1", "macro F1")}


def model_card(
    card: EncoderCard, results: Sequence[Results] = (), *, name: str = "encoder", license_id: str | None = None
) -> str:
    """Write the model card of an encoder.

    Parameters
    ----------
    card
        The encoder's settings and history.
    results
        Trials of classifiers on this encoder, whose test figures are reported.
    name
        Of the model, as `lfbt.load_encoder` takes it.
    license_id
        As the hub names licences, such as ``mit`` or ``cc-by-4.0``.

    Returns
    -------
    str
        Markdown that begins with YAML metadata.

    Examples
    --------
    >>> from lfbt.models.config import EncoderConfig
    >>> card = EncoderCard.create(EncoderConfig(("II", "V1"), sampling_rate=100, n_samples=1000), {"method": "LFBT"})
    >>> print(model_card(card, license_id="mit").splitlines()[2])
    license: "mit"
    """
    metadata: dict[str, Any] = {"library_name": "lfbt"}
    if license_id is not None:
        metadata["license"] = license_id
    metadata |= {"pipeline_tag": "feature-extraction", "tags": _TAGS}
    if results:
        metadata["model-index"] = [
            {"name": name, "results": [entry for one in results for entry in _index_entries(one)]}
        ]
    parts = [_title(card, name), _use(card, name), _figures(results), _training(card)]
    return "\n".join(["---", *_yaml(metadata), "---", *parts])


def _title(card: EncoderCard, name: str) -> str:
    config = card.config
    rows = {
        "leads": ", ".join(config.leads),
        "sampling rate": f"{config.sampling_rate:g} Hz",
        "samples": f"{config.n_samples} ({config.n_samples / config.sampling_rate:g} s)",
        "normalisation": _NORMALISATIONS[config.normalisation],
        "embedding": f"{len(config.leads)} leads × {config.n_features} = {len(config.leads) * config.n_features}",
    }
    return f"""
# {name}

An encoder of ECGs, with weights of its own for each lead, written by lfbt {card.lfbt_version}. Input of the encoder:

{_table(("", ""), rows.items())}
"""


def _use(card: EncoderCard, name: str) -> str:
    leads = ",".join(card.config.leads)
    return f"""## Use

```python
import lfbt

encoder = lfbt.load_encoder({name!r})
encoder.embed("ecg.dcm")  # a file: WFDB, DICOM, SCP-ECG, aECG, CSV and others
encoder.embed(signals, leads={leads!r}, sampling_rate=500, unit="uV")  # an array [records, leads, samples]
```

Leads are taken by name; unit, sampling rate and normalisation are converted to those of the encoder. Do not filter,
resample or normalise before. Records of another duration are refused.
"""


def _figures(results: Sequence[Results]) -> str:
    if not results:
        return "## Figures\n\nNone were given.\n"
    level = next((one.test.intervals.level for one in results if one.test.intervals), None)
    note = "" if level is None else f" In brackets: {level:.0%} intervals over test patients."
    head = ("classifier", "data", "classes", "leads", "fraction", "seed", "test records", "AUROC", "AUPRC", "F1")
    rows = [
        (
            _kind(one),
            _data(one),
            ", ".join(one.data.classes),
            leads,
            f"{one.fraction:g}",
            one.seed,
            test.records,
            *(_estimate(test, metric) for metric in _METRICS),
        )
        for one in results
        for leads, test in _scores(one)
    ]
    return f"## Figures\n\nOf test records, means over classes.{note}\n\n{_table(head, rows)}\n"


def _scores(results: Results) -> list[tuple[str, Scores]]:
    """The test scores, and those of the same classifier on each subset of leads that it serves, too."""
    served = [(f"{','.join(one.leads)} (the same classifier)", one.test) for one in results.by_lead_subset.values()]
    return [(results.lead_subset or "all", results.test), *served]


def _estimate(test: Scores, metric: str) -> str:
    """A mean over classes with its interval, and where there are rare classes that without these."""
    figure = format_estimate(getattr(test, metric), None, _interval(test, metric))
    without = {"auroc": test.without_rare("auroc"), "auprc": test.without_rare("auprc")}.get(metric)
    if without is None:
        return figure
    bounds = None if test.intervals is None else test.intervals.without_rare
    others = format_estimate(without, None, getattr(bounds, metric, None))
    return f"{figure} ({describe_rare(test.rare_classes)} {others})"


def _training(card: EncoderCard) -> str:
    rows = [(key, _plain(value)) for key, value in card.history.items() if value not in (None, "", [], {})]
    return f"""## Training

{_table(("setting", "value"), rows) if rows else "Nothing is recorded."}

No fingerprints of the training records are published with the encoder. Whether your test records are among them is
not checked.

## Limits

Research software, not a medical device. Nothing is known of data unlike those above.
"""


def _index_entries(results: Results) -> list[dict[str, Any]]:
    """The results as the hub's ``model-index`` has them: of all leads, and of each subset that is served, too."""
    served = [(one.leads, one.test) for one in results.by_lead_subset.values()]
    return [_index_entry(results, leads, test) for leads, test in [(results.leads, results.test), *served]]


def _index_entry(results: Results, leads: Sequence[str], test: Scores) -> dict[str, Any]:
    task = {"type": "other", "name": f"ECG classification, {results.task}: {_kind(results)}"}
    dataset = {"type": results.data.folder, "name": _data(results), "split": "test", "revision": results.data.hash}
    settings = {"fraction": results.fraction, "seed": results.seed, "folds": results.folds, "leads": leads}
    metrics = []
    for metric, (kind, title) in _METRICS.items():
        value, interval = getattr(test, metric), _interval(test, metric)
        if value is None:
            continue
        args: dict[str, Any] = {key: known for key, known in settings.items() if known is not None}
        if interval is not None and test.intervals is not None:
            args |= {"interval": list(interval), "level": test.intervals.level}
        metrics.append({"type": kind, "name": title, "value": value, "args": args})
    return {"task": task, "dataset": dataset, "metrics": metrics}


def _kind(results: Results) -> str:
    kind = _KINDS.get(results.kind, results.kind)
    return f"{kind} ({results.method})" if results.method else kind


def _data(results: Results) -> str:
    folds = f", {format_count(results.folds, 'fold')}" if results.folds else ""
    return results.data.folder + (" (synthetic)" if results.synthetic else "") + folds


def _interval(scores: Scores, metric: str) -> tuple[float, float] | None:
    bounds: tuple[float, float] | None = getattr(scores.intervals, metric, None)
    return bounds


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _table(head: Sequence[str], rows: Any) -> str:
    """A Markdown table; what would end a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    cells = ([" ".join(str(cell).split()).replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _yaml(value: Any, indent: str = "") -> list[str]:
    """Lines of YAML in block style. Keys are plain words; scalars are those of JSON, which YAML shares."""
    if isinstance(value, Mapping):
        items = [(f"{indent}{key}:", child) for key, child in value.items()]
    else:
        items = [(f"{indent}-", child) for child in value]
    lines = []
    for start, child in items:
        if isinstance(child, (Mapping, list)) and child:
            lines += [start, *_yaml(child, indent + "  ")]
        else:
            lines.append(f"{start} {_scalar(child)}")
    return lines


def _scalar(value: Any) -> str:
    """A scalar of JSON; characters that YAML does not take as they are become escapes."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(r"[^ -~]", lambda match: match[0] if match[0].isprintable() else f"\\U{ord(match[0]):08x}", text)
