"""Accelerated runs between bounds: the dense algorithm, steps that never fail, any schedule."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import (
    BACKWARD,
    FORWARD,
    bounded_problem,
    dense_bounded_sweep,
    natural_residual,
    random_cuts,
    random_spd,
    seeds,
)
from simulated import counted, limits
from test_cycles import Cycles

import dasksor
from dasksor import Status, problems
from dasksor.engine.course import Course
from dasksor.engine.steps import BOUNDED
from dasksor.omega import Given

few = settings(deadline=None, max_examples=40)
PASSES = (FORWARD, BACKWARD)
INFINITE = (-np.inf, np.inf)


def energy(A, b, x):
    """What the solution minimises between the bounds."""
    return 0.5 * x @ A @ x - b @ x


def dense_faces(A, b, x, bounds, cuts, *, omega, cycles):
    """Projected block SOR with exact steps, conjugate while the face stays."""
    lower, upper = bounds
    past, iterates = [], []
    for _ in range(cycles):
        r, z = b - A @ x, np.zeros_like(x)
        down, up = lower - x, upper - x
        for direction in PASSES:
            for i, j in pairwise(cuts):
                room = (down[i:j], up[i:j])
                part = dense_bounded_sweep(A[i:j, i:j], r[i:j], z[i:j], omega, room, direction)
                z[i:j] = part
        pressed = ((down == 0) & (r <= 0)) | ((up == 0) & (r >= 0))
        if ((z != 0) & pressed).any() or (((z <= down) | (z >= up)) & ~pressed).any():
            past = []
        p = z - sum(((z @ A @ q) / (q @ A @ q) * q for q in past[-BOUNDED.kept :]), 0.0 * z)
        if p @ A @ p < 1e-20:
            break
        moves = p != 0
        longest = np.min(np.where(p < 0, down, up)[moves] / p[moves], initial=np.inf)
        step = (p @ r) / (p @ A @ p)
        past = [] if step > longest else [*past, p]
        x = np.clip(x + min(step, longest) * p, lower, upper)
        iterates.append(x)
    return iterates


@st.composite
def cases(draw, nrhs=3):
    """A positive definite problem with a known solution, cut into blocks on hosts."""
    rng = np.random.default_rng(draw(seeds))
    n = draw(st.integers(2, 40))
    A = random_spd(rng, n)
    nblocks = draw(st.integers(1, min(n, 6)))
    b, bounds, _ = bounded_problem(rng, A)
    more = rng.standard_normal((draw(st.integers(1, nrhs)) - 1, n))
    b = np.concatenate([b[None, :], more])
    x0 = np.clip(rng.standard_normal(b.shape), *bounds)
    owner = rng.integers(0, draw(st.integers(1, nblocks)), nblocks).tolist()
    return SimpleNamespace(
        A=A if draw(st.booleans()) else sp.csr_array(A), dense=A, b=b, x0=x0, bounds=bounds,
        cuts=random_cuts(rng, n, nblocks), owner=owner,
    )  # fmt: skip


@few
@given(cases(), st.integers(1, 6), st.floats(0.6, 1.5))
def test_cycles_are_the_dense_algorithm_iterate_by_iterate(case, cycles, omega):
    made = Cycles(case, counted(2 * cycles, omega), rule=BOUNDED).run()
    for j, (b, x0) in enumerate(zip(case.b, case.x0, strict=True)):
        expected = dense_faces(
            case.dense, b, x0, case.bounds, case.cuts, omega=omega, cycles=cycles
        )
        for x, y in zip((x[j] for x in made.iterates), expected, strict=False):
            if natural_residual(case.dense, b, y, case.bounds).max(initial=0.0) < 1e-9:
                # Faces found from rounding errors are nobody's.
                break
            np.testing.assert_allclose(x, y, atol=1e-7)


@few
@given(cases(), st.integers(1, 15), st.floats(0.1, 1.95))
def test_every_iterate_is_feasible_and_the_energy_never_grows(case, cycles, omega):
    made = Cycles(case, counted(2 * cycles, omega), rule=BOUNDED).run()
    lower, upper = case.bounds
    for j, b in enumerate(case.b):
        iterates = [case.x0[j], *(x[j] for x in made.iterates)]
        assert all(((lower <= x) & (x <= upper)).all() for x in iterates)
        energies = [energy(case.dense, b, x) for x in iterates]
        assert all(
            after <= before + 1e-12 * abs(energies[0]) for before, after in pairwise(energies)
        )


@few
@given(cases(nrhs=1), st.floats(0.1, 1.95))
def test_the_solution_is_found_for_every_omega_and_every_cut(case, omega):
    course = Course(limits(4000, rtol=1e-9), Given(omega))
    made = Cycles(case, course, rule=BOUNDED).run()
    assert course.status is Status.CONVERGED
    (b,), (x,) = case.b, made.x
    left = np.linalg.norm(natural_residual(case.dense, b, x, case.bounds))
    assert left <= 1.01e-9 * np.linalg.norm(b)


# Whole runs


@pytest.fixture(scope="module")
def obstacle():
    """A membrane that lies on a step in its middle."""
    A = problems.poisson((20, 24))
    lower = np.full((20, 24), -np.inf)
    lower[7:12, 6:15] = 1.0
    return SimpleNamespace(A=A, b=np.full(480, -0.01), bounds=(lower.ravel(), np.inf))


def check(result, problem):
    assert result.success, result
    assert result.accelerate == "cg"
    residual = natural_residual(problem.A, problem.b, result.x, problem.bounds)
    assert np.linalg.norm(residual) <= 1.001e-8 * np.linalg.norm(problem.b)
    assert (result.x >= problem.bounds[0]).all()
    assert (result.multipliers[result.active == -1] >= -1e-8).all()


@pytest.mark.parametrize("deaths", [0, 3])
@pytest.mark.parametrize("seed", range(4))
def test_messages_may_be_lost_and_workers_die(obstacle, seed, deaths):
    result = dasksor.simulate(
        obstacle.A, obstacle.b, bounds=obstacle.bounds, workers=3, blocks=7, staleness=None,
        speed=[1.0, 0.3, 2.0], jitter=0.5, loss=0.1, duplicates=0.1, deaths=deaths, seed=seed,
        rtol=1e-8,
    ).result  # fmt: skip
    check(result, obstacle)


@pytest.mark.parametrize("options", [{"accelerate": "cg"}, {"staleness": None}])
def test_workers_find_the_solution(processes, obstacle, options):
    options |= {"mode": "async", "client": processes, "rtol": 1e-8, "bounds": obstacle.bounds}
    check(dasksor.solve(obstacle.A, obstacle.b, **options), obstacle)


def test_steps_that_end_at_bounds_are_few_once_the_face_is_found(obstacle):
    exact = dasksor.solve(
        obstacle.A, obstacle.b, bounds=obstacle.bounds, mode="sequential", accelerate=None,
        omega=1.0, rtol=1e-8,
    )  # fmt: skip
    free = dasksor.simulate(
        obstacle.A, obstacle.b, bounds=obstacle.bounds, staleness=None, rtol=1e-8
    ).result
    assert free.sweeps < exact.sweeps / 4


def test_infinite_bounds_change_no_bit(obstacle):
    options = {"workers": 2, "staleness": None, "rtol": 1e-8}
    plain = dasksor.simulate(obstacle.A, obstacle.b, **options).result
    bounded = dasksor.simulate(obstacle.A, obstacle.b, bounds=INFINITE, **options).result
    assert plain.accelerate == bounded.accelerate == "cg"
    np.testing.assert_array_equal(plain.x, bounded.x)


def test_an_indefinite_matrix_is_said_to_be_one():
    A = np.array([[1.0, 2.0], [2.0, 1.0]])
    result = dasksor.simulate(
        A, [1.0, -1.0], bounds=(-1e6, 1e6), workers=2, blocks=2, accelerate="cg"
    ).result
    assert result.status is Status.INDEFINITE


def test_a_matrix_that_is_not_symmetric_is_refused():
    A = np.array([[2.0, 1.0], [0.0, 2.0]])
    with pytest.raises(ValueError, match="needs a symmetric matrix"):
        dasksor.simulate(A, [1.0, 1.0], bounds=(0.0, 1.0), accelerate="cg")
