"""Asynchronous solves in virtual time: a test bench for schedules, and a way to look at them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dasksor.analysis import RowFacts, row_facts
from dasksor.choices import choose_method, choose_omega
from dasksor.engine.course import Course
from dasksor.engine.host import Host
from dasksor.engine.method import Method
from dasksor.engine.outcome import Outcome, Timings
from dasksor.engine.virtual import Step, VirtualRun, Weather
from dasksor.options import AUTO, Options, check_blocks
from dasksor.partition import Partition, exchanges
from dasksor.result import Result
from dasksor.rows import Rows, prepare_rows
from dasksor.solve import result_of
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
        ``(host, block, begin, end, version)`` of every pass, in the order in which they ended.
    lost : int
        Messages that vanished.
    """

    result: Result
    time: float
    trace: list[Step]
    lost: int


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
    seed: int = 0,
    blocks: int | None = None,
    staleness: int | str | None = AUTO,
    accelerate: str | None = AUTO,
    omega: float | str = AUTO,
    sweep: str = "forward",
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
) -> Simulation:
    """Solve ``A x = b`` as ``mode="async"`` does, in virtual time, from a seed.

    The blocks, hosts and monitor are those of a real run and do the real arithmetic; time,
    messages and their fates are drawn. The same arguments give the same schedule, message by
    message.

    Parameters
    ----------
    A, b, x0, blocks, staleness, accelerate, omega, sweep, rtol, atol, maxiter
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
    system = LinearSystem.of(A, b, x0)
    if not system.is_local:
        raise TypeError("simulate needs A as a NumPy or scipy matrix: build it here first")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    for name, share in (("loss", loss), ("duplicates", duplicates)):
        if not 0.0 <= share < 1.0:
            raise ValueError(f"{name} must lie in [0, 1), got {share}")
    options = Options.checked(
        system.n, rtol=rtol, atol=atol, maxiter=maxiter, timeout=None, mode="async", omega=omega,
        sweep=sweep, blocks=blocks, staleness=staleness, accelerate=accelerate,
        mailbox=AUTO, checkpoint=None, checkpoint_every=0.0, client=None, callback=None,
    )  # fmt: skip
    nblocks = check_blocks(blocks or min(system.n, 2 * workers), system.n)
    workers = min(workers, nblocks)
    weather = Weather(
        latency=latency,
        loss=loss,
        duplicates=duplicates,
        jitter=jitter,
        speed=tuple(np.broadcast_to(np.asarray(speed, dtype=float), workers).tolist()),
        pause=pause,
        paused=frozenset(stragglers),
        patience=10.0 * (latency + sweep_time),
    )
    partition = system.partition(nblocks)
    rows = [prepare_rows(system.rows(*r), r[0]) for r in partition.ranges]
    facts = [row_facts(block, partition) for block in rows]
    method = choose_method(options, facts, workers)
    course = Course(options.limits, choose_omega(options, system, facts, method))
    entries = np.array([f.entries for f in facts], dtype=float)
    run = VirtualRun(
        _hosts(system, partition, rows, facts, method, workers),
        method.monitor(course, nblocks),
        (sweep_time * entries / entries.sum()).tolist(),
        weather,
        np.random.default_rng(seed),
    )
    setup = time.perf_counter() - began
    round_trip = (sweep_time + pause) / min(weather.speed) + latency + weather.patience
    parts = run.run(longest=100.0 * (1 + options.limits.maxiter) * round_trip)
    spent = [host.timings[p] for host in run.hosts for p in sorted(host.timings)]
    x = np.concatenate([parts[p] for p in range(nblocks)], axis=1)
    outcome = Outcome(x, Timings.sum(spent), spent, run.messages, run.bytes_sent)
    result = result_of(
        system, options, course, outcome, began, setup,
        mode="async", reason="simulated", staleness=method.staleness,
        accelerate=method.acceleration, blocks=nblocks, workers=workers, mailbox="virtual",
        losses=0, moves=0,
    )  # fmt: skip
    return Simulation(result, run.now, run.trace, run.lost)


def _hosts(
    system: LinearSystem,
    partition: Partition,
    rows: Sequence[Rows],
    facts: Sequence[RowFacts],
    method: Method,
    workers: int,
) -> list[Host]:
    """The blocks of ``system`` on ``workers`` hosts, as a cluster would place them."""
    _, rhs, start = system.whole()
    links = exchanges([f.needs for f in facts])
    made = method.blocks(
        range(partition.nblocks),
        rows,
        links,
        [np.ascontiguousarray(rhs[:, i:j]) for i, j in partition.ranges],
        [start[:, i:j] for i, j in partition.ranges],
    )
    owner = partition.shared_among(workers)
    return [Host(block for block in made if owner[block.index] == h) for h in range(workers)]
