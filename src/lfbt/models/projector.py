"""The projectors: a multilayer perceptron for each lead, used in pretraining only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lfbt.models.cpu.linear import linear
from lfbt.utils.collectives import sync_batch_norm
from lfbt.utils.tensors import to_full_precision


class Projectors(nn.Module):
    """One projector a lead, weights not shared.

    Linear layers without bias, batch normalisation and ReLU between them, and batch normalisation without affine
    parameters at the end. Batch statistics are always those of the current batch, of each view by itself: there are no
    running statistics.

    Parameters
    ----------
    n_leads : int
        Number of leads L.
    n_features : int
        Features of a lead that go in.
    sizes : sequence of int
        Output sizes of the linear layers; the last is the projection width D.
    standardised : bool
        Standardise the projections over the batch, as the LFBT loss needs them.
    sync_batch_norm : bool
        Take batch statistics over the records of all processes of PyTorch's default process group, each of which has a
        part of the batch.

    Notes
    -----
    The options cannot be changed afterwards, and do not affect the state dict.

    Examples
    --------
    >>> projectors = Projectors(n_leads=2, n_features=64, sizes=(16, 8))
    >>> projectors(torch.randn(5, 2, 64)).shape
    torch.Size([5, 2, 8])
    """

    def __init__(
        self,
        n_leads: int,
        n_features: int,
        sizes: Sequence[int],
        *,
        standardised: bool = True,
        sync_batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.standardised = standardised
        self.sync_batch_norm = sync_batch_norm
        ins = [n_features, *sizes[:-1]]
        layers = [
            [nn.Linear(n_in, n_out, bias=False) for _ in range(n_leads)] for n_in, n_out in zip(ins, sizes, strict=True)
        ]
        self.projectors = nn.ModuleList(Projector(linears, standardised) for linears in zip(*layers, strict=True))

    def forward(self, features: Tensor) -> Tensor:
        """Project features.

        Parameters
        ----------
        features : Tensor
            ``[records, leads, features]`` or ``[views, records, leads, features]``.

        Returns
        -------
        Tensor
            ``[records, leads, D]`` or ``[views, records, leads, D]``, in single precision at least.
        """
        leads = features.unbind(-2)
        if self.sync_batch_norm:
            return self._layer_by_layer(leads)
        return torch.stack([projector(x) for projector, x in zip(self.projectors, leads, strict=True)], dim=-2)

    def _layer_by_layer(self, leads: Sequence[Tensor]) -> Tensor:
        """Project with all leads at the same layer, so that their statistics are reduced over processes together."""
        projectors: list[Any] = list(self.projectors)
        last = len(projectors[0].linears) - 1
        for i in range(last + 1):
            outputs = [
                linear(x, projector.linears[i].weight) for projector, x in zip(projectors, leads, strict=True)
            ]  # [V] B D
            if i == last and not self.standardised:
                return to_full_precision(torch.stack(outputs, dim=-2))
            affine = [] if i == last else [[one.scales[i] for one in projectors], [one.shifts[i] for one in projectors]]
            scale, shift = map(torch.cat, affine) if affine else (None, None)
            x = _standardise(torch.cat(outputs, dim=-1), scale, shift, sync=True)  # [V] B L·D
            leads = (x if i == last else F.relu(x)).chunk(len(projectors), dim=-1)
        return torch.stack(list(leads), dim=-2)


class Projector(nn.Module):
    """The projector of one lead: features ``[..., B, features]`` → projections ``[..., B, D]``."""

    def __init__(self, linears: Sequence[nn.Linear], standardised: bool = True) -> None:
        super().__init__()
        self.standardised = standardised
        self.linears = nn.ModuleList(linears)
        widths = [linear.out_features for linear in linears[:-1]]
        self.scales = nn.ParameterList(nn.Parameter(torch.ones(n)) for n in widths)
        self.shifts = nn.ParameterList(nn.Parameter(torch.zeros(n)) for n in widths)

    def forward(self, features: Tensor) -> Tensor:
        """Project the features of the lead."""
        x = features
        weights: list[Tensor] = [layer.weight for layer in self.linears]  # type: ignore[misc]
        for weight, scale, shift in zip(weights, self.scales, self.shifts, strict=False):
            x = F.relu(_standardise(linear(x, weight), scale, shift), inplace=True)
        x = linear(x, weights[-1])
        return _standardise(x) if self.standardised else to_full_precision(x)


def _standardise(x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None, sync: bool = False) -> Tensor:
    """Batch normalisation of ``[..., B, D]`` with the batch's own statistics, of each view by itself.

    In single precision at least, since the loss is computed from the result.
    """

    def normalise(view: Tensor) -> Tensor:
        if sync:
            return sync_batch_norm(view, None, None, scale, shift)
        return F.batch_norm(view, None, None, scale, shift, training=True)

    x = to_full_precision(x)
    return normalise(x) if x.ndim == 2 else torch.stack([normalise(view) for view in x.unbind()])
