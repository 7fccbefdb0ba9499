"""The planning tool: identities of its model, agreement with real state machines, the command."""

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

import dasksor
from dasksor import Machine, problems
from dasksor.cli import main
from dasksor.engine.course import Course, Limits
from dasksor.engine.method import Method
from dasksor.engine.steps import ENERGY
from dasksor.engine.virtual import VirtualRun
from dasksor.engine.weather import Clock, Weather
from dasksor.omega import Given, optimal
from dasksor.planning import asynchronous, calibrate, picture, rates, synchronous
from dasksor.planning.chain import chain
from dasksor.planning.forecast import MODES
from dasksor.planning.layout import Layout
from dasksor.planning.machine import Link, Rate
from dasksor.planning.pace import EXACT, CostRun, cycle_seconds, sweep_seconds
from dasksor.planning.plan import count_of, layout_of
from dasksor.planning.stencil import Stencil, bytes_of
from dasksor.planning.sweeps import Count, accelerated, decay, free
from dasksor.planning.sweeps import exact as exact_sweeps
from dasksor.rows import FORWARD

NOWHERE = Link(0.0, 1e30)
WORKERS = (1, 2, 4, 16, 64)


def flat(seconds):
    """A rate that no cache changes."""
    return Rate((1.0,), (seconds,), (seconds,))


def machine(**changes):
    made = Machine(
        cores=4, sweep=flat(2e-9), product=flat(1.5e-9), vectors=flat(2e-8), work=5e-5, post=1e-4,
        near=Link(1e-4, 1e9), far=Link(5e-4, 5e8), line=Link(1e-3, 5e8), report=1e-4,
        coarse=3e-7, hop=6e-3, task=1e-3,
    )  # fmt: skip
    return made.replace(**changes)


def free_of_charge(**changes):
    """Nothing costs anything but arithmetic."""
    nothing: dict = dict.fromkeys(("work", "post", "report", "coarse", "hop", "task"), 0.0)
    nothing["vectors"] = flat(0.0)
    return machine(near=NOWHERE, far=NOWHERE, line=NOWHERE, **(nothing | changes))


def plan(shape=(600, 600), workers=WORKERS, **options):
    return dasksor.plan(shape, workers, **({"machine": machine()} | options))


# Identities


@pytest.mark.parametrize("exact", [True, False])
def test_one_worker_has_no_messages(exact):
    stencil = Stencil.of((300, 300))
    dear = machine(near=Link(9.0, 1.0), far=Link(9.0, 1.0), post=9.0)
    layout = Layout.of(stencil, dear, 1, 4)
    assert sweep_seconds(layout, exact=exact) == pytest.approx(layout.full_hosts)


@pytest.mark.parametrize("workers", [2, 3, 8, 20])
def test_without_costs_of_messages_a_sweep_takes_the_work_of_the_fullest_host(workers):
    stencil = Stencil.of((300, 300))
    for exact in (True, False):
        layout = Layout.of(stencil, free_of_charge(), workers, 4)
        assert sweep_seconds(layout, exact=exact) == pytest.approx(layout.full_hosts, rel=1e-9)
        assert layout.full_hosts == pytest.approx(2e-9 * stencil.entries / workers)
    cycle = Layout.of(stencil, free_of_charge(), workers, 2, accelerated=True)
    bound = 2 * (2 * cycle.sweep + cycle.product)
    # Every tenth cycle the residual of the iterate is measured as well, and blocks between hosts
    # wait for each other's halos.
    assert bound <= cycle_seconds(cycle) <= 1.1 * bound


