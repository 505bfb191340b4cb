"""Paired p-values over draws, and their adjustment for several comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lfbt.evaluation.bootstrap import Array


def paired_p(differences: Array) -> float | None:
    """The two-sided p-value of paired `differences` ``[draws]``: twice the smaller share on either side of 0.

    Each share counts one draw more than there is, so it is never 0 (Davison and Hinkley, 1997, section 4.2); equal to 0
    counts on both sides, and the value is 1 at most. NaN is not counted; None where nothing is.
    """
    known = differences[~np.isnan(differences)]
    if not len(known):
        return None
    fewer = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (1 + fewer) / (1 + len(known)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The `p_values` adjusted for being several (Holm, 1979), in their order; None stays, and does not count."""
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        adjusted[i] = highest
    return adjusted
