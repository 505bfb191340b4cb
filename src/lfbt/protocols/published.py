"""Published figures of others: macro AUROC of the test records, each with its source."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

#: How the figure came about. linear, attentive: the protocols here; frozen: another classifier on frozen features;
#: supervised: from random weights.
How = Literal["linear", "attentive", "frozen", "fine-tuned", "supervised"]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A published macro AUROC.

    Parameters
    ----------
    method
        Name of the encoder or classifier.
    how
        How it was trained.
    data, task
        As `lfbt.protocols.settings.TASKS` has them.
    auroc
        Macro mean over the classes.
    source
        Where it is published.
    fraction
        Part of the training labels.
    """

    method: str
    how: How
    data: str
    task: str
    auroc: float
    source: str
    fraction: float = 1.0


_AI4HEALTH = "AI4HealthUOL/ecg-fm-benchmarking, Confidence_Interval.xlsx"
_KWEIMANN = "kweimann/ECG-JEPA"
_SHARMA = "deepshiksharma/ptbxl-ssl-objectives"
_MINIROCKET = "ea-g/ecg_ptbxl_benchmarking"
_PAPER = "LFBT's paper, as a third party's notes give it"

_AI4HEALTH_TASKS = (
    *(("ptbxl", task) for task in ("statements", "diagnostic", "subclass", "superclass", "form", "rhythm")),
    ("cpsc2018", "diagnosis"),
    ("chapman", "rhythm"),
)
# Of each task in this order. Its sheets Linear, Frozen (a learned query attends to the feature map), Finetuning,
# Supervised; form and rhythm are columns of the model of all statements there.
_AI4HEALTH_FIGURES: dict[How, dict[str, tuple[float, ...]]] = {
    "linear": {
        "ECGFounder": (0.931, 0.947, 0.945, 0.924, 0.874, 0.961, 0.964, 0.987),
        "ECG-JEPA (Kim)": (0.928, 0.925, 0.916, 0.911, 0.908, 0.969, 0.975, 0.989),
        "ST-MEM": (0.908, 0.903, 0.916, 0.896, 0.889, 0.951, 0.945, 0.985),
        "MERL": (0.883, 0.894, 0.895, 0.887, 0.864, 0.877, 0.914, 0.946),
        "HuBERT-ECG": (0.867, 0.875, 0.898, 0.877, 0.817, 0.902, 0.899, 0.953),
        "ECG-FM": (0.841, 0.861, 0.866, 0.873, 0.782, 0.865, 0.906, 0.968),
        "ECG-CPC": (0.904, 0.907, 0.886, 0.863, 0.873, 0.938, 0.902, 0.944),
    },
    "attentive": {
        "ECGFounder": (0.927, 0.940, 0.939, 0.928, 0.876, 0.958, 0.966, 0.983),
        "ECG-JEPA (Kim)": (0.934, 0.943, 0.934, 0.917, 0.889, 0.966, 0.975, 0.988),
        "ST-MEM": (0.910, 0.910, 0.931, 0.923, 0.894, 0.934, 0.956, 0.984),
        "MERL": (0.909, 0.918, 0.917, 0.915, 0.879, 0.928, 0.956, 0.972),
        "HuBERT-ECG": (0.883, 0.898, 0.903, 0.892, 0.815, 0.917, 0.919, 0.951),
        "ECG-FM": (0.884, 0.890, 0.912, 0.877, 0.838, 0.931, 0.930, 0.974),
        "ECG-CPC": (0.931, 0.934, 0.934, 0.919, 0.905, 0.951, 0.959, 0.983),
    },
    "fine-tuned": {
        "ECGFounder": (0.934, 0.950, 0.943, 0.935, 0.875, 0.965, 0.966, 0.991),
        "ECG-JEPA (Kim)": (0.940, 0.946, 0.935, 0.921, 0.912, 0.956, 0.974, 0.989),
        "ST-MEM": (0.908, 0.904, 0.916, 0.901, 0.887, 0.951, 0.946, 0.985),
        "MERL": (0.925, 0.942, 0.937, 0.930, 0.891, 0.912, 0.936, 0.975),
        "HuBERT-ECG": (0.915, 0.925, 0.918, 0.908, 0.860, 0.950, 0.956, 0.982),
        "ECG-FM": (0.927, 0.926, 0.932, 0.916, 0.904, 0.959, 0.972, 0.993),
        "ECG-CPC": (0.949, 0.951, 0.940, 0.934, 0.934, 0.959, 0.969, 0.987),
    },
    "supervised": {"S4": (0.941, 0.943, 0.938, 0.932, 0.919, 0.956, 0.962, 0.986)},
}
# All statements and the single superclass: attentive, then fine-tuned.
_KWEIMANN_HOW: tuple[How, ...] = ("attentive", "fine-tuned")
_KWEIMANN_FIGURES = {
    "ECG-JEPA, ViT-S on MIMIC-IV-ECG": ((0.940, 0.921), (0.944, 0.932)),
    "ECG-JEPA, ViT-S on 1.01 M records": ((0.938, 0.928), (0.945, 0.935)),
    "ECG-JEPA, ViT-XS on PTB-XL only": ((0.931, 0.919), (0.940, 0.928)),
}
_SHARMA_FRACTIONS = (0.01, 0.1, 1.0)
_SHARMA_FIGURES: tuple[tuple[str, How, tuple[float, ...]], ...] = (
    ("BYOL, the best there of frozen encoders", "frozen", (0.771, 0.838, 0.883)),
    ("from scratch", "supervised", (0.636, 0.823, 0.927)),
)

