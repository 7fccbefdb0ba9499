"""The coarse space of conjugate gradients against dense matrices."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import seeds, written

from dasksor import problems
from dasksor.accelerate.splitting import prepare_splitting
from dasksor.accelerate.team import Team

few = settings(deadline=None, max_examples=10)


def neumann(*shape):
    """The Laplacian with no value prescribed at the rim: rows add up to zero."""
    A = problems.poisson(shape)
    return sp.csr_array(A - sp.diags_array(A @ np.ones(A.shape[0])))


def random_grid(rng, nblocks, scaled):
    """A Poisson matrix, or ``T A T`` of one, and what is nearly in its null space."""
    A = problems.poisson((int(rng.integers(27, 32)) * nblocks, int(rng.integers(28, 34))))
    t = np.exp(rng.standard_normal(A.shape[0])) if scaled else np.ones(A.shape[0])
    return sp.csr_array(sp.diags_array(t) @ A @ sp.diags_array(t)), 1.0 / t


class Written:
    """``Z``, ``W = B Z`` and ``E = Z'AZ`` of a splitting, as dense matrices."""

    def __init__(self, A, splitting):
        self.deflation = deflation = splitting.deflation
        n, m = A.shape[0], deflation.count
        self.Z = np.array([deflation.basis.prolonged(c) for c in np.eye(m)]).T
        self.W = sum(written(image, (n, m)) for image in deflation.images)
        scale = sp.diags_array(splitting.scale)
        self.B = sp.csr_array(scale @ A @ scale)
        self.E = self.Z.T @ (A @ self.Z)


def made(seed, nblocks, threads, scaled=True):
    rng = np.random.default_rng(seed)
    A, nearly_null = random_grid(rng, nblocks, scaled)
    team = Team(min(threads, nblocks))
    splitting = prepare_splitting(A, 1.3, team, nblocks, nullspace=nearly_null[None])
    return rng, A, splitting


members = (seeds, st.integers(1, 3), st.integers(1, 3), st.booleans())


@few
@given(*members)
def test_everything_equals_its_dense_form(seed, nblocks, threads, scaled):
    rng, A, splitting = made(seed, nblocks, threads, scaled)
    dense = Written(A, splitting)
    deflation, Z, E = dense.deflation, dense.Z, dense.E
    v, c = rng.standard_normal(A.shape[0]), rng.standard_normal(deflation.count)
    np.testing.assert_allclose(deflation.basis.restricted(v), Z.T @ v, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(deflation.basis.prolonged(c), Z @ c)
    W = splitting.scale[:, None] * (A @ Z)
    np.testing.assert_allclose(dense.W, W, atol=1e-12 * np.abs(W).max())
    sums = rng.standard_normal((2, deflation.count))
    expected = np.linalg.solve(E, sums.sum(axis=0))
    found = deflation.solve(sums)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())


@few
@given(*members)
def test_the_deflated_operator_annihilates_the_coarse_space(seed, nblocks, threads, scaled):
    _, A, splitting = made(seed, nblocks, threads, scaled)
    dense = Written(A, splitting)
    # In the scaled system the coarse space is spanned by S^-1 Z.
    Z = splitting.weight[:, None] * dense.Z
    deflated = [w - dense.W @ dense.deflation.solve((Z.T @ w)[None]) for w in (dense.B @ Z).T]
    assert np.abs(deflated).max() <= 1e-10 * np.abs(dense.B @ Z).max()
    # And what it makes of any vector is orthogonal to it.
    v = dense.B @ np.random.default_rng(seed).standard_normal(A.shape[0])
    left = v - dense.W @ dense.deflation.solve((Z.T @ v)[None])
    assert np.abs(Z.T @ left).max() <= 1e-9 * np.abs(Z.T @ np.abs(v)).max()


@few
@given(*members)
def test_aggregates_do_not_cross_blocks(seed, nblocks, threads, scaled):
    _, A, splitting = made(seed, nblocks, threads, scaled)
    group, cuts = splitting.deflation.basis.group, splitting.partition.ranges
    assert group.shape == (A.shape[0],)
    own = [set(group[first:last].tolist()) for first, last in cuts]
    assert len(own) == nblocks
    assert sum(map(len, own)) == splitting.deflation.count == len(set().union(*own))


@pytest.mark.parametrize("nblocks", [1, 3])
@pytest.mark.parametrize(
    "A",
    [neumann(60, 40), sp.csr_array(sp.block_diag([neumann(40, 30), neumann(32, 45)]))],
    ids=["one part", "two parts"],
)
def test_a_singular_matrix_has_a_coarse_solve_for_consistent_sides(A, nblocks):
    splitting = prepare_splitting(A, 1.3, Team(1), nblocks)
    dense = Written(A, splitting)
    c = np.random.default_rng(1).standard_normal(splitting.deflation.count)
    found = splitting.deflation.solve((dense.E @ c)[None])
    assert np.abs(found).max() <= 100 * np.abs(c).max()
    np.testing.assert_allclose(dense.E @ found, dense.E @ c, atol=1e-9)


@pytest.mark.parametrize(
    "A",
    [
        sp.csr_array(2.0 * sp.eye_array(300)),
        problems.poisson((6, 7)),
        sp.csr_array(abs(problems.poisson((25, 25))) + 5.0 * sp.eye_array(625)),
    ],
    ids=["diagonal", "small", "positive couplings"],
)
def test_there_is_no_coarse_space_where_there_are_no_aggregates(A):
    assert prepare_splitting(A, 1.3, Team(2), 2).deflation is None
