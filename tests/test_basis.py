"""Near-null vectors: the columns they give, the coarse space of them, and what it brings."""

import math
from unittest import mock

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import seeds, written
from scipy.sparse.linalg import cg
from test_gradients import indicators, iterates, reference

import dasksor
from dasksor import Status, problems
from dasksor.accelerate import deflation as module
from dasksor.accelerate.aggregation import groups_at, levels_of_nodes
from dasksor.accelerate.basis import Columns, Pieces, basis_of
from dasksor.accelerate.splitting import prepare_splitting
from dasksor.accelerate.team import Team
from dasksor.coarse import Factors

SHEET, MODES = problems.elasticity((12, 14))
BEAM, BEAM_MODES = problems.elasticity((8, 100))
quick = settings(deadline=None, max_examples=12)


@quick
@given(seeds, st.integers(1, 40), st.integers(1, 12), st.integers(1, 4))
def test_columns_span_the_pieces_of_the_vectors(seed, n, count, k):
    rng = np.random.default_rng(seed)
    # Small groups have fewer rows than vectors; some rows are in no group, some entries are zero.
    group = rng.integers(-1, count, n).astype(np.int32)
    vectors = rng.standard_normal((k, n)) * rng.integers(0, 2, (k, n))
    vectors[:, 0] = 1.0
    scale = rng.uniform(0.5, 2.0, n)
    basis = basis_of(vectors, group, count, scale)
    Z = np.array([basis.prolonged(c) for c in np.eye(basis.count)]).reshape(basis.count, n).T
    v = rng.standard_normal(n)
    np.testing.assert_allclose(basis.restricted(v), Z.T @ v, atol=1e-12)
    assert not Z[group < 0].any()
    inside = np.where(group >= 0, vectors, 0.0)
    size = np.linalg.norm(vectors / scale, axis=1)
    expected = inside if isinstance(basis, Pieces) else inside / size[:, None]
    np.testing.assert_allclose(Z @ basis.null, expected.T, atol=1e-12)
    if isinstance(basis, Columns):
        scaled = Z / scale[:, None]
        np.testing.assert_allclose(scaled.T @ scaled, np.eye(basis.count), atol=1e-12)
        ranks = [np.linalg.matrix_rank(vectors[:, group == g].T) for g in range(count)]
        assert basis.count == sum(ranks)


@quick
@given(seeds, st.integers(1, 3), st.integers(1, 4))
def test_images_and_energies_equal_their_dense_form(seed, nblocks, k):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((k, len(MODES)))
    vectors[0, ::5] = 0.0
    # So many columns of so few unknowns are over the budget.
    with mock.patch.object(module, "finest_within", return_value=2):
        splitting = prepare_splitting(SHEET, 1.3, Team(1), nblocks, nullspace=vectors)
    deflation, S = splitting.deflation, splitting.scale
    Z, W = indicators(deflation), S[:, None] * (SHEET @ indicators(deflation))
    found = sum(written(image, W.shape) for image in deflation.images)
    np.testing.assert_allclose(found, W, atol=1e-12 * np.abs(W).max())
    c = rng.standard_normal(deflation.count)
    E = Z.T @ (SHEET @ Z)
    np.testing.assert_allclose(deflation.solve((E @ c)[None]), c, atol=1e-6)
    # Of P B Z nothing is left.
    B = S[:, None] * SHEET.toarray() * S
    left = [w - found @ deflation.solve((Z.T / S @ w)[None]) for w in (B @ (Z / S[:, None])).T]
    assert np.abs(left).max() <= 1e-10


def test_rows_that_modes_take_to_zero_cost_nothing():
    splitting = prepare_splitting(BEAM, 1.3, Team(1), 1, nullspace=BEAM_MODES.T)
    deflation = splitting.deflation
    assert isinstance(deflation.basis, Columns)
    rows = sum(image[0].size for image in deflation.images)
    # Only rims of aggregates have entries.
    assert rows < 0.8 * len(BEAM_MODES)
    assert deflation._factors.nnz <= 0.6 * BEAM.nnz


