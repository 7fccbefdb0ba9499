"""Runs in virtual time: every schedule and every fault, from a seed."""

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dasksor
from dasksor import Status, problems
from dasksor.engine.monitor import Monitor
from dasksor.engine.virtual import VirtualRun

GRID = problems.poisson((11, 13))
UPWIND = problems.convection_diffusion((9, 10))
DENSE = problems.dense_spd(40, dominance=0.5)
MATRICES = {"grid": GRID, "upwind": UPWIND, "dense": DENSE}

weathers = st.fixed_dictionaries(
    {
        "workers": st.integers(1, 5),
        "blocks": st.integers(1, 11),
        "latency": st.sampled_from([0.0, 0.1, 1.0, 8.0]),
        "jitter": st.sampled_from([0.0, 0.2, 3.0]),
        "speed": st.sampled_from([1.0, 0.3]),
        "loss": st.sampled_from([0.0, 0.1, 0.4]),
        "duplicates": st.sampled_from([0.0, 0.3]),
        "seed": st.integers(0, 10**9),
    }
)


@settings(max_examples=60)
@given(weathers, st.sampled_from(sorted(MATRICES)), st.sampled_from(["forward", "symmetric"]))
def test_exact_sweeps_survive_loss_reordering_and_duplication(weather, name, sweep):
    A = MATRICES[name]
    b = np.cos(np.arange(A.shape[0]))
    options = {"rtol": 0.0, "maxiter": 5, "omega": 1.2, "sweep": sweep}
    expected = dasksor.solve(A, b, mode="sequential", **options)
    found = dasksor.simulate(A, b, staleness=0, **options, **weather).result
    np.testing.assert_array_equal(found.x, expected.x)
    assert found.sweeps == 5


@settings(max_examples=60)
@given(
    weathers,
    st.sampled_from(sorted(MATRICES)),
    st.sampled_from([0, 1, 4, None]),
    st.sampled_from(["auto", None]),
)
def test_no_schedule_ends_in_a_false_convergence(weather, name, staleness, accelerate):
    A = MATRICES[name]
    b = np.ones(A.shape[0])
    result = dasksor.simulate(
        A, b, staleness=staleness, accelerate=accelerate, rtol=1e-4, **weather
    ).result
    audit = np.linalg.norm(b - A @ result.x)
    assert audit == pytest.approx(result.residual_norm, rel=1e-9)
    assert result.success == (audit <= 1e-4 * np.linalg.norm(b))
    if name == "dense":
        assert result.success


NEVER = float("inf")


@st.composite
def mortals(draw):
    """Weathers with deaths."""
    weather = draw(weathers)
    absence = draw(st.sampled_from([0.5, 10.0, 100.0, NEVER]))
    least = 2 if absence == NEVER else 1
    weather["workers"] = workers = max(least, weather["workers"])
    weather["blocks"] = max(workers, weather["blocks"])
    most = 6 if absence < NEVER else workers - 1
    return weather | {"deaths": draw(st.integers(1, most)), "absence": absence}


def audited(A, b, result):
    """The residual norm, measured once more; nothing undone is left in the history."""
    audit = float(np.linalg.norm(b - A @ result.x))
    assert audit == pytest.approx(result.residual_norm, rel=1e-9, abs=1e-9 * np.linalg.norm(b))
    sweeps = [measurement.sweeps for measurement in result.history]
    assert sweeps == sorted(sweeps)
    return audit


@settings(max_examples=60)
@given(
    mortals(),
    st.sampled_from(sorted(MATRICES)),
    st.sampled_from(["forward", "symmetric"]),
    st.sampled_from([5, 40]),
)
def test_exact_sweeps_survive_deaths_bit_for_bit(weather, name, sweep, count):
    A = MATRICES[name]
    b = np.cos(np.arange(A.shape[0]))
    options = {"rtol": 0.0, "maxiter": count, "omega": 1.2, "sweep": sweep}
    expected = dasksor.solve(A, b, mode="sequential", **options)
    found = dasksor.simulate(A, b, staleness=0, **options, **weather).result
    np.testing.assert_array_equal(found.x, expected.x)
    assert found.sweeps == count


@pytest.mark.parametrize("seed", [1201, 1215, 1289, 1326, 1661, 1862])
def test_first_words_that_are_lost_are_said_again_by_busy_hosts(seed):
    # In these, two blocks waited for each other while their hosts swept the others.
    A = MATRICES["dense"]
    result = dasksor.simulate(
        A, np.ones(A.shape[0]), staleness=None, accelerate=None, rtol=1e-4,
        workers=4, jitter=3.0, loss=0.1, deaths=6, absence=100.0, latency=0.0, seed=seed,
    ).result  # fmt: skip
    assert result.success


