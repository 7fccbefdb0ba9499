"""Chebyshev semi-iteration: its polynomials, its interval, and how runs end."""

import math
from unittest import mock

import dask.array as da
import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.polynomial import Chebyshev as ChebyshevSeries
from reference import random_spd, seeds, shared_matrix

import dasksor
from dasksor import Status, problems
from dasksor.accelerate import chebyshev
from dasksor.accelerate.chebyshev import Chebyshev, Polynomial, highest_eigenvalue, lowest_ritz
from dasksor.accelerate.run import run
from dasksor.accelerate.splitting import prepare_splitting
from dasksor.accelerate.team import Team
from dasksor.engine.course import Course, Limits
from dasksor.omega import Given

pytestmark = pytest.mark.usefixtures("tidy")
teams = pytest.mark.parametrize(("nblocks", "members"), [(1, 1), (2, 2), (7, 3)])


def solve(A, b, x0=None, *, nblocks=1, members=1, deflated=True, rtol=1e-8, maxiter=1000):
    """The best vectors, the course and the iterations of each right-hand side."""
    team = Team(min(members, nblocks))
    splitting = prepare_splitting(A, 1.3, team, nblocks, deflated=deflated)
    course, columns, made = (
        Course(Limits(rtol, 0.0, maxiter, None), Given(1.3)),
        np.atleast_2d(b),
        [],
    )

    def begin(rhs, start):
        made.append(Chebyshev(splitting, rhs, start))
        return made[-1]

    start = np.zeros_like(columns) if x0 is None else np.atleast_2d(x0)
    return run(begin, columns, start, course).x, course, made


def check(A, b, x, course, status=None):
    norms = np.linalg.norm(np.atleast_2d(b) - (A @ x.T).T, axis=1)
    rounding = 1e-13 * np.linalg.norm(abs(A) @ np.abs(x.T))
    np.testing.assert_allclose(course.best_norms, norms, rtol=1e-6, atol=rounding)
    wanted = course.limits.rtol * np.linalg.norm(np.atleast_2d(b), axis=1)
    assert course.status is not Status.CONVERGED or (norms <= wanted + rounding).all()
    assert status is None or course.status is status


def preconditioned(A, splitting):
    """Eigenvalues and vectors of ``M^-1 A``, ``M`` the SSOR of the blocks without its scalar."""
    same = np.zeros(A.shape, dtype=bool)
    for first, last in splitting.partition.ranges:
        same[first:last, first:last] = True
    D = np.diag(A)
    K = np.diag(D / splitting.omega) + np.tril(np.where(same, A, 0.0), -1)
    return scipy.linalg.eigh(A, K @ np.diag(splitting.omega / D) @ K.T)


# Polynomials


@settings(deadline=None, max_examples=40)
@example(142, 4, 1.0, 1, 1)  # solved by the first step
@given(seeds, st.integers(4, 24), st.floats(0.3, 1.7), st.integers(1, 3), st.integers(1, 9))
def test_errors_are_multiplied_by_a_chebyshev_polynomial(seed, n, omega, nblocks, degree):
    rng = np.random.default_rng(seed)
    A = random_spd(rng, n)
    exact = rng.standard_normal(n)
    splitting = prepare_splitting(sp.csr_array(A), omega, Team(1), nblocks)
    one = Chebyshev(splitting, A @ exact, np.zeros(n))
    one.measured()
    with mock.patch.object(chebyshev, "STEPS", 1):
        one.run(0.0, 1, math.inf)
    before = one.iterate()
    if one.interval is None or np.abs(exact - before).max() < 1e-12 * np.abs(exact).max():
        # Solved, or as good as.
        return
    low, high = one.interval
    one.run(0.0, 1 + degree, math.inf)
    assert one.iterations == 1 + degree or one.interval == (low, high)
    values, vectors = preconditioned(A, splitting)
    series = ChebyshevSeries.basis(degree, domain=[low, high])
    share = np.linalg.solve(vectors, exact - before)
    expected = vectors @ (series(values) / series(0.0) * share)
    scale = np.abs(exact - before).max() * max(1.0, np.abs(series(values) / series(0.0)).max())
    np.testing.assert_allclose(exact - one.iterate(), expected, atol=1e-7 * scale)
    inside = (values >= low) & (values <= high)
    least = np.abs(np.linalg.solve(vectors, exact - one.iterate()))[inside]
    bound = np.abs(share)[inside] / abs(series(0.0))
    assert (least <= bound * (1.0 + 1e-6) + 1e-7 * scale * np.linalg.norm(vectors)).all()


@settings(deadline=None, max_examples=60)
@given(seeds, st.integers(1, 24), st.floats(0.1, 1.9), st.integers(1, 24))
def test_no_eigenvalue_is_above_the_bound(seed, n, omega, nblocks):
    A = random_spd(np.random.default_rng(seed), n)
    splitting = prepare_splitting(sp.csr_array(A), omega, Team(1), min(nblocks, n))
    values, _ = preconditioned(A, splitting)
    assert values[-1] <= highest_eigenvalue(splitting) * (1.0 + 1e-9)
    if nblocks == 1:
        assert highest_eigenvalue(splitting) == 1.0 / splitting.tau


