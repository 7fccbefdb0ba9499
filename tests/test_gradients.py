"""Conjugate gradients in this process: iterates against a dense reference, and how runs end."""

import itertools
import math
import threading
from functools import partial
from unittest import mock

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference import random_spd, seeds

from dasksor import Status, problems
from dasksor.accelerate import deflation
from dasksor.accelerate.gradients import Gradients
from dasksor.accelerate.run import run
from dasksor.accelerate.splitting import prepare_splitting
from dasksor.accelerate.team import Team
from dasksor.accelerate.triangles import BandTriangles, CsrTriangles
from dasksor.engine.course import Course, Limits
from dasksor.omega import Given

pytestmark = pytest.mark.usefixtures("tidy")


def reference(A, b, x0, omega, steps, ranges, Z=None):
    """Deflated conjugate gradients preconditioned by SSOR within blocks, written out densely."""
    D, same = np.diag(A), np.zeros(A.shape, dtype=bool)
    for first, last in ranges:
        same[first:last, first:last] = True
    K = np.diag(D / omega) + np.tril(np.where(same, A, 0.0), -1)
    M = np.linalg.inv(K @ np.diag(omega / D) @ K.T)
    Q = np.zeros_like(A) if Z is None else Z @ np.linalg.pinv(Z.T @ A @ Z) @ Z.T
    r0 = b - A @ x0
    r, y = r0 - A @ (Q @ r0), np.zeros_like(b)
    z = p = M @ r
    for _ in range(steps):
        q = A @ p - A @ (Q @ (A @ p))
        alpha = (r @ z) / (p @ q)
        y, new = y + alpha * p, r - alpha * q
        z = M @ new
        p = z + (new @ z) / (r @ p) * p
        r = new
    return x0 + y + Q @ (r0 - A @ y)


def indicators(deflation):
    return np.array([deflation.basis.prolonged(c) for c in np.eye(deflation.count)]).T


def iterates(splitting, b, x0, steps):
    """The iterate after so many iterations, and its measured residual."""
    gradients = Gradients(splitting, b, x0)
    _, norm = gradients.measured()
    gradients.restart(x0.copy())
    gradients.run(0.0, steps, math.inf)
    assert gradients.iterations == steps
    return *gradients.measured(), norm, gradients


def course(rtol=1e-8, atol=0.0, maxiter=500, timeout=None, callback=None):
    return Course(Limits(rtol, atol, maxiter, timeout), Given(1.3), callback)


def solve(A, b, x0=None, nblocks=1, members=1, omega=1.3, **limits):
    nblocks = 1 if isinstance(A, np.ndarray) else nblocks
    splitting = prepare_splitting(A, omega, Team(min(members, nblocks)), nblocks)
    made, columns = course(**limits), np.atleast_2d(b)
    start = np.zeros_like(columns) if x0 is None else np.atleast_2d(x0)
    return run(partial(Gradients, splitting), columns, start, made).x, made


# Iterates


@pytest.mark.filterwarnings("ignore:invalid value")
@settings(deadline=None, max_examples=60)
@given(
    seeds,
    st.integers(2, 24),
    st.floats(0.2, 1.8),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 4),
)
def test_iterates_equal_the_dense_reference(seed, n, omega, nblocks, members, steps):
    rng = np.random.default_rng(seed)
    A = random_spd(rng, n)
    b, x0 = rng.standard_normal((2, n))
    nblocks, steps = min(nblocks, n), min(steps, n - 1)
    splitting = prepare_splitting(sp.csr_array(A), omega, Team(min(members, nblocks)), nblocks)
    ranges = splitting.partition.ranges
    expected = reference(A, b, x0, omega, steps, ranges)
    gradients = Gradients(splitting, b, x0)
    assert gradients.measured()[1] == pytest.approx(np.linalg.norm(b - A @ x0))
    gradients.run(0.0, steps, math.inf)
    # A reference that has arrived divides zero by zero.
    assume(np.linalg.norm(b - A @ expected) > 1e-6)
    x, norm = gradients.measured()
    assert gradients.iterations == steps
    np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    assert norm == pytest.approx(np.linalg.norm(b - A @ x), rel=1e-6)


