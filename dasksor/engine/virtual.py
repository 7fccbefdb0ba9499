"""Hosts and monitor in virtual time: any schedule, with faults, replayed from a seed."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from dasksor.engine.conductor import Conductor
from dasksor.engine.host import Host
from dasksor.engine.monitor import Monitor
from dasksor.mailbox.inbox import Inbox
from dasksor.messages import Cycle, Order, Progress, Stop

MONITOR = -1


@dataclass(frozen=True)
class Weather:
    """How messages fare and how fast hosts are; times in the unit of the caller.

    Attributes
    ----------
    latency : float
        Mean time of a message on its way; half of it is fixed, half exponential.
    loss, duplicates : float
        Probabilities that a message between hosts, or to or from the monitor, vanishes or comes
        twice. Repeats take latencies of their own, so messages overtake each other.
    jitter : float
        Mean of the exponential share of each pass, relative to the pass.
    speed : tuple of float
        For each host, passes per time relative to the others.
    pause, paused : float, frozenset of int
        Extra time after every pass of the hosts in ``paused``.
    patience : float
        Idle hosts repeat their slices, and the monitor its order, after this time.
    """

    latency: float
    loss: float
    duplicates: float
    jitter: float
    speed: tuple[float, ...]
    pause: float
    paused: frozenset[int]
    patience: float


class Step(NamedTuple):
    """One piece of work in the trace of a run."""

    host: int
    block: int
    begin: float
    end: float
    version: int


@dataclass
class VirtualRun:
    """One run in virtual time.

    Parameters
    ----------
    hosts : sequence of Host
    monitor : Monitor
    work : sequence of float
        Time of one pass over each block at speed 1.
    weather : Weather
    rng : numpy.random.Generator
        Decides everything that is left to chance; the same seed gives the same run.
    """

    hosts: Sequence[Host]
    monitor: Monitor | Conductor
    work: Sequence[float]
    weather: Weather
    rng: np.random.Generator
    now: float = 0.0
    trace: list[Step] = field(default_factory=list)
    messages: int = 0
    bytes_sent: int = 0
    lost: int = 0

    def __post_init__(self) -> None:
        self._events: list[tuple[float, int, int, Any]] = []
        self._ticket = itertools.count()
        self._owner = {p: h for h, host in enumerate(self.hosts) for p in host.blocks}
        self._inboxes = [Inbox() for _ in self.hosts]
        self._busy = [False] * len(self.hosts)
        self._told: list[dict[int, int]] = [{} for _ in self.hosts]
        self._spoken = 0.0

    def run(self, longest: float) -> dict[int, np.ndarray]:
        """Run until the monitor stops it; the blocks' parts of the snapshot to keep.

        Raises
        ------
        RuntimeError
            Nothing more can happen, or virtual time goes beyond ``longest``, before it stops.
        """
        self._command(self.monitor.order)
        for host in range(len(self.hosts)):
            self._at(self.weather.patience, host, None)
        self._at(self.weather.patience, MONITOR, None)
        while self._events and self.now <= longest:
            self.now, _, to, message = heapq.heappop(self._events)
            if to == MONITOR:
                stop = self._monitor_hears(message)
                if stop is not None and stop.keep is not None:
                    # Stopping is the driver's business and never lost: the snapshot is there.
                    return {p: y for h in self.hosts for p, y in h.answer(stop.keep).items()}
            elif isinstance(message, Step):
                self._finish(to, message)
            else:
                self._host_hears(to, message)
        raise RuntimeError(f"no verdict by virtual time {self.now:g}: a deadlock, or too slow")

    def _at(self, delay: float, to: int, what: Any) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._ticket), to, what))

    def _send(self, to: int, message: Any) -> None:
        weather = self.weather
        copies = 1 + (self.rng.random() < weather.duplicates)
        for _ in range(copies):
            if self.rng.random() < weather.loss:
                self.lost += 1
                continue
            delay = weather.latency * (0.5 + 0.5 * self.rng.exponential())
            self._at(delay, to, message)

    def _command(self, order: Order | Cycle) -> None:
        self._spoken = self.now
        for host in range(len(self.hosts)):
            self._send(host, order)

    # Monitor

    def _monitor_hears(self, report: Any) -> Stop | None:
        if report is None:
            self._at(self.weather.patience, MONITOR, None)
            if self.now - self._spoken >= self.weather.patience:
                self._command(self.monitor.order)
            command: Any = self.monitor.tick(self.now)
        else:
            command = self.monitor.receive(report, self.now)
        if isinstance(command, Order | Cycle):
            self._command(command)
            return None
        return command

    # Hosts

    def _host_hears(self, h: int, message: Any) -> None:
        if message is not None:
            self._inboxes[h].put([message])
        else:
            self._at(self.weather.patience, h, None)
            if not self._busy[h]:
                self.hosts[h].repeat()
                self._told[h] = {}
                self._post(h)
                self._report(h)
        self._work(h)

    def _work(self, h: int) -> None:
        """Begin the next piece of work of an idle host, if there is any."""
        if self._busy[h]:
            return
        host = self.hosts[h]
        for message in self._inboxes[h].take():
            host.receive(message)
        before = host.versions
        if not host.step():
            self._post(h)
            return
        self._busy[h] = True
        p = host.at_work
        seconds = self.work[p] / self.weather.speed[h]
        seconds *= 1.0 + self.weather.jitter * self.rng.exponential()
        if h in self.weather.paused and host.blocks[p].version > before[p]:
            seconds += self.weather.pause
        done = Step(h, p, self.now, self.now + seconds, host.blocks[p].version)
        self._at(seconds, h, done)

    def _finish(self, h: int, done: Step) -> None:
        self.trace.append(done)
        self._busy[h] = False
        self._post(h)
        self._report(h)
        self._work(h)

    def _post(self, h: int) -> None:
        host = self.hosts[h]
        outgoing, host.outgoing = host.outgoing, []
        for message in outgoing:
            self.messages += 1
            self.bytes_sent += message.values.nbytes
            self._send(self._owner[message.target], message)
        reports, host.reports = host.reports, []
        for report in reports:
            self._send(MONITOR, report)

    def _report(self, h: int) -> None:
        versions = self.hosts[h].versions
        if versions != self._told[h]:
            self._told[h] = versions
            self._send(MONITOR, Progress(h, versions))