FIGURES: tuple[Figure, ...] = (
    *(
        Figure(method, how, data, task, auroc, _AI4HEALTH)
        for how, methods in _AI4HEALTH_FIGURES.items()
        for method, figures in methods.items()
        for (data, task), auroc in zip(_AI4HEALTH_TASKS, figures, strict=True)
    ),
    *(
        Figure(method, how, "ptbxl", task, auroc, _KWEIMANN)
        for method, both in _KWEIMANN_FIGURES.items()
        for how, figures in zip(_KWEIMANN_HOW, both, strict=True)
        for task, auroc in zip(("statements", "single"), figures, strict=True)
    ),
    *(
        Figure(method, how, "ptbxl", "diagnostic", auroc, _SHARMA, fraction)
        for method, how, figures in _SHARMA_FIGURES
        for fraction, auroc in zip(_SHARMA_FRACTIONS, figures, strict=True)
    ),
    Figure("MiniRocket + logistic regression", "frozen", "ptbxl", "superclass", 0.868, _MINIROCKET),
    Figure("MiniRocket + logistic regression", "frozen", "ptbxl", "statements", 0.796, _MINIROCKET),
    Figure("LFBT of the paper", "linear", "ptbxl", "single", 0.908, _PAPER),
    Figure("LFBT of the paper", "fine-tuned", "ptbxl", "single", 0.918, _PAPER),
)


def select_figures(data: str, tasks: Sequence[str], protocol: str, fractions: Sequence[float]) -> list[Figure]:
    """Select what stands beside figures of ours: those of the same protocol first, of the other frozen protocol none.

    Parameters
    ----------
    data, tasks
        What ours are of.
    protocol
        ``linear`` or ``attentive``.
    fractions
        Parts of the training labels that ours are of; figures of all labels are always among them.

    Examples
    --------
    >>> [(one.method, one.auroc) for one in select_figures("chapman", ["rhythm"], "linear", [1.0])][:2]
    [('ECGFounder', 0.987), ('ECG-JEPA (Kim)', 0.989)]
    """
    order = (protocol, "frozen", "fine-tuned", "supervised")
    found = [one for one in FIGURES if one.data == data and one.task in tasks and one.fraction in {*fractions, 1.0}]
    return sorted((one for one in found if one.how in order), key=lambda one: order.index(one.how))