def test_the_bound_with_blocks_is_not_far_off():
    A = problems.poisson((16, 16))
    for nblocks in (1, 2, 5, 16):
        splitting = prepare_splitting(A, 1.25, Team(1), nblocks, deflated=False)
        values, _ = preconditioned(A.toarray(), splitting)
        assert highest_eigenvalue(splitting) <= 2.7 * values[-1]


@given(st.floats(1e-6, 0.9), st.floats(1e-9, 0.99), st.integers(1, 200))
def test_an_eigenvalue_below_the_interval_is_found_from_its_polynomial(low, part, degree):
    one = Polynomial(low, 1.3)
    for _ in range(degree):
        one.coefficients()
    value, (middle, half) = part * low, ((low + 1.3) / 2, (1.3 - low) / 2)
    angle = math.acosh((middle - value) / half)
    ratio = math.exp(np.logaddexp(degree * angle, -degree * angle) - math.log(2) - one.promised)
    assert one.eigenvalue(ratio) == pytest.approx(value, rel=1e-5, abs=1e-9)
    assert one.promised >= degree * one.rate - math.log(2)


@given(seeds, st.integers(2, 12), st.integers(1, 12))
def test_ritz_values_are_those_of_the_krylov_space(seed, n, steps):
    rng = np.random.default_rng(seed)
    values, r = rng.uniform(0.1, 1.0, n), rng.standard_normal(n)
    steps, p, lengths, betas = min(steps, n), r.copy(), [], []
    space = np.linalg.qr(np.array([values**k * r for k in range(steps)]).T)[0]
    for _ in range(steps):
        rho = r @ r
        lengths.append(rho / (p @ (values * p)))
        r = r - lengths[-1] * values * p
        betas.append(r @ r / rho)
        p = r + betas[-1] * p
    found = lowest_ritz(lengths, betas)
    assert found >= values.min() * (1.0 - 1e-6)
    if steps <= 4:
        expected = np.linalg.eigvalsh(space.T @ (values[:, None] * space))[0]
        assert found == pytest.approx(expected, rel=1e-4)


# Runs


