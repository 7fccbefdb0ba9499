"""Threads of this process that do the same work on different blocks, in step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Team:
    """``size`` members, each with a number; `meet` is the barrier between steps of their work.

    Threads that want the same team wait for each other.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._barrier = threading.Barrier(size)
        self._in_use = threading.Lock()

    def meet(self) -> None:
        """Wait until every member has come here."""
        if self.size > 1:
            self._barrier.wait()

    def run(self, work: Callable[[int], T]) -> list[T]:
        """What each member makes of ``work(number)``; the first error ends the work of all."""
        if self.size == 1:
            return [work(0)]
        with self._in_use:
            self._barrier.reset()
            with ThreadPoolExecutor(self.size, thread_name_prefix="dasksor-team") as pool:
                futures = [pool.submit(self._guarded, work, number) for number in range(self.size)]
                try:
                    errors = [error for future in futures if (error := future.exception())]
                except BaseException:
                    # Interrupted while the members work: they end where they would meet.
                    self._barrier.abort()
                    raise
        for error in errors:
            if not isinstance(error, threading.BrokenBarrierError):
                raise error
        return [future.result() for future in futures]

    def _guarded(self, work: Callable[[int], T], number: int) -> T:
        try:
            return work(number)
        except BaseException:
            self._barrier.abort()
            raise
