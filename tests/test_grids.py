"""Grids of few lines: what is expected without a coarse space, and what happens where it is not."""

import itertools
import math
from functools import partial
from time import perf_counter
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import dasksor
from dasksor import Status, preparations, problems
from dasksor.accelerate.gradients import Gradients
from dasksor.accelerate.grids import FEW, forecast
from dasksor.accelerate.run import run
from dasksor.accelerate.splitting import prepare_splitting
from dasksor.accelerate.team import Team
from dasksor.engine.course import Course, Limits
from dasksor.omega import Given
from dasksor.preparations import OMEGA

pytestmark = pytest.mark.usefixtures("tidy")

blocks_1_or_2 = pytest.mark.parametrize("blocks", [1, 2])


# Forecasts


def test_what_is_no_grid_has_no_forecast():
    grid, order = problems.poisson((20, 20)), np.random.default_rng(0).permutation(400)
    for A in (
        grid.toarray(),
        problems.graph_laplacian(problems.random_graph(400, seed=2), shift=1.0),
        sp.csr_array(grid[order][:, order]),
        sp.csr_array(3.0 * sp.eye_array(50)),
    ):
        assert forecast(A, 1) is None


def test_many_lines_or_blocks_have_no_forecast():
    assert forecast(problems.poisson((500, 5)), 1).iterations <= FEW
    assert forecast(problems.poisson((600, 5)), 1) is None
    assert forecast(problems.poisson((600,)), 1) is None
    assert forecast(problems.poisson((200, 5)), 2).iterations <= FEW
    assert forecast(problems.poisson((200, 5)), 4) is None


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 100), st.integers(2, 30), st.integers(1, 8))
def test_more_lines_and_more_blocks_take_more_iterations(lines, width, blocks):
    A, longer = problems.poisson((lines, width)), problems.poisson((lines + 1, width))
    of_one, of_blocks = forecast(A, 1), forecast(A, blocks)
    assert of_one.omega == pytest.approx(max(1.0, 2.0 / (1.0 + 5.3 / lines)), abs=5e-4)
    assert of_one.iterations == pytest.approx(4.1 * math.sqrt(lines))
    assert 1.0 <= of_one.omega <= forecast(longer, 1).omega < 2.0
    assert of_one.iterations < forecast(longer, 1).iterations
    assert of_blocks is None or of_blocks.omega <= of_one.omega
    assert of_blocks is None or of_blocks.iterations >= of_one.iterations
    # Patience goes with the digits, and with half as many again as expected.
    assert of_one.patience(1e-8) == 10 + int(1.5 * of_one.iterations)
    assert of_one.patience(1e-4) == 10 + int(0.75 * of_one.iterations)


# Trials


@pytest.fixture
def trials(monkeypatch):
    """The splittings made by `dasksor.prepared`: whether each has a coarse space."""
    made = []

    def recorded(*args, **keywords):
        splitting = prepare_splitting(*args, **keywords)
        made.append(splitting.deflation is not None)
        return splitting

    monkeypatch.setattr(preparations, "prepare_splitting", recorded)
    return made


def ready_for(A, blocks, **options):
    return dasksor.prepare(A, mode="threads", blocks=blocks, **options)


def side(A, columns=None):
    shape = (A.shape[0],) if columns is None else (A.shape[0], columns)
    return A @ np.random.default_rng(1).standard_normal(shape)


def assert_honest(result, A, b):
    """What is returned is the best vector that was measured, and has the norm that is claimed."""
    norms = np.linalg.norm(b - A @ result.x, axis=0)
    rounding = 1e-14 * np.linalg.norm(abs(A) @ np.abs(result.x))
    np.testing.assert_allclose(result.residual_norm, norms, rtol=1e-6, atol=rounding)
    best = min(m.residual_norm for m in result.history)
    assert np.linalg.norm(norms) == pytest.approx(best, rel=1e-6, abs=rounding)
    if result.success:
        assert (norms <= result.rtol * np.linalg.norm(b, axis=0) + rounding).all()
    for before, after in itertools.pairwise(result.history):
        assert after.sweeps >= before.sweeps
        assert after.time >= before.time