@settings(deadline=None, max_examples=20)
@given(seeds, st.integers(2, 20), st.floats(0.2, 1.8), st.integers(1, 3))
def test_a_dense_matrix_goes_the_same_way(seed, n, omega, steps):
    rng = np.random.default_rng(seed)
    A = random_spd(rng, n)
    b, x0 = rng.standard_normal((2, n))
    steps = min(steps, n - 1)
    expected = reference(A, b, x0, omega, steps, [(0, n)])
    assume(np.linalg.norm(b - A @ expected) > 1e-6)
    x, _, _, _ = iterates(prepare_splitting(A, omega, Team(1), 1), b, x0, steps)
    np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


GRIDS = {
    "bands": problems.poisson((46, 30)),
    # Too narrow to be kept by diagonals.
    "rows": problems.poisson((120, 12)),
}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize(("nblocks", "members"), [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("steps", [1, 7])
def test_deflated_iterates_equal_the_dense_reference(name, nblocks, members, steps):
    A, rng = GRIDS[name], np.random.default_rng(3)
    n = A.shape[0]
    b, x0 = rng.standard_normal((2, n))
    splitting = prepare_splitting(A, 1.4, Team(members), nblocks)
    blocks = [block for part in splitting.parts for block in part.blocks]
    kind = {"bands": BandTriangles, "rows": CsrTriangles}[name]
    assert all(isinstance(block.triangles, kind) for block in blocks)
    Z = indicators(splitting.deflation)
    x = iterates(splitting, b, x0, steps)[0]
    expected = reference(A.toarray(), b, x0, 1.4, steps, splitting.partition.ranges, Z)
    np.testing.assert_allclose(x, expected, rtol=1e-8, atol=1e-9)


def with_stored(A, values, places):
    """``A`` with more entries, each of which is stored, also where it is zero."""
    A = sp.coo_array(A)
    coords = [np.append(own, more) for own, more in zip(A.coords, places, strict=True)]
    made = sp.csr_array((np.append(A.data, values), coords), shape=A.shape)
    made.sum_duplicates()
    return made


@pytest.mark.parametrize("steps", [1, 5, 20])
@pytest.mark.parametrize(("nblocks", "members"), [(1, 1), (2, 1), (4, 2), (4, 4)])
def test_storages_agree(nblocks, members, steps):
    A, rng = problems.poisson((80, 40)), np.random.default_rng(3)
    b, x0 = rng.standard_normal((2, 3200))
    # A few stored zeros of every distance, in each block, are too many diagonals to keep as such.
    far = np.arange(2, 22)
    i = (np.arange(50, 3200, 200)[:, None] + far).ravel()
    j = np.tile(far, 16)
    zeros = (np.zeros(2 * i.size), (np.append(i, i - j), np.append(i - j, i)))
    padded = with_stored(A, *zeros)
    found = []
    for matrix, kind in ((A, BandTriangles), (padded, CsrTriangles)):
        # More entries would allow for smaller aggregates.
        with mock.patch.object(deflation, "finest_within", return_value=1):
            splitting = prepare_splitting(matrix, 1.4, Team(members), nblocks)
        blocks = [block for part in splitting.parts for block in part.blocks]
        assert len(blocks) == nblocks
        assert all(isinstance(block.triangles, kind) for block in blocks)
        found.append((iterates(splitting, b, x0, steps)[0], splitting.partition))
    assert found[0][1] == found[1][1]
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("members", [1, 2, 3])
def test_the_same_blocks_and_threads_give_the_same_bits(members):
    A, b = problems.poisson((70, 40)), np.random.default_rng(3).standard_normal(2800)
    first, second = (solve(A, b, nblocks=6, members=members, rtol=1e-10) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    assert [m[1:] for m in first[1].history] == [m[1:] for m in second[1].history]


def test_threads_change_rounding_only():
    A, b = problems.poisson((70, 40)), np.random.default_rng(3).standard_normal(2800)
    one, made = solve(A, b, nblocks=6, rtol=1e-8)
    for members in (2, 3, 6):
        other, seen = solve(A, b, nblocks=6, members=members, rtol=1e-8)
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-7 * np.abs(one).max())
        assert abs(seen.best_sweeps - made.best_sweeps) <= 1


def test_the_estimate_is_the_norm_of_the_residual():
    A, b = problems.poisson((60, 40)), np.random.default_rng(3).standard_normal(2400)
    splitting = prepare_splitting(A, 1.4, Team(2), 3)
    for steps in (1, 4, 15):
        x, norm, _, gradients = iterates(splitting, b, np.zeros(2400), steps)
        assert gradients.estimate == pytest.approx(np.linalg.norm(b - A @ x), rel=1e-6)
        assert norm == pytest.approx(np.linalg.norm(b - A @ x), rel=1e-10)


def test_a_restart_goes_on_from_where_it_is_told():
    A, b = problems.poisson((60, 40)), np.random.default_rng(3).standard_normal(2400)
    splitting = prepare_splitting(A, 1.4, Team(2), 2)
    x, norm, start, gradients = iterates(splitting, b, np.zeros(2400), 6)
    gradients.restart(x)
    np.testing.assert_array_equal(gradients.iterate(), x)
    gradients.run(0.0, 10, math.inf)
    expected = iterates(splitting, b, x, 4)[0]
    np.testing.assert_array_equal(gradients.iterate(), expected)
    assert gradients.iterations == 10
    assert gradients.measured()[1] < norm < start


def test_what_is_given_is_not_written_to():
    A, rng = problems.poisson((60, 40)), np.random.default_rng(3)
    b, x0 = rng.standard_normal((2, 2400))
    for given_array in (A.data, b, x0):
        given_array.setflags(write=False)
    try:
        x, _ = solve(A, b, x0, nblocks=2, members=2)
        assert not np.shares_memory(x, x0)
    finally:
        A.data.setflags(write=True)


# Verdicts


def check(A, b, x, made, status=None):
    """The best vector and its residual belong together, and no success is false."""
    norms = np.linalg.norm(np.atleast_2d(b) - (A @ x.T).T, axis=1)
    rounding = 1e-14 * np.linalg.norm(abs(A) @ np.abs(x.T))
    np.testing.assert_allclose(made.best_norms, norms, rtol=1e-6, atol=10 * rounding)
    assert np.isfinite(x).all()
    if made.status is Status.CONVERGED:
        limits, size = made.limits, np.linalg.norm(np.atleast_2d(b), axis=1)
        assert (norms <= np.maximum(limits.rtol * size, limits.atol) + rounding).all()
    assert status is None or made.status is status


@settings(deadline=None, max_examples=60)
@given(seeds, st.integers(1, 24), st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_random_systems_are_solved(seed, n, nblocks, nrhs, dense):
    rng = np.random.default_rng(seed)
    A = random_spd(rng, n)
    b, x0 = rng.standard_normal((2, nrhs, n))
    A = A if dense else sp.csr_array(A)
    x, made = solve(A, b, x0, nblocks=min(nblocks, n), members=2, rtol=1e-9)
    check(A, b, x, made, Status.CONVERGED)
    exact = np.linalg.solve(A if dense else A.toarray(), b.T).T
    np.testing.assert_allclose(x, exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("columns", [1, 3])
def test_a_start_at_the_solution_takes_no_iteration(columns):
    A, x0 = problems.poisson((40, 40)), np.random.default_rng(0).standard_normal((columns, 1600))
    x, made = solve(A, (A @ x0.T).T, x0, nblocks=2, members=2)
    assert (made.status, made.best_sweeps) == (Status.CONVERGED, 0)
    np.testing.assert_array_equal(x, x0)


def neumann(*shape):
    A = problems.poisson(shape)
    return sp.csr_array(A - sp.diags_array(A @ np.ones(A.shape[0])))


def in_parts(*parts):
    return sp.csr_array(sp.block_diag(parts))


def laplacian_in_parts():
    """The Laplacian of rings of several sizes with random chords."""
    rng, parts = np.random.default_rng(0), []
    for size in (300, 2, 80, 500):
        near, far = np.arange(size), np.append(np.arange(1, size), 0)
        chords = rng.integers(0, size, (2, size))
        i, j = np.append(near, chords[0]), np.append(far, chords[1])
        weight = sp.coo_array((rng.uniform(0.5, 2.0, 2 * size), (i, j)), shape=(size, size))
        weight = sp.csr_array(weight + weight.T)
        weight.setdiag(0.0)
        parts.append(sp.diags_array(weight.sum(axis=1)) - weight)
    return in_parts(*parts)


SINGULAR = {
    "neumann": neumann(40, 40),
    "neumann, 3-D": neumann(12, 12, 12),
    "parts": in_parts(
        neumann(30, 30), problems.poisson((20, 20)), neumann(4, 4), 2.0 * sp.eye_array(30)
    ),
    "graph": laplacian_in_parts(),
}
teams = pytest.mark.parametrize(("nblocks", "members"), [(1, 1), (2, 2), (7, 3)])


@teams
@pytest.mark.parametrize("name", SINGULAR)
def test_consistent_singular_systems_are_solved(name, nblocks, members):
    A = SINGULAR[name]
    b = A @ np.random.default_rng(0).standard_normal(A.shape[0])
    x, made = solve(A, b, nblocks=nblocks, members=members, rtol=1e-9)
    check(A, b, x, made, Status.CONVERGED)


@teams
@pytest.mark.parametrize("name", SINGULAR)
@pytest.mark.parametrize("what", ["noise", "ones"])
def test_inconsistent_systems_are_no_success(name, nblocks, members, what):
    A, rng = SINGULAR[name], np.random.default_rng(0)
    n = A.shape[0]
    b = np.ones(n) if what == "ones" else rng.standard_normal(n)
    x, made = solve(A, b, nblocks=nblocks, members=members, rtol=1e-9, maxiter=2000)
    check(A, b, x, made)
    assert made.status in (Status.STAGNATED, Status.MAXITER, Status.DIVERGED)


@pytest.mark.parametrize(
    ("nblocks", "members", "shift"),
    [
        *itertools.product([1], [1], [0.02, 0.5, 3.0]),
        *itertools.product([2], [2], [0.02, 0.5, 3.0]),
        *itertools.product([7], [3], [0.02, 0.5]),
        (7, 3, 3.0),
    ],
)
def test_an_indefinite_matrix_is_said_to_be_so_with_the_best_iterate(nblocks, members, shift):
    A = sp.csr_array(problems.poisson((40, 40)) - shift * sp.eye_array(1600))
    b = np.random.default_rng(0).standard_normal(1600)
    x, made = solve(A, b, nblocks=nblocks, members=members)
    check(A, b, x, made, Status.INDEFINITE)
    assert made.best == min(m.residual_norm for m in made.history)


def test_a_dense_indefinite_matrix():
    A, b = np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([1.0, -1.0])
    x, made = solve(A, b)
    check(A, b, x, made, Status.INDEFINITE)


@teams
@pytest.mark.parametrize("rtol", [1e-14, 1e-15, 1e-17, 1e-300])
def test_more_digits_than_there_are_end_the_run(nblocks, members, rtol):
    A, b = problems.poisson((50, 50)), np.ones(2500)
    x, made = solve(A, b, nblocks=nblocks, members=members, rtol=rtol, maxiter=10**6)
    check(A, b, x, made, Status.STAGNATED)
    assert made.best_norms[0] <= 1e-12 * 50
    assert made.best_sweeps < 200


@teams
@pytest.mark.parametrize("maxiter", [0, 1, 7, 50, 51])
def test_without_tolerances_iterations_are_counted(nblocks, members, maxiter):
    A, b = problems.anisotropic((50, 50), 0.03), np.ones(2500)
    x, made = solve(A, b, nblocks=nblocks, members=members, rtol=0.0, maxiter=maxiter)
    if made.status is Status.STAGNATED:
        # As many digits as there are, before so many iterations.
        assert made.best_norms[0] <= 1e-12 * 50
        assert made.best_sweeps >= 25
    else:
        assert made.status is Status.MAXITER
        assert made.best_sweeps == maxiter == made.history[-1].sweeps
    check(A, b, x, made)


def test_a_zero_right_hand_side():
    A, x0 = problems.poisson((20, 20)), np.ones((1, 400))
    x, made = solve(A, np.zeros(400))
    assert (made.status, made.best_sweeps) == (Status.CONVERGED, 0)
    assert not x.any()
    _, made = solve(A, np.zeros(400), x0, atol=1e-9)
    assert made.status is Status.CONVERGED
    assert 0 < made.best_norms[0] <= 1e-9


@pytest.mark.parametrize("members", [1, 2])
def test_time_is_limited(members):
    # Couplings of both signs leave no coarse space, and many iterations.
    G = sp.random_array((3000, 3000), density=0.002, rng=np.random.default_rng(0))
    A = sp.csr_array(G @ G.T + 1e-9 * sp.eye_array(3000))
    x, made = solve(
        A, np.ones(3000), nblocks=2, members=members, rtol=1e-13, maxiter=10**7, timeout=0.1
    )
    check(A, np.ones(3000), x, made, Status.TIMEOUT)
    assert made.history[-1].time >= 0.1


SLOW = problems.poisson((50, 50))


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("how", ["true", "stop", "interrupt"])
def test_a_callback_sees_every_measurement_and_can_stop(members, how):
    seen = []

    def callback(measurement):
        seen.append(measurement)
        if len(seen) < 3:
            return False
        if how == "true":
            return True
        raise StopIteration if how == "stop" else KeyboardInterrupt

    b = np.ones(2500)
    x, made = solve(SLOW, b, nblocks=2, members=members, rtol=1e-13, callback=callback)
    check(SLOW, b, x, made, Status.STOPPED)
    assert made.history == seen
    assert [m.sweeps for m in seen] == [0, 10, 20]


def test_an_error_of_the_callback_comes_through_and_leaves_nothing():
    def callback(_):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        solve(SLOW, np.ones(2500), nblocks=2, members=2, callback=callback)
    assert not [t for t in threading.enumerate() if t.name.startswith("dasksor-team")]


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("when", [1, 2, 3])
def test_an_interrupt_while_iterating_returns_the_best_iterate(members, when, monkeypatch):
    calls = []
    advance = Gradients.run

    def interrupted(self, *limits):
        calls.append(limits)
        advance(self, *limits)
        if len(calls) == when:
            raise KeyboardInterrupt

    monkeypatch.setattr(Gradients, "run", interrupted)
    b, seen = np.ones(2500), []
    x, made = solve(SLOW, b, nblocks=2, members=members, rtol=1e-13, callback=seen.append)
    check(SLOW, b, x, made, Status.STOPPED)
    # The iterations of the interrupted call are measured too, and not lost.
    assert len(seen) == when + 1
    assert made.history == seen
    assert made.best_sweeps == seen[-1].sweeps > seen[-2].sweeps


# Sizes


@pytest.mark.parametrize("scale", [1e150, 1e-150, 1e10, 1e-100])
def test_large_and_small_right_hand_sides(scale):
    b = np.full(2500, scale)
    x, made = solve(SLOW, b, nblocks=2, rtol=1e-8)
    assert made.status is Status.CONVERGED
    np.testing.assert_allclose(x / scale, solve(SLOW, np.ones(2500), nblocks=2)[0], rtol=1e-12)


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_right_hand_sides_at_the_ends_of_the_range(scale):
    _, made = solve(SLOW, np.full(2500, scale), nblocks=2, rtol=1e-8)
    assert made.status is Status.CONVERGED


def squared(n):
    """The squared 3-point Laplacian: positive definite, its condition number about n^4 / 6."""
    line = problems.poisson((n,))
    return sp.csr_array(line @ line)


@pytest.mark.parametrize("n", [300, 1000, 3000])
def test_positive_definite_matrices_of_large_condition_are_not_said_to_be_otherwise(n):
    A, b = squared(n), np.ones(n)
    x, made = solve(A, b, omega=1.4, maxiter=10 * n)
    check(A, b, x, made)
    assert made.status not in (Status.INDEFINITE, Status.DIVERGED)


# Numbers of iterations, which do not depend on the machine but for rounding


def iterations(shape, nblocks):
    A = problems.poisson(shape)
    x, made = solve(A, np.ones(A.shape[0]), nblocks=nblocks, members=min(nblocks, 2), omega=1.4)
    check(A, np.ones(A.shape[0]), x, made, Status.CONVERGED)
    return made.best_sweeps


def test_iterations_hardly_grow_with_the_grid():
    # 18, 21, 32, 34: aggregates of 16 points where their system is small, else of 32.
    found = [iterations((side, side), 1) for side in (50, 100, 200, 400)]
    assert max(found) <= 1.9 * min(found)
    assert found[3] <= 1.2 * found[2]


def test_iterations_hardly_grow_with_the_number_of_blocks():
    # 32, 38, 30, 34, 34, 30.
    found = [iterations((200, 200), nblocks) for nblocks in (1, 2, 4, 8, 16, 32)]
    assert max(found) <= 1.6 * min(found)


def test_a_block_of_isolated_rows_does_not_hurt_the_others():
    A = in_parts(problems.poisson((100, 100)), sp.eye_array(5000))
    b = np.ones(15_000)
    alone = solve(problems.poisson((100, 100)), np.ones(10_000))[1]
    for nblocks in (1, 2):
        assert solve(A, b, nblocks=nblocks)[1].best_sweeps <= 2 * alone.best_sweeps
