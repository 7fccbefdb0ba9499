"""Seconds per entry of the real kernels, and per unknown of what a cycle does besides."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from distributed import Client

from dasksor import problems
from dasksor.analysis import row_facts
from dasksor.engine.course import Course, Limits
from dasksor.engine.host import Host
from dasksor.engine.leader import LEADER
from dasksor.messages import Cycle, Moments, Stop
from dasksor.omega import Given
from dasksor.partition import Partition, exchanges
from dasksor.planning.machine import Rate
from dasksor.planning.pace import CYCLES
from dasksor.planning.stencil import Stencil, bytes_of
from dasksor.rows import FORWARD, Rows, prepare_rows

# Square grids: a tenth of a megabyte and more than any core's own cache.
GRIDS = (40, 160, 400, 1000)
CYCLE_GRIDS = (150, 700)
SECONDS = 0.1
# The fastest counts: what else runs on the machine is none of its costs.
REPEATS = 3


def kernel_rates(client: Client) -> tuple[Rate, Rate]:
    """Seconds per entry of a pass and of a residual, by the size of what a core has in hand."""
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
    x, b, r = np.zeros((1, n)), np.ones((1, n)), np.empty((1, n))
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


def cycle_rates(client: Client) -> tuple[Rate, float]:
    """Seconds per unknown of the vectors of a cycle, and per aggregate of the leader's step."""
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

    One host, the leader and the monitor of an accelerated run, in turn in one thread.
    """
    matrix = problems.poisson((lines, lines))
    n, nblocks, cycles = matrix.shape[0], 2, 12
    partition = Partition.even(n, nblocks)
    rows = [prepare_rows(matrix[i:j], i) for i, j in partition.ranges]
    links = exchanges([row_facts(block, partition).needs for block in rows])
    parts = [np.ones((1, j - i)) for i, j in partition.ranges]
    host = Host(CYCLES.blocks(range(nblocks), rows, links, parts, [0.0 * p for p in parts]))
    course = Course(Limits(-1.0, -1.0, 2 * cycles, None), Given(1.0))
    monitor: Any = CYCLES.monitor(course, nblocks)
    leader = CYCLES.leader(LEADER, nblocks, 1)
    assert leader is not None
    order: Any = monitor.order
    work, steps, unknowns = [], [], 1
    while not isinstance(order, Stop):
        said: list[Cycle | None] = [leader.obey(order)]
        while said[-1] is not None:
            began, spent = time.perf_counter(), _passes(host)
            host.receive(said[-1])
            while host.step():
                pass
            work.append(time.perf_counter() - began - (_passes(host) - spent))
            sums: list[Any] = host.outgoing
            host.outgoing = []
            began = time.perf_counter()
            said = [leader.receive(part) for part in sums] or [None]
            if sums and isinstance(sums[0], Moments):
                steps.append(time.perf_counter() - began)
                unknowns = sum(part.coarse.shape[2] for part in sums)
        reports, host.reports = host.reports, []
        answers = [monitor.receive(report, 0.0) for report in reports]
        order = next(answer for answer in answers if answer is not None)
    residual = np.empty((1, rows[0].size))
    x = np.zeros((1, rows[0].columns.size))
    product = nblocks * _typical(lambda: rows[0].residual(x, parts[0], residual))
    rest = statistics.median(work[3:]) - product
    return max(rest, 0.0) / n, statistics.median(steps[1:]) / unknowns


def _passes(host: Host) -> float:
    return sum(timings.compute for timings in host.timings.values())
