"""Results of futures, and their failures without the futures."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

from distributed import Client, Future


def raise_failures(futures: Sequence[Future]) -> None:
    """Raise a copy of the first failure, if any of the ``futures`` has ended in one.

    A copy, because a client keeps the exception of a future for as long as the future lives, and
    the traceback of a raised one keeps every future in our frames: neither would ever go.
    """
    for future in futures:
        if future.status == "error":
            raise copy.copy(future.exception()).with_traceback(None)
        if future.status in ("cancelled", "lost"):
            raise RuntimeError(
                f"lost task {future.key} during the solve, with its worker or its data: run again"
            )


def settle(futures: Sequence[Future], check: Callable[[], None] = lambda: None) -> None:
    """Wait for the ``futures``; raise the first failure.

    ``check`` is called all the while and may raise: a task that is bound to a worker waits for
    ever when that worker is gone.
    """
    # `distributed.wait` would need a current client, and to set one is not safe among threads.
    pause = 0.001
    while any(future.status == "pending" for future in futures):
        check()
        time.sleep(pause)
        pause = min(1.2 * pause, 0.02)
    raise_failures(futures)


def fetch(
    client: Client, futures: Sequence[Future], check: Callable[[], None] = lambda: None
) -> list[Any]:
    """The values of the ``futures``; raises the first failure, or what ``check`` raises.

    Also on their way here values may be lost with their worker, and never come.
    """
    settle(futures, check)
    loop = client.loop.asyncio_loop  # type: ignore[union-attr]
    coming = asyncio.run_coroutine_threadsafe(
        client.gather(futures, asynchronous=True),  # type: ignore[arg-type]
        loop,
    )
    try:
        while True:
            try:
                return coming.result(timeout=0.2)
            except concurrent.futures.TimeoutError:
                check()
    finally:
        coming.cancel()


def results(client: Client, futures: Sequence[Future]) -> list[Any]:
    """The values of the ``futures``; raises the first failure."""
    settle(futures)
    return client.gather(futures)
