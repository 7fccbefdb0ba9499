"""From a computing thread to coroutines on an event loop, without waiting."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable
from typing import Any


class Pump:
    """Hands what `put` receives to ``send`` on ``loop``, in order, all that has gathered at once.

    An exception in ``send`` is raised by the next `put` or by `close`.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, send: Callable[[list[Any]], Awaitable[None]]
    ) -> None:
        self._loop, self._send = loop, send
        self._lock = threading.Lock()
        self._items: list[Any] = []
        self._draining: concurrent.futures.Future | None = None

    def put(self, items: list[Any]) -> None:
        with self._lock:
            self._items += items
            if self._draining is None:
                self._draining = asyncio.run_coroutine_threadsafe(self._drain(), self._loop)
                return
            draining = self._draining
        if draining.done():
            draining.result()

    def close(self, timeout: float = 10.0) -> None:
        """Wait until all is sent; afterwards nothing can be put."""
        draining = self._draining
        if draining is not None:
            draining.result(timeout)
        # Who sends owns the pump: this cycle would keep both, and their arrays, until collected.
        del self._send

    def abandon(self) -> None:
        """Send nothing more, not even what waits."""
        draining = self._draining
        if draining is not None:
            draining.cancel()
        del self._send

    async def _drain(self) -> None:
        while True:
            with self._lock:
                items, self._items = self._items, []
                if not items:
                    self._draining = None
                    return
            await self._send(items)
