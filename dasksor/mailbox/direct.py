"""From worker to worker, by a handler that hosts put on their workers; no reply is awaited."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from distributed.protocol import to_serialize

from dasksor.mailbox import registry
from dasksor.mailbox.inbox import keep_newest
from dasksor.mailbox.pump import Pump
from dasksor.messages import Peer

HANDLER = "dasksor_post"


def _receive(run: str, host: int, messages: Iterable[Any]) -> None:
    # A host that has left reads nothing more, and a run that has ended is refused with it.
    registry.deliver(run, host, messages)


def install(worker: Any) -> None:
    """Let ``worker`` take posts.

    The handler stays: messages that come after the end would be logged as errors without it.
    """
    worker.handlers[HANDLER] = _receive


def is_blocked(worker: Any) -> bool:
    """Whether the operator has forbidden our handler on this worker."""
    return HANDLER in worker.blocked_handlers


class DirectMailbox:
    """One host's way to hosts of other workers; ``addresses[h]`` is the worker of host ``h``."""

    def __init__(self, worker: Any, loop: Any, run: str, addresses: Sequence[str]) -> None:
        self._worker, self._loop, self._run, self._addresses = worker, loop, run, addresses
        # One for each host: a worker that is gone or hangs must not keep the others waiting.
        self._pumps: dict[int, Pump] = {}
        self.messages = self.bytes_sent = 0
        install(worker)

    def post(self, host: int, messages: Sequence[Peer]) -> None:
        if host not in self._pumps:
            self._pumps[host] = Pump(self._loop, partial(self._send, host))
        self._pumps[host].put([messages])

    def close(self) -> None:
        # A run ends when nobody needs what is still on its way, and a worker that is gone would
        # be called for half a minute.
        for pump in self._pumps.values():
            pump.abandon()

    async def _send(self, host: int, items: list[Sequence[Peer]]) -> None:
        # What has gathered while the last sending was under way: only the newest of each slot.
        newest: dict[tuple, Peer] = {}
        for messages in items:
            keep_newest(newest, messages)
        await self._deliver(host, list(newest.values()))

    async def _deliver(self, host: int, messages: list[Peer]) -> None:
        rpc = self._worker.rpc(self._addresses[host])
        try:
            post = getattr(rpc, HANDLER)
            data = to_serialize(messages)
            await post(reply=False, run=self._run, host=host, messages=data)
        except OSError:
            # The worker is gone or going; the monitor hears of it from the scheduler.
            return
        self.messages += len(messages)
        self.bytes_sent += sum(message.values.nbytes for message in messages)
