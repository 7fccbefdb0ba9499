"""Conjugate gradients on faces of a box: against dense references, and how runs end."""

import math
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import random_spd, seeds
from scipy.optimize import lsq_linear

import dasksor
from dasksor import Status, problems
from dasksor.accelerate.faces import Faces
from dasksor.accelerate.gradients import Gradients
from dasksor.accelerate.guess import Guess, coefficients, means
from dasksor.accelerate.run import run
from dasksor.accelerate.splitting import prepare_splitting
from dasksor.accelerate.team import Team
from dasksor.bounded_rows import with_bounds
from dasksor.engine.course import Course, Limits
from dasksor.omega import Given
from dasksor.rows import canonical_csr, prepare_rows

pytestmark = pytest.mark.usefixtures("tidy")


def natural(A, b, x, lower, upper):
    """``diag(A) (clip(x - D^-1 (A x - b)) - x)``, written out; certifies a solution of the box."""
    D = A.diagonal()
    return D * (np.clip(x - (A @ x - b) / D, lower, upper) - x)


def solve(A, b, bounds, x0=None, *, blocks=1, members=1, method=Faces, **limits):
    """The answer of a run and its course, as `dasksor.solve` makes them."""
    limits = {"rtol": 1e-10, "atol": 0.0, "maxiter": 3000, "timeout": None} | limits
    blocks = 1 if isinstance(A, np.ndarray) else blocks
    lower, upper = (np.broadcast_to(np.asarray(v, float), b.shape) for v in bounds)
    splitting = prepare_splitting(A, 1.25, Team(min(members, blocks)), blocks)
    rows = with_bounds(prepare_rows(A, 0), (lower, upper), 0)
    begin = partial(Faces, splitting, Guess(splitting).held, rows, limits["maxiter"])
    if method is Gradients:
        begin = partial(Gradients, splitting)
    course = Course(Limits(**limits), Given(1.25))
    start = np.clip(np.zeros_like(b) if x0 is None else x0, lower, upper)
    return run(begin, b[None], start[None], course).x[0], course


def obstacle(side):
    """A membrane: matrix, load, obstacle and start."""
    t = np.linspace(-1.0, 1.0, side + 2)[1:-1]
    obstacle = np.maximum(0.6 - 2.0 * (t[:, None] ** 2 + t**2), -10.0).ravel()
    load = np.full(side**2, -2.0 * (t[1] - t[0]) ** 2)
    return problems.poisson((side, side)), load, obstacle, np.maximum(obstacle, 0.0)


def random_bounds(rng, x):
    """A box around ``x``: sides at it, around it, infinite, or both at one point."""
    width = rng.choice([0.0, 0.3, 1.0, np.inf], (2, x.size))
    lower, upper = x - width[0], x + width[1]
    return np.minimum(lower, upper), np.maximum(lower, upper)


# Parts of splittings


@pytest.mark.parametrize("storage", ["bands", "rows", "dense"])
@pytest.mark.parametrize("blocks", [1, 3])
def test_gradients_on_a_face_solve_the_system_of_its_unknowns(storage, blocks):
    A = canonical_csr(problems.poisson((12, 11)))
    rng = np.random.default_rng(4)
    if storage == "rows":
        order = rng.permutation(A.shape[0])
        A = canonical_csr(A[order][:, order])
    if storage == "dense":
        A, blocks = A.toarray(), 1
    n = A.shape[0]
    free = rng.random(n) < 0.8
    b = np.where(free, rng.standard_normal(n), 0.0)
    face = prepare_splitting(A, 1.3, Team(1), blocks).restricted(free)
    gradients = Gradients(face, b, np.zeros(n))
    gradients.measured()
    gradients.run(1e-12, 200, math.inf)
    x = gradients.iterate()
    dense = A if storage == "dense" else A.toarray()
    assert not x[~free].any()
    np.testing.assert_allclose(
        x[free], np.linalg.solve(dense[np.ix_(free, free)], b[free]), atol=1e-9
    )


