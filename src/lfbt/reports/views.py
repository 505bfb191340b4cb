"""Section 3: a record beside two views of it, as pretraining draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from lfbt.data.dataset import Dataset
from lfbt.reports.blocks import Block, Charts, Paragraph, Section
from lfbt.reports.charts import Chart, Line, make_chart
from lfbt.reports.data import choose_rows
from lfbt.reports.material import SEED, Material
from lfbt.signal import Signal, normalise

_LEADS = ("II", "V1", "V5")
_DISTORTIONS = ("vcg_rotation", "scale", "wander", "hum", "noise", "lead_dropout")
# Points of a line, as many as an eye can tell.
_POINTS = 600


def views(material: Material) -> Section:
    """Draw a record and two views of it, by the settings of the first pretraining there is."""
    how = _pretraining_settings(material)
    blocks: list[Block] = []
    if how is None:
        blocks.append(Paragraph("No pretraining is among these runs and their encoders: there were no views.", "note"))
    elif material.dataset is None:
        blocks.append(Paragraph(f"{material.no_dataset}: so there is no record to show.", "note"))
    else:
        blocks += _draw(material.dataset, how)
    return Section(
        "views",
        "Views",
        "Pretraining asks the encoder to make the same of both views: what differs between them it learns to pass "
        "over.",
        tuple(blocks),
    )


def _pretraining_settings(material: Material) -> dict[str, Any] | None:
    """The settings of a pretraining, or those recorded with an encoder that came from one."""
    if material.pretrainings:
        return material.pretrainings[0].settings.settings
    histories = [group.first.results.encoder.history for group in material.groups]
    return next((history for history in histories if "shortest_crop" in history), None)


def _draw(dataset: Dataset, how: dict[str, Any]) -> list[Block]:
    import torch

    from lfbt.training.augmentation import random_views

    row = choose_rows(dataset, 1)[0]
    normalisation: Any = _setting(how, "normalisation", str, "record")
    crop: Literal["resized", "fixed"] = "fixed" if how.get("crop") == "fixed" else "resized"
    (signal,) = dataset.batch(np.array([row]), "none")
    if normalisation in ("record", "lead"):
        signal = normalise(signal[None], normalisation)[0]
    shortest, longest = (_setting(how, name, float, 0.5) for name in ("shortest_crop", "longest_time_out"))
    drawn = random_views(torch.from_numpy(signal[None]), np.random.default_rng(SEED), shortest, longest, crop)
    leads = [dataset.leads.index(lead) for lead in _LEADS if lead in dataset.leads] or list(range(min(3, len(signal))))
    names = [dataset.leads[lead] for lead in leads]
    unit = "mV" if normalisation == "none" and dataset.in_mv else "z-score"
    seconds = dataset.n_samples / dataset.sampling_rate
    parts = [("The record", signal, seconds)]
    parts += [
        (f"View {i + 1}", view[0].numpy(), view.shape[-1] / dataset.sampling_rate) for i, view in enumerate(drawn)
    ]
    charts = tuple(_chart(title, part[leads], names, unit, length) for title, part, length in parts)
    kept = f"{100 * shortest:g} % to 100 %" if crop == "resized" else f"{100 * shortest:g} %"
    labels = ", ".join(dataset.labels[row]) or "no label"
    stretched = ", stretched to all of its time" if crop == "resized" else ""
    caption = (
        f"Record {dataset.ids[row]} of {dataset.folder.name}, {labels}. A view is a part of {kept} of the "
        f"record{stretched}, of which up to {100 * longest:g} % is set to zero (seed {SEED}); all leads alike."
    )
    on = [name.replace("_", " ") for name in _DISTORTIONS if how.get(name)]
    caption += f" This run has {', '.join(on)} on top of it, not drawn here." if on else ""
    if how.get("positives") == "patient":
        caption += " In this run all views but the first are of other records of the same patient; here they are not."
    return [Charts(charts, caption)]


def _setting(settings: dict[str, Any], name: str, kind: type, default: Any) -> Any:
    """A setting of a run, or the default where it is absent or of another type."""
    value = settings.get(name, default)
    return value if isinstance(value, kind) else default


def _chart(title: str, signal: Signal, names: Sequence[str], unit: str, seconds: float) -> Chart:
    """Leads above each other, the first on top."""
    step = float(np.quantile(np.abs(signal), 0.995)) * 2 or 1.0
    kept = np.unique(np.linspace(0, signal.shape[1] - 1, _POINTS).astype(int))
    time = kept / signal.shape[1] * seconds
    lines = [
        Line(time, lead[kept] + step * (len(names) - 1 - i), name, "line", i)
        for i, (name, lead) in enumerate(zip(names, signal, strict=True))
    ]
    return make_chart(title, lines, "seconds", f"{unit}, leads stacked")
