"""Carries what a run says to the scheduler: one way, and never waited for while the run goes on."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import Future
from typing import Any

from distributed import Client

TOPIC = "dasksor"
# The last words of a run wait this long for those before them, and to be taken.
PATIENCE = 2.0


class Wire:
    """Logs events on the scheduler of ``client``, one at a time.

    A beat that finds the one before it still on its way is dropped, so a slow scheduler is never
    flooded; its measurements go with the next one. Beginning and end are never dropped.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._on_its_way: Future[Any] | None = None
        self._history: list[Any] = []

    def say(self, event: dict[str, Any]) -> None:
        """Send ``event``, of plain numbers, strings, lists and dicts, and return."""
        if event["what"] == "beat":
            event["history"] = self._history = [*self._history, *event["history"]]
            if self._on_its_way is not None and not self._on_its_way.done():
                return
            self._history = []
        else:
            self._settle()
        loop = self._client.loop.asyncio_loop  # type: ignore[union-attr]
        sending = self._client.scheduler.log_event(topic=TOPIC, msg=event)  # type: ignore[union-attr]
        self._on_its_way = asyncio.run_coroutine_threadsafe(sending, loop)
        if event["what"] == "end":
            self._settle()

    def _settle(self) -> None:
        # Whoever looks on may miss something, but no solve fails or hangs for it.
        if self._on_its_way is not None:
            with contextlib.suppress(Exception):
                self._on_its_way.result(PATIENCE)
