"""Asynchronous mode, seen from the client: starts the hosts, carries reports to the monitor."""

from __future__ import annotations

import queue
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import dask.array as da
import numpy as np
from dask import delayed
from distributed import Client, Future, Queue, Variable

from dasksor import config
from dasksor.engine.course import Course
from dasksor.engine.futures import raise_failures, settle
from dasksor.engine.method import Method
from dasksor.engine.outcome import Outcome, Timings
from dasksor.engine.placement import Placement
from dasksor.engine.tasks import HostPlan, HostReport, run_host
from dasksor.mailbox.line import Line
from dasksor.mailbox.routes import routes_from
from dasksor.mailbox.variables import VariablesMailbox
from dasksor.messages import Command, Hello, Stop
from dasksor.status import Status

TICK = 0.05
ROLL_CALL = 1.0
# An order that is repeated asks blocks to send again what may have been lost, and renews leases.
REPEAT = 2.0


class Run:
    """One asynchronous solve on a cluster."""

    def __init__(
        self,
        placement: Placement,
        course: Course,
        client: Client,
        *,
        method: Method,
        mailbox: str,
    ) -> None:
        self.name = f"dasksor-{uuid.uuid4().hex[:12]}"
        sites = [placement.sites[thread.address] for thread in placement.threads]
        self._routes = [routes_from(here, sites, mailbox) for here in sites]
        self._placement, self._client = placement, client
        self._monitor = method.monitor(course, placement.partition.nblocks)
        self._method = method
        self._hosts = range(len(placement.threads))
        self._orders = [f"{self.name}-orders-{host}" for host in self._hosts]
        self._reports = f"{self.name}-reports"
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()

    @property
    def mailboxes(self) -> list[str]:
        """The mailboxes between hosts, those in use most first."""
        kinds = Counter(
            kind
            for here, kinds in enumerate(self._routes)
            for there, kind in enumerate(kinds)
            if here != there
        )
        return [kind for kind, _ in kinds.most_common()]

    def run(self, *, as_dask: bool) -> Outcome:
        """Solve; the answer comes here, or stays on the workers as a Dask array."""
        names = [*self._orders, self._reports]
        queues = [Queue(name, client=self._client) for name in names]
        loop = self._client.loop.asyncio_loop  # type: ignore[union-attr]
        line = Line(self._client.scheduler, loop, self._reports, self._take)
        futures: list[Future] = []
        try:
            futures = [self._start(host) for host in self._hosts]
            self._preside(futures, line)
        except BaseException:
            # Whatever went wrong, no host may go on sweeping.
            self._dismiss(line, Stop(None))
            raise
        finally:
            self._await_end(futures)
            line.end(self._reports)
            line.close()
            for q in queues:
                q.close()
            self._delete_variables()
        return self._outcome(futures, as_dask)

    def _start(self, host: int) -> Future:
        place = self._placement
        blocks = place.blocks_of(host)
        plan = HostPlan(
            run=self.name,
            host=host,
            owner=tuple(place.owner),
            blocks=tuple(blocks),
            exchanges=tuple(place.exchanges[p] for p in blocks),
            method=self._method,
            routes=self._routes[host],
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
            [place.start[p] for p in blocks],
            workers=[place.threads[host].address],
            key=f"{self.name}-host-{host}",
            pure=False,
        )

    def _take(self, messages: Sequence[Any]) -> None:
        for message in messages:
            self._inbox.put(message)

    def _preside(self, futures: list[Future], line: Line) -> None:
        """Pass reports to the monitor and its orders to the hosts until it says stop."""
        self._await_hosts(futures)
        began = roll_call = spoken = time.monotonic()
        command: Command | None = self._monitor.order
        while not isinstance(command, Stop):
            now = time.monotonic()
            if command is not None or now - spoken > REPEAT:
                self._tell(line, command or self._monitor.order)
                spoken = now
            if now - roll_call > ROLL_CALL:
                roll_call = now
                self._check(futures)
            command = self._next_command(futures, began)
        self._dismiss(line, command)

    def _next_command(self, futures: list[Future], began: float) -> Command | None:
        try:
            report = self._inbox.get(timeout=TICK)
            return self._monitor.receive(report, time.monotonic() - began)
        except queue.Empty:
            raise_failures(futures)
            return self._monitor.tick(time.monotonic() - began)
        except KeyboardInterrupt:
            return self._monitor.stop(Status.STOPPED)

    def _await_hosts(self, futures: list[Future]) -> None:
        waiting = set(self._hosts)
        while waiting:
            try:
                report = self._inbox.get(timeout=1.0)
            except queue.Empty:
                self._check(futures)
                continue
            if isinstance(report, Hello):
                waiting.discard(report.host)

    def _tell(self, line: Line, command: Command) -> None:
        for name in self._orders:
            line.say(name, [command])

    def _dismiss(self, line: Line, stop: Stop) -> None:
        for name in self._orders:
            line.say(name, [stop])
            line.end(name)

    def _check(self, futures: list[Future]) -> None:
        raise_failures(futures)
        alive = self._client.nthreads()
        lost = {thread.address for thread in self._placement.threads} - set(alive)
        if lost:
            raise RuntimeError(f"lost worker {', '.join(sorted(lost))} during the solve: run again")

    def _await_end(self, futures: list[Future]) -> None:
        """Wait for the hosts; those on lost workers are given up."""
        deadline = time.monotonic() + 30.0
        while any(f.status == "pending" for f in futures) and time.monotonic() < deadline:
            alive = self._client.nthreads()
            if any(t.address not in alive for t in self._placement.threads):
                self._client.cancel(futures, force=True)
                return
            time.sleep(0.005)

    def _delete_variables(self) -> None:
        for source, routes in enumerate(self._routes):
            for target, kind in enumerate(routes):
                if kind != "variables" or source == target:
                    continue
                name = VariablesMailbox.name(self.name, source, target)
                Variable(name, client=self._client).delete()

    def _outcome(self, futures: list[Future], as_dask: bool) -> Outcome:
        settle(futures)
        place = self._placement
        reports: list[HostReport] = self._client.gather(
            [self._client.submit(itemgetter(1), f, pure=False) for f in futures]
        )
        if as_dask:
            parts = [
                da.from_delayed(
                    delayed(_part)(futures[place.owner[p]], p), (place.nrhs, size), np.float64
                )
                for p, size in enumerate(place.partition.sizes)
            ]
            x = da.concatenate(parts, axis=1)
        else:
            answers: dict[int, np.ndarray] = {}
            for answer, _ in self._client.gather(futures):
                answers.update(answer)
            x = np.concatenate([answers[p] for p in range(place.partition.nblocks)], axis=1)
        swept: dict[int, Timings] = {}
        for report in reports:
            swept.update(report.blocks)
        blocks = [swept[p] for p in sorted(swept)]
        return Outcome(
            x,
            Timings.sum([*blocks, *(report.timings for report in reports)]),
            blocks,
            messages=sum(report.messages for report in reports),
            bytes_sent=sum(report.bytes_sent for report in reports),
        )


def _part(result: tuple[dict[int, np.ndarray], HostReport], block: int) -> np.ndarray:
    return result[0][block]