@pytest.mark.parametrize("vectors", [1, 3])
def test_a_face_keeps_the_aggregates_that_are_free(vectors):
    A, modes = problems.elasticity((12, 12))
    A = canonical_csr(A)
    nullspace = modes.T[:vectors] if vectors > 1 else None
    splitting = prepare_splitting(A, 1.25, Team(1), 1, nullspace=nullspace)
    free = np.arange(A.shape[0]) > 40
    space, whole = splitting.restricted(free).deflation, splitting.deflation
    Z = np.array([whole.basis.prolonged(c) for c in np.eye(whole.count)]).T
    kept = ~Z[~free].any(axis=0)
    assert kept.any()
    assert not kept.all()
    sums = np.random.default_rng(0).standard_normal(whole.count)
    E = Z.T @ (A @ Z)
    expected = np.zeros(whole.count)
    expected[kept] = np.linalg.lstsq(E[np.ix_(kept, kept)], sums[kept], rcond=None)[0]
    np.testing.assert_allclose(space.solve(sums[None]), expected, rtol=1e-6, atol=1e-9)


def test_no_aggregate_is_left_on_a_small_face():
    splitting = prepare_splitting(canonical_csr(problems.poisson((20, 20))), 1.25, Team(1), 1)
    assert splitting.deflation is not None
    free = np.zeros(400, bool)
    free[7] = True
    assert splitting.restricted(free).deflation is None
    assert splitting.restricted(~np.zeros(400, bool)) is splitting


# Solutions


@settings(deadline=None, max_examples=30)
@given(seed=seeds, n=st.integers(1, 24), dense=st.booleans(), blocks=st.integers(1, 3))
def test_random_boxes_are_solved(seed, n, dense, blocks):
    rng = np.random.default_rng(seed)
    A = random_spd(rng, n)
    # Degenerate, too: where a bound touches a solution that does not press against it.
    b = A @ rng.standard_normal(n) + rng.choice([0.0, 1.0]) * rng.standard_normal(n)
    lower, upper = random_bounds(rng, rng.choice([0.5, 1.0]) * np.linalg.solve(A, b))
    x, course = solve(
        A if dense else canonical_csr(A), b, (lower, upper), rng.standard_normal(n),
        blocks=min(blocks, n), rtol=1e-9, atol=1e-12,
    )  # fmt: skip
    assert course.status is Status.CONVERGED
    assert (x >= lower).all()
    assert (x <= upper).all()
    target = max(1e-9 * np.linalg.norm(b), 1e-12)
    assert np.linalg.norm(natural(A, b, x, lower, upper)) <= 1.01 * target


def test_the_minimum_is_that_of_least_squares_with_bounds():
    rng = np.random.default_rng(11)
    A = random_spd(rng, 30)
    b = 3.0 * rng.standard_normal(30)
    L = np.linalg.cholesky(A)
    other = lsq_linear(L.T, np.linalg.solve(L, b), (-0.5, 0.7), method="bvls", tol=1e-14)
    x, _ = solve(A, b, (-0.5, 0.7))
    np.testing.assert_allclose(x, other.x, atol=1e-8)


@pytest.mark.parametrize("members", [1, 2])
def test_an_obstacle_is_found_in_about_twice_the_iterations_of_a_linear_solve(members):
    A, b, lower, x0 = obstacle(150)
    x, course = solve(A, b, (lower, np.inf), x0, blocks=members, members=members, rtol=1e-8)
    assert course.status is Status.CONVERGED
    assert np.linalg.norm(natural(A, b, x, lower, np.inf)) <= 1e-8 * np.linalg.norm(b)
    _, linear = solve(A, b, (-np.inf, np.inf), x0, blocks=members, members=members, rtol=1e-8)
    assert course.sweeps <= 3 * linear.sweeps


def test_two_sided_bounds_hold_at_both():
    A = canonical_csr(problems.poisson((60, 60)))
    b = np.repeat([0.01, -0.01], 1800)
    x, course = solve(A, b, (-0.4, 0.4), rtol=1e-9)
    assert course.status is Status.CONVERGED
    assert (x == 0.4).any()
    assert (x == -0.4).any()
    assert np.linalg.norm(natural(A, b, x, -0.4, 0.4)) <= 1e-9 * np.linalg.norm(b)


