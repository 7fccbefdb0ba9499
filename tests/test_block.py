"""Blocks, hosts and the monitor: exact where they promise it, verified always, on any schedule."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference import BACKWARD, FORWARD, dense_sweeps, random_cuts, random_dominant, seeds
from simulated import NOTHING, counted, drive, limits, sequentially

from dasksor import Status, problems
from dasksor.engine.block import Block
from dasksor.engine.course import Course
from dasksor.engine.host import Host
from dasksor.engine.monitor import Monitor
from dasksor.messages import Halo, Order, Piece, Progress, Slice, Stop
from dasksor.omega import Cautious, Estimated, Given
from dasksor.partition import Exchange
from dasksor.rows import joined, prepare_rows

few = settings(deadline=None, max_examples=25)
PASSES = {"forward": (FORWARD,), "backward": (BACKWARD,), "symmetric": (FORWARD, BACKWARD)}
sweeps = pytest.mark.parametrize("passes", PASSES.values(), ids=PASSES.keys())
stale = st.sampled_from([1, 2, 3, None])


@st.composite
def cases(draw, nrhs=3, smallest=1, connected=False):
    """A strictly dominant system, structurally not symmetric, cut into blocks on hosts."""
    seed = draw(seeds)
    rng = np.random.default_rng(seed)
    n = draw(st.integers(smallest, 24))
    nblocks = draw(st.integers(min(n, smallest), min(n, 6)))
    dense = draw(st.booleans())
    A = random_dominant(rng, n, connected=connected)
    b, x0 = rng.standard_normal((2, n, draw(st.integers(1, nrhs))))
    owner = rng.integers(0, draw(st.integers(1, nblocks)), nblocks).tolist()
    schedule = {"cuts": random_cuts(rng, n, nblocks), "owner": owner, "seed": seed, "x0": x0}
    return SimpleNamespace(A=A if dense else sp.csr_array(A), dense=A, b=b, x0=x0, how=schedule)


def residual_norms(case, x):
    return np.linalg.norm(case.b - case.dense @ x.T, axis=0)


def assert_audited(case, run):
    """The reported residual is that of the vector which is returned, up to rounding."""
    rounding = 1e-14 * np.linalg.norm(np.abs(case.b) + np.abs(case.dense) @ np.abs(run.x.T))
    np.testing.assert_allclose(run.course.best_norms, residual_norms(case, run.x), 1e-9, rounding)


# Staleness 0 is the sequential iteration, bit for bit


@sweeps
@settings(deadline=None, max_examples=60)
@given(cases(), st.integers(0, 13), st.floats(0.3, 1.7))
def test_exact_sweeps_equal_the_sequential_ones_bit_for_bit(passes, case, k, omega):
    course = counted(k, omega)
    expected = sequentially(case.A, case.b, course, case.x0, passes)
    run = drive(case.A, case.b, counted(k, omega), directions=passes, **case.how)
    assume(course.best > 0.0)
    np.testing.assert_array_equal(run.x, expected)
    assert run.course.status is course.status
    assert run.course.best_sweeps == course.best_sweeps
    np.testing.assert_allclose(run.course.best_norms, course.best_norms, rtol=1e-12)
    reference = dense_sweeps(case.dense, case.b, case.x0, omega, passes * k)
    np.testing.assert_allclose(run.x.T, reference, rtol=1e-8, atol=1e-8)


@sweeps
@few
@given(cases(), st.integers(0, 13))
def test_no_tolerance_and_maxiter_k_make_exactly_k_sweeps(passes, case, k):
    run = drive(case.A, case.b, counted(k), directions=passes, **case.how)
    assume(run.course.best > 0.0)
    last = run.pieces[-1].epoch
    assert set(run.versions(last).values()) == {k * len(passes)}
    assert run.course.status is Status.MAXITER
    passes_of = [sum(use.block == p for use in run.uses) for p in range(len(run.exchanges))]
    assert passes_of == [k * len(passes)] * len(run.exchanges)


@sweeps
@few
@given(cases(smallest=2), st.integers(1, 9))
def test_exact_sweeps_use_exactly_the_versions_of_the_natural_order(passes, case, k):
    run = drive(case.A, case.b, counted(k), directions=passes, **case.how)
    assert run.uses
    for use in run.uses:
        exchange = run.exchanges[use.block]
        before, after = exchange.lower, exchange.upper
        if use.direction == BACKWARD:
            before, after = after, before
        expected = {**dict.fromkeys(before, use.k), **dict.fromkeys(after, use.k - 1)}
        assert use.held == expected


@few
@given(cases(), st.floats(0.8, 1.3), st.sampled_from([1e-3, 1e-9]))
def test_the_answer_to_a_tolerance_is_an_iterate_of_the_sequential_solve(case, omega, rtol):
    course = Course(limits(2000, rtol=rtol), Given(omega))
    run = drive(case.A, case.b, course, **case.how)
    assert course.status is Status.CONVERGED
    assert (residual_norms(case, run.x) <= 1.0001 * rtol * np.linalg.norm(case.b, axis=0)).all()
    expected = sequentially(case.A, case.b, counted(course.best_sweeps, omega), case.x0)
    np.testing.assert_array_equal(run.x, expected)


@settings(deadline=None, max_examples=8)
@given(seeds, st.integers(2, 6), st.sampled_from([(9, 9), (4, 15), (20,)]))
def test_adaptive_omega_takes_the_same_course_on_any_schedule(seed, nblocks, shape):
    rng = np.random.default_rng(seed)
    A = problems.poisson(shape)
    n = A.shape[0]
    b = rng.standard_normal(n)
    course, expected = (Course(limits(5000, rtol=1e-8), Estimated()) for _ in range(2))
    x = sequentially(A, b, expected)
    owner = rng.integers(0, nblocks, nblocks).tolist()
    run = drive(A, b, course, cuts=random_cuts(rng, n, nblocks), owner=owner, seed=seed)
    np.testing.assert_array_equal(run.x, x)
    assert course.status is expected.status is Status.CONVERGED
    assert course.relaxation.omega == expected.relaxation.omega > 1.2
    assert [m.sweeps for m in course.history] == [m.sweeps for m in expected.history]


def test_a_schedule_can_be_replayed_from_its_seed():
    A, b = problems.poisson((6, 5)), np.ones(30)
    how = {"cuts": (0, 7, 15, 22, 30), "owner": [0, 1, 1, 2], "staleness": None}
    first, again, other = (
        drive(A, b, Course(limits(10**6, rtol=1e-6), Given(1.0)), seed=seed, **how)
        for seed in (3, 3, 4)
    )
    assert first.uses == again.uses
    assert first.uses != other.uses
    np.testing.assert_array_equal(first.x, again.x)


# Bounded and unbounded staleness


@sweeps
@few
@given(cases(smallest=2, connected=True), st.integers(1, 3))
def test_bounded_staleness_is_respected(passes, case, staleness):
    course = Course(limits(10**6, rtol=1e-6), Given(1.0))
    run = drive(case.A, case.b, course, directions=passes, staleness=staleness, **case.how)
    assert run.uses
    for use in run.uses:
        exchange = run.exchanges[use.block]
        before, after = exchange.lower, exchange.upper
        if use.direction == BACKWARD:
            before, after = after, before
        assert all(use.held[q] >= use.k - staleness for q in before)
        assert all(use.held[q] >= use.k - 1 - staleness for q in after)


def test_staleness_lets_blocks_run_ahead():
    A, b = problems.poisson((4, 6)), np.ones(24)
    how = {"cuts": (0, 8, 16, 24), "owner": [0, 1, 2], "seed": 1}
    lags = {}
    for staleness in (0, 2, None):
        course = Course(limits(10**6, rtol=1e-6), Given(1.0))
        run = drive(A, b, course, staleness=staleness, **how)
        lags[staleness] = max(use.k - min(use.held.values()) for use in run.uses)
    assert lags[0] == 1
    assert 1 < lags[2] <= 3
    assert lags[None] > 3


@few
@given(cases(smallest=2))
def test_total_asynchrony_waits_for_the_start_of_every_neighbour(case):
    course = Course(limits(10**6, rtol=1e-6), Given(1.0))
    run = drive(case.A, case.b, course, staleness=None, **case.how)
    assert all(NOTHING not in use.held.values() for use in run.uses)


@pytest.mark.parametrize("staleness", [1, 2])
def test_bounded_staleness_waits_for_the_start_of_every_neighbour(staleness):
    A = np.array([[2.0, 1.0], [1.0, 2.0]])
    block = Block(
        0,
        prepare_rows(A[:1], 0),
        Exchange((), (1,), {1: slice(0, 1)}, {1: slice(1, 2)}),
        np.array([[3.0]]),
        np.array([[1.0]]),
        staleness=staleness,
    )
    block.receive(Order(1, 0, None, 9, 1.0, 0))
    assert not block.ready
    block.receive(Slice(1, 0, 0, np.array([[1.0]])))
    assert block.ready
    block.sweep()
    # The start was the solution, so one pass leaves it.
    np.testing.assert_array_equal(block.own, [[1.0]])


@sweeps
@few
@given(cases(connected=True), stale, st.sampled_from([1e-2, 1e-8]))
def test_any_staleness_converges_where_it_is_proven_to(passes, case, staleness, rtol):
    course = Course(limits(10**6, rtol=rtol), Given(1.0))
    run = drive(case.A, case.b, course, directions=passes, staleness=staleness, **case.how)
    assert course.status is Status.CONVERGED
    assert_audited(case, run)
    assert (residual_norms(case, run.x) <= 1.0001 * rtol * np.linalg.norm(case.b, axis=0)).all()


@few
@given(cases(connected=True), stale, st.integers(0, 5))
def test_few_stale_sweeps_are_exactly_k_sweeps_of_every_block(case, staleness, k):
    run = drive(case.A, case.b, counted(k, 0.9), staleness=staleness, **case.how)
    assume(run.course.best > 0.0)
    assert set(run.versions(run.pieces[-1].epoch).values()) == {k}
    assert run.course.status is Status.MAXITER
    assert_audited(case, run)


def stale_run_of(k, seed):
    A, b = problems.poisson((4, 6)), np.ones(24)
    how = {"cuts": (0, 6, 13, 18, 24), "owner": [0, 1, 2, 3]}
    return drive(A, b, counted(k, 1.0), staleness=None, seed=seed, **how)


def test_stale_runs_end_at_maxiter_on_every_schedule():
    for seed in range(60):
        run = stale_run_of(8, seed)
        assert run.course.status is Status.MAXITER


def test_monitor_orders_a_snapshot_when_it_is_already_due():
    monitor = Monitor(counted(8), 2, exact=False)
    pieces = [Piece(p, 0, 0, 0.0, 0.0, np.array([4.0]), np.array([4.0])) for p in range(2)]
    assert monitor.receive(pieces[0], 0.0) is None
    monitor.receive(Progress(0, {0: 8}), 0.0)
    monitor.receive(Progress(1, {1: 8}), 0.0)
    order = monitor.receive(pieces[1], 0.0)
    assert order.epoch == 1


def test_blocks_that_lag_behind_maxiter_are_waited_for():
    monitor = Monitor(counted(6), 4, exact=False)
    for p, version in enumerate([4, 6, 6, 6]):
        piece = Piece(p, 0, version, 1.0, 1.0, np.array([1.0]), np.array([1.0]))
        command = monitor.receive(piece, 0.0)
    assert not isinstance(command, Stop)


# What ends a run


ROTATION = np.kron(np.array([[1.0, 0.9], [-0.9, 1.0]]), np.eye(5))


@pytest.mark.parametrize("staleness", [0, 1, None])
@pytest.mark.parametrize("seed", range(3))
def test_divergence_is_seen_and_the_best_snapshot_returned(staleness, seed):
    b = np.ones((10, 1))
    how = {"cuts": (0, 4, 7, 10), "owner": [1, 0, 1], "staleness": staleness, "seed": seed}
    case = SimpleNamespace(b=b, dense=ROTATION)
    course = Course(limits(10**6, rtol=1e-6), Given(1.8))
    run = drive(ROTATION, b, course, **how)
    assert course.status is Status.DIVERGED
    assert course.best == min(m.residual_norm for m in course.history)
    assert_audited(case, run)
    course = Course(limits(10**6, rtol=1e-6), Given(1.0))
    run = drive(ROTATION, b, course, **how)
    assert course.status is Status.CONVERGED
    assert_audited(case, run)


@pytest.mark.parametrize("staleness", [1, None])
def test_a_heuristic_omega_backs_off_until_stale_sweeps_converge(staleness):
    course = Course(limits(10**6, rtol=1e-6), Cautious(1.1, "heuristic"))
    b = np.ones((10, 1))
    how = {"cuts": (0, 4, 7, 10), "owner": [1, 0, 1], "staleness": staleness, "seed": 5}
    run = drive(ROTATION, b, course, **how)
    assert course.status is Status.CONVERGED
    assert course.relaxation.omega < 1.1
    assert_audited(SimpleNamespace(b=b, dense=ROTATION), run)


@settings(deadline=None, max_examples=25)
@given(cases(connected=True), st.sampled_from([0, 1, None]), st.floats(0.0, 1.5))
def test_time_out_by_tick_returns_the_best_snapshot(case, staleness, share):
    def course(timeout=None):
        return Course(limits(10**6, rtol=1e-7, timeout=timeout), Given(1.0))

    whole = drive(case.A, case.b, course(), staleness=staleness, **case.how)
    first, last = whole.course.history[0].time, whole.course.history[-1].time
    timeout = first + int(share * (last - first))
    run = drive(case.A, case.b, course(timeout), staleness=staleness, **case.how)
    seen = [m for m in whole.course.history if m.time <= timeout]
    assert run.course.history == seen
    assert run.course.status is (Status.CONVERGED if timeout >= last else Status.TIMEOUT)
    assert_audited(case, run)


@pytest.mark.parametrize("staleness", [0, None])
def test_time_out_before_the_first_residual(staleness):
    case = SimpleNamespace(b=np.ones((24, 1)), dense=problems.poisson((4, 6)).toarray())
    course = Course(limits(1000, rtol=1e-9, timeout=1.0), Given(1.0))
    how = {"cuts": (0, 8, 24), "owner": [0, 1], "staleness": staleness, "seed": 0}
    run = drive(sp.csr_array(case.dense), case.b, course, **how)
    assert course.status is Status.TIMEOUT
    assert_audited(case, run)


@few
@given(cases(nrhs=1, connected=True), st.sampled_from([0, 1, None]), st.integers(1, 4))
def test_the_callback_stops_the_hosts(case, staleness, count):
    seen = []

    def callback(measurement):
        seen.append(measurement)
        return len(seen) == count

    course = Course(limits(10**6, rtol=1e-12), Given(1.0), callback)
    run = drive(case.A, case.b, course, staleness=staleness, **case.how)
    assert course.history == seen
    converged = seen[-1].residual_norm <= 1e-12 * np.linalg.norm(case.b, axis=0).min()
    assert converged or len(seen) == count
    assert course.status is (Status.CONVERGED if converged else Status.STOPPED)
    assert_audited(case, run)


def test_monitor_is_silent_once_it_has_stopped():
    monitor = Monitor(Course(limits(9, rtol=0.1, timeout=5.0), Given(1.0)), 1)
    piece = Piece(0, 0, 0, 0.0, 0.0, np.array([4.0]), np.array([4.0]))
    order = monitor.receive(piece, 1.0)
    assert (order.epoch, order.keep) == (1, 0)
    assert monitor.tick(4.9) is None
    assert monitor.tick(5.0) == Stop(keep=0)
    assert monitor.course.status is Status.TIMEOUT
    assert monitor.tick(6.0) is None
    assert monitor.receive(piece._replace(epoch=1), 6.0) is None
    assert len(monitor.course.history) == 1


def test_user_stop_keeps_the_best_snapshot_and_an_earlier_verdict_stands():
    monitor = Monitor(Course(limits(9, rtol=0.1), Given(1.0)), 1)
    monitor.receive(Piece(0, 0, 0, 0.0, 0.0, np.array([4.0]), np.array([4.0])), 0.0)
    monitor.receive(Piece(0, 1, 5, 0.0, 0.0, np.array([9.0]), np.array([4.0])), 0.0)
    assert monitor.stop(Status.STOPPED) == Stop(keep=0)
    assert monitor.course.status is Status.STOPPED
    monitor.stop(Status.TIMEOUT)
    assert monitor.course.status is Status.STOPPED


@given(st.permutations(range(5)))
@settings(deadline=None, max_examples=20)
def test_pieces_are_added_in_the_order_of_the_blocks(order):
    rng = np.random.default_rng(0)
    norms, monitor = rng.uniform(0.1, 1.0, 5), Monitor(counted(9), 5)
    for p in order:
        monitor.receive(Piece(p, 0, 0, 1.0, 1.0, norms[p : p + 1], np.ones(1)), 0.0)
    assert monitor.course.best_norms[0] == joined(norms[:, None])[0]


def test_monitor_takes_no_piece_of_another_snapshot():
    monitor = Monitor(counted(9), 1)
    assert monitor.receive(Piece(0, 7, 0, 1.0, 1.0, np.ones(1), np.ones(1)), 0.0) is None
    assert monitor.course.history == []


# One block by itself


def small_block(p=0, **options):
    """Block ``p`` of a chain of three single rows."""
    A = np.array([[2.0, 1.0, 0.0], [1.0, 2.0, 1.0], [0.0, 1.0, 2.0]])
    rows = prepare_rows(sp.csr_array(A[p : p + 1]), p)
    lower, upper = tuple(q for q in (p - 1,) if q >= 0), tuple(q for q in (p + 1,) if q < 3)
    both = lower + upper
    takes = {q: slice(i, i + 1) for i, q in enumerate(sorted((*both, p)))}
    gives = dict.fromkeys(both, slice(0, 1))
    exchange = Exchange(lower, upper, gives, {q: takes[q] for q in both})
    return Block(p, rows, exchange, np.ones((1, 1)), np.zeros((1, 1)), **options)


def value(source, version, x, target=1):
    return Slice(source, target, version, np.array([[x]]))


def test_older_and_repeated_values_change_nothing():
    block = small_block(1)
    block.receive(Order(1, 0, 0, 9, 1.0, 0))
    block.receive(value(0, 1, 5.0))
    block.receive(value(0, 0, -7.0))
    block.receive(value(0, 1, -9.0))
    block.receive(value(2, 0, 1.0))
    block.sweep()
    np.testing.assert_array_equal(block.own, [[(1.0 - 5.0 - 1.0) / 2.0]])


def test_a_block_is_ready_only_within_its_orders_and_with_what_it_needs():
    block = small_block(1)
    block.receive(value(0, 1, 0.0))
    block.receive(value(2, 0, 0.0))
    assert not block.ready
    block.receive(Order(1, 0, 0, 1, 1.0, 0))
    assert block.ready
    block.sweep()
    block.receive(value(0, 2, 0.0))
    block.receive(value(2, 1, 0.0))
    assert not block.ready
    block.receive(Order(3, 0, 0, 2, 1.0, 0))
    assert block.ready
    block.receive(Order(2, 0, 0, 1, 1.0, 0))
    assert block.ready


def test_new_values_go_to_every_neighbour_and_carry_their_version():
    block = small_block(1)
    assert [(m.target, m.version) for m in block.outbox] == [(0, 0), (2, 0)]
    block.outbox = []
    for q in (0, 2):
        block.receive(value(q, 1, 0.0))
    block.receive(Order(1, NOTHING, None, 1, 1.0, NOTHING))
    block.sweep()
    assert [(m.target, m.version) for m in block.outbox] == [(0, 1), (2, 1)]
    assert all(m.values.item() == 0.5 for m in block.outbox)
    # What is sent is a copy: later passes do not change it.
    assert not any(np.shares_memory(m.values, block.own) for m in block.outbox)


@pytest.mark.parametrize("halos_first", [False, True])
def test_a_snapshot_is_measured_with_its_own_halos_while_sweeps_go_on(halos_first):
    block = small_block(1, staleness=None)
    halos = [Halo(0, 1, 0, np.array([[3.0]])), Halo(2, 1, 0, np.array([[4.0]]))]
    order = Order(1, 0, None, 9, 1.0, 0)
    for message in [*halos, order] if halos_first else [order, *halos]:
        assert not block.can_measure
        block.receive(message)
    assert block.can_measure
    for q in (0, 2):
        block.receive(value(q, 5, 100.0))
    block.sweep()
    block.outbox = []
    block.measure()
    (piece,) = block.outbox
    assert piece.residual == [abs(1.0 - 3.0 - 2.0 * 0.0 - 4.0)]
    assert (piece.version, piece.rhs) == (0, [1.0])
    np.testing.assert_array_equal(block.measured[0].x, [[0.0]])
    assert block.own.item() != 0.0
    assert not block.can_measure


def test_only_the_best_and_the_newest_snapshot_are_kept():
    block = small_block(1, staleness=None)
    for number, keep in enumerate([0, 0, 0, 2]):
        block.receive(Order(number + 1, number, None, 9, 1.0, keep, number))
        for q in (0, 2):
            block.receive(Halo(q, 1, number, np.array([[0.0]])))
        block.measure()
    assert set(block.measured) == {2, 3}


# Several blocks on one thread


def test_a_host_hands_messages_between_its_own_blocks_at_once():
    host = Host([small_block(0), small_block(1), small_block(2)])
    assert host.outgoing == []
    assert not host.step()
    host.receive(Order(1, 0, 0, 2, 1.0, 0))
    worked = 0
    while host.step():
        worked += 1
    assert host.outgoing == []
    assert host.versions == {0: 2, 1: 2, 2: 2}
    assert worked == 3 * 2 + 3
    assert sorted(piece.block for piece in host.reports) == [0, 1, 2]
    assert {p: y.item() for p, y in host.answer(0).items()} == {0: 0.0, 1: 0.0, 2: 0.0}


def test_a_host_sends_abroad_only_what_is_for_others():
    host = Host([small_block(0), small_block(1)])
    assert [(m.source, m.target) for m in host.outgoing] == [(1, 2)]


def test_without_a_bound_no_block_is_starved():
    host = Host([small_block(0, staleness=None), small_block(1, staleness=None)])
    host.receive(value(2, 0, 0.0))
    host.receive(Order(1, NOTHING, None, 1000, 1.0, NOTHING))
    for k in range(40):
        host.receive(value(2, k, 0.0))
        assert host.step()
    assert host.versions == {0: 20, 1: 20}


def test_bounded_staleness_starves_no_block_that_is_coupled():
    host = Host([small_block(0, staleness=2), small_block(1, staleness=2)])
    host.receive(Order(1, NOTHING, None, 1000, 1.0, NOTHING))
    for k in range(20):
        host.receive(value(2, k, 0.0))
        while host.step():
            pass
        assert min(host.versions.values()) >= k


def block_without_neighbours(p, **options):
    rows = prepare_rows(sp.csr_array(([1.0], ([0], [p])), shape=(1, 4)), p)
    return Block(p, rows, Exchange((), (), {}, {}), np.ones((1, 1)), np.zeros((1, 1)), **options)


def test_bounded_staleness_starves_no_block_that_is_not_coupled():
    host = Host([small_block(1, staleness=2), block_without_neighbours(3, staleness=2)])
    host.receive(Order(1, NOTHING, None, 1000, 1.0, NOTHING))
    for k in range(40):
        host.receive(value(0, k, 0.0))
        host.receive(value(2, k, 0.0))
        assert host.step()
    assert host.versions[3] > 0


def test_a_block_whose_neighbours_have_finished_goes_on_to_the_last_sweep():
    host = Host([small_block(0, staleness=None)])
    host.receive(Order(1, NOTHING, None, 100, 1.0, NOTHING))
    host.receive(value(1, 100, 0.0, target=0))
    while host.step():
        pass
    assert host.versions == {0: 100}