@settings(deadline=None, max_examples=15)
@given(seeds, st.integers(1, 24), st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_random_systems_are_solved(seed, n, nblocks, nrhs, dense):
    rng = np.random.default_rng(seed)
    A = random_spd(rng, n)
    b, x0 = rng.standard_normal((2, nrhs, n))
    nblocks = 1 if dense else min(nblocks, n)
    kept = A if dense else sp.csr_array(A)
    x, course, _ = solve(kept, b, x0, nblocks=nblocks, members=2, maxiter=20_000)
    check(A, b, x, course, Status.CONVERGED)


@teams
@pytest.mark.parametrize("deflated", [True, False])
def test_a_lower_end_that_is_too_high_is_lowered(nblocks, members, deflated):
    A, b = problems.anisotropic((40, 40), 0.1), np.random.default_rng(0).standard_normal(1600)
    options = {"nblocks": nblocks, "members": members, "deflated": deflated}
    x, course, _ = solve(A, b, **options)
    check(A, b, x, course, Status.CONVERGED)
    usual = course.best_sweeps
    with mock.patch.object(chebyshev, "lowest_ritz", return_value=0.9):
        x, course, (made,) = solve(A, b, **options)
    check(A, b, x, course, Status.CONVERGED)
    assert made.interval[0] < 0.5
    assert course.best_sweeps < 3 * usual


def test_iterations_are_near_those_of_conjugate_gradients():
    A = problems.poisson((100, 100))
    b = np.random.default_rng(0).standard_normal(10_000)
    gradients = dasksor.solve(A, b, rtol=1e-8, accelerate="cg", omega=1.25)
    here = dasksor.solve(A, b, rtol=1e-8, accelerate="chebyshev")
    assert (here.success, here.accelerate, here.omega) == (True, "chebyshev", 1.25)
    assert gradients.sweeps <= here.sweeps <= 1.3 * gradients.sweeps


@pytest.mark.parametrize("shift", [0.02, 0.5, 3.0])
@teams
def test_an_indefinite_matrix_is_said_to_be_so(nblocks, members, shift):
    A = sp.csr_array(problems.poisson((40, 40)) - shift * sp.eye_array(1600))
    b = np.random.default_rng(0).standard_normal(1600)
    x, course, _ = solve(A, b, nblocks=nblocks, members=members)
    check(A, b, x, course, Status.INDEFINITE)


@pytest.mark.parametrize("rtol", [1e-8, 1e-11])
@pytest.mark.parametrize("share", [1e-4, 1e-2])
def test_a_negative_eigenvalue_that_shows_late(share, rtol):
    grid = problems.poisson((30, 30))
    line = np.sin(np.arange(1, 31) * np.pi / 31)
    lowest = np.kron(line, line) / np.linalg.norm(line) ** 2
    A = sp.csr_array(grid - 1.2 * (lowest @ (grid @ lowest)) * sp.eye_array(900))
    exact = np.random.default_rng(0).standard_normal(900)
    b = A @ (exact - (1.0 - share) * (exact @ lowest) * lowest)
    with mock.patch.object(chebyshev, "STEPS", 3):
        x, course, (made,) = solve(A, b, deflated=False, rtol=rtol)
    check(A, b, x, course)
    assert made.interval is not None
    assert course.status in (Status.INDEFINITE, Status.CONVERGED)


def neumann(*shape):
    A = problems.poisson(shape)
    return sp.csr_array(A - sp.diags_array(A @ np.ones(A.shape[0])))


@teams
@pytest.mark.parametrize("deflated", [True, False])
def test_singular_systems(nblocks, members, deflated):
    A, rng = neumann(30, 30), np.random.default_rng(0)
    options = {"nblocks": nblocks, "members": members, "deflated": deflated}
    b = A @ rng.standard_normal(900)
    x, course, _ = solve(A, b, **options)
    check(A, b, x, course, Status.CONVERGED)
    b = rng.standard_normal(900)
    x, course, _ = solve(A, b, maxiter=3000, **options)
    check(A, b, x, course)
    assert course.status is not Status.CONVERGED


@teams
@pytest.mark.parametrize("rtol", [1e-14, 1e-17])
def test_more_digits_than_there_are_end_the_run(nblocks, members, rtol):
    A, b = problems.poisson((50, 50)), np.ones(2500)
    x, course, _ = solve(A, b, nblocks=nblocks, members=members, rtol=rtol, maxiter=10**5)
    check(A, b, x, course, Status.STAGNATED)
    assert course.best_norms[0] <= 1e-12 * 50


@pytest.mark.parametrize("maxiter", [0, 1, 11, 12, 13, 30])
def test_iterations_are_counted(maxiter):
    A, b = problems.anisotropic((50, 50), 0.03), np.ones(2500)
    x, course, _ = solve(A, b, rtol=0.0, maxiter=maxiter)
    check(A, b, x, course, Status.MAXITER)
    assert course.best_sweeps == maxiter


def test_single_eigenvalues_far_below_the_others_are_left_to_conjugate_gradients():
    line = problems.poisson((300,))
    A, b = sp.csr_array(line @ line), np.random.default_rng(0).standard_normal(300)
    assert dasksor.solve(A, b, rtol=1e-8, accelerate="cg", maxiter=3000).success
    x, course, _ = solve(A, b, maxiter=3000)
    check(A, b, x, course, Status.MAXITER)


# The front


@pytest.mark.parametrize("options", [{}, {"mode": "sequential"}, {"mode": "threads", "blocks": 5}])
def test_options(options):
    A, rng = problems.poisson((40, 30)), np.random.default_rng(0)
    b, x0 = rng.standard_normal((2, 1200, 2))
    seen = []
    result = dasksor.solve(
        A, b, x0, accelerate="chebyshev", rtol=1e-9, callback=lambda m: seen.append(m), **options
    )
    assert (result.success, result.accelerate) == (True, "chebyshev")
    assert (result.residual(A, b) <= 1e-9 * np.linalg.norm(b, axis=0)).all()
    assert result.history == seen
    assert result.mode == options.get("mode", "sequential")
    assert "iterations of chebyshev with SSOR" in str(result)


def test_prepared_with_a_nullspace():
    T = sp.diags_array(np.random.default_rng(0).uniform(1.0, 20.0, 3600))
    A, b = sp.csr_array(T @ problems.poisson((60, 60)) @ T), np.ones(3600)
    counts = []
    for vector in (None, 1.0 / T.diagonal()):
        ready = dasksor.prepare(A, accelerate="chebyshev", nullspace=vector)
        result = ready.solve(b, rtol=1e-8)
        assert result.success
        assert ready.solve(b, result.x, rtol=1e-7).sweeps == 0
        counts.append(result.sweeps)
    assert counts[1] < counts[0]


def test_input_of_other_kinds():
    A = da.from_array(problems.poisson((20, 20)).toarray(), chunks=(150, 400))
    result = dasksor.solve(A, da.ones(400, chunks=50), accelerate="chebyshev")
    assert (result.success, result.mode) == (True, "sequential")
    assert isinstance(result.x, da.Array)


def test_a_real_matrix():
    A = shared_matrix("bcsstk16.mtx.gz")
    result = dasksor.solve(A, np.ones(A.shape[0]), rtol=1e-8, accelerate="chebyshev")
    assert result.success
    assert result.sweeps < 150
