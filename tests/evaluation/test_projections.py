"""Principal components of standardised columns, and neighbours by hand."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from lfbt.evaluation.projections import nearest, principal_components


def test_components_are_those_of_standardised_columns():
    x = np.random.default_rng(0).standard_normal((30, 6)) @ np.diag([5, 3, 1, 1, 1, 0.1])
    points, shares = principal_components(x)
    pca = PCA(2)
    expected = pca.fit_transform(StandardScaler().fit_transform(x))
    np.testing.assert_allclose(points, expected, atol=1e-10)
    np.testing.assert_allclose(shares, pca.explained_variance_ratio_, atol=1e-10)


def test_columns_that_do_not_vary_and_lone_records_give_no_nan():
    points, shares = principal_components(np.ones((4, 3)))
    assert not points.any()
    assert not shares.any()
    assert not principal_components(np.random.default_rng(0).random((1, 3)))[0].any()


def test_nearest_are_by_cosine_and_never_the_record_itself():
    x = np.array([[1.0, 1.0], [2.0, 2.1], [-1.0, 1.0], [-1.0, -1.0], [0.5, 0.4]])
    rows, cosines = nearest(x, 1, 10)
    assert len(rows) == 4
    assert 1 not in rows
    assert (np.diff(cosines) <= 0).all()
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    expected = z[rows[0]] @ z[1] / np.linalg.norm(z[rows[0]]) / np.linalg.norm(z[1])
    np.testing.assert_allclose(cosines[0], expected)
