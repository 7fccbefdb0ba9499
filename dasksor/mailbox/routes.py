"""Which mailbox carries messages from one host to another."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from dasksor.mailbox import direct, registry, shared
from dasksor.mailbox.direct import DirectMailbox
from dasksor.mailbox.inbox import Inbox
from dasksor.mailbox.memory import MemoryMailbox
from dasksor.mailbox.shared import SharedMailbox
from dasksor.mailbox.variables import Ring, VariablesMailbox
from dasksor.messages import Peer

FASTEST_FIRST = ("memory", "shared", "direct", "variables")


class Site(NamedTuple):
    """Where a worker is, and what it lets through.

    Workers that name the same ``ground``, unless it is empty, can share memory.
    """

    machine: str
    process: int
    takes_posts: bool
    ground: str


def look_around(dask_worker: Any) -> Site:
    """The site of a worker; runs there."""
    machine = f"{socket.gethostname()}-{uuid.getnode()}"
    takes_posts = not direct.is_blocked(dask_worker)
    return Site(machine, os.getpid(), takes_posts, shared.ground())


def route(here: Site, there: Site) -> str:
    """The fastest mailbox from one site to another."""
    return next(kind for kind in FASTEST_FIRST if is_open(kind, here, there))


def is_open(kind: str, here: Site, there: Site) -> bool:
    """Whether mailbox ``kind`` works from one site to another."""
    return {
        "memory": here[:2] == there[:2],
        "shared": here.ground == there.ground != "",
        "direct": there.takes_posts,
        "variables": True,
    }[kind]


def routes_from(here: Site, sites: Sequence[Site], wanted: str) -> tuple[str, ...]:
    """The mailbox to each of ``sites``: the fastest, or ``wanted`` unless that is "auto".

    Raises
    ------
    ValueError
        ``wanted`` does not work for all of them.
    """
    if wanted == "auto":
        return tuple(route(here, there) for there in sites)
    if not all(is_open(wanted, here, there) for there in sites):
        why = {
            "memory": "needs all workers in one process, as in LocalCluster(processes=False)",
            "shared": "needs all workers on one Linux machine with x86-64, under one user",
            "direct": "needs workers that do not block its handler",
        }[wanted]
        raise ValueError(f"mailbox={wanted!r} {why}: use mailbox='auto'")
    return (wanted,) * len(sites)


class Mail:
    """All mailboxes of one host behind one `post`.

    Parameters
    ----------
    worker, loop
        The Dask worker and the event loop of its connections.
    run : str
    host : int
    inbox : Inbox
        Where this host reads.
    routes, addresses, queues : sequence of str
        For each host the mailbox to it, its worker, and its order queue.
    """

    def __init__(
        self,
        worker: Any,
        loop: Any,
        run: str,
        host: int,
        inbox: Inbox,
        *,
        routes: Sequence[str],
        addresses: Sequence[str],
        queues: Sequence[str],
    ) -> None:
        self._run, self._host, self._routes = run, host, routes
        self._boxes: dict[str, Any] = {}
        if "shared" in routes:
            self._boxes["shared"] = SharedMailbox(run, host, inbox)
        registry.enter(run, host, inbox)
        # All the others, also those that no route of this host uses: they are its ears as well,
        # and routes may differ between the two directions. Shared memory works in both or none.
        self._boxes |= {
            "memory": MemoryMailbox(run),
            "direct": DirectMailbox(worker, loop, run, addresses),
            "variables": VariablesMailbox(worker.scheduler, loop, run, host, inbox, queues),
        }

    def post(self, host: int, messages: Sequence[Peer]) -> None:
        """Send without waiting."""
        self._boxes[self._routes[host]].post(host, messages)

    def post_once(self, host: int, messages: Sequence[Peer]) -> None:
        """Send to another process what no later message will replace; a mailbox keeps slots."""
        self._boxes["direct"].post(host, messages)

    def answer(self, rings: Sequence[Ring]) -> None:
        """Fetch what other hosts have left in Variables."""
        self._boxes["variables"].answer(rings)

    @property
    def messages(self) -> int:
        return sum(box.messages for box in self._boxes.values())

    @property
    def bytes_sent(self) -> int:
        return sum(box.bytes_sent for box in self._boxes.values())

    def close(self) -> None:
        registry.leave(self._run, self._host)
        for box in self._boxes.values():
            box.close()
