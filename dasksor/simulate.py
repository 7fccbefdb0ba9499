"""Asynchronous solves in virtual time: a test bench for schedules, and a way to look at them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dasksor.analysis import row_facts
from dasksor.bounded_rows import with_bounds
from dasksor.choices import check_bounded, choose_method, choose_omega
from dasksor.contact import contact
from dasksor.engine.balance import Balance
from dasksor.engine.block import Block
from dasksor.engine.course import Course
from dasksor.engine.cycles import CycleBlock
from dasksor.engine.method import Method
from dasksor.engine.outcome import Outcome, Timings
from dasksor.engine.recall import Saved
from dasksor.engine.virtual import VirtualRun
from dasksor.engine.weather import Clock, Step, Weather
from dasksor.options import AUTO, Options, check_blocks
from dasksor.partition import Exchange, exchanges
from dasksor.result import Result, result_of
from dasksor.rows import Rows, prepare_rows
from dasksor.system import LinearSystem


@dataclass(frozen=True)
class Simulation:
    """A solve in virtual time.

    Attributes
    ----------
    result : Result
        As of a real asynchronous solve; its history is in virtual time.
    time : float
        Virtual time at the verdict.
    trace : list of Step
        ``(worker, block, begin, end, version)`` of every pass, in the order in which they ended.
    lost : int
        Messages that vanished on their way.
    deaths : int
        Workers that died before the verdict.
    regroups : int
        How often the blocks changed hands, for deaths or returns.
    """

    result: Result
    time: float
    trace: list[Step]
    lost: int
    deaths: int
    regroups: int


def simulate(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    workers: int = 4,
    latency: float = 0.05,
    sweep_time: float = 1.0,
    speed: float | Sequence[float] = 1.0,
    jitter: float = 0.2,
    stragglers: Sequence[int] = (),
    pause: float = 0.0,
    loss: float = 0.0,
    duplicates: float = 0.0,
    deaths: int = 0,
    absence: float = 20.0,
    seed: int = 0,
    blocks: int | None = None,
    staleness: int | str | None = AUTO,
    accelerate: str | None = AUTO,
    omega: float | str = AUTO,
    sweep: str = "forward",
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    bounds: Any = None,
) -> Simulation:
    """Solve ``A x = b`` as ``mode="async"`` does, in virtual time, from a seed.

    The blocks, hosts and monitor are those of a real run and do the real arithmetic; time,
    messages and their fates are drawn. The same arguments give the same schedule, message by
    message.

    Parameters
    ----------
    A, b, x0, blocks, staleness, accelerate, omega, sweep, rtol, atol, maxiter, bounds
        As for `dasksor.solve`; ``A`` and ``b`` from NumPy or scipy. Two blocks for each worker
        by default.
    workers : int
        Hosts.
    latency : float
        Mean time of a message on its way, half fixed and half exponential.
    sweep_time : float
        Time that one host of speed 1 takes for a sweep of all rows: the unit of time.
    speed : float or sequence of float
        Speed of every host, or of each.
    jitter : float
        Mean of the exponential share of each pass, relative to the pass.
    stragglers : sequence of int
        Hosts that lose ``pause`` after every pass.
    loss, duplicates : float
        Probabilities, below 1, that a message vanishes or comes twice.
    deaths : int
        How many workers die on the way, at random times, now and then several at once. With a
        worker dies all it knows: its blocks, its copies of others' snapshots, its inbox. The
        others then go back to the last safe snapshot and share its blocks. Without deaths no
        snapshots are taken for the sake of safety.
    absence : float
        Mean time until a dead worker returns, knowing nothing; infinite for never.
    seed : int
        Of everything that is drawn.

    Returns
    -------
    Simulation

    Raises
    ------
    TypeError, ValueError
        As `dasksor.solve`; also for a matrix that is not in this process.
    RuntimeError
        No verdict within 100 times the time that all sweeps would take with a repeat in each.
    """
    began = time.perf_counter()
    system = LinearSystem.of(A, b, x0, bounds)
    if not system.is_local:
        raise TypeError("simulate needs A as a NumPy or scipy matrix: build it here first")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    options = Options.checked(
        system.n, rtol=rtol, atol=atol, maxiter=maxiter, timeout=None, mode="async", omega=omega,
        sweep=sweep, blocks=blocks, staleness=staleness, accelerate=accelerate,
        mailbox=AUTO, checkpoint=None, checkpoint_every=0.0, client=None, callback=None,
    )  # fmt: skip
    check_bounded(options, system)
    nblocks = check_blocks(blocks or min(system.n, 2 * workers), system.n)
    workers = min(workers, nblocks)
    _check_weather(workers, loss, duplicates, deaths, absence)
    round_trip, patience = sweep_time + pause + latency, 10.0 * (latency + sweep_time)
    rng = np.random.default_rng(seed)
    # Some runs lose their workers in no time, others between many snapshots; lost messages make
    # runs last longer.
    between = (round_trip + 2.0 * loss * patience) * (50.0 ** rng.random() if deaths else 1.0)
    weather = Weather(
        latency=latency,
        loss=loss,
        duplicates=duplicates,
        jitter=jitter,
        speed=tuple(np.broadcast_to(np.asarray(speed, dtype=float), workers).tolist()),
        pause=pause,
        paused=frozenset(stragglers),
        patience=patience,
        deaths=deaths,
        between=between,
        absence=absence,
        notice=round_trip,
    )
    partition = system.partition(nblocks)
    rows = [_rows(system, *r) for r in partition.ranges]
    facts = [row_facts(block, partition) for block in rows]
    method = choose_method(options, system, facts, workers)
    course = Course(options.limits, choose_omega(options, system, facts, method))
    entries = np.array([f.entries for f in facts], dtype=float)
    rhs, start = system.vectors()
    stock = _Stock(
        method,
        rows,
        exchanges([f.needs for f in facts]),
        [np.ascontiguousarray(rhs[:, i:j]) for i, j in partition.ranges],
        [start[:, i:j] for i, j in partition.ranges],
    )
    run = VirtualRun(
        method.monitor(course, nblocks, copied=deaths > 0, saves=deaths > 0),
        stock.blocks,
        method.leader,
        stock.start,
        partition.shared_among(workers),
        (sweep_time * entries / entries.sum()).tolist(),
        Balance(partition, entries.tolist()),
        Clock(weather, rng),
    )
    setup = time.perf_counter() - began
    longest = (sweep_time + pause) / min(weather.speed) + latency + weather.patience
    longest *= 100.0 * (1 + options.limits.maxiter) * (1 + deaths)
    parts = run.run(longest + (100.0 * deaths * absence if math.isfinite(absence) else 0.0))
    x = np.concatenate([parts[p] for p in range(nblocks)], axis=1)
    total, sweeps = Timings.sum(run.spent), method.sweeps(run.versions)
    outcome = Outcome(x, total, run.spent, run.messages, run.bytes_sent, sweeps)
    touched = contact(system, x) if system.is_bounded else None
    result = result_of(
        system, options, course, outcome, began, setup,
        mode="async", reason="simulated", staleness=method.staleness,
        accelerate=method.acceleration, blocks=nblocks, workers=run.workers, mailbox="virtual",
        losses=run.losses, moves=run.moves, contact=touched,
    )  # fmt: skip
    clock = run.clock
    return Simulation(result, clock.now, run.trace, clock.lost, run.deaths, run.watches - 1)


def _check_weather(
    workers: int, loss: float, duplicates: float, deaths: int, absence: float
) -> None:
    for name, share in (("loss", loss), ("duplicates", duplicates)):
        if not 0.0 <= share < 1.0:
            raise ValueError(f"{name} must lie in [0, 1), got {share}")
    if not isinstance(deaths, int | np.integer) or deaths < 0:
        raise ValueError(f"deaths must be an integer >= 0, got {deaths!r}")
    if not absence >= 0.0:
        raise ValueError(f"absence must be a time >= 0, or inf for ever, got {absence!r}")
    if math.isinf(absence) and deaths >= workers:
        raise ValueError(
            f"deaths must be below {workers}, the workers that have blocks, where nobody returns; "
            f"got {deaths}: give fewer, or a finite absence"
        )


def _rows(system: LinearSystem, start: int, stop: int) -> Rows:
    rows = prepare_rows(system.rows(start, stop), start)
    if system.is_free:
        return rows
    return with_bounds(rows, system.bounds_here(start, stop), start)


@dataclass(frozen=True)
class _Stock:
    """What blocks are made of, block by block; it is on every worker."""

    method: Method
    rows: Sequence[Rows]
    links: Sequence[Exchange]
    rhs: Sequence[np.ndarray]
    start: Sequence[np.ndarray]

    def blocks(
        self, numbers: Sequence[int], saved: Sequence[dict[int, Saved]], epoch: int | None
    ) -> list[Block | CycleBlock]:
        """Blocks ``numbers`` at their start, or from what was ``saved`` at snapshot ``epoch``."""
        rows, links = [self.rows[p] for p in numbers], [self.links[p] for p in numbers]
        rhs, start = [self.rhs[p] for p in numbers], [self.start[p] for p in numbers]
        if epoch is None:
            return self.method.blocks(numbers, rows, links, rhs, start)
        return self.method.resumed(numbers, rows, links, rhs, saved, epoch)
