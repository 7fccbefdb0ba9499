"""How long a message takes in each mailbox, and how many bytes it carries a second."""

from __future__ import annotations

import statistics
import time
import uuid
from typing import Any

import numpy as np
from distributed import Client, Queue, Variable, get_worker

from dasksor.mailbox.inbox import Inbox
from dasksor.mailbox.line import Line
from dasksor.mailbox.routes import Mail
from dasksor.mailbox.variables import Ring, VariablesMailbox
from dasksor.messages import Slice

AHEAD = 8  # messages on their way unseen


class _Player:
    """One host at a worker: posts to its partner and takes what comes."""

    def __init__(
        self, run: str, host: int, kind: str, addresses: list[str], queues: list[str]
    ) -> None:
        worker: Any = get_worker()
        loop = worker.loop.asyncio_loop
        self.host, self.partner = host, host ^ 1
        self.queue, self.inbox = queues[host], Inbox()
        routes = (kind,) * len(addresses)
        self.mail = Mail(
            worker, loop, run, host, self.inbox,
            routes=routes, addresses=addresses, queues=queues,
        )  # fmt: skip
        self.line = Line(worker.scheduler, loop, self.queue, self.hear)

    def hear(self, messages: list[Any]) -> None:
        self.mail.answer([message for message in messages if isinstance(message, Ring)])

    def post(self, version: int, values: np.ndarray) -> None:
        self.mail.post(self.partner, [Slice(self.host, self.partner, version, values)])

    def newest(self, timeout: float = 0.0) -> int | None:
        """The version that has come last; None after ``timeout`` seconds without one."""
        return max((message.version for message in self.inbox.take(timeout)), default=None)

    def play(self, size: int, seconds: float) -> list[float]:
        """Times of round trips, as the even host of each pair sees them."""
        trips: list[float] = []
        values, began = np.ones(size // 8), time.perf_counter()
        version, sent = 0, began
        if self.host % 2 == 0:
            self.post(version, values)
        while (now := time.perf_counter()) - began < 1.25 * seconds:
            heard = self.newest(0.1)
            if heard is None or heard < version:
                continue
            now = time.perf_counter()
            if self.host % 2 == 0:
                if sent - began > 0.25 * seconds:
                    trips.append(now - sent)
                version, sent = heard + 1, now
            else:
                version = heard
            self.post(version, values)
        return trips

    def stream(self, size: int, seconds: float) -> float:
        """Bytes that arrived in a second, as the odd host of each pair sees them."""
        values, seen = np.ones(size // 8), np.ones(1)
        began, version, known, arrived = time.perf_counter(), 0, 0, 0
        while (now := time.perf_counter()) - began < 1.25 * seconds:
            if self.host % 2 == 0:
                if version - known < AHEAD:
                    version += 1
                    self.post(version, values)
                known = max(known, self.newest(0.1 * (version - known == AHEAD)) or 0)
            elif (heard := self.newest(0.1)) is not None:
                arrived += size * (now - began > 0.25 * seconds)
                self.post(heard, seen)
        return arrived / seconds

    def close(self) -> None:
        self.line.end(self.queue)
        self.line.close()
        self.mail.close()


def _enter(*about: Any) -> None:
    worker: Any = get_worker()
    worker.player = _Player(*about)


def _act(what: str, *args: Any) -> Any:
    worker: Any = get_worker()
    return getattr(worker.player, what)(*args)


def match(
    client: Client, kind: str, size: int, count: int = 2, seconds: float = 0.8
) -> tuple[float, float]:
    """Median half round trip in seconds, and bytes a second of all pairs together.

    Parameters
    ----------
    client : distributed.Client
        Of a cluster with workers of one thread.
    kind : str
        The mailbox.
    size : int
        Bytes of a message.
    count : int
        Workers, even: they play in pairs, all at once.
    seconds : float
        How long each of the two is measured, after a quarter of that.

    Notes
    -----
    Throughput is what arrives when one of each pair posts without waiting for more than its last 8
    messages to be seen; what is overtaken does not count.
    """
    addresses = sorted(client.nthreads())[:count]
    run = f"dasksor-{uuid.uuid4().hex[:12]}"
    names = [f"{run}-orders-{host}" for host in range(count)]
    queues = [Queue(name, client=client) for name in names]

    def everywhere(function: Any, *args: Any) -> Any:
        futures = [client.submit(function, *args, workers=[a], pure=False) for a in addresses]
        return client.gather(futures)

    client.gather(
        [
            client.submit(_enter, run, host, kind, addresses, names, workers=[a], pure=False)
            for host, a in enumerate(addresses)
        ]
    )
    trips = [trip for trips in everywhere(_act, "play", size, seconds) for trip in trips]
    rate = sum(everywhere(_act, "stream", size, seconds))
    everywhere(_act, "close")
    for queue in queues:
        queue.close()
    if kind == "variables":
        for host in range(count):
            name = VariablesMailbox.name(run, host, host ^ 1)
            Variable(name, client=client).delete()
    return statistics.median(trips) / 2 if trips else float("nan"), rate
