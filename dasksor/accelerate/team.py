"""Threads of this process that do the same work on different blocks, in step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Team:
    """``size`` members, each with a number; `meet` is the barrier between steps of their work.

    One work at a time: that of another thread waits.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._barrier = threading.Barrier(size)
        self._turn = threading.Lock()

    def meet(self) -> None:
        """Wait until every member has come here."""
        if self.size > 1:
            self._barrier.wait()

    def run(self, work: Callable[[int], T]) -> list[T]:
        """What each member makes of ``work(number)``; the first error ends the work of all."""
        if self.size == 1:
            return [work(0)]
        name = "dasksor-team"
        with self._turn, ThreadPoolExecutor(self.size, thread_name_prefix=name) as pool:
            self._barrier.reset()
            futures = [pool.submit(self._guarded, work, number) for number in range(self.size)]
            errors = [error for future in futures if (error := future.exception()) is not None]
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
