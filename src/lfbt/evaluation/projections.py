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
        ``[records, columns]``.
    n
        Number of components.

    Returns
    -------
    projections
        ``[records, n]``; 0 where there are fewer components.
    shares
        Of the variance ``[n]``.

    Examples
    --------
    >>> points, shares = principal_components(np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]]))
    >>> shares.round(6).tolist()
    [1.0, 0.0]
    """
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    z = StandardScaler().fit_transform(embeddings.astype(np.float64))
    points, shares = np.zeros((len(z), n)), np.zeros(n)
    if z.any():
        m = min(n, *z.shape)
        pca = PCA(m, svd_solver="full")
        points[:, :m], shares[:m] = pca.fit_transform(z), pca.explained_variance_ratio_
    return points, shares


def nearest(embeddings: NDArray[Any], row: int, n: int) -> tuple[NDArray[np.int64], Array]:
    """Return the rows nearest to one, itself left out, by the cosine of standardised columns, and that cosine.

    >>> rows, cosines = nearest(np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.8]]), 0, 1)
    >>> rows.tolist()
    [1]
    """
    from sklearn.metrics.pairwise import cosine_similarity
    from sklearn.preprocessing import StandardScaler

    z = StandardScaler().fit_transform(embeddings.astype(np.float64))
    cosines: Array = cosine_similarity(z, z[row : row + 1])[:, 0]
    cosines[row] = -np.inf
    rows = np.argsort(-cosines, kind="stable")[: min(n, len(z) - 1)]
    return rows, cosines[rows]