@settings(max_examples=60)
@given(
    mortals(),
    st.sampled_from(sorted(MATRICES)),
    st.sampled_from([0, 1, 2, None]),
    st.sampled_from(["auto", None]),
)
def test_no_death_ends_in_a_false_convergence(weather, name, staleness, accelerate):
    A = MATRICES[name]
    b = np.ones(A.shape[0])
    result = dasksor.simulate(
        A, b, staleness=staleness, accelerate=accelerate, rtol=1e-4, **weather
    ).result
    assert result.success == (audited(A, b, result) <= 1e-4 * np.linalg.norm(b))
    if name == "dense":
        assert result.success


@settings(max_examples=60)
@given(
    mortals(),
    st.sampled_from(sorted(MATRICES)),
    st.sampled_from([1, 2, None]),
    st.sampled_from([1.0, 1.5, 1.9]),
    st.integers(1, 50),
)
def test_after_deaths_the_best_of_too_few_sweeps_is_honest(weather, name, staleness, omega, most):
    A = MATRICES[name]
    b = np.cos(np.arange(A.shape[0]))
    result = dasksor.simulate(
        A, b, staleness=staleness, accelerate=None, rtol=1e-12, omega=omega, maxiter=most, **weather
    ).result
    audited(A, b, result)


@settings(max_examples=30)
@given(mortals(), st.sampled_from(sorted(MATRICES)))
def test_deaths_do_not_change_the_sweeps_that_an_estimated_omega_takes(weather, name):
    A = MATRICES[name]
    b = np.ones(A.shape[0])
    calm = dasksor.simulate(A, b, staleness=0, rtol=1e-4, blocks=weather["blocks"]).result
    found = dasksor.simulate(A, b, staleness=0, rtol=1e-4, **weather).result
    assert found.sweeps == calm.sweeps
    np.testing.assert_array_equal(found.x, calm.x)


def test_deaths_occur_and_cost_work():
    options = {"staleness": 0, "workers": 4, "omega": 1.5, "rtol": 0.0, "maxiter": 200}
    calm = dasksor.simulate(GRID, np.ones(143), **options)
    assert (calm.deaths, calm.regroups) == (0, 0)
    runs = [dasksor.simulate(GRID, np.ones(143), deaths=3, seed=k, **options) for k in range(12)]
    assert all(run.regroups == run.result.losses + run.result.moves for run in runs)
    assert any(run.result.moves for run in runs)
    found = [run for run in runs if run.deaths == 3]
    assert len(found) >= 6
    assert all(1 <= run.result.losses <= 3 for run in found)
    assert all(len(run.trace) > len(calm.trace) for run in found)
    # Some have gone back to a safe snapshot, others to the start.
    assert min(len(run.trace) for run in found) < 1.5 * len(calm.trace)


def test_one_death_costs_the_sweeps_since_the_safe_snapshot_only():
    options = {"staleness": 0, "workers": 4, "omega": 1.5, "rtol": 0.0, "maxiter": 200}
    runs = [dasksor.simulate(GRID, np.ones(143), deaths=1, seed=k, **options) for k in range(20)]
    beginnings = [
        sum(step.block == 0 and step.version == 1 for step in run.trace)
        for run in runs
        if run.result.losses
    ]
    # Some die before there is a safe snapshot.
    assert len(beginnings) >= 15
    assert beginnings.count(1) > 0.5 * len(beginnings)


def test_many_deaths_in_quick_succession():
    b = np.cos(np.arange(36))
    for seed in range(120):
        rng = random.Random(seed)
        A = rng.choice([problems.poisson((6, 6)), problems.convection_diffusion((6, 6))])
        result = dasksor.simulate(
            A, b, staleness=rng.choice([1, 2, None]), accelerate=None, rtol=1e-13, blocks=4,
            omega=rng.choice([1.0, 1.7, 1.9]), maxiter=rng.choice([20, 50]), seed=seed,
            workers=rng.randint(2, 4), latency=rng.choice([0.1, 2.0, 8.0]), jitter=3.0,
            loss=rng.choice([0.0, 0.3]), duplicates=0.3, deaths=12,
            absence=rng.choice([1.0, 20.0]),
        ).result  # fmt: skip
        audited(A, b, result)


def test_accelerated_runs_go_on_from_a_measured_iterate():
    A = problems.poisson((24, 24))
    b = np.cos(np.arange(576))
    found = [
        dasksor.simulate(
            A, b, accelerate="cg", workers=3, rtol=1e-10, deaths=8, absence=5.0, loss=0.1, seed=seed
        ).result
        for seed in range(12)
    ]
    assert all(result.success for result in found)
    assert all(audited(A, b, result) <= 1e-10 * np.linalg.norm(b) for result in found)
    assert sum(result.losses for result in found) > 12


def test_reports_of_a_watch_that_has_ended_are_refused(monkeypatch):
    come, heard = [], []
    hear, receive = VirtualRun.hear, Monitor.receive

    def come_in(run, watch, report):
        come.append(watch == run._watch.number)
        hear(run, watch, report)

    def take(monitor, report, now):
        heard.append(come[-1])
        return receive(monitor, report, now)

    monkeypatch.setattr(VirtualRun, "hear", come_in)
    monkeypatch.setattr(Monitor, "receive", take)
    for seed in range(5):
        run = dasksor.simulate(
            GRID, np.ones(143), staleness=0, deaths=5, latency=8.0, duplicates=0.3, seed=seed
        )
        assert run.result.success
    assert all(heard)
    assert not all(come)