@pytest.mark.parametrize(("nblocks", "members"), [(1, 1), (3, 2)])
@pytest.mark.parametrize("dependent", [False, True])
def test_iterates_equal_the_dense_reference(nblocks, members, dependent):
    b, x0 = np.random.default_rng(3).standard_normal((2, len(MODES)))
    vectors = np.vstack([MODES.T, MODES.T[:1]]) if dependent else MODES.T
    with mock.patch.object(module, "finest_within", return_value=1):
        splitting = prepare_splitting(SHEET, 1.4, Team(members), nblocks, nullspace=vectors)
    Z = indicators(splitting.deflation)
    x = iterates(splitting, b, x0, 6)[0]
    expected = reference(SHEET.toarray(), b, x0, 1.4, 6, splitting.partition.ranges, Z)
    np.testing.assert_allclose(x, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("shuffled", [False, True])
def test_displacements_of_a_point_stay_together(shuffled):
    order = np.arange(len(MODES))
    if shuffled:
        order = np.random.default_rng(0).permutation(order)
    A = sp.csr_array(SHEET[order][:, order])
    levels = levels_of_nodes(A, 0, len(order))
    for number in range(len(levels)):
        group = np.empty_like(order)
        group[order] = groups_at(levels, number)
        np.testing.assert_array_equal(group[0::2], group[1::2])


@pytest.mark.parametrize("what", ["modes", "twice", "some"])
def test_a_sheet_that_is_held_nowhere_has_a_coarse_solve(what):
    A, modes = problems.elasticity((10, 8), free=True)
    both = sp.csr_array(sp.block_diag([A, A]))
    vectors = {
        "modes": np.vstack([modes, modes]),
        "twice": np.vstack([np.c_[modes, modes[:, 0]]] * 2),
        "some": np.vstack([modes, modes])[:, :2],
    }[what]
    assert np.abs(both @ vectors).max() <= 1e-11
    with mock.patch.object(module, "finest_within", return_value=1):
        splitting = prepare_splitting(both, 1.3, Team(1), 2, nullspace=vectors.T)
    Z = indicators(splitting.deflation)
    E = Z.T @ (both @ Z)
    c = np.random.default_rng(1).standard_normal(len(E))
    found = splitting.deflation.solve((E @ c)[None])
    np.testing.assert_allclose(E @ found, E @ c, atol=1e-9)
    assert np.abs(found).max() <= 1e4
    b = both @ np.random.default_rng(2).standard_normal(len(vectors))
    result = dasksor.solve(both, b, nullspace=vectors, rtol=1e-8)
    assert result.success
    assert result.residual(both, b) <= 1.01e-8 * np.linalg.norm(b)


@pytest.mark.parametrize("nblocks", [1, 2])
def test_rigid_body_modes_save_iterations(nblocks):
    b = np.ones(len(BEAM_MODES))

    def sweeps(**options):
        result = dasksor.solve(BEAM, b, mode="threads", blocks=nblocks, rtol=1e-8, **options)
        assert result.status is Status.CONVERGED
        assert result.residual(BEAM, b) <= 1.01e-8 * np.linalg.norm(b)
        return result.sweeps

    # A coarse space from the start, without a trial.
    constants, modes = sweeps(omega=1.25), sweeps(nullspace=BEAM_MODES)
    assert modes <= 0.7 * constants
    assert sweeps(nullspace=np.ones(len(b))) == constants


def test_the_preconditioner_takes_them_too():
    b, counts = np.ones(len(BEAM_MODES)), []
    for options in ({}, {"nullspace": BEAM_MODES}):
        steps = []
        M = dasksor.preconditioner(BEAM, **options)
        _, info = cg(BEAM, b, rtol=1e-8, M=M, callback=steps.append)
        assert info == 0
        counts.append(len(steps))
    assert counts[1] <= counts[0] / 2


def test_a_vector_with_zeros_is_one_of_the_others():
    A = problems.poisson((40, 40))
    half = np.repeat([1.0, 0.0], 800)
    result = dasksor.solve(A, np.ones(1600), nullspace=np.stack([half, 1.0 - half], axis=1))
    assert result.success
    splitting = prepare_splitting(A, 1.3, Team(1), 1, nullspace=half[None])
    Z = indicators(splitting.deflation)
    assert Z.any(axis=0).all()
    assert not Z[800:].any()


@quick
@given(seeds, st.integers(1, 3))
def test_null_vectors_of_each_part_are_found(seed, k):
    rng = np.random.default_rng(seed)
    blocks, nulls = [], []
    for singular in (True, False, True):
        size = int(rng.integers(k + 2, 12))
        null = rng.standard_normal((size, k))
        Q = np.eye(size) - null @ np.linalg.pinv(null)
        root = rng.standard_normal((size, size))
        root = Q @ root if singular else root
        blocks.append(root @ root.T + (0.0 if singular else 1.0) * np.eye(size))
        nulls.append(null)
    E = sp.csr_array(sp.block_diag(blocks))
    c = rng.standard_normal(E.shape[0])
    found = Factors(E, np.vstack(nulls)).solve(E @ c)
    scale = np.abs(found).max() * abs(E).max()
    assert math.isfinite(scale)
    np.testing.assert_allclose(E @ found, E @ c, atol=1e-7 * scale)