@blocks_1_or_2
@pytest.mark.parametrize("shape", [(40, 30), (90, 100), (20, 20, 20), (35, 9, 12)], ids=str)
@pytest.mark.parametrize("rtol", [1e-3, 1e-8])
def test_poisson_takes_no_more_than_is_expected(shape, blocks, rtol, trials):
    A = problems.poisson(shape)
    b, expected = side(A), forecast(A, blocks)
    result = ready_for(A, blocks).solve(b, rtol=rtol)
    assert (result.success, result.omega, trials) == (True, expected.omega, [False])
    assert result.omega_origin == "proven"
    assert result.sweeps <= expected.patience(rtol)
    assert_honest(result, A, b)


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        ({"omega": 1.25}, {}),
        ({"nullspace": np.ones(1200)}, {}),
        ({}, {"rtol": 0.0, "atol": 1e-6}),
        ({}, {"rtol": 1.0, "atol": 1e-6}),
    ],
    ids=["omega", "nullspace", "no rtol", "rtol 1"],
)
def test_there_is_no_trial_where_something_else_is_asked_for(options, limits, trials):
    A = problems.poisson((40, 30))
    assert ready_for(A, 1, **options).solve(side(A), **limits).success
    assert trials == [True]


def log_normal(n, sigma):
    """Flow through cells whose permeabilities span orders of magnitude, let out at one rim."""
    k = np.exp(sigma * np.random.default_rng(0).standard_normal((n, n)))
    cell = np.arange(n * n).reshape(n, n)
    A = sp.csr_array((n * n, n * n))
    for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        values = -2.0 / (1.0 / k[here] + 1.0 / k[there]).ravel()
        A += sp.coo_array((values, (cell[here].ravel(), cell[there].ravel())), shape=A.shape)
    A = A + A.T
    outlet = np.zeros((n, n))
    outlet[0] = 1e-3 * k[0]
    return sp.csr_array(A + sp.diags_array(outlet.ravel() - A.sum(axis=1)))


def plate(n):
    """The squared Laplacian: its condition is that of a grid of ``n^2`` lines."""
    A = problems.poisson((n, n))
    return sp.csr_array(A @ A)


FLOW = log_normal(60, 2.0)
HARDER = {"flow": FLOW, "plate": plate(30)}


def handover(result):
    """The measurements without a coarse space, and with one."""
    count = sum(m.omega != OMEGA for m in result.history)
    before, after = result.history[:count], result.history[count:]
    assert all(m.omega == OMEGA for m in after)
    return before, after


@blocks_1_or_2
@pytest.mark.parametrize("columns", [None, 3])
@pytest.mark.parametrize("name", HARDER)
def test_a_grid_that_is_harder_than_expected_gets_a_coarse_space(name, columns, blocks, trials):
    A = HARDER[name]
    b, ready, expected = side(A, columns), ready_for(A, blocks), forecast(A, blocks)
    result = ready.solve(b, rtol=1e-8)
    assert (result.success, result.omega, trials) == (True, OMEGA, [False, True])
    assert_honest(result, A, b)
    before, after = handover(result)
    assert {m.omega for m in before} == {expected.omega}
    # It goes on with the best vector so far, and counts on.
    assert before[-1].sweeps == after[0].sweeps == expected.patience(1e-8)
    best = min(m.residual_norm for m in before)
    assert after[0].residual_norm == pytest.approx(best, rel=1e-9)
    assert result.sweeps > expected.patience(1e-8)
    # The matrix is made ready once for each way, and solves do not depend on those before.
    again = ready.solve(b, rtol=1e-8)
    np.testing.assert_array_equal(again.x, result.x)
    assert trials == [False, True]


