"""The learning rate over time."""

from __future__ import annotations

import math

from lfbt.training.settings import OptimizerSettings


def learning_rate_at(step: int, steps_per_epoch: int, settings: OptimizerSettings) -> float:
    """Adam's rate at `step`, counted from 0: a linear warm-up, then constant or a cosine to zero.

    >>> settings = OptimizerSettings(epochs=2, learning_rate=1e-3, warmup_epochs=1)
    >>> [learning_rate_at(step, 4, settings) for step in (0, 3, 4, 7)]
    [0.0002, 0.0008, 0.001, 0.001]
    """
    warmup = settings.warmup_epochs * steps_per_epoch
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    if settings.schedule == "constant":
        return settings.learning_rate
    done = (step - warmup) / (settings.epochs * steps_per_epoch - warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
