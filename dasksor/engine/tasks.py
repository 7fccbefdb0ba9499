"""The long-lived task of one host: what runs on a worker thread in asynchronous mode."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from distributed import get_worker, secede
from distributed.metrics import context_meter

from dasksor.engine.host import Host
from dasksor.engine.method import Method
from dasksor.engine.outcome import Timings
from dasksor.engine.recall import Saved
from dasksor.engine.refuge import parts_needed
from dasksor.engine.ticker import PHASES
from dasksor.errors import BlockError
from dasksor.mailbox.inbox import Inbox
from dasksor.mailbox.line import Line
from dasksor.mailbox.routes import Mail
from dasksor.mailbox.variables import Ring
from dasksor.messages import Copy, Hello, Order, Peer, Progress, Regroup, Stop, Stretch, host_of
from dasksor.partition import Exchange
from dasksor.rows import Rows

IDLE = 0.05
# An idle host repeats its slices: one of them may have been lost with a connection.
REPEAT = 1.0


@dataclass(frozen=True)
class HostPlan:
    """What one host is told at its start; frozen, pickled to the worker.

    ``owner[p]`` is the host of block ``p``; ``routes[h]``, ``addresses[h]`` and ``queues[h]`` are
    the mailbox to host ``h``, its worker, and its order queue. ``epoch`` is the snapshot to go on
    from (None: the start), ``buddy`` the host that keeps copies of snapshots, and ``tells_copies``
    asks to send them to the client as well;
    ``tells_ages`` asks to report how old the values were that blocks used.
    """

    run: str
    host: int
    owner: tuple[int, ...]
    blocks: tuple[int, ...]
    exchanges: tuple[Exchange, ...]
    method: Method
    epoch: int | None
    buddy: int | None
    buddy_takes_posts: bool
    tells_copies: bool
    tells_ages: bool
    routes: tuple[str, ...]
    addresses: tuple[str, ...]
    queues: tuple[str, ...]
    reports: str
    report_interval: float
    lease: float


@dataclass
class HostReport:
    """What a host did: seconds and passes of each block, its own seconds, and what it sent."""

    blocks: dict[int, Timings]
    versions: dict[int, int]
    timings: Timings
    messages: int
    bytes_sent: int


# What a host returns: the parts of snapshots that it has, by epoch and block, and its report.
Returned = tuple[dict[int, dict[int, Saved]], HostReport]


def run_host(
    plan: HostPlan,
    rows: Sequence[Rows],
    rhs: Sequence[np.ndarray],
    start: Sequence[Any],
) -> Returned:
    """Sweep the blocks of one host until the monitor says stop.

    ``start`` has the unknowns of each block, or its saved parts by epoch where ``plan.epoch`` is
    given.
    """
    # A task that lasts must not hold a place in the worker's thread pool.
    secede()
    worker = get_worker()
    inbox = Inbox()
    loop = worker.loop.asyncio_loop  # type: ignore[attr-defined]
    mail = Mail(
        worker,
        loop,
        plan.run,
        plan.host,
        inbox,
        routes=plan.routes,
        addresses=plan.addresses,
        queues=plan.queues,
    )

    def hear(messages: list[Any]) -> None:
        rings = [message for message in messages if isinstance(message, Ring)]
        if rings:
            mail.answer(rings)
        inbox.put(message for message in messages if not isinstance(message, Ring))

    line = Line(worker.scheduler, loop, plan.queues[plan.host], hear)
    try:
        result = _Shift(plan, inbox, mail, line).work(rows, rhs, start)
        _label(result[1])
    except BaseException:
        # The monitor learns of it when this task ends, so nothing here may wait for the monitor.
        line.abandon()
        raise
    else:
        line.close()
        return result
    finally:
        mail.close()


def _label(report: HostReport) -> None:
    """Let Dask's fine performance metrics say what a task was busy with that lasts for minutes."""
    spent = Timings.sum([report.timings, *report.blocks.values()])
    for phase in PHASES:
        context_meter.digest_metric(phase, getattr(spent, phase), "seconds")


