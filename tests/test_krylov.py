"""Solves in this process by BiCGStab and GMRES, and what "auto" makes of unsymmetric matrices."""

import time

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from reference import random_dominant, seeds, shared_matrix, sizes

import dasksor
from dasksor import Status, problems
from dasksor.accelerate.bicgstab import Bicgstab
from dasksor.accelerate.ssor import prepare_ssor
from dasksor.kernels import recurrences
from dasksor.rows import canonical_csr

WIND = problems.convection_diffusion((60, 61), velocity=(40.0, -30.0))
B = np.ones(WIND.shape[0])
methods = pytest.mark.parametrize("method", ["bicgstab", "gmres"])


def assert_honest(result, A, b):
    """The residual is that of what is returned, and meets the tolerance where it says so."""
    norms = np.linalg.norm(b - A @ result.x, axis=0)
    rounding = 1e-14 * np.linalg.norm(abs(A) @ np.abs(result.x))
    np.testing.assert_allclose(result.residual_norm, norms, rtol=1e-6, atol=rounding)
    limit = np.maximum(result.rtol * np.linalg.norm(b, axis=0), result.atol)
    assert not result.success or (norms <= limit + rounding).all()


@methods
@given(seeds, sizes)
def test_dominant_systems(method, seed, n):
    rng = np.random.default_rng(seed)
    A, b = random_dominant(rng, n, 0.9), rng.standard_normal((n, 2))
    result = dasksor.solve(sp.csr_array(A), b, rtol=1e-9, accelerate=method)
    assert result.success
    assert_honest(result, A, b)
    np.testing.assert_allclose(result.x, np.linalg.solve(A, b), rtol=1e-6, atol=1e-6)


@given(seeds, sizes)
def test_products_are_of_the_split_matrix(seed, n):
    rng = np.random.default_rng(seed)
    A, omega = random_dominant(rng, n), rng.uniform(0.2, 1.8)
    right = np.sqrt(omega / np.abs(np.diag(A)))
    scaled = (np.sign(np.diag(A)) * right)[:, None] * A * right
    expected = np.linalg.inv(np.eye(n) + np.tril(scaled, -1)) @ scaled
    expected = expected @ np.linalg.inv(np.eye(n) + np.triu(scaled, 1))
    p, t, y = rng.standard_normal(n), np.zeros(n), np.zeros(n)
    for matrix in (A, sp.csr_array(A)):
        prepare_ssor(matrix, omega, symmetric=False).times(p, t, y)
        np.testing.assert_allclose(y, expected @ p, rtol=1e-8, atol=1e-8)


@methods
@pytest.mark.parametrize("kind", [sp.csr_array, sp.csc_matrix, np.asarray])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_storages(method, kind, dtype):
    dense = problems.convection_diffusion((30, 31), velocity=(40.0, -30.0)).toarray().astype(dtype)
    b = np.ones(930)
    result = dasksor.solve(kind(dense), b, rtol=1e-8, accelerate=method)
    assert (result.success, result.accelerate, result.mode) == (True, method, "sequential")
    assert_honest(result, dense.astype(np.float64), b)


@methods
def test_several_sides_one_of_them_solved(method):
    b = np.column_stack([B, np.zeros_like(B), np.cos(np.arange(B.size))])
    result = dasksor.solve(WIND, b, rtol=1e-9, accelerate=method)
    assert result.success
    assert_honest(result, WIND, b)
    assert not result.x[:, 1].any()


@methods
def test_dask_input_is_gathered(method):
    A = da.from_array(WIND[:200, :200].toarray(), chunks=(70, 90))
    result = dasksor.solve(A, da.ones(200, chunks=50), rtol=1e-8, accelerate=method)
    assert result.success
    assert isinstance(result.x, da.Array)
    np.testing.assert_allclose(A @ result.x, np.ones(200), atol=1e-6)


def test_a_coarse_space_keeps_the_iterations_of_finer_grids():
    counts = []
    for m in (40, 80, 160):
        A = problems.convection_diffusion((m, m))
        result = dasksor.solve(A, np.ones(m * m), rtol=1e-8, accelerate="bicgstab")
        assert result.success
        counts.append(result.sweeps)
    assert counts[2] < 2.5 * counts[0]
    assert counts[2] < 50


def test_a_start_from_the_answer_takes_no_iteration():
    first = dasksor.solve(WIND, B, rtol=1e-9, accelerate="bicgstab")
    again = dasksor.solve(WIND, B, first.x, rtol=1e-8, accelerate="bicgstab")
    assert (again.success, again.sweeps) == (True, 0)


# How runs end


@methods
def test_maxiter_and_timeout_and_callback(method):
    few = dasksor.solve(WIND, B, rtol=1e-12, maxiter=4, accelerate=method)
    assert (few.status, few.sweeps) == (Status.MAXITER, 4)
    assert_honest(few, WIND, B)
    began = time.perf_counter()
    late = dasksor.solve(WIND, B, rtol=1e-300, timeout=1e-6, accelerate=method)
    assert late.status is Status.TIMEOUT
    assert time.perf_counter() - began < 10.0
    seen = []
    stopped = dasksor.solve(
        WIND, B, rtol=1e-14, accelerate=method, callback=lambda m: seen.append(m) or len(seen) == 2
    )
    assert stopped.status is Status.STOPPED
    assert_honest(stopped, WIND, B)
    assert stopped.history == seen


