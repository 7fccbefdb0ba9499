"""``dasksor.preconditioner`` against dense formulas, and in scipy's Krylov methods."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from reference import random_dominant, random_spd, seeds, sizes
from scipy.sparse.linalg import cg, gmres

from dasksor import preconditioner, problems
from dasksor.accelerate.ssor import prepare_ssor
from dasksor.rows import canonical_csr

GRID = problems.poisson((30, 31))
WIND = problems.convection_diffusion((30, 31), velocity=(40.0, -30.0))


def dense_inverse(A, omega):
    """``M^-1`` of the docstring."""
    A = np.asarray(A, dtype=np.float64)
    D = np.diag(np.diag(A))
    forth = np.linalg.inv(D / omega + np.tril(A, -1))
    back = np.linalg.inv(D / omega + np.triu(A, 1))
    return back @ (D * (2.0 / omega - 1.0)) @ forth


def dense_corrected(A, omega, group):
    """The same between the halves of a coarse correction; one column of ``Z`` for each group."""
    Z = (group[:, None] == np.unique(group)).astype(np.float64)
    Q = Z @ np.linalg.solve(Z.T @ A @ Z, Z.T)
    identity = np.eye(len(A))
    return (identity - Q @ A) @ dense_inverse(A, omega) @ (identity - A @ Q) + Q


def entries_of(operator):
    return operator.matmat(np.eye(operator.shape[0]))


@given(seeds, sizes)
@pytest.mark.parametrize("make", [random_dominant, random_spd])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array, sp.coo_matrix])
def test_a_sweep_is_the_formula(make, kind, seed, n):
    rng = np.random.default_rng(seed)
    A = make(rng, n)
    omega = rng.uniform(0.2, 1.8)
    found = entries_of(preconditioner(kind(A), omega, coarse=False))
    expected = dense_inverse(A, omega)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("A", [GRID, WIND], ids=["symmetric", "unsymmetric"])
@pytest.mark.parametrize("omega", [0.7, 1.0, 1.6])
def test_a_coarse_space_corrects_before_and_after(A, omega):
    space = prepare_ssor(canonical_csr(A), omega, symmetric=A is GRID).deflation
    assert 10 < space.count < A.shape[0] / 2
    expected = dense_corrected(A.toarray(), omega, space.basis.group)
    found = entries_of(preconditioner(A, omega))
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10 * np.abs(expected).max())


@given(seeds, sizes)
@pytest.mark.parametrize("coarse", [False, True])
def test_of_a_definite_matrix_it_is_definite(coarse, seed, n):
    rng = np.random.default_rng(seed)
    M = entries_of(preconditioner(sp.csr_array(random_spd(rng, n)), rng.uniform(0.2, 1.8)))
    np.testing.assert_allclose(M, M.T, rtol=1e-9, atol=1e-10 * np.abs(M).max())
    assert np.linalg.eigvalsh(M)[0] > 0.0


def test_of_a_grid_it_is_definite_with_a_coarse_space():
    M = entries_of(preconditioner(GRID))
    np.testing.assert_allclose(M, M.T, atol=1e-12 * np.abs(M).max())
    assert np.linalg.eigvalsh(M)[0] > 0.0
    # On the coarse space it inverts A.
    group = prepare_ssor(canonical_csr(GRID), symmetric=True).deflation.basis.group
    inside = (group == group[0]).astype(np.float64)
    np.testing.assert_allclose(M @ (GRID @ inside), inside, atol=1e-12)


def iterations(method, A, M):
    count = []
    options = {"callback_type": "pr_norm"} if method is gmres else {}
    x, info = method(
        A, np.ones(A.shape[0]), rtol=1e-8, maxiter=500, M=M, callback=count.append, **options
    )
    assert info == 0
    assert np.linalg.norm(1.0 - A @ x) <= 1e-6 * np.sqrt(x.size)
    return len(count)


@pytest.mark.parametrize(("method", "A"), [(cg, GRID), (gmres, WIND)])
def test_scipy_needs_fewer_iterations_and_fewer_still_with_a_coarse_space(method, A):
    plain = iterations(method, A, None)
    swept = iterations(method, A, preconditioner(A, coarse=False))
    corrected = iterations(method, A, preconditioner(A))
    assert plain > 2 * swept
    assert swept > 1.3 * corrected


def test_float32_and_integers_are_applied_in_float64():
    M = preconditioner(GRID.astype(np.float32))
    v = np.arange(GRID.shape[0])
    assert M.dtype == M.matvec(v.astype(np.float32)).dtype == np.float64
    np.testing.assert_array_equal(M.matvec(v), preconditioner(GRID).matvec(v.astype(np.float64)))


def test_a_vector_or_a_matrix_of_columns():
    M = preconditioner(WIND)
    columns = np.random.default_rng(1).standard_normal((WIND.shape[0], 3))
    before = columns.copy()
    np.testing.assert_array_equal(M @ columns, np.column_stack([M @ v for v in columns.T]))
    assert (M @ columns[:, :1]).shape == (WIND.shape[0], 1)
    np.testing.assert_array_equal(columns, before)


@pytest.mark.parametrize(
    "A",
    [
        sp.csr_array(np.diag([1.0, 2.0, -3.0])),
        GRID + sp.eye_array(GRID.shape[0]),
        -GRID,
        GRID.toarray(),
    ],
    ids=["diagonal", "dominant", "negative", "dense"],
)
def test_no_coarse_space_where_it_does_not_pay(A):
    M, plain = preconditioner(A), preconditioner(A, coarse=False)
    v = np.cos(np.arange(A.shape[0]))
    np.testing.assert_array_equal(M @ v, plain @ v)


def test_a_coarse_space_of_a_scaled_matrix_takes_its_nullspace():
    scale = np.exp(np.sin(np.arange(GRID.shape[0])))
    A = sp.csr_array(sp.diags_array(scale) @ GRID @ sp.diags_array(scale))
    right = iterations(cg, A, preconditioner(A, nullspace=1.0 / scale))
    assert right < 0.9 * iterations(cg, A, preconditioner(A))


@pytest.mark.parametrize(
    ("A", "options", "message"),
    [
        (GRID, {"omega": 2.0}, "omega must lie in"),
        (np.array([[0.0, 1.0], [1.0, 0.0]]), {}, "zero on the diagonal"),
        (np.ones((2, 3)), {}, "square"),
        (problems.poisson((5, 5), nblocks=2), {}, "in this process"),
        (GRID, {"nullspace": np.ones(3)}, "nullspace has shape"),
        (GRID, {"nullspace": np.ones(GRID.shape[0]), "coarse": False}, "with coarse=False"),
        (GRID.toarray(), {"nullspace": np.ones(GRID.shape[0])}, "for a dense matrix"),
    ],
)
def test_bad_input_is_refused(A, options, message):
    with pytest.raises(ValueError, match=message):
        preconditioner(A, **options)
