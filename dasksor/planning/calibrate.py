"""Measures a machine: real kernels, real mailboxes, real tasks, on two worker processes."""

from __future__ import annotations

import contextlib
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from distributed import Client, LocalCluster, Queue
from distributed.protocol import to_serialize

from dasksor import problems
from dasksor.analysis import row_facts
from dasksor.choices import available_cores
from dasksor.engine.course import Course, Limits
from dasksor.engine.host import Host
from dasksor.messages import Moments, Stop
from dasksor.omega import Given
from dasksor.partition import Partition, exchanges
from dasksor.planning import synchronous
from dasksor.planning.layout import Layout
from dasksor.planning.machine import Link, Machine, Rate
from dasksor.planning.pace import CYCLES, cycle_seconds, sweep_seconds
from dasksor.planning.stencil import Stencil, bytes_of
from dasksor.rows import FORWARD, Rows, prepare_rows
from dasksor.solve import solve

# Square grids: a tenth of a megabyte and more than any core's own cache.
GRIDS = (40, 160, 400, 1000)
CYCLE_GRIDS = (150, 700)
SECONDS = 0.1
# A grid of a few points: sweeps of its blocks are nothing but messages and the loop around them.
TINY, WIDE = (16, 8), (2, 60_000)
# The fastest counts: what else runs on the machine is none of its costs.
REPEATS = 3
LEAST = 1e-6


def calibrate(client: Client | None = None) -> Machine:
    """Measure what sweeps, messages and tasks cost, in about half a minute.

    Parameters
    ----------
    client : distributed.Client, optional
        Of a cluster with two workers or more on this machine. By default two single-threaded
        worker processes are started for the time of the call.

    Returns
    -------
    Machine
        With the cores of this machine. What lies between nodes is taken as dear as the mailbox
        ``"direct"`` is between two processes here: give ``machine.replace(far=...)`` what your
        network adds.

    Raises
    ------
    ValueError
        The cluster has fewer than two workers.
    """
    with _two_workers(client) as client:
        sweep, product = _rates(client)
        vectors, coarse = _cycle_rates(client)
        free = Link(0.0, 1e30)
        machine = Machine(
            cores=available_cores(), sweep=sweep, product=product, vectors=vectors,
            work=0.0, post=0.0, near=free, far=free, line=free, report=0.0, coarse=coarse,
            hop=0.0, task=0.0,
        )  # fmt: skip
        work, post = _work_and_post(client)
        machine = machine.replace(work=work, post=post)
        machine = machine.replace(near=_link(client, machine, "auto"))
        machine = machine.replace(far=_link(client, machine, "direct"))
        report, line = _line(client)
        machine = machine.replace(report=report, line=line)
        machine = machine.replace(line=Link(_line_latency(client, machine), line.bandwidth))
        return machine.replace(task=_task(client), hop=_hop(client))


@contextlib.contextmanager
def _two_workers(client: Client | None) -> Iterator[Client]:
    if client is not None:
        if len(client.nthreads()) < 2:
            raise ValueError(
                f"calibrate needs two workers, the cluster has {len(client.nthreads())}: "
                "scale it up, or leave client out"
            )
        yield client
        return
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster, set_as_default=False) as made,
    ):
        yield made


# Kernels


def _rates(client: Client) -> tuple[Rate, Rate]:
    addresses = sorted(client.nthreads())[:2]
    _kernels(client, addresses, GRIDS[0])
    alone, together = [], []
    for lines in GRIDS:
        alone.append(_kernels(client, addresses[:1], lines))
        together.append(_kernels(client, addresses, lines))
    client.run(_grid.cache_clear)
    stencils = [Stencil((lines, lines)) for lines in GRIDS]
    sizes = tuple(bytes_of(s.n, s.entries) for s in stencils)
    busy = [np.maximum(t, a) for t, a in zip(together, alone, strict=True)]
    sweep, product = (
        Rate(sizes, tuple(float(a[k]) for a in alone), tuple(float(t[k]) for t in busy))
        for k in range(2)
    )
    return sweep, product