def test_a_start_at_the_solution_needs_no_iteration_and_one_nearby_few():
    A, b, lower, x0 = obstacle(60)
    x, _ = solve(A, b, (lower, np.inf), x0)
    _, again = solve(A, b, (lower, np.inf), x)
    assert again.sweeps == 0
    _, cold = solve(A, 1.01 * b, (lower, np.inf), x0)
    _, warm = solve(A, 1.01 * b, (lower, np.inf), x)
    assert warm.sweeps < cold.sweeps


@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (-1e6, 1e6)])
def test_bounds_that_hold_nothing_leave_conjugate_gradients_as_they_are(bounds):
    A, b = canonical_csr(problems.poisson((40, 40))), np.ones(1600)
    x, course = solve(A, b, bounds)
    plain, linear = solve(A, b, bounds, method=Gradients)
    assert course.sweeps == linear.sweeps
    np.testing.assert_array_equal(x, plain)


def test_bounds_that_hold_everything_leave_nothing_to_solve():
    A, b = canonical_csr(problems.poisson((20, 20))), np.ones(400)
    x, course = solve(A, b, (-2.0, -1.0))
    assert course.status is Status.CONVERGED
    assert course.sweeps <= 2
    np.testing.assert_array_equal(x, -1.0)
    x, course = solve(A, b, (0.5, 0.5))
    assert course.sweeps == 0
    np.testing.assert_array_equal(x, 0.5)


# How runs end


def test_the_quadratic_never_rises():
    A, b, lower, x0 = obstacle(70)
    splitting = prepare_splitting(A, 1.25, Team(1), 1)
    rows = with_bounds(prepare_rows(A, 0), (lower, np.full(b.size, np.inf)), 0)
    one = Faces(splitting, Guess(splitting).held, rows, 10_000, b, np.maximum(lower, x0))
    x, norm = one.measured()
    energies = [x @ (A @ x) / 2 - b @ x]
    while norm > 1e-12:
        one.run(1e-12, one.iterations + 1, math.inf)
        x, norm = one.measured()
        assert (x >= lower).all()
        energies.append(x @ (A @ x) / 2 - b @ x)
    assert (np.diff(energies) <= 1e-14).all()


def test_limits_end_a_run():
    A, b, lower, x0 = obstacle(50)
    _, course = solve(A, b, (lower, np.inf), x0, maxiter=7)
    assert (course.status, course.sweeps) == (Status.MAXITER, 7)
    _, course = solve(A, b, (lower, np.inf), x0, timeout=1e-9)
    assert course.status is Status.TIMEOUT


def test_a_tolerance_out_of_reach_ends_as_stagnated():
    A, b, lower, x0 = obstacle(40)
    x, course = solve(A, b, (lower, np.inf), x0, rtol=1e-30, maxiter=100_000)
    assert course.status is Status.STAGNATED
    assert np.linalg.norm(natural(A, b, x, lower, np.inf)) <= 1e-12


def test_negative_curvature_is_told():
    A = canonical_csr(np.array([[1.0, 2.0], [2.0, 1.0]]))
    _, course = solve(A, np.array([1.0, 0.0]), (-np.inf, np.inf), np.array([0.3, 0.1]))
    assert course.status is Status.INDEFINITE


def test_negative_curvature_behind_bounds_may_do_no_harm():
    A = canonical_csr(np.array([[1.0, 2.0], [2.0, 1.0]]))
    b, bounds = np.array([-1.0, -2.0]), (0.0, np.inf)
    x, course = solve(A, b, bounds, np.array([0.0, 0.5]))
    assert course.status is Status.CONVERGED
    np.testing.assert_array_equal(x, 0.0)


# Guesses


