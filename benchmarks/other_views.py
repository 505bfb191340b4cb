"""Experiments with views: mixed samples as a third one, and records as they are for the first of two.

Rows of `benchmarks.preset_search`. Mixed samples are those of Bandara et al., "Guarding Barlow Twins Against
Overfitting with Mixed Samples" (2023), equation 7, for each lead.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfbt.training.pretraining import Pretrainer
from lfbt.training.settings import PretrainSettings

# Of a stream of random numbers beside those of pretraining.
_STREAM = 100


def mixed_loss(z1: Tensor, z2: Tensor, mixed: Tensor, alpha: float, order: Tensor) -> Tensor:
    """How far the correlations of mixed samples are from the mixture of correlations, the mean over leads.

    ``½ Σ_v ‖(z_m − α z1 − (1 − α) z2[order])ᵀ z_v / B‖²_F`` of each lead, from B × B products in place of D × D ones.

    Parameters
    ----------
    z1, z2, mixed : Tensor, ``[records, leads, D]``
        Standardised projections of two views, and of ``alpha · view 1 + (1 − alpha) · view 2[order]``.
    alpha : float
        Weight of the first view.
    order : Tensor of int, ``[records]``
        The record whose second view is mixed into each.
    """
    n_records, n_leads, _ = z1.shape
    rest = mixed - alpha * z1 - (1 - alpha) * z2[order]
    return 0.5 * (_grams(rest) * (_grams(z1) + _grams(z2))).sum() / (n_leads * n_records**2)


def _grams(z: Tensor) -> Tensor:
    leads = z.transpose(0, 1)
    return leads @ leads.transpose(1, 2)


def draw_mixture(seed: int, step: int, n_records: int) -> tuple[float, NDArray[np.int64]]:
    """The weight of the first view, uniform in [0, 1), and the order of the records of the second."""
    random = np.random.default_rng((seed, step, _STREAM))
    return float(random.random()), random.permutation(n_records)


class OneAugmentedPretrainer(Pretrainer):
    """Pretraining with records as they are for first views."""

    def train_step(self, views: Tensor, batch: NDArray[np.int64], rate: float) -> list[float]:
        """Learn from records and their second views."""
        signals = torch.from_numpy(self.records.dataset.batch(batch, self.settings.model.normalisation))
        return super().train_step(torch.cat([signals[None], views[1:]]), batch, rate)


class MixedPretrainer(Pretrainer):
    """Pretraining with ``weight · λ`` times `mixed_loss` beside the LFBT loss; in one process, of two views.

    Parameters
    ----------
    settings : PretrainSettings
        As of any run.
    weight : float
        The paper's λ_reg.
    """

    def __init__(self, settings: PretrainSettings, weight: float) -> None:
        super().__init__(settings)
        self._weight = weight * settings.loss.lambd

    def train_step(self, views: Tensor, batch: NDArray[np.int64], rate: float) -> list[float]:
        """Learn from two views and their mixture; returns the LFBT loss and its terms."""
        optimizer = self.state.optimizer
        for group in optimizer.param_groups:
            group["lr"] = rate
        alpha, own = draw_mixture(self.settings.seed, self.steps_done, len(batch))
        order = torch.from_numpy(own)
        mixture = alpha * views[0] + (1 - alpha) * views[1][order]
        z1, z2, mixed = self.precision.forward(self.model, torch.cat([views, mixture[None]]))
        losses = self.loss(z1, z2, None)
        total = losses[0] + self._weight * mixed_loss(z1, z2, mixed, alpha, order)
        self.precision.backward(total)
        self.precision.step(optimizer)
        optimizer.zero_grad(set_to_none=True)
        return [loss.item() for loss in losses]