def _kernels(client: Client, addresses: list[str], lines: int) -> np.ndarray:
    """Seconds per entry of a pass and of a residual, on all of ``addresses`` at once."""
    found = []
    for _ in range(REPEATS):
        start = time.time() + (0.05 if len(addresses) > 1 else 0.0)
        futures = [
            client.submit(_time_kernels, lines, start, workers=[a], pure=False) for a in addresses
        ]
        found.append(np.mean(client.gather(futures), axis=0))
    return np.min(found, axis=0)


def _time_kernels(lines: int, start: float) -> tuple[float, float]:
    rows, entries = _grid(lines)
    n = rows.size
    x, b, r = np.zeros(n), np.ones(n), np.empty(n)
    jobs: list[Callable[[], object]] = [
        lambda: rows.sweep(x, b, 1.5, FORWARD),
        lambda: rows.residual(x, b, r),
    ]
    for job in jobs:
        job()
    time.sleep(max(0.0, start - time.time()))
    sweep, product = (_typical(job) / entries for job in jobs)
    return sweep, product


@lru_cache(maxsize=1)
def _grid(lines: int) -> tuple[Rows, int]:
    """Made once for all attempts; the next size takes its place."""
    matrix = problems.poisson((lines, lines))
    return prepare_rows(matrix, 0), matrix.nnz


def _typical(job: Callable[[], object]) -> float:
    """Median seconds of a call."""
    seconds: list[float] = []
    until = time.perf_counter() + SECONDS
    while not seconds or time.perf_counter() < until:
        began = time.perf_counter()
        job()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _cycle_rates(client: Client) -> tuple[Rate, float]:
    """Seconds per unknown of the vectors of a cycle, and per aggregate of the monitor's step."""
    addresses = sorted(client.nthreads())[:2]
    found = []
    for lines in CYCLE_GRIDS:
        for used in (addresses[:1], addresses):
            futures = [client.submit(_time_cycle, lines, workers=[a], pure=False) for a in used]
            found.append(np.mean(client.gather(futures), axis=0))
    stencils = [Stencil((lines, lines)) for lines in CYCLE_GRIDS]
    sizes = tuple(bytes_of(s.n, s.entries) for s in stencils)
    alone = tuple(float(costs[0]) for costs in found[::2])
    together = tuple(float(max(a[0], t[0])) for a, t in zip(found[::2], found[1::2], strict=True))
    return Rate(sizes, alone, together), min(float(costs[1]) for costs in found)


def _time_cycle(lines: int) -> tuple[float, float]:
    """Seconds per unknown of a cycle without its passes and its product; per aggregate of a step.

    One host and the monitor of an accelerated run, in turn in one thread.
    """
    matrix = problems.poisson((lines, lines))
    n, nblocks, cycles = matrix.shape[0], 2, 12
    partition = Partition.even(n, nblocks)
    rows = [prepare_rows(matrix[i:j], i) for i, j in partition.ranges]
    links = exchanges([row_facts(block, partition).needs for block in rows])
    parts = [np.ones((1, j - i)) for i, j in partition.ranges]
    host = Host(CYCLES.blocks(range(nblocks), rows, links, parts, [0.0 * p for p in parts]))
    course = Course(Limits(-1.0, -1.0, 2 * cycles, None), Given(1.0))
    monitor = CYCLES.monitor(course, nblocks)
    order: Any = monitor.order
    work, steps = [], []
    while not isinstance(order, Stop):
        began, spent = time.perf_counter(), _passes(host)
        host.receive(order)
        while host.step():
            pass
        work.append(time.perf_counter() - began - (_passes(host) - spent))
        reports: list[Any] = host.reports
        host.reports = []
        began = time.perf_counter()
        answers = [monitor.receive(report, 0.0) for report in reports]
        if isinstance(reports[0], Moments):
            steps.append(time.perf_counter() - began)
            unknowns = sum(report.members.size for report in reports)
        order = next(answer for answer in answers if answer is not None)
    residual = np.empty(rows[0].size)
    x = np.zeros(rows[0].columns.size)
    product = nblocks * _typical(lambda: rows[0].residual(x, parts[0][0], residual))
    rest = statistics.median(work[3:]) - product
    return max(rest, 0.0) / n, statistics.median(steps[1:]) / unknowns


def _passes(host: Host) -> float:
    return sum(timings.compute for timings in host.timings.values())


# Messages: what real runs on a tiny grid take beyond what the model knows already.