def test_a_guess_is_near_the_solution(monkeypatch):
    monkeypatch.setattr("dasksor.accelerate.guess.FEWEST", 1000)
    A, b, lower, x0 = obstacle(150)
    splitting = prepare_splitting(A, 1.25, Team(1), 1)
    rows = with_bounds(prepare_rows(A, 0), (lower, np.full(b.size, np.inf)), 0)
    held = Guess(splitting).held(rows, b, np.maximum(lower, x0), np.zeros(b.size, np.int8))
    x, _ = solve(A, b, (lower, np.inf), x0)
    right = x == lower
    assert np.count_nonzero((held < 0) != right) < 0.25 * np.count_nonzero(right)
    assert not (held > 0).any()
    space = splitting.deflation
    energy = space.basis.energy(space.images[0], splitting.scale)
    np.testing.assert_array_equal(space.matrix.toarray(), energy.toarray())


def test_a_guess_that_gains_nothing_is_left():
    A, b, lower, x0 = obstacle(60)
    splitting = prepare_splitting(A, 1.25, Team(1), 1)
    rows = with_bounds(prepare_rows(A, 0), (lower, np.full(b.size, np.inf)), 0)
    calls = []

    def everything(rows, b, x, held):
        calls.append(x)
        return np.full(b.size, -1, np.int8)

    one = Faces(splitting, everything, rows, 10_000, b, np.maximum(lower, x0))
    one.measured()
    one.run(1e-10, 1000, math.inf)
    x, norm = one.measured()
    assert len(calls) == 1
    assert norm <= 1e-10
    assert np.linalg.norm(natural(A, b, x, lower, np.inf)) <= 1e-10


def test_no_guess_without_a_coarse_space(monkeypatch):
    monkeypatch.setattr("dasksor.accelerate.guess.FEWEST", 0)
    A = np.eye(5) + 1.0
    splitting = prepare_splitting(A, 1.0, Team(1), 1)
    rows = with_bounds(prepare_rows(A, 0), (np.zeros(5), np.ones(5)), 0)
    assert Guess(splitting).held(rows, np.ones(5), np.zeros(5), np.zeros(5, np.int8)) is None