@blocks_1_or_2
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("b", ["ones", "image"])
def test_couplings_that_are_weak_across_are_solved_all_the_same(axis, b, blocks):
    A = problems.anisotropic((60, 60), 1e-4 if axis else 1e4)
    assert forecast(A, blocks) is not None
    b = np.ones(3600) if b == "ones" else side(A)
    result = ready_for(A, blocks).solve(b, rtol=1e-8)
    assert result.status is Status.CONVERGED
    assert_honest(result, A, b)


def test_a_column_that_is_done_is_left_alone():
    b = np.stack([side(FLOW), np.zeros(3600), 1e-9 * side(FLOW)], axis=1)
    result = ready_for(FLOW, 2).solve(b, rtol=1e-8)
    assert (result.success, result.omega) == (True, OMEGA)
    assert_honest(result, FLOW, b)
    assert not result.x[:, 1].any()


@blocks_1_or_2
@pytest.mark.parametrize("digits", [1e-8, 1e-17])
def test_a_singular_grid_is_solved_or_not_as_without_a_trial(digits, blocks):
    A = problems.poisson((40, 40))
    A = sp.csr_array(A - sp.diags_array(A @ np.ones(1600)))
    b = side(A)
    result = ready_for(A, blocks).solve(b, rtol=digits)
    assert result.success == (digits == 1e-8)
    assert_honest(result, A, b)
    worse = ready_for(A, blocks).solve(np.ones(1600), rtol=digits, maxiter=1000)
    assert not worse.success
    assert_honest(worse, A, np.ones(1600))


# Ends of runs on both sides of the handover

PATIENCE = {blocks: forecast(FLOW, blocks).patience(1e-8) for blocks in (1, 2)}


