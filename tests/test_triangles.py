"""Both substitutions and the weighted norm, in every storage, against dense triangles."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import random_pattern, random_spd, seeds

from dasksor import problems
from dasksor.accelerate.triangles import BandTriangles, CsrTriangles, DenseTriangles, split

few = settings(deadline=None, max_examples=60)


class Dense:
    """``K = I + L`` of ``left_i a_ij right_j`` in rows ``first, ..., last - 1``, written out."""

    def __init__(self, A, left, right, first, last):
        self.rows = slice(first, last)
        self.scaled = left[:, None] * np.asarray(A, dtype=np.float64) * right
        block = self.scaled[self.rows, self.rows]
        self.lower = np.eye(last - first) + np.tril(block, -1)
        self.upper = np.eye(last - first) + np.triu(block, 1)
        self.far = np.zeros_like(self.scaled)
        self.far[self.rows] = self.scaled[self.rows]
        self.far[self.rows, self.rows] = 0.0

    def check(self, triangles, rng):
        n, rows = len(self.scaled), self.rows
        r, p, t, y, weight = rng.standard_normal((5, n))
        beta = rng.uniform(-1.0, 1.0)
        kept = [v.copy() for v in (r, p, t, y)]
        expected = r + beta * p
        triangles.backward(r, beta, p, t)
        np.testing.assert_allclose(p[rows], expected[rows], rtol=1e-13, atol=1e-13)
        close(t[rows], np.linalg.solve(self.upper, expected[rows]))
        triangles.forward(r, y)
        expected = np.linalg.solve(self.lower, r[rows])
        close(y[rows], expected)
        outside = np.ones(n, dtype=bool)
        outside[rows] = False
        for v, before in zip((r, p, t, y), kept, strict=True):
            np.testing.assert_array_equal(v[outside], before[outside])
        np.testing.assert_array_equal(r, kept[0])
        image = weight[rows] * (self.lower @ r[rows])
        assert triangles.weighted_norm(weight, r) == pytest.approx(image @ image, rel=1e-10)
        triangles.forward(r, r)
        np.testing.assert_array_equal(r[rows], y[rows])

    def check_far(self, entries):
        rows, columns, values = entries
        assert (np.diff(rows) >= 0).all()
        found = sp.coo_array((values, (rows, columns)), shape=self.far.shape).toarray()
        np.testing.assert_allclose(found, self.far, rtol=1e-13)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10 * np.abs(expected).max())


def scales(rng, n):
    return rng.uniform(0.3, 0.6, (2, n))


@few
@given(seeds, st.integers(1, 24), st.booleans(), st.sampled_from([np.float64, np.float32]))
def test_rows_of_any_matrix(seed, n, symmetric, dtype):
    rng = np.random.default_rng(seed)
    A = random_spd(rng, n) if symmetric else np.where(random_pattern(rng, n), 0.5, 0.0) + np.eye(n)
    A = A.astype(dtype)
    left, right = scales(rng, n)
    right = left if symmetric else right
    first, last = np.sort(rng.choice(n + 1, 2, replace=False)).tolist()
    triangles, far = split(sp.csr_array(A), left, right, first, last, symmetric=symmetric)
    dense = Dense(A, left, right, first, last)
    dense.check(triangles, rng)
    dense.check_far(far)


def random_bands(rng, n, offsets, density):
    """Symmetric, with a random part of the entries on a few diagonals."""
    A = np.eye(n)
    for offset in offsets:
        values = np.where(rng.random(n - offset) < density, rng.uniform(-1, 1, n - offset), 0.0)
        A += np.diag(values, offset) + np.diag(values, -offset)
    return A


@settings(deadline=None, max_examples=20)
@given(
    seeds,
    st.sets(st.integers(24, 40), max_size=3),
    st.booleans(),
    st.integers(170, 260),
    st.floats(0.85, 1.0),
)
def test_few_diagonals_in_both_storages(seed, far_offsets, neighbours, n, density):
    rng = np.random.default_rng(seed)
    A = random_bands(rng, n, {*far_offsets, *([1] if neighbours else [])}, density)
    scale, _ = scales(rng, n)
    first, last = int(rng.integers(0, 20)), n - int(rng.integers(0, 20))
    dense = Dense(A, scale, scale, first, last)
    for symmetric in (True, False):
        triangles, far = split(sp.csr_array(A), scale, scale, first, last, symmetric=symmetric)
        dense.check(triangles, rng)
        dense.check_far(far)


@pytest.mark.parametrize(
    ("A", "kind"),
    [
        (problems.poisson((40, 30)), BandTriangles),
        (problems.poisson((9, 9, 30)), BandTriangles),
        (problems.poisson((700,)), BandTriangles),
        (problems.poisson((60, 5)), CsrTriangles),
        (problems.graph_laplacian(problems.random_graph(400, seed=2), shift=1.0), CsrTriangles),
    ],
    ids=["5-point", "7-point", "3-point", "narrow", "graph"],
)
@pytest.mark.parametrize("cuts", [(0, 1.0), (0.21, 0.76)])
def test_grids_are_kept_by_diagonals_where_that_pays(A, kind, cuts):
    n = A.shape[0]
    first, last = (round(cut * n) for cut in cuts)
    scale = 1.0 / np.sqrt(A.diagonal())
    triangles, _ = split(A, scale, scale, first, last, symmetric=True)
    assert isinstance(triangles, kind)
    Dense(A.toarray(), scale, scale, first, last).check(triangles, np.random.default_rng(0))


@few
@given(seeds, st.integers(1, 24))
def test_a_dense_block(seed, n):
    rng = np.random.default_rng(seed)
    A, (scale, _) = random_spd(rng, n), scales(rng, n)
    dense = Dense(A, scale, scale, 0, n)
    dense.check(DenseTriangles(dense.scaled.copy()), rng)
