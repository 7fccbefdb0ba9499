"""Which workers are there, which have gone, and which only seem to be there."""

from __future__ import annotations

import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from dask.system import cpu_count
from distributed import Client

from dasksor import config
from dasksor.engine.placement import Thread, worker_threads
from dasksor.errors import BlockError, SchedulerLostError, WorkersLostError

T = TypeVar("T")

CALL_EVERY = 0.3
LISTEN_EVERY = 2.0
# Threads beyond the cores of their machine take turns, and every message waits for a turn. But of
# two processes each should keep copies for the other.
LEAST_USED = 2
# An error may reach us before the news of the loss that caused it.
NEWS = 1.0
# What a loss does not cause; it may cause anything else, even a KeyError of the scheduler.
OTHER_CAUSES = (SchedulerLostError, BlockError, ValueError, TypeError)


class Roll:
    """The workers of a cluster, called now and then.

    ``advice`` ends the messages of what cannot be mended.

    A worker counts as hung when the scheduler has had no heartbeat from it for the configured
    time; it is not used again.
    """

    def __init__(self, client: Client, advice: str) -> None:
        self._client, self._advice = client, advice
        self._patience = config.seconds("hang")
        self._hung: set[str] = set()
        self._alive: dict[str, int] = {}
        self._called = self._listened = 0.0
        self._machines: dict[str, tuple[str, int]] = {}
        self._heartbeats: dict[str, tuple[float, float]] = {}

    def alive(self, *, at_once: bool = False) -> set[str]:
        """Addresses of the workers that can work, from a call not long ago or ``at_once``.

        Raises
        ------
        SchedulerLostError
        """
        now = time.monotonic()
        if at_once or now - self._called > CALL_EVERY:
            self._alive = self._ask(self._client.nthreads)
            self._called = time.monotonic()
        if now - self._listened > LISTEN_EVERY:
            self._listen()
            self._listened = time.monotonic()
        return set(self._alive) - self._hung

    def gone(self, threads: Sequence[Thread], *, at_once: bool = False) -> set[str]:
        """The workers of ``threads`` that cannot work any more."""
        return {thread.address for thread in threads} - self.alive(at_once=at_once)

    def check(self, threads: Sequence[Thread]) -> None:
        """Raise `WorkersLostError` when workers of ``threads`` are gone."""
        gone = self.gone(threads)
        if gone:
            raise WorkersLostError(f"lost worker {', '.join(sorted(gone))} during the solve")

    def persist(self, attempt: Callable[[list[Thread]], T], laggards: Collection[Thread] = ()) -> T:
        """What ``attempt`` makes of `threads`; anew when it fails by a loss."""
        while True:
            threads, around = self.threads(laggards), self.alive()
            try:
                return attempt(threads)
            except OTHER_CAUSES:
                raise
            except Exception:
                if not self.hears_of_a_loss(around):
                    raise

    def hears_of_a_loss(self, around: set[str]) -> bool:
        """Whether, after an error, a worker of those that were ``around`` turns out to be gone."""
        deadline = time.monotonic() + NEWS
        while not around - self.alive(at_once=True):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def threads(self, laggards: Collection[Thread] = ()) -> list[Thread]:
        """The threads to be used, of workers that can work; waits for one when there is none.

        On each machine they are as many as its cores. The ``laggards`` are used where no other
        thread is to spare.

        Raises
        ------
        RuntimeError
            No worker came within the configured time.
        """
        patience = config.seconds("worker-wait")
        deadline = time.monotonic() + patience
        while not self.alive(at_once=True):
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"all workers are lost, and none came within {patience:.0f} s: {self._advice}"
                )
            time.sleep(0.1)
        alive = self.alive()
        threads = [thread for thread in worker_threads(self._client) if thread.address in alive]
        return self._with_cores(threads, laggards)

    def _with_cores(self, threads: Sequence[Thread], laggards: Collection[Thread]) -> list[Thread]:
        unknown = sorted({thread.address for thread in threads} - set(self._machines))
        if unknown:
            self._machines |= self._client.run(_machine, workers=unknown, on_error="ignore")
        taken: Counter[str] = Counter()
        chosen = set()
        # One of each process before a second one of any.
        for thread in sorted(threads, key=lambda thread: (thread in laggards, thread.slot)):
            machine, room = self._machines.get(thread.address, ("", 0))
            if taken[machine] < room:
                taken[machine] += 1
                chosen.add(thread)
        return [thread for thread in threads if thread in chosen]

    def _ask(self, question: Callable[[], Any]) -> Any:
        status = self._client.status
        if status != "running":
            raise SchedulerLostError(
                f"lost the scheduler during the solve, the client is {status}: {self._advice}"
            )
        try:
            return question()
        except OSError as error:
            raise SchedulerLostError(
                f"lost the scheduler during the solve, {error}: {self._advice}"
            ) from error

    def _listen(self) -> None:
        # The scheduler's clock may differ from ours: what counts is when its reading last changed.
        now = time.monotonic()
        client = self._client
        identity = self._ask(lambda: client.sync(client.scheduler.identity))  # type: ignore[union-attr]
        for address, facts in identity["workers"].items():
            seen, since = self._heartbeats.get(address, (0.0, now))
            if facts["last_seen"] != seen:
                since = now
            self._heartbeats[address] = facts["last_seen"], since
            if now - since > self._patience:
                self._hung.add(address)


def _machine() -> tuple[str, int]:
    """The machine of a worker, and how many threads there are to be used; runs there."""
    return f"{socket.gethostname()}-{uuid.getnode()}", max(LEAST_USED, cpu_count())
