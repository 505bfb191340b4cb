"""Paired p-values over bootstrap draws, and their adjustment for several comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lfbt.evaluation.bootstrap import Array


def paired_p(differences: Array) -> float | None:
    """Compute the two-sided p-value of paired differences: twice the smaller share on either side of 0.

    Each share counts one draw more than there are, so that it is never 0 (Davison and Hinkley, 1997, section 4.2).

    Parameters
    ----------
    differences
        ``[draws]``; a 0 counts on both sides, NaN on neither.

    Returns
    -------
    float or None
        At most 1; None where all differences are NaN.

    Examples
    --------
    >>> paired_p(np.array([0.02, 0.01, 0.03, -0.01]))
    0.8
    """
    known = differences[~np.isnan(differences)]
    if not len(known):
        return None
    fewer = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (1 + fewer) / (1 + len(known)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values for several comparisons by the step-down method of Holm (1979).

    Parameters
    ----------
    p_values
        None for a comparison that does not exist; it does not count.

    Returns
    -------
    list of float or None
        The adjusted p-values in the same order, at most 1.

    Examples
    --------
    >>> holm([0.01, None, 0.03])
    [0.02, None, 0.03]
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        adjusted[i] = highest
    return adjusted
