"""Seconds per sweep of an asynchronous run: the real state machines in virtual time.

Blocks, hosts and the monitor are those of a run, their arithmetic and messages are costs of a
`dasksor.planning.machine.Machine`. Nothing is left to chance, so the pace is soon steady.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from dasksor.engine.course import Course, Limits
from dasksor.engine.host import Host
from dasksor.engine.leader import LEADER, MEASURE_EVERY
from dasksor.engine.method import Method
from dasksor.engine.recall import START
from dasksor.engine.shift import VirtualWatch, Worker
from dasksor.engine.steps import ENERGY
from dasksor.engine.weather import Clock, Step, Weather
from dasksor.messages import (
    CoarsePart,
    Copy,
    Cycle,
    Moments,
    Order,
    Peer,
    Piece,
    Progress,
    Stop,
    Stretch,
    host_of,
)
from dasksor.omega import Given
from dasksor.planning.chain import chain
from dasksor.planning.layout import Layout
from dasksor.planning.sweeps import aggregates
from dasksor.rows import FORWARD

EXACT = Method(0, (FORWARD,))
FREE = Method(None, (FORWARD,))
CYCLES = Method(None, (FORWARD,), ENERGY)

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


class CostWatch(VirtualWatch):
    """Some of the hosts of ``layout``, whose messages take what its machine says.

    Messages to and from the monitor pass through the scheduler one by one, moments through the
    leader. As far as these are concerned, ``layout.hosts / hosts`` hosts are behind each that is
    simulated.
    """

    def __init__(
        self,
        layout: Layout,
        hosts: Sequence[Host],
        work: Sequence[float],
        clock: Clock,
        run: CostRun,
    ) -> None:
        super().__init__(1, hosts, [Worker(h) for h in range(len(hosts))], clock, work, run)
        machine = self._machine = layout.machine
        # A part of a long chain has the border between two nodes in its middle.
        cut = layout.hosts > max(len(hosts), machine.cores)
        self._first = max(0, machine.cores - len(hosts) // 2) if cut else 0
        self._behind = layout.hosts / len(hosts)
        self._line_free = self._leader_free = 0.0
        self._said = START
        unknowns = aggregates(layout.stencil)
        # Moments have two sums over each aggregate, cycles the step.
        slice_bytes = layout.stencil.slice_bytes
        self._bytes = {Moments: 16.0 * unknowns / layout.blocks, Cycle: 8.0 * unknowns}
        self._slice_bytes, self._step_seconds = slice_bytes, machine.coarse * unknowns

    def tell(self, order: Order | Stretch) -> None:
        for worker in self.workers:
            through = self._through_line(self.clock.now) + self._machine.line.latency
            self._arrive(through, partial(worker.hear, self.number, order))

    def post(self, message: Peer) -> None:
        assert not isinstance(message, Copy)
        now, size = self.clock.now, self._bytes.get(type(message), self._slice_bytes)
        home, to = self._home(message), host_of(message, self.owner)
        near = self._node(home) == self._node(to)
        link = self._machine.near if near else self._machine.far
        there = now + link.seconds(size)
        turn = self._behind * (self._machine.post + size / link.bandwidth)
        if isinstance(message, Moments | CoarsePart):
            there = self._leader_free = max(there, self._leader_free + turn)
        elif isinstance(message, Cycle):
            # Said to one host after the other, once it is computed.
            if message.epoch > self._said:
                self._said, self._leader_free = message.epoch, max(now, self._leader_free)
                self._leader_free += self._step_seconds if message.step is not None else 0.0
            self._leader_free += turn
            there = max(there, self._leader_free + link.latency)
        self._arrive(there, partial(self.workers[to].hear, self.number, message))

    def report(self, report: Any) -> None:
        # Word of progress is rare in a real run: a few times a second from each host.
        if isinstance(report, Progress):
            return
        comes = self.clock.now + self._machine.line.latency
        self._arrive(self._through_line(comes), partial(self.office.hear, self.number, report))

    def _home(self, message: Any) -> int:
        if isinstance(message, Cycle):
            return LEADER
        block = message.block if isinstance(message, Moments | CoarsePart) else message.source
        return self.owner[block]

    def _through_line(self, comes: float) -> float:
        """When a message that comes to the scheduler has passed it."""
        self._line_free = max(comes, self._line_free) + self._machine.report * self._behind
        return self._line_free

    def _arrive(self, when: float, deed: Callable[[], None]) -> None:
        self.clock.at(when - self.clock.now, deed)

    def _node(self, host: int) -> int:
        return (self._first + host) // self._machine.cores


class CostRun:
    """A run of ``hosts`` of the hosts of ``layout``, with costs in place of arithmetic."""

    def __init__(self, layout: Layout, hosts: int, monitor: Any, method: Method) -> None:
        machine = layout.machine
        made, work = chain(
            method, blocks_on(layout, hosts), hosts,
            sweep=layout.sweep, product=layout.product, work=machine.work, post=machine.post,
        )  # fmt: skip
        weather = Weather(
            latency=0.0, loss=0.0, duplicates=0.0, jitter=0.0, speed=(1.0,) * hosts, pause=0.0,
            paused=frozenset(), patience=NEVER, deaths=0, between=NEVER, absence=NEVER, notice=0.0,
        )  # fmt: skip
        self.clock = Clock(weather, np.random.default_rng(0))
        self.trace: list[Step] = []
        self.messages = self.bytes_sent = 0
        self._monitor, self._is_over = monitor, False
        self._watch = CostWatch(layout, made, work, self.clock, self)

    def hear(self, watch: int, report: Any) -> None:
        command = self._monitor.receive(report, self.clock.now)
        if isinstance(command, Stop):
            self._is_over = True
        elif command is not None:
            self._watch.tell(command)

    def run(self) -> None:
        """Run until the monitor stops it."""
        self._watch.tell(self._monitor.order)
        while not self._is_over:
            self.clock.tick()


def sweep_seconds(layout: Layout, *, exact: bool, most: int = HOSTS_OF_CHAIN) -> float:
    """Seconds per sweep of exact SOR, or of free sweeps, once all blocks are at work.

    At most ``most`` hosts are simulated.
    """
    hosts = min(layout.hosts, most)
    nblocks = blocks_on(layout, hosts)
    # The first block is half a sweep per block ahead of the last one.
    passes = nblocks + 24
    run = CostRun(layout, hosts, Pacer(passes, nblocks), EXACT if exact else FREE)
    run.run()
    return _pace(run.trace, passes // 2, passes - 2)


def cycle_seconds(layout: Layout, most: int = HOSTS_OF_CYCLE) -> float:
    """Seconds of a cycle of conjugate gradients, with its share of the measured residuals."""
    hosts = min(layout.hosts, most)
    passes = 2 * len(CYCLES.cycle) * MEASURE_EVERY
    # A residual norm below zero is never reached, so all cycles are alike.
    course = Course(Limits(-1.0, -1.0, passes, None), Given(1.0))
    monitor = CYCLES.monitor(course, blocks_on(layout, hosts))
    run = CostRun(layout, hosts, monitor, CYCLES)
    run.run()
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