@pytest.mark.parametrize("mode", MODES)
def test_dearer_messages_never_make_it_faster(mode):
    cheap, dear = (
        plan(modes=[mode], machine=machine(near=Link(s, 1e9), far=Link(s, 5e8), line=Link(s, 5e8)))
        for s in (1e-5, 3e-3)
    )
    for a, b in zip(cheap.rows, dear.rows, strict=True):
        assert a.seconds <= b.seconds * (1 + 1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_no_speedup_beyond_the_workers_where_caches_play_no_part(mode):
    for costs in (machine(), free_of_charge(hop=1e-6)):
        for row in plan((4000, 4000), modes=[mode], machine=costs, omega="best").rows:
            assert 0.0 < row.speedup <= row.workers * (1 + 1e-9)


@pytest.mark.parametrize("mode", MODES)
def test_larger_grids_take_longer(mode):
    taken = [
        plan((lines, lines), [16], modes=[mode], omega="best").rows[0].seconds
        for lines in (512, 1024, 2048, 8192)
    ]
    assert taken == sorted(taken)


def test_the_largest_plan_is_an_answer():
    for shape in ((100_000, 100_000), (2154, 2154, 2154)):
        found = dasksor.plan(shape, [16, 4096], machine=machine(), omega="best")
        assert all(math.isfinite(row.seconds) for row in found.rows)
        assert {row.mode for row in found.rows} == set(MODES)


def test_no_block_is_thinner_than_a_line():
    row = plan((50, 400), [4096], modes=["exact"]).rows[0]
    assert row.blocks == row.hosts == 50
    assert "50 of them at work" in str(plan((50, 400), [4096], modes=["exact"]))


# Sweeps


def test_young():
    """At the best omega the eigenvalue is omega - 1, at omega 1 the square of Jacobi's."""
    for shape in ((40, 40), (9, 30), (12, 12, 12)):
        stencil = Stencil.of(shape)
        mu, gap = stencil.jacobi_radius, stencil.jacobi_gap
        assert mu == pytest.approx(1.0 - gap, abs=1e-15)
        best = optimal(mu)
        assert decay(best, gap) == pytest.approx(-math.log(best - 1.0), rel=1e-6)
        assert decay(1.0, gap) == pytest.approx(-2.0 * math.log(mu))


def test_the_jacobi_radius_and_the_entries_are_those_of_the_matrix():
    for shape in ((7, 9), (4, 5, 6)):
        stencil, A = Stencil.of(shape), problems.poisson(shape)
        jacobi = np.eye(stencil.n) - A.toarray() / A.diagonal()[:, None]
        assert stencil.jacobi_radius == pytest.approx(max(abs(np.linalg.eigvalsh(jacobi))))
        assert (stencil.n, stencil.entries) == (A.shape[0], A.nnz)


@pytest.mark.parametrize("shape", [(60, 60), (120, 120), (24, 24, 24)])
@pytest.mark.parametrize("rtol", [1e-5, 1e-8])
@pytest.mark.parametrize("omega", ["auto", "best"])
def test_exact_sweeps_are_foreseen(shape, rtol, omega):
    A, stencil = problems.poisson(shape), Stencil.of(shape)
    given = optimal(stencil.jacobi_radius) if omega == "best" else "auto"
    result = dasksor.solve(A, np.ones(stencil.n), mode="sequential", rtol=rtol, omega=given)
    assert exact_sweeps(stencil, rtol, omega).sweeps == pytest.approx(result.sweeps, rel=0.2)


@pytest.mark.parametrize(("shape", "blocks"), [((250, 250), 4), ((300, 300), 64), ((40,) * 3, 4)])
def test_accelerated_sweeps_are_foreseen(shape, blocks):
    stencil = Stencil.of(shape)
    result = dasksor.simulate(
        problems.poisson(shape), np.ones(stencil.n), workers=blocks, blocks=blocks,
        staleness=None, accelerate="cg", rtol=1e-8,
    ).result  # fmt: skip
    foreseen = accelerated(stencil, 1e-8, shape[0] / blocks).sweeps
    assert foreseen == pytest.approx(result.sweeps, rel=0.3)


@pytest.mark.parametrize(("blocks", "latency"), [(2, 0.05), (4, 0.05), (4, 1.0), (8, 0.05)])
def test_free_sweeps_are_foreseen(blocks, latency):
    stencil = Stencil.of((40, 40))
    result = dasksor.simulate(
        problems.poisson((40, 40)), np.ones(1600), workers=blocks, blocks=blocks,
        staleness=None, accelerate=None, rtol=1e-5, latency=latency, maxiter=20_000,
    ).result  # fmt: skip
    foreseen = free(stencil, 1e-5, 40 / blocks, latency * blocks).sweeps
    assert foreseen == pytest.approx(result.sweeps, rel=0.3)


def test_a_course_that_never_gets_there_is_said_to_stagnate():
    found = dasksor.plan((100_000, 100_000), [16], machine=machine(), modes=["exact"])
    assert found.rows[0].seconds == math.inf
    assert "stagnates: give omega" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["rows"][0]["seconds"] is None


# The simulation with costs is that with arithmetic


@pytest.mark.parametrize(("staleness", "accelerate"), [(0, None), (None, None), (None, "cg")])
@pytest.mark.parametrize(("workers", "blocks"), [(1, 3), (2, 4), (3, 7)])
@pytest.mark.parametrize("latency", [0.0, 0.3])
def test_virtual_time_is_the_same_without_the_arithmetic(
    staleness, accelerate, workers, blocks, latency
):
    # Equal blocks, for the stand-ins are equal; a line apart, so that only neighbours read.
    lines, sweeps = 8 * blocks, 40
    A = problems.poisson((lines, 2))
    A = A + 0.0 * A
    real = dasksor.simulate(
        A, np.sin(np.arange(2.0 * lines)), workers=workers, blocks=blocks, latency=latency,
        jitter=0.1, seed=3, staleness=staleness, accelerate=accelerate, omega=1.0, rtol=0.0,
        maxiter=sweeps,
    )  # fmt: skip
    method = Method(staleness, (FORWARD,), ENERGY if accelerate else None)
    hosts, _ = chain(method, blocks, workers, sweep=0.0, product=0.0)
    monitor = method.monitor(Course(Limits(-1.0, -1.0, sweeps, None), Given(1.0)), blocks)
    entries = [A.indptr[i + 16] - A.indptr[i] for i in range(0, 2 * lines, 16)]
    weather = Weather(
        latency=latency, loss=0.0, duplicates=0.0, jitter=0.1, speed=(1.0,) * workers,
        pause=0.0, paused=frozenset(), patience=10.0 * (latency + 1.0),
        deaths=0, between=1.0, absence=1.0, notice=1.0,
    )  # fmt: skip
    share = (np.array(entries) / np.sum(entries)).tolist()
    made = {p: block for host in hosts for p, block in host.blocks.items()}
    for block in made.values():
        block.repeat()
    owner = [h for h, host in enumerate(hosts) for _ in host.blocks]
    clock = Clock(weather, np.random.default_rng(3))
    mimic = VirtualRun(
        monitor, lambda numbers, *_: [made[p] for p in numbers], method.leader,
        [], owner, share, None, clock,
    )  # fmt: skip
    mimic.run(1e9)
    assert mimic.trace == real.trace
    assert (clock.now, mimic.messages) == (real.time, real.result.messages)


def test_few_hosts_have_the_pace_of_many():
    stencil = Stencil.of((4000, 4000))
    for costs in (machine(), machine(cores=2, far=Link(5e-3, 1e9))):
        layout = Layout.of(stencil, costs, 40, 4)
        for exact in (True, False):
            few, many = (sweep_seconds(layout, exact=exact, most=most) for most in (12, 40))
            assert few == pytest.approx(many, rel=1e-6)
        cycles = Layout.of(stencil, costs, 160, 2, accelerated=True)
        assert cycle_seconds(cycles, most=64) == pytest.approx(cycle_seconds(cycles, 160), rel=0.05)


@pytest.mark.parametrize(("workers", "seconds"), [(2, 1e-9), (8, 1e-9), (8, 2e-8), (12, 1e-7)])
def test_legs_and_snapshots_cost_what_the_real_monitor_makes_of_them(workers, seconds):
    costs = machine(sweep=flat(seconds), product=flat(seconds), work=0.0, post=0.0)
    layout = Layout.of(Stencil.of((1000, 1000)), costs, workers, 4)
    sweeps = 600
    course = Course(Limits(-1.0, -1.0, sweeps, None), Given(1.5))
    monitor = EXACT.monitor(course, layout.blocks, saves=True)
    run = CostRun(layout, workers, monitor, EXACT)
    run.run()
    foreseen = asynchronous.exact_seconds(layout, Count(sweeps, 25), settled=True)
    assert foreseen == pytest.approx(run.clock.now, rel=0.25)


def test_hops_are_seconds_where_a_hop_takes_one():
    costs = free_of_charge(hop=1.0, sweep=flat(0.0), product=flat(0.0))
    layout = Layout.of(Stencil.of((40, 8)), costs, 2, 2)
    hops = synchronous.hops(hosts=2, blocks=4, sweeps=30, legs=6)
    assert synchronous.seconds(layout, 30, 6, settled=True) == hops


# Machine


def test_a_machine_survives_json(tmp_path):
    made = machine(sweep=Rate((1e5, 1e8), (1e-9, 2e-9), (1e-9, 3e-9)))
    made.save(tmp_path / "machine.json")
    assert Machine.load(tmp_path / "machine.json") == made
    assert Machine.from_dict(made.to_dict()) == made


def test_rates_lie_between_those_measured():
    rate = Rate((1e4, 1e6), (1.0, 2.0), (1.0, 4.0))
    assert rate.at(1.0, 0.0) == rate.at(1e4, 1.0) == 1.0
    assert rate.at(1e5, 0.0) == pytest.approx(1.5)
    assert rate.at(1e9, 0.5) == pytest.approx(3.0)
    assert bytes_of(10, 50) == 1000.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cores": 0}, "cores must be at least 1, got 0"),
        ({"work": -1.0}, "work must be 0 seconds or more, got -1.0"),
        ({"near": Link(-1.0, 1.0)}, "near needs a latency of 0 s or more"),
        ({"line": Link(1.0, 0.0)}, "line needs a latency of 0 s or more and a positive bandwidth"),
    ],
)
def test_impossible_costs(changes, message):
    with pytest.raises(ValueError, match=message):
        machine(**changes)


