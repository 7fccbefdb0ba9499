"""Results of futures, and their failures without the futures."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from distributed import Client, Future, as_completed


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


def settle(futures: Sequence[Future]) -> None:
    """Wait for the ``futures``; raise the first failure."""
    # `distributed.wait` would need a current client, and to set one is not safe among threads.
    for _ in as_completed(futures, loop=futures[0].client.loop):
        pass
    raise_failures(futures)


def results(client: Client, futures: Sequence[Future]) -> list[Any]:
    """The values of the ``futures``; raises the first failure."""
    settle(futures)
    return client.gather(futures)
