"""Rows in another order: when, and that nothing of it is seen in a result but its reason."""

from unittest import mock

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from reference import random_pattern, seeds, sizes

import dasksor
from dasksor import ordering, problems
from dasksor.kernels.orders import jumps, widest_level
from dasksor.ordering import better_order
from dasksor.rows import canonical_csr

GRID = problems.poisson((60, 50))


def scattered(A, seed=0):
    order = np.random.default_rng(seed).permutation(A.shape[0])
    return canonical_csr(sp.csr_array(A)[order][:, order])


@pytest.fixture
def small():
    """Matrices of few rows are looked at as large ones are."""
    with mock.patch.object(ordering, "FEWEST", 100):
        yield


NATURAL = {
    "5 points": GRID,
    "7 points": problems.poisson((15, 14, 13)),
    "27 points": problems.poisson((14, 14, 14), 27),
    "few lines": problems.poisson((3, 1000)),
    "many lines": problems.poisson((1000, 3)),
    "line": problems.poisson((3000,)),
}


@pytest.mark.parametrize("name", NATURAL)
def test_a_natural_order_is_kept_and_a_scattered_one_is_not(small, name):
    A = NATURAL[name]
    assert better_order(A, symmetric=True) is None
    mixed = scattered(A)
    order = better_order(mixed, symmetric=True)
    assert sorted(order) == list(range(A.shape[0]))
    again = ordering.permuted(mixed, order)
    assert better_order(again, symmetric=True) is None
    assert abs(again - mixed[order][:, order]).nnz == 0


def test_few_rows_and_graphs_without_an_order_are_kept(small):
    assert better_order(scattered(problems.poisson((9, 9))), symmetric=True) is None
    rng = np.random.default_rng(0)
    i, j = np.repeat(np.arange(4000), 3), rng.integers(0, 4000, 12_000)
    links = sp.csr_array((np.ones(12_000), (i, j)), shape=(4000, 4000))
    graph = canonical_csr(links + links.T + sp.eye_array(4000))
    assert better_order(graph, symmetric=True) is None
    star = sp.lil_array((4000, 4000))
    star[0, :] = star[:, 0] = 1.0
    assert better_order(canonical_csr(star + sp.eye_array(4000)), symmetric=True) is None


@given(seeds, sizes)
def test_kernels(seed, n):
    pattern = random_pattern(np.random.default_rng(seed), n) | np.eye(n, dtype=bool)
    matrix = canonical_csr(sp.csr_array(pattern.astype(float)))
    below = [np.flatnonzero(row) for row in pattern]
    found = [np.abs(below[i + 1] - j).min() for i in range(n - 1) for j in below[i]]
    expected = np.mean(found) if found else 0.0
    assert jumps(matrix.indptr, matrix.indices, 1) == pytest.approx(expected)
    met = np.arange(n) == 0
    levels = [1]
    while (new := pattern[met].any(axis=0) & ~met).any():
        levels.append(int(new.sum()))
        met |= new
    assert widest_level(matrix.indptr, matrix.indices, 0, n) == max(levels)


@pytest.mark.parametrize(
    "options",
    [
        {"accelerate": "cg"},
        {"accelerate": "cg", "omega": 1.25},
        {"accelerate": "chebyshev"},
        {"accelerate": "bicgstab"},
        {"accelerate": "gmres"},
        {"mode": "threads", "blocks": 5},
        {},
    ],
    ids=str,
)
def test_answers_are_in_the_order_of_the_user(small, options):
    A, rng, seen = scattered(GRID), np.random.default_rng(1), []
    exact, x0 = rng.standard_normal((2, 3000, 2))
    b = A @ exact
    kept = b.copy(), x0.copy()
    result = dasksor.solve(A, b, x0, rtol=1e-10, callback=lambda m: seen.append(m), **options)
    assert result.success
    assert "reverse Cuthill-McKee" in result.reason
    np.testing.assert_allclose(result.x, exact, atol=1e-6)
    np.testing.assert_allclose(
        result.residual_norm, np.linalg.norm(b - A @ result.x, axis=0), rtol=1e-3
    )
    assert result.history == seen
    np.testing.assert_array_equal((b, x0), kept)
    assert dasksor.solve(A, b, exact, rtol=1e-10, **options).sweeps == 0


def test_unsymmetric_patterns(small):
    A = problems.convection_diffusion((60, 50), velocity=(40.0, -30.0))
    upper = sp.csr_array((np.full(500, -1e-3), (np.arange(500), np.arange(500) + 2)), A.shape)
    A = scattered(A + upper)
    b = np.ones(3000)
    result = dasksor.solve(A, b, rtol=1e-8)
    assert (result.success, result.accelerate) == (True, "bicgstab")
    assert "reverse Cuthill-McKee" in result.reason
    assert result.residual(A, b) <= 1e-8 * np.linalg.norm(b) * (1 + 1e-6)


def test_a_nullspace_is_reordered(small):
    T = np.random.default_rng(0).uniform(1.0, 20.0, 3000)
    A = scattered(sp.diags_array(T) @ GRID @ sp.diags_array(T))
    vector = 1.0 / T[np.random.default_rng(0).permutation(3000)]
    b, counts = np.ones(3000), []
    for given_vector in (vector, vector[::-1].copy()):
        ready = dasksor.prepare(A, accelerate="cg", nullspace=given_vector)
        result = ready.solve(b, rtol=1e-8)
        assert result.success
        assert "reverse Cuthill-McKee" in result.reason
        counts.append(result.sweeps)
    assert counts[0] < counts[1]


def test_plain_sweeps_keep_the_order(small):
    A, b = scattered(GRID), np.ones(3000)
    options = {"mode": "sequential", "omega": 1.5, "rtol": 0.0, "maxiter": 7}
    result = dasksor.solve(A, b, **options)
    with mock.patch.object(dasksor.preparations, "better_order", side_effect=AssertionError):
        np.testing.assert_array_equal(dasksor.solve(A, b, **options).x, result.x)
    assert "Cuthill" not in result.reason


def test_a_large_scattered_grid():
    A = scattered(problems.poisson((520, 500)))
    result = dasksor.solve(A, np.ones(A.shape[0]), rtol=1e-6)
    assert result.success
    assert "reverse Cuthill-McKee" in result.reason
