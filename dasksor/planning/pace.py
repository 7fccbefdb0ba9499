"""Seconds per sweep of an asynchronous run: the real state machines in virtual time.

Blocks, hosts and the monitor are those of a run, their arithmetic and messages are costs of a
`dasksor.planning.machine.Machine`. Nothing is left to chance, so the pace is soon steady.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import Any

import numpy as np

from dasksor.engine.conductor import MEASURE_EVERY
from dasksor.engine.course import Course, Limits
from dasksor.engine.method import Method
from dasksor.engine.recall import START
from dasksor.engine.virtual import MONITOR, Step, VirtualRun, Weather
from dasksor.messages import Cycle, Halo, Moments, Order, Piece, Slice, Stop
from dasksor.omega import Given
from dasksor.planning.chain import chain
from dasksor.planning.layout import Layout
from dasksor.planning.sweeps import aggregates
from dasksor.rows import FORWARD

EXACT = Method(0, (FORWARD,))
FREE = Method(None, (FORWARD,))
CYCLES = Method(None, (FORWARD,), accelerated=True)

# Sweeps move along a chain without knowing how long it is, so few hosts have the pace of many. The
# monitor of a cycle does know: it hears all of them, and a part stands for the rest.
HOSTS_OF_CHAIN, HOSTS_OF_CYCLE = 12, 64
NEVER = 1e300


class Pacer:
    """A monitor that lets blocks make ``passes`` passes, and ends the run after the last one."""

    def __init__(self, passes: int, nblocks: int) -> None:
        self.order = Order(1, START + 1, passes, passes, 1.0, START + 1, START)
        self._left = set(range(nblocks))

    def receive(self, report: Any, now: float) -> Stop | None:
        if isinstance(report, Piece):
            self._left.discard(report.block)
        return None if self._left else Stop(self.order.keep)

    def tick(self, now: float) -> None:
        """Time is no reason to end."""


class CostRun(VirtualRun):
    """A run of some of the hosts of ``layout``, whose work and messages take what its machine says.

    Messages to and from the monitor pass through the scheduler one by one. As far as it is
    concerned, ``layout.hosts / hosts`` hosts are behind each that is simulated.
    """

    def __init__(self, layout: Layout, hosts: int, monitor: Any, method: Method) -> None:
        machine = layout.machine
        made, work = chain(
            method, blocks_on(layout, hosts), hosts,
            sweep=layout.sweep, product=layout.product, work=machine.work, post=machine.post,
        )  # fmt: skip
        weather = Weather(
            latency=0.0, loss=0.0, duplicates=0.0, jitter=0.0, speed=(1.0,) * hosts,
            pause=0.0, paused=frozenset(), patience=NEVER,
        )  # fmt: skip
        super().__init__(made, monitor, work, weather, np.random.default_rng(0))
        self._machine, self._slice_bytes = machine, layout.stencil.slice_bytes
        # A part of a long chain has the border between two nodes in its middle.
        cut = layout.hosts > max(hosts, machine.cores)
        self._first = max(0, machine.cores - hosts // 2) if cut else 0
        self._behind = layout.hosts / hosts
        self._line_free = 0.0
        unknowns = aggregates(layout.stencil)
        # Reports have the number, the residual and its rest of each aggregate, orders the step.
        self._report_bytes = 24.0 * unknowns / layout.blocks
        self._step_bytes = 8.0 * unknowns
        self._step_seconds = machine.coarse * unknowns

    def _send(self, to: int, message: Any) -> None:
        if not isinstance(message, Slice | Halo):
            self._through_line(to, message)
            return
        home = self._owner[message.source]
        near = self._node(home) == self._node(to)
        link = self._machine.near if near else self._machine.far
        self._at(link.seconds(self._slice_bytes), to, message)

    def _through_line(self, to: int, message: Any) -> None:
        line, size = self._machine.line, 0.0
        if isinstance(message, Moments):
            size = self._report_bytes
        elif isinstance(message, Cycle) and message.step is not None:
            size = self._step_bytes
        before, after = (line.latency, 0.0) if to == MONITOR else (0.0, line.latency)
        begins = max(self.now + before, self._line_free)
        turn = self._machine.report + size / line.bandwidth
        self._line_free = begins + turn * self._behind
        self._at(self._line_free + after - self.now, to, message)

    def _command(self, order: Order | Cycle) -> None:
        if isinstance(order, Cycle) and order.step is not None:
            self._line_free = max(self.now, self._line_free) + self._step_seconds
        super()._command(order)

    def _report(self, h: int) -> None:
        """Word of progress is rare in a real run: a few times a second from each host."""

    def _node(self, host: int) -> int:
        return (self._first + host) // self._machine.cores


def sweep_seconds(layout: Layout, *, exact: bool, most: int = HOSTS_OF_CHAIN) -> float:
    """Seconds per sweep of exact SOR, or of free sweeps, once all blocks are at work.

    At most ``most`` hosts are simulated.
    """
    hosts = min(layout.hosts, most)
    nblocks = blocks_on(layout, hosts)
    # The first block is half a sweep per block ahead of the last one.
    passes = nblocks + 24
    run = CostRun(layout, hosts, Pacer(passes, nblocks), EXACT if exact else FREE)
    run.run(NEVER)
    return _pace(run.trace, passes // 2, passes - 2)


def cycle_seconds(layout: Layout, most: int = HOSTS_OF_CYCLE) -> float:
    """Seconds of a cycle of conjugate gradients, with its share of the measured residuals."""
    hosts = min(layout.hosts, most)
    passes = 2 * len(CYCLES.cycle) * MEASURE_EVERY
    # A residual norm below zero is never reached, so all cycles are alike.
    course = Course(Limits(-1.0, -1.0, passes, None), Given(1.0))
    monitor = CYCLES.monitor(course, blocks_on(layout, hosts))
    run = CostRun(layout, hosts, monitor, CYCLES)
    run.run(NEVER)
    return len(CYCLES.cycle) * _pace(run.trace, passes // 2 - 1, passes - 1)


def blocks_on(layout: Layout, hosts: int) -> int:
    """Blocks of the first ``hosts`` hosts."""
    return max(hosts, layout.blocks * hosts // layout.hosts)


def _pace(trace: list[Step], first: int, last: int) -> float:
    """Seconds per pass between passes ``first`` and ``last``, as the middle block made them."""
    ends: dict[int, dict[int, float]] = defaultdict(dict)
    for step in trace:
        # Measuring a residual leaves the version as it is: the first end is that of the pass.
        ends[step.block].setdefault(step.version, step.end)
    paces = [(seen[last] - seen[first]) / (last - first) for seen in ends.values()]
    return statistics.median(paces)
