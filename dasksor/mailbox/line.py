"""Orders out and reports in, through Queues of the scheduler.

Each party reads one queue. A blocked read is never cut short: the scheduler would hand the next
item to the reader that is gone. The client ends every reading with the word `END`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from distributed.protocol import to_serialize

from dasksor.mailbox.pump import Pump

END = "end"


class Line:
    """One party's end: `say` puts messages into another's queue, ``hear`` gets one's own.

    Parameters
    ----------
    scheduler
        The connection that a Client or a Worker has to the scheduler.
    loop : asyncio.AbstractEventLoop
        Where that connection lives; ``hear`` is called there and must not block.
    queue : str
        The queue that this party reads; the client has made it.
    hear : callable
        Receives each list of messages.
    """

    def __init__(
        self,
        scheduler: Any,
        loop: asyncio.AbstractEventLoop,
        queue: str,
        hear: Callable[[list[Any]], None],
    ) -> None:
        self._scheduler = scheduler
        self._queue, self._hear = queue, hear
        self._pump = Pump(loop, self._send)
        self._listening = asyncio.run_coroutine_threadsafe(self._listen(), loop)

    def say(self, queue: str, messages: list[Any]) -> None:
        """Send without waiting; raises what an earlier sending raised."""
        self._pump.put([(queue, messages)])

    def end(self, queue: str) -> None:
        """End the listening of the party that reads ``queue``."""
        self._pump.put([(queue, END)])

    def check(self) -> None:
        """Raise what ended the listening, if anything did."""
        if self._listening.done():
            self._listening.result()

    def close(self, timeout: float = 10.0) -> None:
        """Wait until everything is said and the listening has met its end."""
        self._pump.close(timeout)
        self._listening.result(timeout)

    def abandon(self) -> None:
        """Stop listening at once; what is still to be said may be lost."""
        self._listening.cancel()

    async def _send(self, items: list[tuple[str, Any]]) -> None:
        for queue, messages in items:
            await self._scheduler.queue_put(name=queue, data=to_serialize(messages), timeout=None)

    async def _listen(self) -> None:
        while True:
            first = await self._scheduler.queue_get(name=self._queue, timeout=None, batch=False)
            if self._ends([first]):
                return
            rest = await self._scheduler.queue_get(name=self._queue, timeout=None, batch=True)
            if rest and self._ends(rest):
                return

    def _ends(self, records: list[dict[str, Any]]) -> bool:
        heard = [record["value"] for record in records]
        self._hear([message for said in heard if said != END for message in said])
        return END in heard
