"""Hosts at work in virtual time, on workers that may die."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from dasksor.engine.host import Host
from dasksor.engine.recall import Saved
from dasksor.engine.weather import Clock, Step
from dasksor.mailbox.inbox import Inbox
from dasksor.messages import Order, Peer, Progress, Stretch, host_of


@dataclass(eq=False)
class Worker:
    """One life of a worker: it returns from death as another one, which knows nothing."""

    number: int
    alive: bool = True
    shift: Shift | None = None

    def hear(self, watch: int, message: Any) -> None:
        """Take a message; nobody is here for those of other watches."""
        if self.alive and self.shift is not None and self.shift.watch.number == watch:
            self.shift.hear(message)


class Office(Protocol):
    """Where hosts report, and what they have done is booked."""

    trace: list[Step]
    messages: int
    bytes_sent: int

    def hear(self, watch: int, report: Any) -> None: ...


class VirtualWatch:
    """One placement of the blocks on workers, as `dasksor.engine.watch.Watch` is on a cluster.

    Parameters
    ----------
    number : int
        No other watch of the run has it.
    hosts : sequence of Host
    workers : sequence of Worker
        The worker of each host.
    clock : Clock
    work : sequence of float
        Time of one pass over each block at speed 1.
    office : Office
    """

    def __init__(
        self,
        number: int,
        hosts: Sequence[Host],
        workers: Sequence[Worker],
        clock: Clock,
        work: Sequence[float],
        office: Office,
    ) -> None:
        self.number, self.workers, self.work = number, workers, work
        self.clock, self.office = clock, office
        owners = {p: h for h, host in enumerate(hosts) for p in host.blocks}
        self.owner = [owners[p] for p in sorted(owners)]
        self.buddies = [host.buddy for host in hosts]
        self.savings: dict[int, dict[int, dict[int, Saved]]] = {}
        self.shifts = [Shift(self, host, w) for host, w in zip(hosts, workers, strict=True)]

    @property
    def returned(self) -> set[int]:
        """The hosts whose savings are there: they die with their worker."""
        return {h for h in self.savings if self.workers[h].alive}

    @property
    def is_whole(self) -> bool:
        """Whether nobody has died."""
        return all(worker.alive for worker in self.workers)

    def tell(self, order: Order | Stretch) -> None:
        """Give an order to every host."""
        for worker in self.workers:
            self.clock.send(partial(worker.hear, self.number, order))

    def post(self, message: Peer) -> None:
        """Send a message from host to host."""
        target = host_of(message, self.owner)
        self.clock.send(partial(self.workers[target].hear, self.number, message))

    def report(self, report: Any) -> None:
        """Send a report to the monitor."""
        self.clock.send(partial(self.office.hear, self.number, report))

    def end(self) -> None:
        """Send the hosts home; those who live return what they have."""
        for h, worker in enumerate(self.workers):
            if worker.alive:
                self.savings[h] = self.shifts[h].host.savings()
            worker.shift = None


class Shift:
    """One host at work: its inbox, its passes, what it has told the monitor."""

    def __init__(self, watch: VirtualWatch, host: Host, worker: Worker) -> None:
        self.watch, self.host, self._worker = watch, host, worker
        worker.shift = self
        self._inbox = Inbox()
        self._is_busy = False
        self._told: dict[int, int] = {}
        self._look_after()

    def hear(self, message: Any) -> None:
        self._inbox.put([message])
        self._work()

    def _look_after(self) -> None:
        clock = self.watch.clock
        clock.at(clock.weather.patience, self._repeat)

    def _repeat(self) -> None:
        if self._is_over:
            return
        self._look_after()
        if not self._is_busy or self.host.has_unheard:
            self.host.repeat()
            self._told = {}
            self._speak()
        self._work()

    @property
    def _is_over(self) -> bool:
        return not self._worker.alive or self._worker.shift is not self

    def _work(self) -> None:
        """Begin the next piece of work of an idle host, if there is any."""
        if self._is_busy:
            return
        host, clock, number = self.host, self.watch.clock, self._worker.number
        for message in self._inbox.take():
            host.receive(message)
        if host.outgoing:
            self._post()
        before = host.versions
        if not host.step():
            self._post()
            return
        self._is_busy = True
        p, weather = host.at_work, clock.weather
        seconds = self.watch.work[p] / weather.speed[number]
        seconds *= 1.0 + weather.jitter * clock.rng.exponential()
        if number in weather.paused and host.blocks[p].version > before[p]:
            seconds += weather.pause
        done = Step(number, p, clock.now, clock.now + seconds, host.blocks[p].version)
        clock.at(seconds, partial(self._finish, done))

    def _finish(self, done: Step) -> None:
        if self._is_over:
            return
        self.watch.office.trace.append(done)
        self._is_busy = False
        self._speak()
        self._work()

    def _speak(self) -> None:
        self._post()
        versions = self.host.versions
        if versions != self._told:
            self._told = versions
            self.watch.report(Progress(self.host.number, versions))

    def _post(self) -> None:
        host, office = self.host, self.watch.office
        outgoing, host.outgoing = host.outgoing, []
        for message in outgoing:
            office.messages += 1
            office.bytes_sent += message.values.nbytes
            self.watch.post(message)
        reports, host.reports = host.reports, []
        for report in reports:
            self.watch.report(report)
