"""Ctrl-C reaches every process of a terminal's group: it shall stop the solve, not its workers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

from distributed import Client

PATIENCE = 1.0

_guard = threading.Lock()
_before: list[Any] = []


def group() -> tuple[str, int] | None:
    """The process group of this process, and its machine; None where there is no such thing."""
    return (socket.gethostname(), os.getpgrp()) if hasattr(os, "getpgrp") else None


@contextlib.contextmanager
def shielded(client: Client) -> Iterator[None]:
    """Meanwhile worker processes in the process group of this one ignore SIGINT.

    Those that were started elsewhere, and are stopped from there, still listen.
    """
    client.run(_ignore, group(), on_error="ignore")
    try:
        yield
    finally:
        if client.status == "running":
            loop = client.loop.asyncio_loop  # type: ignore[union-attr]
            told = client._run(_listen, group(), on_error="ignore")
            # A worker that hangs must not keep us: it hears of it when it wakes.
            with contextlib.suppress(concurrent.futures.TimeoutError):
                asyncio.run_coroutine_threadsafe(told, loop).result(PATIENCE)


def _ignore(client: tuple[str, int] | None) -> None:
    if not _is_elsewhere(client):
        with _guard:
            _before.append(signal.signal(signal.SIGINT, signal.SIG_IGN))


def _listen(client: tuple[str, int] | None) -> None:
    if not _is_elsewhere(client):
        with _guard:
            # The first of several solves at once kept what was there before all of them.
            if _before:
                last = _before.pop()
                if not _before:
                    signal.signal(signal.SIGINT, last)


def _is_elsewhere(client: tuple[str, int] | None) -> bool:
    # Workers that are threads share the process of the client, which has to hear the signal.
    is_main = threading.current_thread() is threading.main_thread()
    return client is None or client != group() or not is_main
