"""The learning rate over time."""

from __future__ import annotations

import math

from lfbt.training.settings import PretrainSettings


def learning_rate_at(step: int, steps_per_epoch: int, settings: PretrainSettings) -> float:
    """Adam's rate at `step`, counted from 0."""
    warmup = settings.warmup_epochs * steps_per_epoch
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    if settings.schedule == "constant":
        return settings.learning_rate
    done = (step - warmup) / (settings.epochs * steps_per_epoch - warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
