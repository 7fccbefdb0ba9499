"""Blocks, hosts and the monitor in one process, under a scheduler that follows a seed.

Messages between hosts arrive late, in any order, and more than once; hosts run at speeds that
differ; of two messages of one slot the older may be lost, as in a mailbox that keeps the newest.
Reports of one host arrive in the order in which it made them. Time is the number of events.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from dasksor.analysis import row_facts
from dasksor.engine import sequential
from dasksor.engine.block import Block
from dasksor.engine.course import Course, Limits
from dasksor.engine.host import Host
from dasksor.engine.monitor import Monitor
from dasksor.messages import Piece, Progress, Slice, Stop
from dasksor.omega import Given
from dasksor.partition import Partition, exchanges
from dasksor.rows import FORWARD, prepare_rows
from dasksor.system import LinearSystem

TOO_LONG = 200_000
NOTHING = -1


class Use(NamedTuple):
    """What block ``block`` held of each neighbour when it began pass ``k``."""

    block: int
    k: int
    direction: int
    held: dict[int, int]


class WatchedBlock(Block):
    """Keeps its own books of the versions that came in, apart from those of `Block`."""

    def __init__(self, *args: Any, uses: list[Use], **options: Any) -> None:
        super().__init__(*args, **options)
        self.uses, self.seen = uses, dict.fromkeys(self.exchange.neighbours, NOTHING)
        self.passes = options["directions"]

    def receive(self, message: Any) -> None:
        if isinstance(message, Slice):
            self.seen[message.source] = max(self.seen[message.source], message.version)
        super().receive(message)

    def sweep(self) -> None:
        k = self.version + 1
        direction = self.passes[(k - 1) % len(self.passes)]
        self.uses.append(Use(self.index, k, direction, dict(self.seen)))
        super().sweep()


@dataclass
class Drive:
    """What `drive` saw: the answer, who used which versions when, and every piece."""

    x: np.ndarray
    course: Course
    exchanges: list[Any]
    uses: list[Use] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    events: int = 0

    def versions(self, epoch: int) -> dict[int, int]:
        """Passes that each block had done in snapshot ``epoch``."""
        return {piece.block: piece.version for piece in self.pieces if piece.epoch == epoch}


def limits(maxiter, rtol=0.0, atol=0.0, timeout=None):
    return Limits(rtol, atol, maxiter, timeout)


def counted(maxiter, omega=1.2):
    """A course of exactly ``maxiter`` sweeps."""
    return Course(limits(maxiter), Given(omega))


def sequentially(A, b, course, x0=None, directions=(FORWARD,)):
    """The plain solve of the same system."""
    system = LinearSystem.of(A, b, x0)
    matrix, (rhs, start) = system.gathered().matrix, system.vectors()
    return sequential.run(prepare_rows(matrix, 0), rhs, start, course, directions=directions).x


def drive(
    A,
    b,
    course,
    *,
    x0=None,
    cuts=None,
    owner=None,
    staleness=0,
    directions=(FORWARD,),
    seed=0,
):
    """Solve with one block for each of ``cuts``, block ``p`` on host ``owner[p]``."""
    system = LinearSystem.of(A, b, x0)
    matrix, (rhs, start) = system.gathered().matrix, system.vectors()
    partition = Partition(tuple(cuts or (0, system.n)))
    rows = [prepare_rows(matrix[i:j], i) for i, j in partition.ranges]
    every = exchanges([row_facts(r, partition).needs for r in rows])
    owner = list(owner or [0] * partition.nblocks)
    result = Drive(np.zeros_like(rhs), course, every)
    blocks = [
        WatchedBlock(
            p,
            rows[p],
            every[p],
            np.ascontiguousarray(rhs[:, i:j]),
            start[:, i:j],
            staleness=staleness,
            directions=directions,
            uses=result.uses,
        )
        for p, (i, j) in enumerate(partition.ranges)
    ]
    hosts = {h: Host(block for block in blocks if owner[block.index] == h) for h in set(owner)}
    monitor = Monitor(course, partition.nblocks, passes=len(directions), exact=staleness == 0)
    answers = _Schedule(hosts, owner, monitor, result, random.Random(seed)).run()
    if answers:
        result.x = np.concatenate([answers[p] for p in range(partition.nblocks)], axis=1)
    return result


class _Schedule:
    def __init__(self, hosts, owner, monitor, result, rng):
        self.hosts, self.owner, self.monitor, self.result = hosts, owner, monitor, result
        self.rng = rng
        self.wire: list[Any] = []
        self.orders = [(h, monitor.order) for h in hosts]
        self.reports = {h: deque() for h in hosts}
        self.told = dict.fromkeys(hosts)
        self.working = dict(hosts)
        self.idle: set[int] = set()
        self.answers: dict[int, np.ndarray] = {}
        # Some runs have slow hosts, some a slow network, some slow orders or reports.
        self.speed = {h: rng.choice([0.1, 1.0, 4.0]) for h in hosts}
        self.acts = [self.step, self.carry, self.command, self.report, self.progress]
        self.weights = [rng.choice([0.2, 1.0, 3.0]) for _ in self.acts]
        self.repeats = rng.choice([0.0, 0.3])

    def run(self):
        while self.working:
            self.result.events += 1
            assert self.result.events < TOO_LONG, "the run never ends"
            choices = [self.busy(), self.wire, self.orders, self.filed(), self.untold()]
            possible = [k for k, choice in enumerate(choices) if choice]
            assert possible, "nothing can move"
            (act,) = self.rng.choices(possible, [self.weights[k] for k in possible])
            self.acts[act](choices[act])
            self.tell(self.monitor.tick(self.result.events))
        return self.answers

    def busy(self):
        return [h for h in self.working if h not in self.idle]

    def filed(self):
        return [queue for queue in self.reports.values() if queue]

    def untold(self):
        # As hosts report now and then, progress never piles up before a piece.
        return [
            h
            for h, host in self.working.items()
            if not self.reports[h] and host.versions != self.told[h]
        ]

    def step(self, busy):
        (h,) = self.rng.choices(busy, [self.speed[h] for h in busy])
        host = self.hosts[h]
        if not host.step():
            self.idle.add(h)
        self.post(host)
        self.result.pieces += host.reports
        self.reports[h].extend(host.reports)
        host.reports = []

    def progress(self, untold):
        h = self.rng.choice(untold)
        self.told[h] = self.hosts[h].versions
        self.reports[h].append(Progress(h, self.told[h]))

    def post(self, host):
        sent, host.outgoing = host.outgoing, []
        if self.rng.random() < 0.5:
            newest = {message.slot for message in sent}
            self.wire = [message for message in self.wire if message.slot not in newest]
        self.wire += sent

    def carry(self, wire):
        message = self.picked(wire)
        h = self.owner[message.target]
        if h in self.working:
            self.hosts[h].receive(message)
            self.idle.discard(h)

    def command(self, orders):
        h, order = self.picked(orders)
        if h not in self.working:
            return
        if not isinstance(order, Stop):
            self.hosts[h].receive(order)
            self.idle.discard(h)
            self.post(self.hosts[h])
            return
        self.working.pop(h)
        if order.keep is not None:
            self.answers.update(self.hosts[h].answer(order.keep))

    def report(self, filed):
        queue = self.rng.choice(filed)
        self.tell(self.monitor.receive(queue.popleft(), self.result.events))

    def tell(self, command):
        if command is not None:
            self.orders += [(h, command) for h in self.hosts]

    def picked(self, items):
        """Any one of ``items``, which now and then stays, to come again."""
        k = self.rng.randrange(len(items))
        return items[k] if self.rng.random() < self.repeats else items.pop(k)
