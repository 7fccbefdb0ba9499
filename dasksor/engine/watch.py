"""A stretch of an asynchronous run without change of hands: hosts, their lines, their end."""

from __future__ import annotations

import queue
import time
from collections import Counter
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from distributed import Client, Future, Queue, Variable

from dasksor import config
from dasksor.engine.futures import raise_failures, results
from dasksor.engine.method import Method
from dasksor.engine.placement import Placement
from dasksor.engine.refuge import buddies_of
from dasksor.engine.tasks import HostPlan, HostReport, run_host
from dasksor.mailbox.line import Line
from dasksor.mailbox.routes import routes_from
from dasksor.mailbox.variables import VariablesMailbox
from dasksor.messages import Command, Hello

TICK = 0.05
# Hosts end after the pass they are in.
LAST_WORD = 30.0


class Watch:
    """One placement of the blocks on hosts, from their start to their last word.

    Parameters
    ----------
    name : str
        Names everything on the cluster; no other watch has it.
    placement : Placement
    client : Client
    method : Method
    mailbox : str
        "auto" or one for all routes.
    start : list of Future
        The unknowns of each block, or its saved parts by epoch where ``epoch`` is given.
    epoch : int, optional
        The snapshot to go on from.
    tells_copies : bool
        Whether hosts send copies of their snapshots to the client.
    tells_ages : bool
        Whether hosts report how old the values were that their blocks used.
    """

    def __init__(
        self,
        name: str,
        placement: Placement,
        client: Client,
        *,
        method: Method,
        mailbox: str,
        start: list[Future],
        epoch: int | None,
        tells_copies: bool,
        tells_ages: bool,
    ) -> None:
        self.name, self.placement, self._client = name, placement, client
        self.futures: list[Future] = []
        sites = [placement.sites[thread.address] for thread in placement.threads]
        self._sites = sites
        self.routes = [routes_from(here, sites, mailbox) for here in sites]
        self.buddies = buddies_of([site[:2] for site in sites])
        self._method, self._epoch, self._tells_copies = method, epoch, tells_copies
        self._tells_ages = tells_ages
        self._start = start
        self._abandoned = False
        self._hosts = range(len(placement.threads))
        self._orders = [f"{name}-orders-{host}" for host in self._hosts]
        self._reports = f"{name}-reports"
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        names = [*self._orders, self._reports]
        self._queues = [Queue(queue_name, client=client) for queue_name in names]
        loop = client.loop.asyncio_loop  # type: ignore[union-attr]
        # Not a method of ours: line and watch would keep each other, and the futures with them.
        self._line = Line(client.scheduler, loop, self._reports, _into(self._inbox))

    @property
    def owner(self) -> list[int]:
        """The host of each block."""
        return self.placement.owner

    @property
    def mailboxes(self) -> list[str]:
        """The mailboxes between hosts, those in use most first."""
        kinds = Counter(
            kind
            for here, kinds in enumerate(self.routes)
            for there, kind in enumerate(kinds)
            if here != there
        )
        return [kind for kind, _ in kinds.most_common()]

    def begin(self, check: Callable[[], None]) -> None:
        """Start the hosts and wait until every mailbox is open; ``check`` may raise meanwhile."""
        self.futures = [self._launch(host) for host in self._hosts]
        waiting = set(self._hosts)
        while waiting:
            try:
                report = self._inbox.get(timeout=0.5)
            except queue.Empty:
                raise_failures(self.futures)
                check()
                continue
            if isinstance(report, Hello):
                waiting.discard(report.host)

    def next_report(self) -> Any:
        """The next report of a host; None when none came for a tick."""
        try:
            return self._inbox.get(timeout=TICK)
        except queue.Empty:
            return None

    # After the end

    @property
    def is_complete(self) -> bool:
        """Whether every host has returned its result."""
        return all(future.status == "finished" for future in self.futures)

    def host_reports(self, alive: set[str], check: Callable[[], None]) -> list[HostReport]:
        """What the hosts on workers ``alive`` say of their work; ``check`` as for `settle`."""
        reports = [
            self._client.submit(itemgetter(1), future, workers=[thread.address], pure=False)
            for future, thread in zip(self.futures, self.placement.threads, strict=True)
            if thread.address in alive and future.status == "finished"
        ]
        return results(self._client, reports, check)

    def returned(self, alive: set[str]) -> set[int]:
        """The hosts whose results are there, if the workers that are ``alive`` have them."""
        threads = self.placement.threads
        return {
            host
            for host, future in enumerate(self.futures)
            if future.status == "finished" and threads[host].address in alive
        }

    def tell(self, command: Command) -> None:
        for name in self._orders:
            self._line.say(name, [command])

    def abandon(self) -> None:
        """Give up at once: there is no scheduler to talk to."""
        self._abandoned = True
        self._line.abandon()

    def end(self, command: Command, lost: Callable[[], set[str]]) -> None:
        """Give the last order, wait for the hosts, and clear away; those ``lost`` are given up."""
        if self._abandoned:
            return
        try:
            self.tell(command)
            for name in self._orders:
                self._line.end(name)
            self._await_end(lost)
        finally:
            self._line.end(self._reports)
            self._line.close()
            for q in self._queues:
                q.close()
            self._delete_variables()

    def _launch(self, host: int) -> Future:
        place = self.placement
        blocks, buddy = place.blocks_of(host), self.buddies[host]
        plan = HostPlan(
            run=self.name,
            host=host,
            owner=tuple(place.owner),
            blocks=tuple(blocks),
            exchanges=tuple(place.exchanges[p] for p in blocks),
            method=self._method,
            epoch=self._epoch,
            buddy=buddy,
            buddy_takes_posts=buddy is not None and self._sites[buddy].takes_posts,
            tells_copies=self._tells_copies,
            tells_ages=self._tells_ages,
            routes=self.routes[host],
            addresses=tuple(thread.address for thread in place.threads),
            queues=tuple(self._orders),
            reports=self._reports,
            report_interval=config.seconds("report-interval"),
            lease=config.seconds("lease"),
        )
        return self._client.submit(
            run_host,
            plan,
            [place.rows[p] for p in blocks],
            [place.rhs[p] for p in blocks],
            [self._start[p] for p in blocks],
            workers=[place.threads[host].address],
            key=f"{self.name}-host-{host}",
            pure=False,
        )

    def _await_end(self, lost: Callable[[], set[str]]) -> None:
        deadline = time.monotonic() + LAST_WORD
        while time.monotonic() < deadline:
            gone = lost()
            pending = [
                future
                for future, thread in zip(self.futures, self.placement.threads, strict=True)
                if future.status == "pending" and thread.address not in gone
            ]
            if not pending:
                break
            time.sleep(0.005)
        given_up = [future for future in self.futures if future.status == "pending"]
        if given_up:
            self._client.cancel(given_up, force=True)

    def _delete_variables(self) -> None:
        for source, routes in enumerate(self.routes):
            for target, kind in enumerate(routes):
                if kind != "variables" or source == target:
                    continue
                name = VariablesMailbox.name(self.name, source, target)
                Variable(name, client=self._client).delete()


def _into(inbox: queue.SimpleQueue[Any]) -> Callable[[list[Any]], None]:
    def take(messages: list[Any]) -> None:
        for message in messages:
            inbox.put(message)

    return take
