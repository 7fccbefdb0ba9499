"""Both substitutions and the weighted norm, in every storage, against dense triangles."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import listed, random_cuts, random_pattern, random_spd, seeds, written

from dasksor import problems
from dasksor.accelerate.splitting import prepare_splitting
from dasksor.accelerate.team import Team
from dasksor.accelerate.triangles import (
    NO_ENTRIES,
    NOTHING,
    BandTriangles,
    CsrTriangles,
    DenseTriangles,
    split,
)
from dasksor.kernels import triangles as triangle_kernels

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

    def check(self, triangles, rng, far=NO_ENTRIES, columns=5):
        """Both substitutions and the norm; ``far`` has the entries in other blocks."""
        n, rows = len(self.scaled), self.rows
        R = written(far, (n, n))
        np.testing.assert_allclose(R, self.far, rtol=1e-13)
        W = np.zeros((n, columns))
        W[rows] = sparse_part(rng, (rows.stop - rows.start, columns))
        image = listed(W)
        r, p, t, y, weight = rng.standard_normal((5, n))
        sums, c = rng.standard_normal((2, columns))
        beta, tau = rng.uniform(-1.0, 1.0), rng.uniform(0.0, 2.0)
        kept = [v.copy() for v in (r, p, t, y, sums, c)]
        expected = r + beta * p
        triangles.backward(r, beta, p, t, image=image, sums=sums)
        np.testing.assert_allclose(p[rows], expected[rows], rtol=1e-13, atol=1e-13)
        close(t[rows], np.linalg.solve(self.upper, expected[rows]))
        close(sums, kept[4] + W[rows].T @ t[rows])
        middle = [p.copy(), t.copy()]
        product = triangles.forward(p, tau, t, y, couplings=far, image=image, c=c)
        expected = np.linalg.solve(self.lower, (p - tau * t + R @ t - W @ c)[rows])
        close(y[rows], expected)
        terms = p[rows] * (t[rows] + expected)
        assert product == pytest.approx(terms.sum(), rel=1e-8, abs=1e-10 * np.abs(terms).sum())
        np.testing.assert_array_equal([p, t], middle)
        outside = np.ones(n, dtype=bool)
        outside[rows] = False
        for v, before in zip((r, p, t, y), kept[:4], strict=True):
            np.testing.assert_array_equal(v[outside], before[outside])
        np.testing.assert_array_equal(r, kept[0])
        np.testing.assert_array_equal(c, kept[5])
        scaled = weight[rows] * (self.lower @ r[rows])
        assert triangles.weighted_norm(weight, r) == pytest.approx(scaled @ scaled, rel=1e-10)


def sparse_part(rng, shape):
    """A random matrix with many empty rows, or all of them."""
    filled = (rng.random((shape[0], 1)) < rng.choice([0.0, 0.3, 1.0])) & (rng.random(shape) < 0.5)
    return np.where(filled, rng.standard_normal(shape), 0.0)


def close(found, expected):
    size = np.abs(expected).max(initial=0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10 * size)


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
    dense.check(triangles, rng, far)


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
        dense.check(triangles, rng, far)


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
    triangles, far = split(A, scale, scale, first, last, symmetric=True)
    assert isinstance(triangles, kind)
    Dense(A.toarray(), scale, scale, first, last).check(triangles, np.random.default_rng(0), far)


def dense_triangles(A, omega):
    """Of a whole matrix, and its scale."""
    diagonal = A.diagonal()
    values = A + np.diag(diagonal / omega - diagonal)
    scale = np.sqrt(omega / diagonal)
    return DenseTriangles(values, 1.0 / scale), scale


@few
@given(seeds, st.integers(1, 24), st.sampled_from([1.0, 0.4, 1.7]))
def test_a_dense_block(seed, n, omega):
    rng = np.random.default_rng(seed)
    A = random_spd(rng, n)
    triangles, scale = dense_triangles(A, omega)
    # There is no coarse space.
    Dense(A, scale, scale, 0, n).check(triangles, rng, columns=0)


def test_dense_triangles_of_omega_1_are_those_of_the_matrix_itself():
    A = problems.dense_spd(30)
    values, part = A.copy(), prepare_splitting(A, 1.0, Team(1), 1).parts[0]
    assert np.shares_memory(part.blocks[0].triangles.values, A)
    r, p, t, y = np.random.default_rng(0).standard_normal((4, 30))
    part.blocks[0].triangles.backward(r, 0.5, p, t)
    part.blocks[0].triangles.forward(p, 1.0, t, y)
    np.testing.assert_array_equal(A, values)


@few
@given(seeds, st.integers(1, 24), st.integers(1, 5), st.floats(0.2, 1.8))
def test_blocks_together_apply_the_preconditioned_matrix(seed, n, nblocks, omega):
    """``t + K^-1 (p - tau t + R t - W c)`` is ``K^-1 (B t - W c)`` for ``t = K'^-1 p``."""
    rng = np.random.default_rng(seed)
    A = random_spd(rng, n)
    scale = np.sqrt(omega / A.diagonal())
    B = scale[:, None] * A * scale
    W, c = sparse_part(rng, (n, 4)), rng.standard_normal(4)
    r, p, t, y = np.zeros((4, n))
    r[:], sums, K = rng.standard_normal(n), np.zeros(4), np.eye(n)
    blocks = []
    for first, last in pairwise(random_cuts(rng, n, min(nblocks, n))):
        own = slice(first, last)
        K[own, own] += np.tril(B[own, own], -1)
        image = np.zeros_like(W)
        image[own] = W[own]
        triangles, far = split(sp.csr_array(A), scale, scale, first, last, symmetric=True)
        blocks.append((triangles, far, listed(image)))
    for triangles, _, image in blocks:
        triangles.backward(r, 0.0, p, t, image=image, sums=sums)
    close(t, np.linalg.solve(K.T, r))
    close(sums, W.T @ t)
    product = sum(
        triangles.forward(p, 2.0 - omega, t, y, couplings=far, image=image, c=c)
        for triangles, far, image in blocks
    )
    expected = np.linalg.solve(K, B @ t - W @ c)
    close(t + y, expected)
    assert product == pytest.approx(
        p @ expected, rel=1e-8, abs=1e-10 * np.abs(p) @ np.abs(expected)
    )


