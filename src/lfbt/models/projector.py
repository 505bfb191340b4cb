"""The per-lead projectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lfbt.utils.collectives import sync_batch_norm
from lfbt.utils.tensors import to_full_precision


class Projectors(nn.Module):
    """One projector a lead: features ``[..., B, leads, F]`` → projections ``[..., B, leads, D]``.

    Linear layers without bias, batch normalisation and ReLU between them, batch normalisation without affine
    parameters at the end, unless they are not `standardised`. Batch statistics are always those of the batch, of each
    view by itself: projectors are used in training only. With `shared_statistics` the batch is that of all processes,
    of which each has a part.
    """

    def __init__(self, n_leads: int, n_features: int, sizes: Sequence[int], standardised: bool = True) -> None:
        super().__init__()
        self.shared_statistics = False
        self.standardised = standardised
        ins = [n_features, *sizes[:-1]]
        layers = [
            [nn.Linear(n_in, n_out, bias=False) for _ in range(n_leads)] for n_in, n_out in zip(ins, sizes, strict=True)
        ]
        self.projectors = nn.ModuleList(Projector(linears, standardised) for linears in zip(*layers, strict=True))

    def forward(self, features: Tensor) -> Tensor:
        """Projections ``[..., B, leads, D]`` in single precision at least, where ... is nothing or views."""
        leads = features.unbind(-2)
        if self.shared_statistics:
            return self._in_step(leads)
        return torch.stack([projector(x) for projector, x in zip(self.projectors, leads, strict=True)], dim=-2)

    def _in_step(self, leads: Sequence[Tensor]) -> Tensor:
        """The projections, all leads at the same layer: what its statistics need is sent at once."""
        projectors: list[Any] = list(self.projectors)
        last = len(projectors[0].linears) - 1
        for i in range(last + 1):
            # ..., B leads·D
            outputs = [projector.linears[i](x) for projector, x in zip(projectors, leads, strict=True)]
            if i == last and not self.standardised:
                return to_full_precision(torch.stack(outputs, dim=-2))
            affine = [] if i == last else [[one.scales[i] for one in projectors], [one.shifts[i] for one in projectors]]
            scale, shift = map(torch.cat, affine) if affine else (None, None)
            x = _standardise(torch.cat(outputs, dim=-1), scale, shift, shared=True)
            leads = (x if i == last else F.relu(x)).chunk(len(projectors), dim=-1)
        return torch.stack(list(leads), dim=-2)


class Projector(nn.Module):
    """The projector of one lead: features ``[..., B, F]`` → projections ``[..., B, D]``."""

    def __init__(self, linears: Sequence[nn.Linear], standardised: bool = True) -> None:
        super().__init__()
        self.standardised = standardised
        self.linears = nn.ModuleList(linears)
        widths = [linear.out_features for linear in linears[:-1]]
        self.scales = nn.ParameterList(nn.Parameter(torch.ones(n)) for n in widths)
        self.shifts = nn.ParameterList(nn.Parameter(torch.zeros(n)) for n in widths)

    def forward(self, features: Tensor) -> Tensor:
        """Projections ``[..., B, D]``."""
        x = features
        for linear, scale, shift in zip(self.linears, self.scales, self.shifts, strict=False):
            x = F.relu(_standardise(linear(x), scale, shift), inplace=True)
        x = self.linears[-1](x)
        return _standardise(x) if self.standardised else to_full_precision(x)


def _standardise(x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None, shared: bool = False) -> Tensor:
    """Batch normalisation of ``[..., B, D]`` with the batch's own statistics, of each view by itself.

    In single precision at least: the loss is made of what comes out.
    """

    def of(view: Tensor) -> Tensor:
        if shared:
            return sync_batch_norm(view, None, None, scale, shift)
        return F.batch_norm(view, None, None, scale, shift, training=True)

    x = to_full_precision(x)
    return of(x) if x.ndim == 2 else torch.stack([of(view) for view in x.unbind()])