@blocks_1_or_2
@pytest.mark.parametrize("more", [-PATIENCE[1], -20, -1, 0, 1, 12])
def test_iterations_are_limited_on_both_sides(more, blocks, trials):
    maxiter = max(0, PATIENCE[blocks] + more)
    result = ready_for(FLOW, blocks).solve(side(FLOW), rtol=1e-8, maxiter=maxiter)
    assert (result.status, result.history[-1].sweeps) == (Status.MAXITER, maxiter)
    assert trials == ([False, True] if more > 0 else [False])
    assert_honest(result, FLOW, side(FLOW))


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by a second whenever it is looked at: once for each iteration."""
    ticks = map(float, itertools.count())
    for module in ("accelerate.run", "accelerate.gradients", "prepared"):
        fake = SimpleNamespace(perf_counter=lambda: next(ticks))
        monkeypatch.setattr(f"dasksor.{module}.time", fake)


@pytest.mark.usefixtures("clock")
@blocks_1_or_2
@pytest.mark.parametrize("more", [-30, 15])
def test_time_is_limited_on_both_sides(more, blocks, trials):
    timeout = PATIENCE[blocks] + more
    result = ready_for(FLOW, blocks).solve(side(FLOW), rtol=1e-8, timeout=timeout)
    assert result.status is Status.TIMEOUT
    assert trials == ([False, True] if more > 0 else [False])
    # Seconds of the trial count: each side has looked at the clock a few times more.
    assert timeout - 10 <= result.history[-1].sweeps <= timeout
    assert timeout <= result.history[-1].time <= timeout + 3
    assert_honest(result, FLOW, side(FLOW))


def measurements(blocks):
    """How many measurements a callback sees before the handover."""
    return 2 + (PATIENCE[blocks] - 1) // 10


@blocks_1_or_2
@pytest.mark.parametrize("at", [-1, 0, 1, 2, 3])
@pytest.mark.parametrize("how", ["true", "stop", "interrupt"])
def test_a_callback_sees_and_stops_both_sides(at, how, blocks, trials):
    last, seen = measurements(blocks) + at, []

    def callback(measurement):
        seen.append(measurement)
        if len(seen) < last:
            return False
        if how == "true":
            return True
        raise StopIteration if how == "stop" else KeyboardInterrupt

    b = side(FLOW)
    result = ready_for(FLOW, blocks).solve(b, rtol=1e-8, callback=callback)
    assert (result.status, result.history) == (Status.STOPPED, seen)
    assert (len(seen), trials) == (last, [False, True] if at > 0 else [False])
    assert_honest(result, FLOW, b)
    before, after = handover(result)
    assert len(after) == max(0, at)
    assert before[-1].sweeps == (PATIENCE[blocks] if at >= 0 else (last - 1) * 10)


@pytest.mark.parametrize(
    ("blocks", "when", "deflated"),
    [(1, 1, False), (1, 2, False), (1, 3, True), (2, 3, False), (2, 4, True)],
)
def test_an_interrupt_on_either_side_returns_the_best_vector(
    blocks, when, deflated, trials, monkeypatch
):
    calls, advance = [], Gradients.run

    def interrupted(self, *limits):
        calls.append(limits)
        advance(self, *limits)
        if len(calls) == when:
            raise KeyboardInterrupt

    monkeypatch.setattr(Gradients, "run", interrupted)
    result = ready_for(FLOW, blocks).solve(side(FLOW), rtol=1e-11)
    assert (result.status, trials) == (Status.STOPPED, [False, True][: 1 + deflated])
    assert_honest(result, FLOW, side(FLOW))


@blocks_1_or_2
def test_an_interrupt_while_the_coarse_space_is_made_returns_the_best_vector(blocks, monkeypatch):
    make = preparations.prepare_splitting

    def interrupted(*args, **options):
        if options.get("deflated", True):
            raise KeyboardInterrupt
        return make(*args, **options)

    monkeypatch.setattr(preparations, "prepare_splitting", interrupted)
    ready = ready_for(FLOW, blocks)
    result = ready.solve(side(FLOW), rtol=1e-8)
    assert (result.status, result.history[-1].sweeps) == (Status.STOPPED, PATIENCE[blocks])
    assert_honest(result, FLOW, side(FLOW))
    monkeypatch.setattr(preparations, "prepare_splitting", make)
    assert ready.solve(side(FLOW), rtol=1e-8).success


@blocks_1_or_2
def test_seconds_of_making_the_coarse_space_count(blocks, monkeypatch):
    make = preparations.prepare_splitting

    def slow(*args, **options):
        made = make(*args, **options)
        if made.deflation is not None:
            # An hour passes.
            hours = SimpleNamespace(perf_counter=lambda: perf_counter() + 3600.0)
            monkeypatch.setattr("dasksor.accelerate.run.time", hours)
        return made

    monkeypatch.setattr(preparations, "prepare_splitting", slow)
    result = ready_for(FLOW, blocks).solve(side(FLOW), rtol=1e-8, timeout=3000.0)
    assert (result.status, result.history[-1].sweeps) == (Status.TIMEOUT, PATIENCE[blocks])
    assert result.history[-1].time >= 3600.0 > result.history[-2].time
    assert_honest(result, FLOW, side(FLOW))


@blocks_1_or_2
@pytest.mark.parametrize("patience", [1, 7, 50, 60])
def test_a_run_out_of_patience_has_no_verdict_and_can_be_gone_on_from(patience, blocks):
    splitting = prepare_splitting(FLOW, 1.8, Team(blocks), blocks, deflated=False)
    course = Course(Limits(1e-8, 0.0, 10_000, None), Given(1.8))
    b, x0 = side(FLOW)[None], np.zeros((1, 3600))
    outcome = run(partial(Gradients, splitting), b, x0, course, patience=patience)
    assert (course.status, course.sweeps) == (None, patience)
    assert not x0.any()
    norm = np.linalg.norm(b - (FLOW @ outcome.x.T).T)
    assert norm == pytest.approx(course.best, rel=1e-9)
    outcome = run(partial(Gradients, splitting), b, outcome.x, course)
    assert course.status is Status.CONVERGED
    assert course.sweeps > patience
    norm = np.linalg.norm(b - (FLOW @ outcome.x.T).T)
    assert norm == pytest.approx(course.best, rel=1e-6)
    assert norm <= 1e-8 * np.linalg.norm(b)