# Lists of rows that are not empty


@few
@given(seeds, st.integers(1, 30), st.integers(1, 6), st.integers(1, 6))
def test_listed_rows_are_gathered_window_by_window(seed, n, columns, windows):
    rng = np.random.default_rng(seed)
    M = sparse_part(rng, (n, columns))
    entries, cuts = listed(M), random_cuts(rng, n, min(windows, n))
    source, sums = rng.standard_normal(n), rng.standard_normal(columns)
    expected, row = sums.copy(), entries[0].size
    for begin, end in reversed(list(pairwise(cuts))):
        row = triangle_kernels.gather(entries, row, begin, source, sums)
        expected += M[begin:end].T @ source[begin:end]
        np.testing.assert_allclose(sums, expected, rtol=1e-10, atol=1e-12)
        assert row == (entries[0] < begin).sum()
    assert row == 0


@few
@given(
    seeds, st.integers(1, 30), st.integers(1, 6), st.integers(1, 6), st.sampled_from([-1.0, 1.0])
)
def test_listed_rows_are_scattered_window_by_window(seed, n, columns, windows, sign):
    rng = np.random.default_rng(seed)
    M = sparse_part(rng, (n, columns))
    entries, row = listed(M), 0
    source = rng.standard_normal(columns)
    for begin, end in pairwise(random_cuts(rng, n, min(windows, n))):
        target = rng.standard_normal(end - begin)
        expected = target + sign * M[begin:end] @ source
        row = triangle_kernels.scatter(entries, row, begin, end, sign, source, target)
        np.testing.assert_allclose(target, expected, rtol=1e-10, atol=1e-12)
        assert row == (entries[0] < end).sum()
    assert row == entries[0].size


def test_empty_lists_change_nothing():
    assert not written(NO_ENTRIES, (3, 3)).any()
    vector = np.arange(1.0, 4.0)
    for kernel, limits in (
        (triangle_kernels.gather, (0,)),
        (triangle_kernels.scatter, (0, 3, 1.0)),
    ):
        target = vector.copy()
        assert kernel(NO_ENTRIES, 0, *limits, vector, target) == 0
        np.testing.assert_array_equal(target, vector)
        # And there may be no column at all.
        assert kernel(NO_ENTRIES, 0, *limits, vector, NOTHING) == 0
