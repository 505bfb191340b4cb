"""A pooler of tokens by attention: one learned query."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AttentivePooler(nn.Module):
    """Average tokens with weights by which a learned query attends to them, in several heads.

    As in kweimann/ECG-JEPA: multi-head cross attention without biases, and nothing before or behind it but the linear
    layer of the classifier.

    Parameters
    ----------
    dim : int
        Features of a token.
    heads : int
        Number of heads; it divides `dim`.

    Examples
    --------
    >>> AttentivePooler(dim=64, heads=8)(torch.zeros(3, 4, 96, 64)).shape  # records, windows, tokens, features
    torch.Size([3, 4, 64])
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.empty(dim))
        nn.init.trunc_normal_(self.query, std=0.02)
        self.attention = nn.MultiheadAttention(dim, heads, bias=False, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """Pool tokens ``[..., tokens, dim]``; returns ``[..., dim]``."""
        flat = tokens.flatten(0, -3)
        query = self.query.expand(len(flat), 1, -1)
        pooled: Tensor = self.attention(query, flat, flat, need_weights=False)[0]
        return pooled.reshape(*tokens.shape[:-2], -1)