class _Shift:
    """One host at work: the loop between its inbox, its blocks and its mailbox."""

    def __init__(self, plan: HostPlan, inbox: Inbox, mail: Mail, line: Line) -> None:
        self._plan, self._inbox, self._mail, self._line = plan, inbox, mail, line
        self._timings = Timings()
        self._began = self._reported = self._heard = time.monotonic()
        self._idle_since = self._began
        self._told: dict[int, int] = {}

    def work(
        self, rows: Sequence[Rows], rhs: Sequence[np.ndarray], start: Sequence[Any]
    ) -> Returned:
        plan, method = self._plan, self._plan.method
        if plan.epoch is None:
            blocks = method.blocks(plan.blocks, rows, plan.exchanges, rhs, start)
        else:
            saved = (plan.blocks, rows, plan.exchanges, rhs, start)
            blocks = method.resumed(*saved, epoch=plan.epoch)
        leader = method.leader(plan.host, len(plan.owner), len(plan.routes))
        host = Host(blocks, plan.host, plan.buddy, tells=plan.tells_copies, leader=leader)
        self._say([Hello(plan.host)])
        stop = self._await_first_order(host)
        while stop is None:
            worked = self._step(host)
            with self._timings.measure("communication"):
                self._send(host)
            with self._timings.measure("communication" if worked else "waiting"):
                messages = self._inbox.take(0.0 if worked else IDLE)
            stop = self._distribute(host, messages)
            if host.outgoing:
                # Others may wait for what came of the messages; the next pass can wait for that.
                with self._timings.measure("communication"):
                    self._send(host)
            # Not for messages: others that repeat theirs would keep this host from doing so.
            if worked and not host.has_unheard:
                self._idle_since = time.monotonic()
            elif time.monotonic() - self._idle_since > REPEAT:
                self._idle_since = time.monotonic()
                host.repeat()
                self._told = {}
        mail = self._mail
        seconds = (host.timings, host.versions, self._timings)
        report = HostReport(*seconds, mail.messages, mail.bytes_sent)
        # Also at the end of the run: another host may die before it has returned its part.
        return host.savings(), report

    def _await_first_order(self, host: Host) -> Stop | Regroup | None:
        """Nothing may be sent before every host's mailbox is open: the first order says so."""
        while True:
            messages = self._inbox.take(IDLE)
            self._check_lease()
            if any(isinstance(message, Order | Stretch | Stop | Regroup) for message in messages):
                return self._distribute(host, messages)
            self._inbox.put(messages)

    def _step(self, host: Host) -> bool:
        try:
            return host.step()
        except Exception as error:
            block = host.at_work
            raise BlockError(f"block {block}, sweeping: {type(error).__name__}: {error}") from error

    def _send(self, host: Host) -> None:
        outgoing, host.outgoing = host.outgoing, []
        reports: list[Any] = [*host.reports]
        copies = [message for message in outgoing if isinstance(message, Copy)]
        batches: dict[int, list[Peer]] = defaultdict(list)
        for message in outgoing:
            if not isinstance(message, Copy):
                batches[host_of(message, self._plan.owner)].append(message)
        for target, batch in batches.items():
            self._mail.post(target, batch)
        if copies:
            self._send_copies(copies)
        host.reports = []
        now = time.monotonic()
        # Short runs end between two reports of long ones: the interval grows with the run.
        interval = min(self._plan.report_interval, 0.1 * (now - self._began))
        if now - self._reported > interval and host.versions != self._told:
            self._reported, self._told = now, host.versions
            reports.append(self._progress(host))
        if reports:
            self._say(reports)

    def _progress(self, host: Host) -> Progress:
        spent = Timings.sum([self._timings, *host.timings.values()])
        return Progress(
            self._plan.host,
            self._told,
            host.swept,
            host.busy,
            messages=self._mail.messages,
            bytes_sent=self._mail.bytes_sent,
            seconds=tuple(getattr(spent, phase) for phase in PHASES),
            ages=host.ages if self._plan.tells_ages else (),
        )

    def _send_copies(self, copies: list[Copy]) -> None:
        buddy = copies[0].target
        if self._plan.buddy_takes_posts:
            self._mail.post_once(buddy, copies)
        else:
            self._line.say(self._plan.queues[buddy], copies)

    def _say(self, reports: list[Any]) -> None:
        self._line.say(self._plan.reports, reports)

    def _distribute(self, host: Host, messages: list[Any]) -> Stop | Regroup | None:
        for message in messages:
            if isinstance(message, Stop | Regroup):
                return message
            if isinstance(message, Order | Stretch):
                self._heard = time.monotonic()
            host.receive(message)
        self._check_lease()
        return None

    def _check_lease(self) -> None:
        self._line.check()
        silence = time.monotonic() - self._heard
        if silence > self._plan.lease:
            raise TimeoutError(
                f"no word from the monitor for {silence:.0f} s: the client is gone or cut off"
            )


# What is asked of a host's result where it is.


def answer_of(returned: Returned, blocks: list[int], epoch: int) -> dict[int, np.ndarray]:
    """The parts of snapshot ``epoch`` of ``blocks``."""
    savings, _ = returned
    return {p: savings[epoch][p].x for p in blocks}


def parts_saved(
    returned: Returned, block: int, epochs: list[int], start: np.ndarray | None
) -> dict[int, Saved]:
    """What ``block`` needs to go on; see `parts_needed`."""
    savings, _ = returned
    return parts_needed(savings, block, epochs, start)
