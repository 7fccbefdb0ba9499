"""Which thread should have how many blocks, by the speeds that were seen."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

import numpy as np

from dasksor.partition import Partition

Thread = TypeVar("Thread", bound=Hashable)

# Less work than this, in seconds, says little about the speed of a thread.
LONG_ENOUGH = 0.002
# A change of hands costs tenths of a second and the sweeps since the last snapshot.
WORTH_IT = 1.25


class Balance(Generic[Thread]):
    """Speeds of threads, and the shares that follow.

    Parameters
    ----------
    partition : Partition
    entries : sequence of int
        Stored entries of each block: its work.
    """

    def __init__(self, partition: Partition, entries: Sequence[int]) -> None:
        self._partition, self._entries = partition, entries
        self._speeds: dict[Thread, float] = {}

    def hear(self, thread: Thread, swept: float, busy: float) -> None:
        """Take word that ``thread`` swept so many rows in so many seconds of work."""
        if busy > LONG_ENOUGH and swept > 0:
            self._speeds[thread] = swept / busy

    @property
    def laggards(self) -> set[Thread]:
        """The threads for which one of the usual speed would be worth a change."""
        usual = self._usual_speed
        return {thread for thread, speed in self._speeds.items() if WORTH_IT * speed < usual}

    def shared(self, threads: Sequence[Thread]) -> tuple[list[Thread], list[int]]:
        """The threads that get blocks, and the owner of each block among them."""
        threads = list(threads)[: self._partition.nblocks]
        owner = self._partition.shared_by_speed(self._entries, self._all_speeds(threads))
        used = sorted(set(owner))
        return [threads[h] for h in used], [used.index(h) for h in owner]

    def is_worth_changing(
        self, threads: Sequence[Thread], owner: Sequence[int], candidates: Sequence[Thread]
    ) -> bool:
        """Whether sweeps would be much faster with the shares that ``candidates`` would get."""
        now = self._sweep_time(threads, owner)
        then = self._sweep_time(*self.shared(candidates))
        return now > WORTH_IT * then

    @property
    def _usual_speed(self) -> float:
        return float(np.median(list(self._speeds.values()))) if self._speeds else 1.0

    def _all_speeds(self, threads: Sequence[Thread]) -> list[float]:
        usual = self._usual_speed
        return [self._speeds.get(thread, usual) for thread in threads]

    def _sweep_time(self, threads: Sequence[Thread], owner: Sequence[int]) -> float:
        work = np.bincount(owner, weights=self._entries, minlength=len(threads))
        return float(np.max(work / self._all_speeds(threads)))
