"""The coarse space: aggregates, its matrix from any blocks, its solve, against dense references."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import random_cuts, random_spd, seeds

from dasksor import problems
from dasksor.coarse import (
    LIMIT,
    MATCHINGS,
    BlockOfCoarse,
    CoarseSpace,
    Entries,
    Factors,
    aggregates,
    matched,
)
from dasksor.kernels.matching import pairs
from dasksor.rows import prepare_rows

few = settings(deadline=None, max_examples=40)
storages = pytest.mark.parametrize("stored", [sp.csr_array, np.asarray], ids=["csr", "dense"])
dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def random_symmetric(seed, n):
    return random_spd(np.random.default_rng(seed), n)


def pairs_of(A, first=0, last=None):
    A = sp.csr_array(A)
    return pairs(A.indptr, A.indices, A.data, first, A.shape[0] if last is None else last)


def dense_pairs(A):
    """The same rule as `pairs`, one row at a time on a dense matrix."""
    pair, count = [-1] * len(A), 0
    for i in range(len(A)):
        if pair[i] >= 0:
            continue
        strong = [j for j in range(len(A)) if j != i and A[i, j] < 0]
        alone = [j for j in strong if pair[j] < 0]
        if strong and not alone:
            pair[i] = pair[min(strong, key=lambda j: A[i, j])]
            continue
        pair[i] = count
        if alone:
            pair[min(alone, key=lambda j: A[i, j])] = count
        count += 1
    return pair, count


def indicators(roots):
    """``Z``: one dense column for each aggregate, ascending."""
    return (roots[:, None] == np.unique(roots)).astype(float)


# Matching


@few
@given(seeds, st.integers(1, 24), st.data())
def test_pairs_follow_the_dense_rule(seed, n, data):
    A = random_symmetric(seed, n)
    first = data.draw(st.integers(0, n))
    last = data.draw(st.integers(first, n))
    pair, count = pairs_of(A, first, last)
    expected, expected_count = dense_pairs(A[first:last, first:last])
    np.testing.assert_array_equal(pair, expected)
    assert count == expected_count


@few
@given(seeds, st.integers(1, 30), st.integers(0, MATCHINGS))
def test_aggregates_are_connected_and_stand_for_all_rows(seed, n, matchings):
    A = random_symmetric(seed, n)
    roots, _ = matched(sp.csr_array(A), matchings)
    assert roots.shape == (n,)
    np.testing.assert_array_equal(roots[roots], roots)
    assert (roots <= np.arange(n)).all()
    if matchings <= 1:
        # Later matchings couple aggregates by sums of entries, of which some may be positive.
        for root in np.unique(roots):
            inside = np.flatnonzero(roots == root)
            graph = sp.csr_array(A[np.ix_(inside, inside)] < 0)
            assert sp.csgraph.connected_components(graph)[0] == 1


@pytest.mark.parametrize("shape", [(24, 24), (15, 40), (9, 8, 10)])
def test_each_matching_of_a_grid_halves_it_and_keeps_aggregates_connected(shape):
    A = problems.poisson(shape)
    before = A.shape[0]
    for matchings in range(1, MATCHINGS + 1):
        roots, _ = matched(A.copy(), matchings)
        count = np.unique(roots).size
        assert 0.4 * before <= count <= 0.7 * before
        before = count
    for root in np.unique(roots):
        inside = np.flatnonzero(roots == root)
        assert sp.csgraph.connected_components(A[inside][:, inside])[0] == 1


@pytest.mark.parametrize(("epsilon", "strong"), [(0.01, 0), (100.0, 1)])
def test_an_anisotropic_grid_is_paired_along_its_strong_direction(epsilon, strong):
    shape = (12, 14)
    pair, count = pairs_of(problems.anisotropic(shape, epsilon))
    np.testing.assert_array_equal(np.bincount(pair), np.full(count, 2))
    both = np.argsort(pair, kind="stable").reshape(count, 2)
    apart = np.diff(np.array(np.unravel_index(both, shape)))
    assert (apart[1 - strong] == 0).all()
    assert (apart[strong] == 1).all()


def test_rows_without_negative_couplings_stay_alone():
    A = np.array([[2.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 2.0]])
    np.testing.assert_array_equal(pairs_of(A)[0], [0, 1, 2])


@few
@given(seeds, st.integers(1, 30), st.integers(0, 4))
def test_matched_returns_the_galerkin_matrix(seed, n, matchings):
    A = random_symmetric(seed, n)
    roots, coarse = matched(sp.csr_array(A), matchings)
    Z = indicators(roots)
    np.testing.assert_allclose(coarse.toarray(), Z.T @ A @ Z, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("ranges", [(0, 30), (7, 22)])
def test_aggregates_of_a_block_have_numbers_of_its_own_rows(ranges):
    A = problems.poisson((5, 6))
    i, j = ranges
    for rows, count in ((A[i:j], None), (A[i:j].toarray(), 1)):
        numbers = aggregates(prepare_rows(rows, i))
        assert numbers.shape == (j - i,)
        assert set(numbers) <= set(range(i, j))
        assert count is None or np.unique(numbers).size == count


# The space, put together from blocks


class Parts:
    """The blocks of ``A`` over ``cuts``, their aggregates, and the coarse space of all."""

    def __init__(self, A, cuts, stored):
        self.ranges = list(pairwise(cuts))
        rows = [prepare_rows(stored(A[i:j]), i) for i, j in self.ranges]
        self.numbers = np.concatenate([aggregates(block) for block in rows])
        self.blocks = [
            BlockOfCoarse(block, slice(block.own, block.own + block.size), numbers)
            for block in rows
            for numbers in [self.numbers[block.columns]]
        ]
        self.space = CoarseSpace([block.entries() for block in self.blocks])
        self.Z = indicators(self.numbers)
        for block in self.blocks:
            block.locate(self.space.members)

    @property
    def matrix(self):
        return self.space.times(np.eye(self.Z.shape[1])).T


def parts_of(seed, n, stored, dtype=np.float64):
    rng = np.random.default_rng(seed)
    A = random_spd(rng, n).astype(dtype)
    cuts = random_cuts(rng, n, int(rng.integers(1, min(n, 6) + 1)))
    return rng, A.astype(float), Parts(A, cuts, stored)


@storages
@dtypes
@few
@given(seeds, st.integers(1, 30))
def test_blocks_make_up_the_dense_coarse_matrix(stored, dtype, seed, n):
    _, A, parts = parts_of(seed, n, stored, dtype)
    Z = parts.Z
    np.testing.assert_array_equal(parts.space.members, np.unique(parts.numbers))
    scale = np.abs(A).sum()
    # Entries of float32 are added up in float64.
    np.testing.assert_allclose(parts.matrix, Z.T @ A @ Z, rtol=1e-13, atol=1e-14 * scale)


@storages
@few
@given(seeds, st.integers(1, 30), st.integers(1, 3))
def test_a_block_has_its_part_of_every_product(stored, seed, n, nrhs):
    rng, A, parts = parts_of(seed, n, stored)
    Z = parts.Z
    c = rng.standard_normal((nrhs, Z.shape[1]))
    v = rng.standard_normal((nrhs, n))
    summed = np.zeros_like(c)
    for block, (i, j) in zip(parts.blocks, parts.ranges, strict=True):
        p, q = block.correction(c)
        np.testing.assert_array_equal(p, (Z @ c.T).T[:, i:j])
        np.testing.assert_allclose(q, (A @ Z @ c.T).T[:, i:j], rtol=1e-12, atol=1e-10)
        summed[:, np.searchsorted(parts.space.members, block.members)] = block.summed(v[:, i:j])
    np.testing.assert_allclose(summed, v @ Z, rtol=1e-12, atol=1e-12)


@storages
@few
@given(seeds, st.integers(1, 30), st.integers(1, 3))
def test_the_coarse_solve_is_exact(stored, seed, n, nrhs):
    rng, A, parts = parts_of(seed, n, stored)
    Z = parts.Z
    t = rng.standard_normal((nrhs, Z.shape[1]))
    expected = np.linalg.solve(Z.T @ A @ Z, t.T).T
    found = parts.space.solve(t)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max())
    scale = [np.abs(c) @ np.abs(parts.matrix) @ np.abs(c) for c in found]
    np.testing.assert_allclose(parts.space.magnitude(found), scale)


def neumann(*shape):
    """The 5-point Laplacian with no value prescribed at the rim: rows add up to zero."""
    A = problems.poisson(shape)
    return sp.csr_array(A - sp.diags_array(A @ np.ones(A.shape[0])))


@storages
@pytest.mark.parametrize("cuts", [(0, 1, 2, 30), (0, 30), (0, 11, 30)])
def test_a_singular_matrix_has_a_bounded_coarse_solve(stored, cuts):
    A = neumann(5, 6)
    parts = Parts(A.toarray() if stored is np.asarray else A, cuts, stored)
    c = np.random.default_rng(0).standard_normal((1, parts.Z.shape[1]))
    E = parts.Z.T @ A @ parts.Z
    found = parts.space.solve(c @ E)
    assert np.abs(found).max() < 100 * np.abs(c).max()
    np.testing.assert_allclose(found @ E, c @ E, atol=1e-9)


def test_a_component_within_one_aggregate_is_a_member_without_entries():
    A = sp.csr_array(sp.block_diag([neumann(3, 3), problems.poisson((4, 4)), neumann(2, 2)]))
    parts = Parts(A, (0, 9, 25, 29), sp.csr_array)
    np.testing.assert_array_equal(parts.space.members, np.unique(parts.numbers))
    assert parts.matrix[0].tolist() == [0.0] * len(parts.matrix)
    assert np.isfinite(parts.space.solve(np.ones((1, len(parts.matrix))))).all()


few_groups = st.lists(st.integers(1, 9), min_size=1, max_size=4)


@few
@given(seeds, few_groups, st.integers(1, 3))
def test_factors_solve_consistent_systems_of_several_parts(seed, sizes, columns):
    rng = np.random.default_rng(seed)
    parts = []
    for size in sizes:
        G = random_spd(rng, size)
        weight = np.abs(np.triu(G, 1) + np.triu(G, 1).T) + np.eye(size, k=1) + np.eye(size, k=-1)
        laplacian = np.diag(weight.sum(axis=1)) - weight
        parts.append(laplacian if rng.random() < 0.5 else laplacian + np.eye(size))
    A = sp.csr_array(sp.block_diag(parts))
    b = A @ rng.standard_normal((A.shape[0], columns))
    factors = Factors(A)
    assert factors.nnz >= A.shape[0]
    found = factors.solve(b)
    np.testing.assert_allclose(A @ found, b, atol=1e-9 * max(1.0, np.abs(b).max()))
    np.testing.assert_allclose(factors.solve(b[:, 0]), found[:, 0], rtol=1e-12, atol=1e-12)


def entries(E):
    E = sp.coo_array(E)
    return Entries(*E.coords, E.data)


def test_a_coarse_space_that_fills_up_is_coarsened_once_more():
    n = 3 * LIMIT
    E = problems.graph_laplacian(problems.random_graph(n, 20.0, seed=1), shift=0.1)
    space = CoarseSpace([entries(E)])
    t = np.random.default_rng(0).standard_normal((2, n))
    c = space.solve(t)
    roots = np.unique(c[0], return_inverse=True)[1]
    assert np.unique(roots).size <= LIMIT
    # Still a Galerkin correction: what is left is orthogonal to the coarser space.
    Z = sp.csr_array((np.ones(n), (np.arange(n), roots)))
    left = Z.T @ (t - space.times(c)).T
    assert np.abs(left).max() <= 1e-8 * np.abs(Z.T @ t.T).max()


def test_a_coarse_space_without_pairs_is_solved_as_it_is():
    # Positive couplings give no pair to match, so it stays above the limit.
    n = LIMIT + 1
    ring = sp.eye_array(n, k=1) + sp.eye_array(n, k=-1)
    E = 4.0 * sp.eye_array(n) + ring + 0.1 * sum(sp.eye_array(n, k=k) for k in range(2, 13))
    E = sp.csr_array(0.5 * (E + E.T))
    t = np.ones((1, n))
    space = CoarseSpace([entries(E)])
    np.testing.assert_allclose(space.times(space.solve(t)), t, atol=1e-9)