@methods
def test_an_interrupt_keeps_the_best(method):
    calls = iter([None, KeyboardInterrupt(), None])

    def interrupt(measurement):
        if error := next(calls):
            raise error

    result = dasksor.solve(WIND, B, rtol=1e-12, accelerate=method, callback=interrupt)
    assert result.status is Status.STOPPED
    assert_honest(result, WIND, B)


@methods
def test_more_digits_than_there_are(method):
    result = dasksor.solve(WIND, B, rtol=1e-18, accelerate=method)
    assert result.status is Status.STAGNATED
    assert_honest(result, WIND, B)
    assert result.residual_norm < 1e-12 * np.linalg.norm(B)


def skew(n):
    """Eigenvalues on both sides of the circle about 1: hard for short recurrences."""
    S = sp.diags_array([np.ones(n - 1), -np.ones(n - 1)], offsets=[1, -1])
    return sp.csr_array(40.0 * S + sp.eye_array(n))


def test_a_breakdown_begins_anew_or_says_so():
    rng = np.random.default_rng(2)
    A, b = rng.standard_normal((60, 60)), np.ones(60)
    result = dasksor.solve(A, b, accelerate="bicgstab")
    assert result.status in (Status.STAGNATED, Status.DIVERGED)
    assert_honest(result, A, b)


def test_a_shadow_residual_orthogonal_to_its_product_is_a_breakdown():
    # With omega 1, K^-1 B H^-1 turns the residual by a right angle.
    A = canonical_csr(sp.csr_array(np.array([[1.0, 1.0], [-1.0, 1.0]])))
    ssor = prepare_ssor(A, 1.0, symmetric=False)
    t, v = np.zeros((2, 2))
    r = np.array([1.0, 0.0])
    ssor.times(r, t, v)
    run = Bicgstab(ssor, A @ np.array([1.0, 2.0]), np.zeros(2))
    run.run(1e-10, 20, np.inf)
    x, norm = run.measured()
    assert run.exhausted or norm <= 1e-10
    assert np.isfinite(x).all()


# What is picked


@pytest.mark.parametrize(
    ("A", "expected"),
    [
        (WIND, "bicgstab"),
        (problems.poisson((20, 20)), "cg"),
        (random_dominant(np.random.default_rng(0), 50, 0.5), None),
        (-problems.poisson((20, 20)), "bicgstab"),
    ],
    ids=["unsymmetric", "symmetric", "dominant", "negative"],
)
def test_auto_picks(A, expected):
    b = np.ones(A.shape[0])
    result = dasksor.solve(A, b, rtol=1e-7)
    assert (result.success, result.accelerate) == (True, expected)
    assert dasksor.prepare(A).accelerate == expected
    assert_honest(result, A, b)


@pytest.mark.parametrize(
    "options",
    [{"mode": "sequential"}, {"sweep": "symmetric"}, {"rtol": 0.0, "maxiter": 3}],
)
def test_auto_leaves_asked_sweeps_alone(options):
    assert dasksor.solve(WIND, B, **{"maxiter": 3, **options}).accelerate is None


def test_plain_sweeps_go_on_where_auto_fails():
    # SOR with a small omega damps these rotations; the sweeps of SSOR blow them up.
    A, b = skew(300), np.ones(300)
    asked = dasksor.solve(A, b, accelerate="bicgstab")
    left_open = dasksor.solve(A, b, timeout=20.0)
    assert asked.status in (Status.STAGNATED, Status.DIVERGED, Status.CONVERGED)
    assert_honest(left_open, A, b)
    if not asked.success:
        assert left_open.accelerate is None
        assert "bicgstab failed after" in left_open.reason
        assert left_open.residual_norm <= asked.residual_norm


def test_real_matrix():
    A = shared_matrix("jagmesh7.mtx")
    A = sp.csr_array(
        problems.graph_laplacian(A, 0.01) + sp.diags_array(np.full(A.shape[0] - 1, -0.5), offsets=1)
    )
    b = np.ones(A.shape[0])
    result = dasksor.solve(A, b, rtol=1e-8)
    assert result.accelerate == "bicgstab"
    assert result.success
    assert_honest(result, A, b)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "async"}, "is for mode 'sequential'"),
        ({"mode": "threads"}, "is for mode 'sequential'"),
        ({"sweep": "backward"}, "sweep='backward' has no meaning"),
    ],
)
@methods
def test_what_contradicts_is_refused(method, options, message):
    with pytest.raises(ValueError, match=message):
        dasksor.solve(WIND, B, accelerate=method, **options)


@given(seeds, sizes)
def test_recurrences(seed, n):
    rng = np.random.default_rng(seed)
    p, s, y, r, shadow, v = rng.standard_normal((6, n))
    alpha, beta, step = rng.standard_normal(3)
    np.testing.assert_allclose(recurrences.products(s, r), (s @ s, s @ r), atol=1e-12)
    left = r.copy()
    recurrences.subtract(alpha, v, left)
    np.testing.assert_allclose(left, r - alpha * v, atol=1e-12)
    expected = (y + alpha * p + step * r, r - step * s)
    found = recurrences.advance(alpha, p, step, s, y, r, shadow)
    np.testing.assert_allclose((y, r), expected, atol=1e-12)
    np.testing.assert_allclose(found, (r @ r, shadow @ r), atol=1e-12)
    expected = r + beta * (p - step * v)
    recurrences.turn(beta, step, r, v, p)
    np.testing.assert_allclose(p, expected, atol=1e-12)
