"""Accelerated runs: the dense algorithm iterate by iterate, on any schedule, with an honest end."""

from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference import (
    BACKWARD,
    FORWARD,
    dense_sweep,
    random_cuts,
    random_spd,
    seeds,
    shared_matrix,
)
from simulated import counted, limits

import dasksor
from dasksor import Status, problems
from dasksor.analysis import row_facts
from dasksor.bounded_rows import with_bounds
from dasksor.coarse import aggregates
from dasksor.engine.course import Course
from dasksor.engine.host import Host
from dasksor.engine.leader import LEADER, MEASURE_EVERY
from dasksor.engine.method import Method
from dasksor.engine.steps import ENERGY
from dasksor.messages import Cut, Cycle, Halo, Moments, Stop, host_of
from dasksor.omega import Given, optimal
from dasksor.partition import Partition, exchanges
from dasksor.rows import prepare_rows
from dasksor.system import LinearSystem

few = settings(deadline=None, max_examples=30)
PASSES = {"forward": (FORWARD,), "backward": (BACKWARD,), "symmetric": (FORWARD, BACKWARD)}
sweeps = pytest.mark.parametrize("sweep", PASSES)
GRID = problems.poisson((11, 13))
DENSE = problems.dense_spd(60, dominance=0.5)
MATRICES = {"grid": GRID, "dense": DENSE, "float32": DENSE.astype(np.float32)}
free = {"staleness": None, "accelerate": "cg"}


def dense_cycles(A, b, x, cuts, passes, *, omega=1.0, cycles, groups):
    """Flexible CG whose preconditioner is block SOR and the coarse space, one right-hand side."""
    Z = (groups[:, None] == np.unique(groups)).astype(float)
    x, r, past, iterates = x.copy(), b - A @ x, [], [x.copy()]
    for _ in range(cycles):
        if np.linalg.norm(r) < 1e-12 * np.linalg.norm(b):
            break
        z = np.zeros_like(x)
        for direction in passes:
            for i, j in pairwise(cuts):
                z[i:j] = dense_sweep(A[i:j, i:j], r[i:j], z[i:j], omega, direction)
        p = z + Z @ np.linalg.solve(Z.T @ A @ Z, Z.T @ (r - A @ z))
        p -= sum(((p @ A @ q) / (q @ A @ q) * q for q in past[-ENERGY.kept :]), np.zeros_like(x))
        step = (p @ r) / (p @ A @ p)
        x, r, past = x + step * p, r - step * (A @ p), [*past, p]
        iterates.append(x)
    return iterates


@st.composite
def cases(draw, smallest=2, nrhs=3):
    """A positive definite system of any storage, cut into blocks on hosts."""
    seed = draw(seeds)
    rng = np.random.default_rng(seed)
    n = draw(st.integers(smallest, 40))
    A = random_spd(rng, n)
    nblocks = draw(st.integers(1, min(n, 6)))
    b, x0 = rng.standard_normal((2, draw(st.integers(1, nrhs)), n))
    owner = rng.integers(0, draw(st.integers(1, nblocks)), nblocks).tolist()
    return SimpleNamespace(
        A=A if draw(st.booleans()) else sp.csr_array(A),
        dense=A, b=b, x0=x0, cuts=random_cuts(rng, n, nblocks), owner=owner,
    )  # fmt: skip


def grid_case():
    """Two blocks on two hosts, the right-hand side 1, the start 0."""
    b, x0 = np.ones((1, 143)), np.zeros((1, 143))
    return SimpleNamespace(A=GRID, b=b, x0=x0, cuts=(0, 70, 143), owner=[0, 1])


def energy(A, e):
    """The energy norm of ``e``, one for each of its rows."""
    return np.sqrt(np.einsum("ji,ij->j", e, A @ e.T))


