"""An asynchronous run in virtual time: any schedule, with faults, replayed from a seed.

The counterpart of `dasksor.engine.coordinator`: a sequence of watches between which blocks change
hands. Workers die and take with them what they know; those that return begin as new ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from dasksor.engine.balance import Balance
from dasksor.engine.block import Block
from dasksor.engine.conductor import Conductor
from dasksor.engine.cycles import CycleBlock
from dasksor.engine.host import Host
from dasksor.engine.leader import Leader
from dasksor.engine.monitor import Monitor
from dasksor.engine.outcome import Timings
from dasksor.engine.recall import Saved
from dasksor.engine.refuge import Refuge, buddies_of, parts_needed
from dasksor.engine.shift import VirtualWatch, Worker
from dasksor.engine.weather import Clock, Step
from dasksor.messages import Command, Order, Regroup, Stop, Stretch

# One death in so many comes together with the one before.
TOGETHER = 0.25

# Blocks by number: as they begin, or from their saved parts and the snapshot to go on from.
Make = Callable[[Sequence[int], Sequence[dict[int, Saved]], int | None], list[Block | CycleBlock]]
# The leader that a host needs, by its number, that of blocks, and that of hosts.
Lead = Callable[[int, int, int], Leader | None]


class VirtualRun:
    """One run in virtual time.

    Parameters
    ----------
    monitor : Monitor or Conductor
    make, lead : callable
        Make blocks and the leader of their hosts.
    start : sequence of ndarray
        The unknowns of each block at the start.
    owner : sequence of int
        The worker of each block at first.
    work : sequence of float
        Time of one pass over each block at speed 1.
    clock : Clock

    Attributes
    ----------
    deaths, losses, moves, watches : int
        Workers that died, how often blocks changed hands for it, or to spread them better, and
        stretches without a change of hands.
    """

    def __init__(
        self,
        monitor: Monitor | Conductor,
        make: Make,
        lead: Lead,
        start: Sequence[np.ndarray],
        owner: Sequence[int],
        work: Sequence[float],
        balance: Balance[int],
        clock: Clock,
    ) -> None:
        self.monitor, self.clock = monitor, clock
        self.deaths = self.losses = self.moves = self.watches = 0
        self.messages = self.bytes_sent = 0
        self.trace: list[Step] = []
        self.spent = [Timings() for _ in owner]
        self.versions = dict.fromkeys(range(len(owner)), 0)
        self._make, self._lead, self._start, self._work = make, lead, start, work
        self._balance = balance
        self._refuge: Refuge[VirtualWatch] = Refuge()
        self._workers = [Worker(number) for number in range(max(owner) + 1)]
        self._is_mortal = clock.weather.deaths > 0
        self._ending: Command | None = None
        self._nobody_is_there = False
        self._spoken = 0.0
        self._safe = monitor.recall.safe
        self._answer: dict[int, np.ndarray] | None = None
        self._begin(tuple(self._workers), owner, [], None)

    @property
    def workers(self) -> int:
        """How many workers had blocks last."""
        return len(self._watch.workers)

    def run(self, longest: float) -> dict[int, np.ndarray]:
        """Run until the monitor stops it; the blocks' parts of the snapshot to keep.

        Raises
        ------
        RuntimeError
            Nothing more can happen, or virtual time goes beyond ``longest``, before it stops.
        """
        clock = self.clock
        clock.at(clock.weather.patience, self._look_after)
        if self._is_mortal:
            clock.soon(clock.weather.between, self._die)
        while self._answer is None and clock.now <= longest and clock.tick():
            pass
        if self._answer is None:
            raise RuntimeError(f"no verdict by virtual time {clock.now:g}: a deadlock, or too slow")
        return self._answer

    # Monitor

    def hear(self, watch: int, report: Any) -> None:
        """Pass a report to the monitor; those of watches that have ended are refused."""
        if watch != self._watch.number or self._ending is not None:
            return
        self._obey(self.monitor.receive(report, self.clock.now))
        recall = self.monitor.recall
        if self._is_mortal and self._ending is None and recall.safe != self._safe:
            # Just now hardly any sweeps would be lost.
            self._safe = recall.safe
            if recall.is_covered and self._could_be_faster():
                self.moves += 1
                self._end(Regroup())

    def _look_after(self) -> None:
        self.clock.at(self.clock.weather.patience, self._look_after)
        if self._ending is None:
            if self.clock.now - self._spoken >= self.clock.weather.patience:
                self._obey(self.monitor.order)
            self._obey(self.monitor.tick(self.clock.now))

    def _obey(self, command: Order | Stretch | Stop | None) -> None:
        if isinstance(command, Stop):
            self._end(command)
        elif command is not None:
            self._spoken = self.clock.now
            self._watch.tell(command)

    def _could_be_faster(self) -> bool:
        numbers = [worker.number for worker in self._watch.workers]
        alive = [worker.number for worker in self._workers if worker.alive]
        return bool(alive) and self._balance.is_worth_changing(numbers, self._watch.owner, alive)

    # Change of hands

    def _begin(
        self,
        workers: Sequence[Worker],
        owner: Sequence[int],
        saved: Sequence[dict[int, Saved]],
        epoch: int | None,
    ) -> None:
        # Each worker is a process of its own.
        processes = [worker.number if self._is_mortal else 0 for worker in workers]
        hosts = []
        for h, buddy in enumerate(buddies_of(processes)):
            numbers = [p for p, owned_by in enumerate(owner) if owned_by == h]
            blocks = self._make(numbers, [saved[p] for p in numbers] if saved else [], epoch)
            leader = self._lead(h, len(owner), len(workers))
            hosts.append(Host(blocks, h, buddy, leader=leader))
        self.watches += 1
        self.monitor.recall.copied = any(host.buddy is not None for host in hosts)
        self._ending, self._safe = None, self.monitor.recall.safe
        self._watch = VirtualWatch(self.watches, hosts, workers, self.clock, self._work, self)
        self._obey(self.monitor.order)

    def _end(self, command: Stop | Regroup) -> None:
        """End the watch; until the hosts have heard of it they work on, and may die."""
        self._ending = command
        if self._is_mortal:
            self.clock.soon(self.clock.weather.notice, self._conclude)
        else:
            self._conclude()

    def _conclude(self) -> None:
        watch, stop = self._watch, self._ending
        watch.end()
        for shift in watch.shifts:
            for p, timings in shift.host.timings.items():
                self.spent[p].add(timings)
            for p, version in shift.host.versions.items():
                self.versions[p] = max(self.versions[p], version)
        if isinstance(stop, Stop):
            assert stop.keep is not None
            if watch.is_whole:
                kept = enumerate(watch.owner)
                self._answer = {p: watch.savings[h][stop.keep][p].x for p, h in kept}
                return
            self.losses += 1
        self._refuge.consider(watch, self.monitor.recall)
        self._regroup()

    def _regroup(self) -> None:
        alive = [worker.number for worker in self._workers if worker.alive]
        self._nobody_is_there = not alive
        if alive:
            numbers, owner = self._balance.shared(alive)
            workers = [self._workers[number] for number in numbers]
            self.clock.soon(self.clock.weather.notice, partial(self._resume, workers, owner))

    def _resume(self, workers: Sequence[Worker], owner: Sequence[int]) -> None:
        if not all(worker.alive for worker in workers):
            self._regroup()
            return
        recall, refuge = self.monitor.recall, self._refuge.watch
        sources = self._refuge.sources(recall, refuge.returned) if refuge is not None else []
        if refuge is None or not sources:
            recall.start_over()
            self.monitor.rewind()
            self._begin(workers, owner, [], None)
            return
        saved = [
            parts_needed(refuge.savings[h], p, recall.needed, self._start[p])
            for p, h in enumerate(sources)
        ]
        self._begin(workers, owner, saved, self.monitor.rewind())

    # Life and death

    def _die(self) -> None:
        clock, weather = self.clock, self.clock.weather
        alive = [worker for worker in self._workers if worker.alive]
        if alive:
            worker = alive[clock.rng.integers(len(alive))]
            worker.alive = False
            self.deaths += 1
            clock.soon(weather.notice, partial(self._notice, self._watch.number))
            if math.isfinite(weather.absence):
                clock.soon(weather.absence, partial(self._return, worker.number))
        if self.deaths < weather.deaths:
            together = alive and clock.rng.random() < TOGETHER
            clock.soon(0.0 if together else weather.between, self._die)

    def _notice(self, watch: int) -> None:
        missing = watch == self._watch.number and not self._watch.is_whole
        if missing and self._ending is None:
            self.losses += 1
            self._end(Regroup())

    def _return(self, number: int) -> None:
        self._workers[number] = Worker(number)
        if self._nobody_is_there:
            self._regroup()
