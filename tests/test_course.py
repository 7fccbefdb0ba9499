"""The verdict after each measured residual: statuses, legs, the best vector, the callback."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import random_dominant, seeds
from simulated import counted, limits, sequentially

from dasksor import Status, problems
from dasksor.engine.course import DIVERGENCE, PATIENCE, Course, Measurement
from dasksor.omega import Estimated, Given

quick = settings(deadline=None, max_examples=80)
levels = st.floats(1e-9, 1e3)


def course(maxiter=1000, rtol=1e-6, callback=None, relaxation=None, **options):
    return Course(limits(maxiter, rtol=rtol, **options), relaxation or Given(1.0), callback)


def measure(course, sweeps, *norms, now=0.0, rhs=None):
    rhs = np.ones(len(norms)) if rhs is None else np.asarray(rhs)
    return course.measured(sweeps, np.array(norms), now, rhs_norms=rhs)


# Statuses


@quick
@given(
    st.lists(st.tuples(levels, levels), min_size=1, max_size=4),
    st.sampled_from([0.0, 1e-6, 0.5]),
    st.sampled_from([0.0, 1e-3, 10.0]),
)
def test_converged_means_every_column_meets_its_own_tolerance(columns, rtol, atol):
    norms, rhs = zip(*columns, strict=True)
    judge = course(rtol=rtol, atol=atol)
    leg = measure(judge, 0, *norms, rhs=rhs)
    met = all(norm <= max(rtol * b, atol) for norm, b in columns)
    assert (judge.status is Status.CONVERGED) == met
    assert (leg is None) == met


def test_converged_exactly_at_the_tolerance():
    assert measure(course(rtol=0.5), 0, 1.0, rhs=[2.0]) is None
    assert measure(course(rtol=0.5), 0, np.nextafter(1.0, 2.0), rhs=[2.0]) is not None


def test_zero_residual_has_converged_whatever_the_tolerance():
    judge = course(rtol=0.0)
    assert measure(judge, 0, 0.0) is None
    assert judge.status is Status.CONVERGED


def test_maxiter():
    judge = course(maxiter=7)
    assert measure(judge, 0, 1.0) is not None
    assert measure(judge, 6, 0.5) is not None
    assert measure(judge, 7, 0.4) is None
    assert judge.status is Status.MAXITER


def test_timeout():
    judge = course(timeout=3.0)
    assert measure(judge, 0, 1.0, now=2.9) is not None
    assert measure(judge, 5, 0.5, now=3.0) is None
    assert judge.status is Status.TIMEOUT


@pytest.mark.parametrize("level", [math.nan, math.inf, DIVERGENCE * 2.0 * 1.001])
def test_divergence(level):
    judge = course()
    measure(judge, 0, 2.0)
    measure(judge, 5, DIVERGENCE * 2.0)
    assert judge.status is None
    assert measure(judge, 10, level) is None
    assert judge.status is Status.DIVERGED
    assert (judge.best, judge.best_sweeps) == (2.0, 0)
    assert not judge.improved


def test_divergence_is_not_measured_against_a_start_below_the_tolerance_of_b():
    judge = course(rtol=1e-3)
    measure(judge, 0, 1e-9, 1.0, rhs=[1.0, 1.0])
    assert judge.status is None
    judge = course(rtol=1e-6)
    measure(judge, 0, 1e-12, 1.1e-6, rhs=[1.0, 1.0])
    measure(judge, 5, 1e-12, DIVERGENCE * 1.2e-6, rhs=[1.0, 1.0])
    assert judge.status is None


@pytest.mark.parametrize("start", [math.nan, math.inf])
def test_a_start_that_is_not_finite_has_diverged(start):
    judge = course()
    assert measure(judge, 0, start) is None
    assert judge.status is Status.DIVERGED


def test_stagnation():
    judge = course(maxiter=10**9)
    measure(judge, 0, 1.0)
    measure(judge, 100, 0.5)
    assert measure(judge, 200 + PATIENCE, 0.4999) is not None
    assert measure(judge, 201 + PATIENCE, 0.4998) is None
    assert judge.status is Status.STAGNATED
    assert (judge.best, judge.best_sweeps) == (0.4998, 201 + PATIENCE)


def test_who_counts_sweeps_never_stagnates():
    judge = course(maxiter=10**9, rtol=0.0)
    measure(judge, 0, 1.0)
    assert measure(judge, 10 * PATIENCE, 1.0) is not None


def stop_iteration(measurement):
    raise StopIteration


@pytest.mark.parametrize("callback", [lambda m: True, stop_iteration, lambda m: 1])
def test_the_callback_stops(callback):
    judge = course(callback=callback)
    assert measure(judge, 0, 1.0) is None
    assert judge.status is Status.STOPPED


@pytest.mark.parametrize("answer", [None, False, 0, ""])
def test_the_callback_lets_go_on(answer):
    judge = course(callback=lambda m: answer)
    assert measure(judge, 0, 1.0) is not None
    assert judge.status is None


def test_other_exceptions_of_the_callback_are_the_callers():
    def callback(measurement):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        measure(course(callback=callback), 0, 1.0)


def test_convergence_comes_before_every_other_verdict_and_divergence_before_a_stop():
    judge = course(maxiter=0, callback=lambda m: True, timeout=1.0)
    measure(judge, 0, 1e-9, now=2.0)
    assert judge.status is Status.CONVERGED
    judge = course(maxiter=0, callback=lambda m: True, timeout=1.0)
    measure(judge, 0, math.inf, now=2.0)
    assert judge.status is Status.DIVERGED
    judge = course(maxiter=0, callback=lambda m: True, timeout=1.0)
    measure(judge, 0, 1.0, now=2.0)
    assert judge.status is Status.STOPPED


@quick
@given(st.lists(levels, min_size=1, max_size=12), st.integers(1, 12))
def test_the_callback_receives_the_entries_of_the_history(residuals, stop):
    seen = []

    def callback(measurement):
        seen.append(measurement)
        return len(seen) == stop

    judge = course(rtol=1e-15, callback=callback)
    for k, level in enumerate(residuals):
        if measure(judge, k, level, now=k / 4) is None:
            break
    assert len(judge.history) == len(seen)
    assert all(kept is given for kept, given in zip(judge.history, seen, strict=True))
    expected = [Measurement(k / 4, k, level, 1.0) for k, level in enumerate(residuals[: len(seen)])]
    assert seen == expected


# The vector to return


@quick
@given(st.lists(levels, min_size=1, max_size=20))
def test_the_best_vector_is_kept(residuals):
    judge, kept = course(rtol=1e-15), None
    for k, level in enumerate(residuals):
        leg = measure(judge, k, level)
        kept = k if judge.improved else kept
        if leg is None:
            break
    seen = [m.residual_norm for m in judge.history]
    assert judge.best == min(seen)
    assert judge.best_sweeps == kept == seen.index(min(seen))
    assert judge.best_norms == [judge.best]


@quick
@given(st.lists(levels, min_size=1, max_size=20))
def test_without_tolerance_the_last_finite_vector_is_kept(residuals):
    judge = course(rtol=0.0)
    for k, level in enumerate(residuals):
        leg = measure(judge, k, level)
        assert judge.improved
        assert (judge.best, judge.best_sweeps) == (level, k)
        if leg is None:
            break
    measure(judge, len(residuals), math.nan)
    assert not judge.improved
    assert judge.best == judge.history[-2].residual_norm


def test_norms_of_several_columns_are_added_as_a_frobenius_norm():
    judge = course()
    measure(judge, 0, 3.0, 4.0)
    assert judge.history[0].residual_norm == 5.0
    np.testing.assert_array_equal(judge.best_norms, [3.0, 4.0])


# Legs


@quick
@given(
    st.lists(st.tuples(st.integers(1, 100), st.floats(1e-3, 3.0)), max_size=15),
    st.integers(0, 300),
    st.sampled_from([0.0, 1e-12, 1e-2]),
    st.booleans(),
)
def test_legs_go_on_but_never_beyond_maxiter(steps, maxiter, rtol, adaptive):
    judge = course(maxiter, rtol, relaxation=Estimated() if adaptive else Given(1.5))
    level, sweeps = 1.0, 0
    leg = measure(judge, sweeps, level)
    for slack, factor in steps:
        if leg is None:
            break
        assert sweeps < leg.until <= maxiter
        assert leg.until - sweeps <= max(5, sweeps // 4)
        assert leg.omega == judge.relaxation.omega
        assert leg.settled == judge.relaxation.settled
        # Drivers may stop short of the end of a leg when the time is over.
        sweeps, level = max(sweeps + 1, leg.until - slack % 3), level * factor
        leg = measure(judge, sweeps, level)
    assert (leg is None) == (judge.status is not None)


@pytest.mark.parametrize("maxiter", [0, 1, 4, 5, 6, 23])
def test_legs_end_at_maxiter(maxiter):
    judge, sweeps = course(maxiter), 0
    while (leg := measure(judge, sweeps, 1.0)) is not None:
        sweeps = leg.until
    assert sweeps == maxiter
    assert judge.status is Status.MAXITER


def test_the_next_look_comes_when_the_rate_says_the_target_is_met():
    judge = course(10**6, rtol=1e-3)
    measure(judge, 0, 1.0)
    measure(judge, 1000, 10.0**-2.9)
    # A decade takes 1000 / 2.9 sweeps, a tenth of one is left.
    assert measure(judge, 1100, 10.0**-2.95).until in (1200, 1201)


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_a_tiny_absolute_tolerance_is_a_tolerance():
    judge = course(rtol=0.0, atol=1e-310)
    measure(judge, 0, 1.0)
    assert measure(judge, 5, 0.5).until > 5


# The course of plain sweeps


@quick
@given(seeds, st.integers(0, 40))
def test_plain_sweeps_make_maxiter_sweeps(seed, k):
    rng = np.random.default_rng(seed)
    A = random_dominant(rng, 6)
    judge = counted(k, 0.9)
    sequentially(A, rng.standard_normal(6), judge)
    assert judge.history[-1].sweeps == k or judge.best == 0.0
    assert judge.best_sweeps == judge.history[-1].sweeps


def test_plain_sweeps_that_diverge_return_their_best():
    A, b = np.array([[1.0, 0.9], [-0.9, 1.0]]), np.ones(2)
    judge = course(relaxation=Given(1.8))
    x = sequentially(A, b, judge)
    assert judge.status is Status.DIVERGED
    assert np.linalg.norm(b - A @ x[0]) == pytest.approx(judge.best)
    assert judge.best == min(m.residual_norm for m in judge.history)


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_plain_sweeps_that_overflow_are_noticed():
    A = np.array([[1.0, 1e200], [1e200, 1.0]])
    judge = course(relaxation=Given(1.0))
    x = sequentially(A, np.ones(2), judge)
    assert judge.status is Status.DIVERGED
    assert np.isfinite(x).all()


def test_plain_sweeps_below_rounding_stagnate():
    A = problems.poisson((3, 3))
    b = np.random.default_rng(0).standard_normal(9)
    judge = course(10**6, rtol=1e-19)
    x = sequentially(A, b, judge)
    assert judge.status is Status.STAGNATED
    assert np.linalg.norm(b - A @ x[0]) < 1e-13


def test_plain_sweeps_end_in_time():
    A, b = problems.poisson((40, 40)), np.ones(1600)
    judge = course(10**9, rtol=1e-300, relaxation=Given(1e-6), timeout=1e-3)
    x = sequentially(A, b, judge)
    assert judge.status is Status.TIMEOUT
    assert judge.history[-1].time >= 1e-3
    assert np.linalg.norm(b - A @ x[0]) == pytest.approx(judge.best)
