"""Relaxation factors and the facts behind them, against dense eigenvalues and dense sums."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import (
    BACKWARD,
    FORWARD,
    random_cuts,
    random_dominant,
    random_pattern,
    random_spd,
    seeds,
)
from simulated import limits, sequentially

from dasksor import Status, problems
from dasksor.analysis import is_symmetric, jacobi_bound, row_facts, worst
from dasksor.engine.course import Course
from dasksor.omega import (
    UNLIMITED,
    Cautious,
    Estimated,
    Given,
    asynchronous_limit,
    block_limit,
    for_stale_sweeps,
    optimal,
)
from dasksor.partition import Partition
from dasksor.rows import prepare_rows

quick = settings(deadline=None, max_examples=60)
ratios = st.floats(0.0, 3.0) | st.sampled_from([math.inf, math.nan, 1.0, 0.0])
growths = st.floats(1.0, 1e6) | st.sampled_from([1.0, math.inf, math.nan])
looks = st.lists(st.tuples(ratios, growths), max_size=60)


def spectral_radius(A):
    return float(np.abs(np.linalg.eigvals(A)).max())


# Formulas


@quick
@given(st.floats(0.0, 0.999999))
def test_optimal_omega_makes_youngs_eigenvalues_meet(mu):
    # (lam + omega - 1)^2 = lam omega^2 mu^2 has the double root lam = omega - 1.
    omega = optimal(mu)
    assert 1.0 <= omega < 2.0
    assert 4.0 * (omega - 1.0) == pytest.approx((omega * mu) ** 2, rel=1e-9, abs=1e-15)


def test_optimal_omega_is_the_best_of_a_dense_scan():
    A = problems.poisson((7, 9)).toarray()
    D, L, U = np.diag(A.diagonal()), np.tril(A, -1), np.triu(A, 1)

    def rate(omega):
        return spectral_radius(np.linalg.solve(D + omega * L, (1 - omega) * D - omega * U))

    mu = spectral_radius(np.eye(63) - A / 4.0)
    best = min(np.arange(1.0, 1.99, 0.01), key=rate)
    assert best == pytest.approx(optimal(mu), abs=0.02)


@quick
@given(seeds, st.integers(2, 12), st.floats(0.01, 0.99))
def test_asynchronous_limit_bounds_the_absolute_iteration_matrix(seed, n, share):
    rng = np.random.default_rng(seed)
    J = np.abs(random_dominant(rng, n, dominance=0.9))
    np.fill_diagonal(J, 0.0)
    J /= max(1.0, J.sum(axis=1).max() / 0.9)
    bound = J.sum(axis=1).max()
    limit = asynchronous_limit(bound)
    assert limit == 2.0 / (1.0 + bound)
    for omega, proven in ((share * limit, True), ((1.0 + share) * limit, False)):
        norm = (abs(1.0 - omega) * np.eye(n) + omega * J).sum(axis=1).max()
        assert (norm < 1.0) == proven


@quick
@given(seeds, st.integers(1, 16), st.data())
def test_block_limit_keeps_block_parallel_sweeps_convergent(seed, n, data):
    rng = np.random.default_rng(seed)
    A = random_spd(rng, n)
    partition = Partition(random_cuts(rng, n, data.draw(st.integers(1, n))))
    _, coupling = worst(facts_of(A, partition))
    limit = block_limit(coupling)
    assert limit == 2.0 / (1.0 + coupling)
    omega = limit * data.draw(st.floats(0.05, 0.999))
    M = np.diag(A.diagonal() / omega)
    for start, stop in partition.ranges:
        own = slice(start, stop)
        M[own, own] += np.tril(A[own, own], -1)
    assert spectral_radius(np.eye(n) - np.linalg.solve(M, A)) < 1.0 + 1e-9


# Given


@quick
@given(st.floats(0.01, 1.99), looks)
def test_a_given_omega_never_changes(omega, seen):
    given_omega = Given(omega)
    for ratio, growth in seen:
        given_omega.observe(ratio, growth)
        assert given_omega == Given(omega)
    assert given_omega.settled
    assert given_omega.patience() == UNLIMITED
    assert given_omega.origin == "given"


# Estimated


@quick
@given(looks)
def test_an_estimated_omega_stays_inside_the_interval_whatever_it_sees(seen):
    estimated = Estimated()
    for ratio, growth in seen:
        estimated.observe(ratio, growth)
        assert 1.0 <= estimated.omega <= 1.999
        assert 5 <= estimated.patience() < 10**6
    assert not estimated.settled


@quick
@given(st.floats(1.1, 1.9), st.floats(0.1, 0.999))
def test_two_equal_readings_give_youngs_optimum_under_the_cap(omega, mu):
    # The dominant eigenvalue of a sweep at omega below the optimum solves Young's relation.
    half = omega * mu / 2.0
    excess = omega - 1.0
    if half**2 <= excess:
        return
    lam = (half + math.sqrt(half**2 - excess)) ** 2
    estimated = Estimated(omega=omega, _cap=10**6)
    estimated.observe(lam, 1.0)
    assert estimated.omega == omega
    estimated.observe(lam, 1.0)
    wanted = min(optimal(mu), 1.999)
    if 2.0 - wanted < 0.96 * (2.0 - omega):
        assert estimated.omega == pytest.approx(wanted, abs=2e-6)
    else:
        assert estimated.omega in (omega, pytest.approx(wanted, abs=2e-6))


def test_an_estimated_omega_waits_for_readings_that_agree():
    estimated = Estimated()
    for ratio in (0.2, 0.9, 0.3, 0.8):
        estimated.observe(ratio, 1.0)
    assert estimated.omega == 1.0


def test_an_estimated_omega_rises_by_caps():
    estimated, seen = Estimated(), []
    for _ in range(4):
        estimated.observe(0.9999, 1.0)
        estimated.observe(0.9999, 1.0)
        seen.append(estimated.omega)
    assert seen == [1.5, 1.7, 1.8, 1.85]


def test_an_estimated_omega_backs_off_when_the_residual_has_grown():
    estimated = Estimated(omega=1.8)
    estimated.observe(0.9, 101.0)
    assert estimated.omega == pytest.approx(1.4)
    for _ in range(20):
        estimated.observe(0.999, 1.0)
    assert estimated.omega <= 1.4


def solved(A, b, relaxation, directions=(FORWARD,), rtol=1e-6):
    course = Course(limits(20_000, rtol=rtol), relaxation)
    sequentially(A, b, course, directions=directions)
    assert course.status is Status.CONVERGED
    return course


@pytest.mark.parametrize("lines", [24, 50])
@pytest.mark.parametrize("direction", [FORWARD, BACKWARD])
# The looser the tolerance, the more the sweeps weigh in which omega is not known yet.
@pytest.mark.parametrize(("rtol", "factor"), [(1e-5, 1.5), (1e-8, 1.3)])
@pytest.mark.parametrize("smooth", [True, False])
def test_adaptive_omega_is_nearly_as_good_as_the_best(lines, direction, rtol, factor, smooth):
    A = problems.poisson((lines, lines))
    b = np.ones(lines**2) if smooth else np.random.default_rng(lines).standard_normal(lines**2)
    scan = [
        solved(A, b, Given(omega), (direction,), rtol).best_sweeps
        for omega in (1.7, 1.75, 1.8, 1.84, 1.86, 1.88, 1.9, 1.92, 1.94)
    ]
    adaptive = solved(A, b, Estimated(), (direction,), rtol)
    assert adaptive.best_sweeps <= factor * min(scan)
    assert all(0.0 < m.omega < 2.0 for m in adaptive.history)
    assert adaptive.relaxation.omega > 1.7


def test_adaptive_omega_does_no_harm_where_nothing_is_to_be_won():
    A, b = np.diag(np.arange(1.0, 9.0)) + np.diag(np.full(7, 1e-3), 1), np.ones(8)
    assert solved(A, b, Estimated()).relaxation.omega < 1.1
    A = problems.dense_spd(60, dominance=1.0)
    b = np.arange(60.0)
    adaptive, plain = solved(A, b, Estimated()), solved(A, b, Given(1.0))
    assert adaptive.best_sweeps <= 1.3 * plain.best_sweeps + 5


# Cautious


@quick
@given(st.floats(0.01, 1.99), looks)
def test_a_proven_omega_never_changes(omega, seen):
    proven = Cautious(omega, "proven")
    for ratio, growth in seen:
        proven.observe(ratio, growth)
    assert proven == Cautious(omega, "proven")
    assert proven.settled


@quick
@given(st.floats(0.05, 1.99), looks)
def test_a_heuristic_omega_backs_off_exactly_when_the_residual_grows(omega, seen):
    cautious = Cautious(omega, "heuristic")
    for ratio, growth in seen:
        before = cautious.omega
        cautious.observe(ratio, growth)
        if growth > 4.0:
            # Six digits, so nothing is left to take off in the end.
            assert cautious.omega < before or before < 1e-5
            assert before <= 1.0 or abs(cautious.omega - 1.0) <= max(0.2, (before - 1.0) / 2 + 1e-6)
        else:
            assert cautious.omega == before
        assert 0.0 < cautious.omega < 2.0
    assert not cautious.settled


def test_a_heuristic_omega_halves_its_over_relaxation_and_then_damps():
    cautious, seen = Cautious(1.6, "heuristic"), []
    for _ in range(6):
        cautious.observe(1.0, 5.0)
        seen.append(cautious.omega)
    assert seen == pytest.approx([1.3, 1.15, 1.075, 1.0375, 0.83, 0.664])


@quick
@given(st.floats(0.0, 5.0), st.floats(0.0, 5.0))
def test_stale_sweeps_start_inside_the_proven_range_or_say_heuristic(dominance, coupling):
    chosen = for_stale_sweeps(dominance, coupling)
    assert chosen.origin == ("proven" if dominance < 1.0 else "heuristic")
    if dominance < 1.0:
        assert 0.0 < chosen.omega < asynchronous_limit(dominance)
        assert chosen.omega <= 1.0
    else:
        assert 1.0 <= chosen.omega <= 1.6
        assert chosen.omega == 1.0 or chosen.omega < block_limit(coupling)


# What is known of the rows


def facts_of(A, partition):
    return [row_facts(prepare_rows(A[i:j], i), partition) for i, j in partition.ranges]


@pytest.mark.parametrize("stored", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@quick
@given(seeds, st.integers(1, 20), st.data())
def test_row_facts_equal_dense_sums(stored, dtype, seed, n, data):
    rng = np.random.default_rng(seed)
    A = random_dominant(rng, n, dominance=2.0).astype(dtype)
    partition = Partition(random_cuts(rng, n, data.draw(st.integers(1, min(n, 5)))))
    every = facts_of(stored(A), partition)
    size = np.abs(A).astype(np.float64)
    off = (size - np.diag(size.diagonal())) / size.diagonal()[:, None]
    near = {"rel": 1e-12, "abs": 1e-12}
    for (start, stop), facts in zip(partition.ranges, every, strict=True):
        own, rows = np.arange(start, stop), off[start:stop]
        assert facts.dominance == pytest.approx(rows.sum(axis=1).max(), **near)
        others = np.delete(rows, own, axis=1).sum(axis=1).max()
        assert facts.coupling == pytest.approx(others, **near)
        part = stored(A)[start:stop]
        assert facts.entries == (part.nnz if sp.issparse(part) else part.size)
    total = max(off.sum(axis=1))
    outside = max(
        np.delete(off[i:j], np.arange(i, j), axis=1).sum(axis=1).max() for i, j in partition.ranges
    )
    assert worst(every) == pytest.approx((total, outside), **near)


@quick
@given(seeds, st.integers(1, 20))
def test_one_block_has_no_coupling(seed, n):
    A = sp.csr_array(random_dominant(np.random.default_rng(seed), n))
    (facts,) = facts_of(A, Partition((0, n)))
    assert facts.coupling == 0.0
    assert list(facts.needs) == [0]


@pytest.mark.parametrize("stored", [np.asarray, sp.csr_array])
@quick
@given(seeds, st.integers(1, 16), st.integers(1, 40))
def test_jacobi_bound_is_an_upper_bound_of_the_spectral_radius(stored, seed, n, steps):
    rng = np.random.default_rng(seed)
    pattern = random_pattern(rng, n)
    symmetric = np.where(pattern | pattern.T, 1.0, 0.0)
    scale = 10.0 ** rng.uniform(-2.0, 2.0, n)
    J = symmetric * scale[:, None] * rng.uniform(0.1, 2.0) / scale
    D = rng.choice([-1.0, 1.0], n) * 10.0 ** rng.uniform(-1.0, 1.0, n)
    A = D[:, None] * (np.eye(n) + rng.choice([-1.0, 1.0], (n, n)) * J)
    # |J| is similar to a symmetric matrix, whose eigenvalues are exact to rounding.
    radius = np.abs(np.linalg.eigvalsh(J / scale[:, None] * scale)).max()
    assert jacobi_bound(stored(A), steps) >= radius * (1.0 - 1e-10)


@quick
@given(seeds, st.integers(2, 16))
def test_jacobi_bound_of_positive_matrices_is_sharp(seed, n):
    rng = np.random.default_rng(seed)
    J = rng.uniform(0.1, 1.0, (n, n))
    np.fill_diagonal(J, 0.0)
    radius, bound = spectral_radius(J), jacobi_bound(np.eye(n) - J, 60)
    assert radius * (1.0 - 1e-9) <= bound <= radius * 1.001


def test_jacobi_bound_of_matrices_with_empty_rows_and_of_cycles():
    assert jacobi_bound(np.diag([2.0, -3.0])) == 0.0
    assert 0.0 <= jacobi_bound(np.array([[1.0, 5.0], [0.0, 1.0]]), 200) < 0.1
    cycle = np.eye(4) - 0.5 * np.roll(np.eye(4), 1, axis=1)
    assert jacobi_bound(cycle) == pytest.approx(0.5)
    grid = problems.poisson((24, 24))
    assert math.cos(math.pi / 25) < jacobi_bound(grid, 1000) < 1.0


def test_is_symmetric():
    A = random_spd(np.random.default_rng(1), 9)
    off = A.copy()
    off[2, 5] += 1e-6
    for stored in (np.asarray, sp.csr_array):
        assert is_symmetric(stored(A))
        assert is_symmetric(stored(np.diag([1.0, 2.0])))
        assert not is_symmetric(stored(off))
        assert not is_symmetric(stored(np.triu(A)))
