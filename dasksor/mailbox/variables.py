"""Through the scheduler: a Variable for each pair of hosts, the reader's Queue as its bell.

A Variable keeps the newest value until it is overwritten, so it always carries the newest message
of every slot between the two hosts: a reader that comes late or misses a ring loses nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from distributed.protocol import to_serialize

from dasksor.mailbox.inbox import Inbox, keep_newest
from dasksor.mailbox.pump import Pump
from dasksor.messages import Peer


class Ring(NamedTuple):
    """There is something new in the Variable from ``source``."""

    source: int


class VariablesMailbox:
    """One host's mailbox; `answer` has to be called with every `Ring` the host hears."""

    def __init__(
        self, scheduler: Any, loop: Any, run: str, host: int, inbox: Inbox, queues: Sequence[str]
    ) -> None:
        self._scheduler, self._run, self._host = scheduler, run, host
        self._inbox, self._queues = inbox, queues
        self._edges: dict[int, dict[tuple, Peer]] = defaultdict(dict)
        self._sending = Pump(loop, self._send)
        self._fetching = Pump(loop, self._fetch)
        self.messages = self.bytes_sent = 0

    @staticmethod
    def name(run: str, source: int, target: int) -> str:
        """The Variable's name."""
        return f"{run}-{source}-{target}"

    def post(self, host: int, messages: Sequence[Peer]) -> None:
        self._sending.put([(host, messages)])

    def answer(self, rings: Sequence[Ring]) -> None:
        """Fetch what was rung for."""
        self._fetching.put([ring.source for ring in rings])

    def close(self) -> None:
        self._sending.close()
        self._fetching.close()

    async def _send(self, items: list[tuple[int, Sequence[Peer]]]) -> None:
        touched = set()
        for host, messages in items:
            keep_newest(self._edges[host], messages)
            touched.add(host)
        for host in touched:
            bundle = list(self._edges[host].values())
            name = self.name(self._run, self._host, host)
            await self._scheduler.variable_set(name=name, data=to_serialize(bundle), timeout=30)
            ring = to_serialize([Ring(self._host)])
            await self._scheduler.queue_put(name=self._queues[host], data=ring, timeout=None)
            self.messages += len(bundle)
            self.bytes_sent += sum(message.values.nbytes for message in bundle)

    async def _fetch(self, sources: list[int]) -> None:
        for source in set(sources):
            name = self.name(self._run, source, self._host)
            record = await self._scheduler.variable_get(name=name, client=None, timeout=30)
            self._inbox.put(record["value"])