def _pace(client: Client, shape: tuple[int, ...], sweeps: int, **options: Any) -> float:
    """Seconds per sweep in the later half of a run, the fastest of some runs."""
    matrix = problems.poisson(shape)
    b = np.sin(np.arange(1.0, matrix.shape[0] + 1.0))
    found = []
    for _ in range(REPEATS):
        result = solve(matrix, b, mode="async", rtol=0.0, maxiter=sweeps, client=client, **options)
        history = result.history
        half = next(m for m in history if m.sweeps >= history[-1].sweeps // 2)
        found.append((history[-1].time - half.time) / (history[-1].sweeps - half.sweeps))
    return min(found)


def _work_and_post(client: Client) -> tuple[float, float]:
    """From hosts that always have something to do.

    Of four blocks, exact sweeps leave some to do while one waits; of two, free sweeps both. Each
    host posts one message for each sweep.
    """
    four = _pace(client, TINY, 300, staleness=0, omega=1.5, blocks=8)
    two = _pace(client, TINY, 300, staleness=None, accelerate=None, omega=1.0, blocks=4)
    # Where noise is larger than the difference, a message costs nothing.
    work = min(max(0.5 * (four - two), LEAST), 0.25 * four)
    return work, max(0.0, two - 2 * work)


def _link(client: Client, machine: Machine, mailbox: str) -> Link:
    """One block to a host: each sweep waits for two messages."""
    options = {"staleness": 0, "omega": 1.5, "blocks": 2, "mailbox": mailbox}
    seconds = []
    for shape in ((2, 8), WIDE):
        layout = Layout.of(Stencil.of(shape), machine, 2, 1)
        rest = sweep_seconds(layout, exact=True)
        seconds.append(max(LEAST, (_pace(client, shape, 120, **options) - rest) / 2))
    short, long = seconds
    size = Stencil.of(WIDE).slice_bytes
    return Link(short, size / max(LEAST, long - short))


def _line(client: Client) -> tuple[float, Link]:
    """Seconds of each message through a queue, and its bandwidth."""
    queue = Queue(f"dasksor-{uuid.uuid4().hex[:12]}", client=client)
    scheduler: Any = client.scheduler
    messages = 200

    def exchange(count: int, content: Any) -> float:
        began = time.perf_counter()
        for _ in range(count):
            client.sync(
                scheduler.queue_put,
                name=queue.name,
                data=to_serialize([content]),
                timeout=None,
            )
            client.sync(scheduler.queue_get, name=queue.name, timeout=None, batch=False)
        return (time.perf_counter() - began) / count

    try:
        exchange(20, None)
        short, size = exchange(messages, None), 4_000_000
        long = exchange(5, np.ones(size // 8))
    finally:
        queue.close()
    # A put and a get, each there and back: a quarter of them is the scheduler's own part.
    return short / 4, Link(0.0, size / max(LEAST, long - short))


def _line_latency(client: Client, machine: Machine) -> float:
    shape = (64, 64)
    layout = Layout.of(Stencil.of(shape), machine, 2, 2, accelerated=True)
    cycle = 2 * _pace(client, shape, 80, staleness=None, accelerate="cg", blocks=4)
    return max(LEAST, (cycle - cycle_seconds(layout)) / 2)


# Tasks


def _task(client: Client) -> float:
    count = 300
    seconds = []
    for _ in range(1 + REPEATS):
        began = time.perf_counter()
        client.gather(client.map(_nothing, range(count), pure=False))
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:]) / count


def _nothing(i: int) -> int:
    return i


def _hop(client: Client) -> float:
    """The run's time is hops and nothing else; the later half of it, where legs are long."""
    matrix = problems.poisson((40, 8))
    seconds = []
    for _ in range(REPEATS):
        history = solve(
            matrix, np.ones(matrix.shape[0]), mode="sync", rtol=0.0, maxiter=80, omega=1.5,
            blocks=4, client=client,
        ).history  # fmt: skip
        late = [m for m in history if m.sweeps >= 40]
        sweeps = late[-1].sweeps - late[0].sweeps
        hops = synchronous.hops(hosts=2, blocks=4, sweeps=sweeps, legs=len(late) - 1)
        seconds.append((late[-1].time - late[0].time) / hops)
    return min(seconds)