def test_a_guess_takes_signs_from_the_vector_near_the_null_space(monkeypatch):
    monkeypatch.setattr("dasksor.accelerate.guess.FEWEST", 1000)
    A, b, lower, x0 = obstacle(50)
    found = []
    for sign in (np.ones(b.size), np.repeat([2.0, -0.5], b.size // 2)):
        T = sp.diags_array(1.0 / sign)
        scaled = canonical_csr(T @ A @ T)
        splitting = prepare_splitting(scaled, 1.25, Team(1), 1, nullspace=sign[None])
        sides = np.sort([sign * lower, sign * np.inf], axis=0)
        rows = with_bounds(prepare_rows(scaled, 0), sides, 0)
        start = sign * np.maximum(lower, x0)
        guess = Guess(splitting).held(rows, b / sign, start, np.zeros(b.size, np.int8))
        # The aggregates differ, and so do their edges.
        found.append(guess * np.sign(sign))
    one, other = found
    assert (one <= 0).all()
    assert (other <= 0).all()
    assert np.count_nonzero(one != other) < 0.1 * b.size


def test_means_are_of_coefficients():
    A = canonical_csr(problems.poisson((20, 20)))
    splitting = prepare_splitting(A, 1.25, Team(1), 1, nullspace=np.full((1, 400), -2.0))
    basis = splitting.deflation.basis
    c = np.random.default_rng(0).standard_normal(basis.count)
    np.testing.assert_allclose(means(basis, coefficients(basis, basis.prolonged(c))), c)


# From the front


@pytest.mark.parametrize("options", [{}, {"mode": "threads", "blocks": 2}, {"mode": "sequential"}])
def test_bounds_are_accelerated_in_this_process(options):
    A, b, lower, x0 = obstacle(60)
    result = dasksor.solve(A, b, x0, bounds=(lower, np.inf), rtol=1e-9, **options)
    accelerated = options.get("mode") != "sequential"
    assert result.success
    assert result.accelerate == ("cg" if accelerated else None)
    assert result.residual(A, b, (lower, np.inf)) <= result.target
    assert ("projected sweeps on one" in result.reason) == (options.get("mode") == "threads")
    np.testing.assert_array_equal(result.active, np.where(result.x == lower, -1, 0))
    assert (result.multipliers >= 0.0).all()


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("mode", ["auto", "sequential"])
def test_infinite_bounds_change_no_bit(symmetric, mode):
    A = problems.poisson((20, 20)) if symmetric else problems.convection_diffusion((20, 20))
    b = np.sin(np.arange(400.0))
    free = dasksor.solve(A, b, mode=mode)
    bounded = dasksor.solve(A, b, mode=mode, bounds=(-np.inf, np.full(400, np.inf)))
    np.testing.assert_array_equal(bounded.x, free.x)
    assert (bounded.accelerate, bounded.sweeps) == (free.accelerate, free.sweeps)
    assert not bounded.active.any()


def test_rows_in_a_better_order_take_their_bounds_along(monkeypatch):
    monkeypatch.setattr("dasksor.ordering.FEWEST", 100)
    A, b, lower, x0 = obstacle(40)
    order = np.random.default_rng(3).permutation(b.size)
    A, lower, x0 = canonical_csr(A[order][:, order]), lower[order], x0[order]
    result = dasksor.solve(A, b, x0, bounds=(lower, np.inf), rtol=1e-9)
    assert "Cuthill" in result.reason
    assert result.success
    assert result.residual(A, b, (lower, np.inf)) <= result.target


def test_a_prepared_matrix_serves_with_and_without_bounds():
    A, b, lower, x0 = obstacle(40)
    ready = dasksor.prepare(A, mode="threads")
    free = ready.solve(b)
    first = ready.solve(b, x0, bounds=(lower, np.inf), rtol=1e-9)
    second = ready.solve(1.01 * b, first.x, bounds=(lower, np.inf), rtol=1e-9)
    assert free.active is None
    assert first.success
    assert second.success
    assert second.sweeps < first.sweeps


def test_several_right_hand_sides_between_the_same_bounds():
    A = problems.poisson((20, 20))
    b = np.random.default_rng(1).standard_normal((400, 3))
    result = dasksor.solve(A, b, bounds=(-0.2, 0.3), rtol=1e-9)
    assert result.accelerate == "cg"
    for column, x in zip(b.T, result.x.T, strict=True):
        rest = np.linalg.norm(natural(A, column, x, -0.2, 0.3))
        assert rest <= 1e-9 * np.linalg.norm(column)


def test_matrices_without_symmetry_keep_projected_sweeps():
    A, b = problems.convection_diffusion((20, 20)), np.ones(400)
    result = dasksor.solve(A, b, bounds=(0.0, 0.01))
    assert result.success
    assert result.accelerate is None
    ready = dasksor.prepare(A)
    assert ready.accelerate == "bicgstab"
    again = ready.solve(b, bounds=(0.0, 0.01))
    assert again.success
    assert again.accelerate is None


def test_what_asks_for_conjugate_gradients_stays_here(threads):
    A, b, lower, x0 = obstacle(20)
    result = dasksor.solve(A, b, x0, bounds=(lower, np.inf), accelerate="cg", client=threads)
    assert (result.mode, result.accelerate) == ("sequential", "cg")


@pytest.mark.parametrize("omega", ["auto", 1.0, 1.95])
@pytest.mark.parametrize("points", [199, 299])
def test_ill_conditioned_faces_are_solved_to_their_end(points, omega):
    # A stiff beam over a wavy floor. Bounds stand in the way of nearly every step.
    h = 1.0 / (points + 1)
    A = sp.diags_array(
        [1.0, -4.0, 6.0, -4.0, 1.0], offsets=[-2, -1, 0, 1, 2], shape=(points, points)
    )
    A = sp.csr_array(A)
    floor = 0.15 * np.cos(6.0 * np.pi * h * np.arange(1, points + 1)) - 1.0
    b = np.full(points, -1e4 * h**4)
    result = dasksor.solve(
        A, b, bounds=(floor, np.inf), accelerate="cg", mode="sequential", omega=omega, rtol=1e-8
    )
    assert result.success
    assert result.sweeps < 5 * points
    assert np.count_nonzero(result.active) > 2