def test_incomplete_costs(tmp_path):
    costs = machine().to_dict()
    costs["colour"] = costs.pop("hop")
    with pytest.raises(ValueError, match="missing: hop, unknown: colour"):
        Machine.from_dict(costs)
    with pytest.raises(ValueError, match="as many sizes as seconds, at least one, got 0"):
        Rate((), (), ())
    (tmp_path / "m.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        Machine.load(tmp_path / "m.json")
    (tmp_path / "m.json").write_text("[]")
    with pytest.raises(ValueError, match="holds no machine"):
        Machine.load(tmp_path / "m.json")


def test_calibrating_takes_two_workers():
    class One:
        def nthreads(self):
            return {"tcp://here": 1}

    with pytest.raises(ValueError, match="calibrate needs two workers, the cluster has 1"):
        dasksor.calibrate(One())


def test_calibration_finds_costs(processes, tidy, monkeypatch):
    for module, name, value in (
        (rates, "REPEATS", 1),
        (rates, "GRIDS", (20, 40)),
        (rates, "CYCLE_GRIDS", (20, 40)),
        (calibrate, "REPEATS", 1),
        (calibrate, "WIDE", (2, 2000)),
    ):
        monkeypatch.setattr(module, name, value)
    found = dasksor.calibrate(processes)
    assert Machine.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert min(found.sweep.alone) > 0.0
    assert found.hop > 0.0


# Arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (5,)}, r"shape must have 2 or 3 positive lengths, got \(5,\)"),
        ({"shape": (5, 0)}, "shape must have 2 or 3 positive lengths"),
        ({"workers": [0, 2]}, r"workers must be numbers of at least 1, got \[0, 2\]"),
        ({"workers": []}, "workers must be numbers of at least 1"),
        ({"modes": ["async"]}, "modes must be some of sync, exact, free, cg, got"),
        ({"rtol": 0.0}, r"rtol must lie in \(0, 1\), got 0.0"),
        ({"omega": 1.5}, "omega must be 'auto' or 'best', got 1.5"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        plan(**options)


def test_blocks_are_those_that_a_solve_makes():
    stencil = Stencil.of((100, 100))
    for mode, blocks in (("sync", 4), ("exact", 8), ("free", 4), ("cg", 4)):
        layout = layout_of(stencil, machine(), mode, 2)
        assert (layout.blocks, layout.hosts) == (blocks, 2)
        assert count_of(layout, mode, 1e-6, "auto").sweeps > 0


# The picture and the command


def test_a_page_needs_no_network(tmp_path):
    plan().plot(tmp_path / "plan.html")
    page = (tmp_path / "plan.html").read_text("utf-8")
    assert "<script src=" not in page
    assert "total asynchrony, plain" in page
    with pytest.raises(ValueError, match=r"a plot is .html or .png, got plan.pdf"):
        plan().plot(tmp_path / "plan.pdf")


def test_a_picture_needs_a_browser(tmp_path, monkeypatch):
    monkeypatch.setattr(picture.shutil, "which", lambda name: None)
    with pytest.raises(
        RuntimeError, match=r"needs Chromium to draw p.png: install it, or use .html"
    ):
        plan().plot(tmp_path / "p.png")


def run(*words):
    return CliRunner().invoke(main, ["plan", *map(str, words)])


@pytest.fixture
def costs(tmp_path):
    machine().save(tmp_path / "machine.json")
    return tmp_path / "machine.json"


def test_the_command_prints_writes_and_draws(costs, tmp_path):
    words = ("--shape", 300, 200, "--workers", "2,16", "--machine", costs)
    text = run(*words, "--plot", tmp_path / "p.html")
    assert text.exit_code == 0, text.output
    assert "Poisson 300 x 200" in text.output
    assert (tmp_path / "p.html").exists()
    found = json.loads(run(*words, "--json", "--mode", "cg").output)
    assert found["shape"] == [300, 200]
    assert [row["workers"] for row in found["rows"]] == [2, 16]
    roomy = json.loads(run(*words, "--json", "--mode", "exact", "--cores", 16).output)
    assert roomy["machine"]["cores"] == 16
    again = run("--shape", 300, "--shape", 200, *words[3:], "--json", "--mode", "cg")
    assert json.loads(again.output) == found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing to do: give --shape, or --calibrate FILE"),
        (("--shape", 4, 4, "--workers", "two"), "'two' is no list of numbers like 2,16,64"),
        (("--shape", 4, 4, "--workers", "0"), "workers must be numbers of at least 1, got [0]"),
        (("--shape", 4), "shape must have 2 or 3 positive lengths, got (4,)"),
        (("--shape", 4, 4, "--calibrate", "x.json"), "contradict each other: give one"),
        (("--shape", 4, 4, "--cores", 0), "cores must be at least 1, got 0"),
        (("--shape", 4, 4, "--plot", "x.gif"), "a plot is .html or .png, got x.gif"),
    ],
)
def test_the_command_refuses(words, message, costs):
    found = run(*words, *(("--machine", costs) if words else ()))
    assert found.exit_code == 2
    assert message in found.output