class Cycles:
    """An accelerated run by hand: hosts that exchange messages at once, and the conductor.

    `iterates` holds ``x`` after every step, shape (nrhs, n); `kept` the norms of the residual kept
    by recurrence in each cycle, of shape (nrhs,), and `groups` the aggregate of every row.
    """

    def __init__(self, case, course, *, passes=(FORWARD,), rule=ENERGY):
        system = LinearSystem.of(case.A, case.b.T, case.x0.T, getattr(case, "bounds", None))
        matrix, (rhs, start) = system.gathered().matrix, system.vectors()
        self.partition = Partition(case.cuts)
        ranges, nblocks = self.partition.ranges, self.partition.nblocks
        rows = [prepare_rows(matrix[i:j], i) for i, j in ranges]
        if rule.is_bounded:
            cuts = zip(rows, ranges, strict=True)
            rows = [with_bounds(block, system.bounds_of(i, j), i) for block, (i, j) in cuts]
        self.groups = np.concatenate([aggregates(block) for block in rows])
        every = exchanges([row_facts(block, self.partition).needs for block in rows])
        method = Method(None, passes, rule)
        parts = ([v[:, i:j] for i, j in ranges] for v in (rhs, start))
        blocks = method.blocks(range(nblocks), rows, every, *parts)
        places = sorted(set(case.owner))
        self.owner, self.course = [places.index(h) for h in case.owner], course
        leader = method.leader(LEADER, nblocks, len(places))
        self.hosts = {
            h: Host(
                (block for block in blocks if self.owner[block.index] == h), h,
                leader=leader if h == LEADER else None,
            )
            for h in range(len(places))
        }  # fmt: skip
        self.conductor = method.monitor(course, nblocks)
        self.orders, self.cycles, self._norms = [], [], {}
        self._made = [[] for _ in blocks]
        self._watch(leader, blocks)

    def _watch(self, leader, blocks):
        hear = leader.receive

        def noting(part):
            if isinstance(part, Moments):
                self._norms.setdefault(part.epoch, []).append(part.residual)
            return hear(part)

        leader.receive = noting
        for block in blocks:
            block.receive = partial(self._note, block, block.receive)

    def _note(self, block, receive, message):
        receive(message)
        if isinstance(message, Cycle):
            if block.index == 0:
                self.cycles.append(message)
            if message.step is not None and message.cut is not Cut.NOTHING:
                self._made[block.index].append(block.own.copy())

    @property
    def iterates(self):
        return [np.concatenate(parts, axis=1) for parts in zip(*self._made, strict=True)]

    @property
    def kept(self):
        return [np.hypot.reduce(norms) for norms in self._norms.values()]

    def run(self, now=lambda: 0.0):
        command = self.conductor.order
        while not isinstance(command, Stop):
            self.orders.append(command)
            for host in self.hosts.values():
                host.receive(command)
            answers = [self.conductor.receive(report, now()) for report in self._work()]
            assert answers[:-1] == [None] * (len(answers) - 1)
            command = answers[-1]
        self.x = self._joined(lambda block: block.measured[command.keep].x)
        return self

    def _work(self):
        reports, busy = [], True
        while busy:
            busy = False
            for host in self.hosts.values():
                busy |= host.step()
                sent, host.outgoing = host.outgoing, []
                for message in sent:
                    self.hosts[host_of(message, self.owner)].receive(message)
                    busy = True
                reports += host.reports
                host.reports = []
        return reports

    def _joined(self, part):
        blocks = {p: block for host in self.hosts.values() for p, block in host.blocks.items()}
        return np.concatenate([part(blocks[p]) for p in sorted(blocks)], axis=1)


# Against the dense algorithm