def test_blocks_move_to_those_that_are_left_and_back_to_those_that_return():
    options = {"staleness": 0, "workers": 3, "blocks": 6, "omega": 1.5, "rtol": 0.0, "maxiter": 300}
    alone = dasksor.simulate(GRID, np.ones(143), deaths=2, absence=NEVER, seed=1, **options)
    assert alone.result.workers == 1
    assert len({step.host for step in alone.trace if step.end > 0.9 * alone.time}) == 1
    again = dasksor.simulate(GRID, np.ones(143), deaths=2, absence=20.0, seed=1, **options)
    assert again.result.workers == 3
    assert again.result.moves >= 1


def test_all_workers_may_be_dead_for_a_while():
    run = dasksor.simulate(
        GRID,
        np.ones(143),
        staleness=0,
        workers=1,
        blocks=3,
        deaths=4,
        absence=50.0,
        loss=0.1,
        seed=1,
    )
    assert run.result.success
    assert run.deaths == 4
    assert run.regroups >= 1


def test_a_seed_replays_its_schedule():
    options = {"staleness": None, "accelerate": None, "workers": 3, "loss": 0.1, "latency": 0.7}
    first, again, other = (
        dasksor.simulate(GRID, np.ones(143), seed=seed, **options) for seed in (1, 1, 2)
    )
    assert first.trace == again.trace
    assert first.time == again.time
    np.testing.assert_array_equal(first.result.x, again.result.x)
    assert other.trace != first.trace


def test_a_seed_replays_its_deaths():
    options = {"staleness": 1, "workers": 4, "loss": 0.1, "latency": 0.7, "deaths": 3}
    first, again = (dasksor.simulate(GRID, np.ones(143), seed=5, **options) for _ in range(2))
    assert first.deaths == 3
    assert first.trace == again.trace
    assert (first.deaths, first.regroups, first.lost) == (again.deaths, again.regroups, again.lost)


def test_the_trace_shows_each_pass_where_and_when_it_was_made():
    found = dasksor.simulate(
        GRID, np.ones(143), workers=2, blocks=4, staleness=0, rtol=0.0, maxiter=6, omega=1.5
    )
    for host in range(2):
        steps = [step for step in found.trace if step.host == host]
        assert all(a.end <= b.begin for a, b in pairwise(steps))
    for block in range(4):
        made = [step.version for step in found.trace if step.block == block]
        assert sorted(set(made)) == list(range(7))
    assert found.result.sweeps == 6
    assert found.time >= max(step.end for step in found.trace)


def test_more_hosts_take_less_virtual_time_and_latency_more():
    def time(**weather):
        return dasksor.simulate(
            problems.poisson((24, 24)), np.ones(576), rtol=0.0, maxiter=30, omega=1.5,
            staleness=0, **weather,
        ).time  # fmt: skip

    alone = time(workers=1, latency=0.0)
    assert time(workers=4, latency=0.0) < 0.5 * alone
    assert time(workers=4, latency=0.0) < time(workers=4, latency=2.0)


def test_a_straggler_holds_up_exact_sweeps_but_not_asynchronous_ones():
    def time(staleness):
        found = dasksor.simulate(
            DENSE, np.ones(40), staleness=staleness, accelerate=None, workers=4, stragglers=[2],
            pause=20.0, maxiter=20_000, rtol=1e-8,
        )  # fmt: skip
        assert found.result.success
        return found.time

    assert time(None) < time(0)


def test_bad_arguments():
    b = np.ones(143)
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        dasksor.simulate(GRID, b, workers=0)
    with pytest.raises(ValueError, match=r"loss must lie in \[0, 1\), got 1.0"):
        dasksor.simulate(GRID, b, loss=1.0)
    with pytest.raises(ValueError, match="deaths must be an integer >= 0, got -1"):
        dasksor.simulate(GRID, b, deaths=-1)
    with pytest.raises(ValueError, match="absence must be a time >= 0, or inf for ever, got nan"):
        dasksor.simulate(GRID, b, deaths=1, absence=float("nan"))
    with pytest.raises(ValueError, match=r"deaths must be below 3, .* got 3: give fewer"):
        dasksor.simulate(GRID, b, workers=5, blocks=3, deaths=3, absence=NEVER)
    with pytest.raises(TypeError, match="simulate needs A as a NumPy or scipy matrix"):
        dasksor.simulate(problems.poisson((4, 4), nblocks=2), np.ones(16))


def test_stopping_at_maxiter_is_honest():
    result = dasksor.simulate(GRID, np.ones(143), staleness=0, maxiter=4, loss=0.2).result
    assert result.status is Status.MAXITER
    assert result.sweeps == 4
