"""Embeddings on a plane, and which of them are near each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def principal_components(embeddings: NDArray[Any], n: int = 2) -> tuple[Array, Array]:
    """Project standardised embeddings on their first principal components.

    Parameters
    ----------
    embeddings
        ``[records, columns]``; columns that do not vary are left out.
    n
        Number of components.

    Returns
    -------
    projections
        ``[records, n]``; of each component the largest value in magnitude is positive.
    shares
        Of the variance ``[n]``.

    Examples
    --------
    >>> points, shares = principal_components(np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]]))
    >>> shares.round(6).tolist()
    [1.0, 0.0]
    """
    centred = embeddings.astype(np.float64) - embeddings.mean(axis=0, dtype=np.float64)
    spread = centred.std(axis=0)
    kept = spread > 1e-12 * max(1.0, float(spread.max(initial=0)))
    points, shares = np.zeros((len(embeddings), n)), np.zeros(n)
    if not kept.any() or len(embeddings) < 2:
        return points, shares
    u, s, _ = np.linalg.svd(centred[:, kept] / spread[kept], full_matrices=False)
    m = min(n, len(s))
    found = u[:, :m] * s[:m]
    # The sign is not determined.
    found *= np.where(found[np.abs(found).argmax(axis=0), np.arange(m)] < 0, -1.0, 1.0)
    points[:, :m], shares[:m] = found, s[:m] ** 2 / (s**2).sum()
    return points, shares


def nearest(embeddings: NDArray[Any], row: int, n: int) -> tuple[NDArray[np.int64], Array]:
    """Return the rows nearest to one, itself left out, by the cosine of standardised columns, and that cosine.

    >>> rows, cosines = nearest(np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.8]]), 0, 1)
    >>> rows.tolist()
    [1]
    """
    centred = embeddings.astype(np.float64) - embeddings.mean(axis=0, dtype=np.float64)
    spread = centred.std(axis=0)
    z = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-12)
    lengths = np.linalg.norm(z, axis=1)
    cosines = z @ z[row] / np.maximum(lengths * lengths[row], 1e-12)
    cosines[row] = -np.inf
    rows = np.argsort(-cosines, kind="stable")[: min(n, len(z) - 1)]
    return rows, cosines[rows]