@sweeps
@few
@given(cases(), st.integers(1, 7), st.floats(0.6, 1.5))
def test_cycles_are_the_dense_algorithm_iterate_by_iterate(sweep, case, cycles, omega):
    passes = PASSES[sweep]
    made = Cycles(case, counted(2 * cycles // len(passes), omega), passes=passes).run()
    cycle = (passes[0], -passes[0])
    for j, (b, x0) in enumerate(zip(case.b, case.x0, strict=True)):
        expected = dense_cycles(
            case.dense, b, x0, case.cuts, cycle, omega=omega, cycles=cycles, groups=made.groups
        )
        solution = np.linalg.solve(case.dense, b)
        found = [x[j] for x in made.iterates]
        assert len(found) == cycles or made.course.status is Status.CONVERGED
        for x, y in zip(found, expected[1:], strict=False):
            if np.linalg.norm(b - case.dense @ y) < 1e-9 * np.linalg.norm(b):
                # Directions found from rounding errors are nobody's.
                break
            np.testing.assert_allclose(x, y, atol=1e-7 * np.abs(solution - x0).max())


@few
@given(cases(), st.integers(1, 12), st.floats(0.1, 1.9))
def test_the_error_never_grows_in_the_energy_norm(case, cycles, omega):
    made = Cycles(case, counted(2 * cycles, omega)).run()
    solution = np.linalg.solve(case.dense, case.b.T).T
    errors = [energy(case.dense, solution - x) for x in (case.x0, *made.iterates)]
    rounding = 1e-12 * energy(case.dense, solution) + 1e-12 * errors[0]
    for before, after in pairwise(errors):
        assert (after <= before * (1.0 + 1e-12) + rounding).all()


@few
@given(cases(), st.integers(1, 12))
def test_the_residual_kept_by_recurrence_is_close_to_the_true_one(case, cycles):
    made = Cycles(case, counted(2 * cycles)).run()
    for x, kept in zip((case.x0, *made.iterates), made.kept, strict=False):
        true = np.linalg.norm(case.b.T - case.dense @ x.T, axis=0)
        scale = np.linalg.norm(case.b.T, axis=0) + np.linalg.norm(case.dense @ case.x0.T, axis=0)
        np.testing.assert_allclose(kept, true, atol=1e-11 * scale.max())


def test_the_true_residual_replaces_the_one_kept_every_few_cycles():
    case = grid_case()
    made = Cycles(case, counted(2 * (2 * MEASURE_EVERY + 1))).run()
    measured = [m.sweeps for m in made.course.history]
    assert measured == [0, 2 * MEASURE_EVERY, 4 * MEASURE_EVERY, 4 * MEASURE_EVERY + 2]


# Several right-hand sides, starts, ends


@few
@given(cases(nrhs=1), st.integers(1, 9), st.integers(1, 3))
def test_right_hand_sides_do_not_disturb_each_other(case, maxiter, others):
    rng = np.random.default_rng(others)
    zero = np.zeros_like(case.b)
    more = rng.standard_normal((others, zero.shape[1]))
    b, x0 = np.concatenate([case.b, zero, more]), np.concatenate([case.x0, zero, 0.0 * more])
    together = Cycles(SimpleNamespace(**{**vars(case), "b": b, "x0": x0}), counted(maxiter)).run()
    np.testing.assert_array_equal(together.x[1], 0.0)
    for j in (0, 2):
        one = SimpleNamespace(**{**vars(case), "b": b[j : j + 1], "x0": x0[j : j + 1]})
        alone = Cycles(one, counted(maxiter)).run()
        scale = np.abs(np.linalg.solve(case.dense, b[j]) - x0[j]).max()
        np.testing.assert_allclose(together.x[j], alone.x[0], atol=1e-6 * scale)


def test_an_exact_start_takes_no_sweep():
    x = np.arange(143.0)
    result = dasksor.simulate(GRID, GRID @ x, x, **free).result
    assert (result.status, result.sweeps) == (Status.CONVERGED, 0)
    np.testing.assert_array_equal(result.x, x)


def test_a_right_hand_side_of_zeros_is_solved_by_zeros():
    result = dasksor.simulate(GRID, np.zeros(143), np.ones(143), rtol=0.0, atol=1e-9, **free).result
    assert result.success
    assert np.abs(result.x).max() < 1e-8


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("blocks", [1, 2, 7])
@pytest.mark.parametrize("omega", ["auto", 0.4, 1.8])
@sweeps
def test_every_combination_converges_and_is_audited(name, blocks, omega, sweep):
    A = MATRICES[name]
    b = np.cos(np.arange(A.shape[0]))
    result = dasksor.simulate(
        A, b, blocks=blocks, omega=omega, sweep=sweep, rtol=1e-10, **free
    ).result
    assert result.success
    assert result.accelerate == "cg"
    assert result.staleness is None
    assert result.omega_origin == ("proven" if omega == "auto" else "given")
    assert result.omega == (1.0 if omega == "auto" else omega)
    audit = np.linalg.norm(b - A.astype(float) @ result.x)
    assert audit <= 1.001e-10 * np.linalg.norm(b)
    assert result.residual_norm == pytest.approx(audit, rel=1e-3)


@sweeps
@pytest.mark.parametrize("maxiter", [0, 1, 2, 7, 23])
def test_counting_makes_exactly_maxiter_sweeps(sweep, maxiter):
    found = dasksor.simulate(
        GRID, np.ones(143), blocks=4, rtol=0.0, maxiter=maxiter, sweep=sweep, **free
    )
    result = found.result
    assert (result.status, result.sweeps) == (Status.MAXITER, maxiter)
    passes = maxiter * len(PASSES[sweep])
    done = [max((s.version for s in found.trace if s.block == p), default=0) for p in range(4)]
    assert done == [passes] * 4
    audit = np.linalg.norm(np.ones(143) - GRID @ result.x)
    assert audit == pytest.approx(result.residual_norm, rel=1e-9)


def test_maxiter_ends_a_run_before_its_tolerance():
    result = dasksor.simulate(GRID, np.ones(143), rtol=1e-12, maxiter=5, **free).result
    assert result.status is Status.MAXITER
    assert result.sweeps <= 5
    audit = np.linalg.norm(np.ones(143) - GRID @ result.x)
    assert audit == pytest.approx(result.residual_norm, rel=1e-9)


@few
@given(cases(nrhs=1), st.integers(1, 200))
def test_sweeps_beyond_the_rounding_level_do_no_harm(case, maxiter):
    made = Cycles(case, counted(maxiter)).run()
    assert made.course.status in (Status.MAXITER, Status.CONVERGED)
    reached = [m.residual_norm for m in made.course.history]
    assert reached[-1] <= max(10 * min(reached), 1e-9 * reached[0])


def ended(course, clock=lambda: 0.0):
    case = grid_case()
    made = Cycles(case, course).run(clock)
    audit = np.linalg.norm(1.0 - GRID @ made.x[0])
    assert course.best_norms[0] == pytest.approx(audit, rel=1e-9)
    return made


def test_the_time_limit_ends_a_run_with_what_was_measured():
    ticks = iter(range(10**6))
    course = Course(limits(10**6, rtol=1e-300, timeout=60.0), Given(1.0))
    made = ended(course, lambda: float(next(ticks)))
    assert course.status is Status.TIMEOUT
    assert 60 <= course.history[-1].time < 60 + 3 * MEASURE_EVERY
    conductor = made.conductor
    assert conductor.tick(1e9) is None


def test_a_tick_ends_a_run_with_the_best_iterate_so_far():
    conductor = Method(None, (FORWARD,), rule=ENERGY).monitor(
        Course(limits(99, rtol=1e-9, timeout=5.0), Given(1.0)), 1
    )
    assert conductor.tick(4.9) is None
    # Nothing is measured yet, so there is nothing to return.
    assert conductor.tick(5.0) is None


def test_a_time_limit_before_the_first_residual_still_returns_the_start():
    course = Course(limits(99, rtol=1e-9, timeout=5.0), Given(1.0))
    made = ended(course, lambda: 6.0)
    assert course.status is Status.TIMEOUT
    np.testing.assert_array_equal(made.x, 0.0)


def test_the_callback_can_stop_a_run():
    seen = []

    def callback(measurement):
        seen.append(measurement)
        return len(seen) == 3

    course = Course(limits(10**6), Given(1.0), callback)
    ended(course)
    assert course.status is Status.STOPPED
    assert course.history == seen
    assert len(seen) == 3


# Matrices that are not what the method needs


@settings(deadline=None, max_examples=60)
@given(seeds, st.integers(4, 40), st.integers(1, 4), st.booleans(), st.floats(0.05, 0.8))
def test_an_indefinite_matrix_is_said_to_be_one_and_the_best_iterate_returned(
    seed, n, nblocks, dense, share
):
    rng = np.random.default_rng(seed)
    A = random_spd(rng, n)
    values, vectors = np.linalg.eigh(A)
    assume(A.diagonal().min() > 1.01 * values[0])
    # The shift leaves the diagonal positive and some eigenvalues negative.
    A -= (values[0] + share * (A.diagonal().min() - values[0])) * np.eye(n)
    b = vectors.sum(axis=1) + rng.standard_normal(n)
    course = Course(limits(10 * n + 1000, rtol=1e-8), Given(1.0))
    case = SimpleNamespace(
        A=A if dense else sp.csr_array(A), b=b[None], x0=rng.standard_normal((1, n)),
        cuts=random_cuts(rng, n, nblocks), owner=[0] * nblocks,
    )  # fmt: skip
    made = Cycles(case, course).run()
    audit = np.linalg.norm(b - A @ made.x[0])
    assert course.best_norms[0] == pytest.approx(audit, rel=1e-6, abs=1e-12 * np.linalg.norm(b))
    assert course.best == min(m.residual_norm for m in course.history)
    # Directions of both signs cancel now and then on the way to the solution.
    assert course.status in (Status.INDEFINITE, Status.CONVERGED)
    if course.status is Status.CONVERGED:
        assert audit <= 1.001e-8 * np.linalg.norm(b)


@pytest.mark.parametrize("shift", [0.5, 0.1, 0.03])
def test_negative_directions_are_seen_late_and_early(shift):
    # The lowest eigenvalue of the grid is 0.12; the diagonal stays positive.
    A = problems.poisson((11, 13)) - (0.12 + shift) * sp.eye_array(143)
    result = dasksor.simulate(A, np.ones(143), blocks=3, rtol=1e-10, **free).result
    assert result.status is Status.INDEFINITE
    assert result.info < 0
    assert result.residual_norm == pytest.approx(np.linalg.norm(1.0 - A @ result.x), rel=1e-9)


def negative_diagonal(n):
    A = problems.dense_spd(n, dominance=0.5)
    A[3, 3] *= -1.0
    return A


def test_auto_falls_back_to_plain_relaxation():
    b, A = np.ones(72), negative_diagonal(72)
    result = dasksor.simulate(A, b, staleness=None, rtol=1e-6).result
    plain = dasksor.simulate(A, b, staleness=None, accelerate=None, rtol=1e-6).result
    assert result.accelerate is None
    np.testing.assert_array_equal(result.x, plain.x)


@pytest.mark.parametrize(
    "A", [problems.convection_diffusion((8, 9)), negative_diagonal(72)], ids=["unsymmetric", "sign"]
)
def test_cg_refuses_what_cannot_be_definite(A):
    with pytest.raises(ValueError, match="needs a symmetric matrix with a positive diagonal"):
        dasksor.simulate(A, np.ones(72), accelerate="cg")


def test_auto_accelerates_free_sweeps_only():
    b = np.ones(143)
    choices = {
        (accelerate, staleness): dasksor.simulate(
            GRID, b, accelerate=accelerate, staleness=staleness, rtol=1e-2
        ).result.accelerate
        for accelerate in ("auto", None)
        for staleness in ("auto", 0, 2, None)
    }
    assert choices.pop(("auto", None)) == "cg"
    assert set(choices.values()) == {None}
    assert dasksor.simulate(GRID, b, accelerate="cg", rtol=1e-2).result.staleness is None


def neumann(*shape):
    A = problems.poisson(shape)
    return sp.csr_array(A - sp.diags_array(A @ np.ones(A.shape[0])))


@pytest.mark.parametrize("stored", [sp.csr_array, np.asarray], ids=["csr", "dense"])
@pytest.mark.parametrize("blocks", [1, 2, 5])
@pytest.mark.parametrize("shape", [(4, 4), (17, 20)])
def test_singular_systems_that_have_a_solution_are_solved(stored, blocks, shape):
    A = neumann(*shape)
    b = A @ np.sin(np.arange(A.shape[0]))
    matrix = A.toarray() if stored is np.asarray else A
    result = dasksor.simulate(matrix, b, blocks=blocks, rtol=1e-9, **free).result
    assert result.success
    assert np.linalg.norm(b - A @ result.x) <= 1.01e-9 * np.linalg.norm(b)


def test_singular_systems_without_a_solution_are_not_called_indefinite():
    A = neumann(17, 20)
    result = dasksor.simulate(A, np.ones(340), rtol=1e-9, maxiter=100, **free).result
    assert result.status is Status.MAXITER
    assert np.isfinite(result.x).all()


def test_numbers_that_overflow_end_as_diverged_with_a_finite_answer():
    result = dasksor.simulate(GRID, np.full(143, 1e200), **free).result
    assert result.status is Status.DIVERGED
    assert np.isfinite(result.x).all()


# Any schedule gives the same bits


weathers = st.fixed_dictionaries(
    {
        "workers": st.integers(1, 5),
        "latency": st.sampled_from([0.0, 0.1, 1.0, 8.0]),
        "jitter": st.sampled_from([0.0, 0.2, 3.0]),
        "speed": st.sampled_from([1.0, 0.3]),
        "loss": st.sampled_from([0.0, 0.1, 0.4]),
        "duplicates": st.sampled_from([0.0, 0.3]),
        "seed": st.integers(0, 10**9),
    }
)


@settings(max_examples=60, deadline=None)
@given(weathers, st.integers(1, 9), st.sampled_from(sorted(MATRICES)), st.sampled_from([None, 9]))
def test_the_answer_does_not_depend_on_the_schedule(weather, blocks, name, maxiter):
    A = MATRICES[name]
    b = np.sin(np.arange(2.0 * A.shape[0])).reshape(-1, 2)
    how = {"rtol": 0.0 if maxiter else 1e-8, "maxiter": maxiter, "blocks": blocks} | free
    calm = dasksor.simulate(A, b, workers=1, latency=0.0, **how).result
    found = dasksor.simulate(A, b, **weather, **how).result
    np.testing.assert_array_equal(found.x, calm.x)
    np.testing.assert_array_equal(found.residual_norm, calm.residual_norm)
    assert found.status is calm.status
    assert [m[1:] for m in found.history] == [m[1:] for m in calm.history]


# One block by itself


def test_a_host_that_repeats_sends_what_may_be_lost_and_changes_nothing():
    case = grid_case()
    made = Cycles(case, counted(4))
    here, there = made.hosts[0], made.hosts[1]
    here.receive(made.conductor.order)
    (cycle,) = here.outgoing
    # The other host is told first: the own blocks begin with the next step.
    assert not here.step()
    halo = here.outgoing[1]
    assert (halo.target, cycle.target, cycle.cut) == (1, 1, Cut.AGGREGATES)
    here.repeat()
    again, cycle_again = here.outgoing[2:]
    np.testing.assert_array_equal(halo.values, again.values)
    assert (halo.epoch, halo.target, cycle) == (again.epoch, again.target, cycle_again)
    assert not here.step()
    there.receive(cycle)
    there.receive(cycle)
    there.receive(halo)
    assert there.step()
    assert not there.step()
    back, part = there.outgoing
    there.repeat()
    assert there.outgoing[3] is part
    here.receive(back)
    assert here.step()
    for _ in range(2):
        here.receive(part)
    assert not here.step()
    assert made.cycles[-1].cut is Cut.ITERATE
    assert len(made.cycles) == 2


def test_messages_of_the_past_change_nothing():
    case = grid_case()
    made = Cycles(case, counted(6)).run()
    cycles, orders = made.cycles[:], made.orders[:]
    for host in made.hosts.values():
        before = {p: block.own.copy() for p, block in host.blocks.items()}
        for message in (*orders, *cycles):
            host.receive(message)
        for p, block in host.blocks.items():
            size = block.exchange.takes[1 - p].stop - block.exchange.takes[1 - p].start
            block.receive(Halo(1 - p, p, 1, np.full((1, size), 99.0)))
            assert not block.ready
            assert not block.can_measure
            np.testing.assert_array_equal(block.own, before[p])
        assert not host.outgoing


def test_passes_of_a_cycle_use_nothing_of_other_blocks():
    case = grid_case()
    made = Cycles(case, counted(4))
    seen = []
    for host in made.hosts.values():
        (block,) = host.blocks.values()
        receive = block.receive
        block.receive = lambda m, receive=receive: (seen.append(type(m)), receive(m))
    made.run()
    passes = [cycle.passes for cycle in made.cycles if cycle.cut is Cut.CORRECTION]
    assert passes == [2, 2]
    # One halo and one cycle for each block and snapshot: of aggregates, two iterates, two cycles.
    assert seen.count(Cycle) == seen.count(Halo) == 2 * len(made.cycles) == 2 * 5
    # The monitor speaks up before the start is measured and after.
    assert len(made.orders) == 2


# What it is for


@pytest.mark.parametrize("blocks", [4, 16])
def test_sweeps_do_not_grow_with_the_grid_and_beat_exact_sor(blocks):
    made = {}
    for side in (60, 120, 300):
        A, b = problems.poisson((side, side)), np.ones(side**2)
        free_sweeps = dasksor.simulate(
            A, b, blocks=blocks, latency=1.0, staleness=None, rtol=1e-8
        ).result
        assert free_sweeps.success
        assert free_sweeps.accelerate == "cg"
        # Young: the error falls by the factor omega - 1 in each sweep at the best omega.
        best = np.log(1e-8) / np.log(optimal(np.cos(np.pi / (side + 1))) - 1.0)
        made[side] = free_sweeps.sweeps
        assert made[side] < best
    assert max(made.values()) <= 1.3 * min(made.values())
    assert made[300] <= best / 5.0


def test_a_stiffness_matrix_from_engineering_is_solved():
    A = shared_matrix("bcsstk16.mtx.gz")
    b = np.ones(A.shape[0])
    result = dasksor.simulate(A, b, blocks=8, staleness=None, rtol=1e-8, maxiter=400).result
    assert result.success
    assert np.linalg.norm(b - A @ result.x) <= 1.001e-8 * np.linalg.norm(b)
