"""The way back after a watch: who kept what of the safe snapshot, and whether that is enough.

No input or output: runs on a cluster and in virtual time follow the same rules.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np

from dasksor.engine.recall import START, Recall, Saved


def buddies_of(processes: Sequence[Hashable]) -> list[int | None]:
    """For each host the next one in another process, or None where there is but one process."""
    count = len(processes)
    return [
        next(
            (
                there % count
                for there in range(host + 1, host + count)
                if processes[there % count] != processes[host]
            ),
            None,
        )
        for host in range(count)
    ]


def parts_needed(
    savings: Mapping[int, Mapping[int, Saved]],
    block: int,
    epochs: Iterable[int],
    start: np.ndarray | None,
) -> dict[int, Saved]:
    """What ``block`` needs to go on: its parts of ``epochs``, by epoch, from a host's savings.

    Nobody has to have kept the start, which is the user's.
    """
    return {
        epoch: savings[epoch][block] if epoch != START or start is None else Saved(start)
        for epoch in epochs
    }


class EndedWatch(Protocol):
    """Hosts that have returned their savings."""

    @property
    def owner(self) -> Sequence[int]:
        """The host of each block."""

    @property
    def buddies(self) -> Sequence[int | None]:
        """The host that kept copies for each host."""


W = TypeVar("W", bound=EndedWatch)


class Refuge(Generic[W]):
    """The ended watch whose hosts kept what a return to the safe snapshot needs.

    Attributes
    ----------
    watch : EndedWatch or None
        None where a run can only begin anew.
    """

    def __init__(self) -> None:
        self.watch: W | None = None

    def consider(self, watch: W, recall: Recall) -> None:
        """Take the ``watch`` that has just ended, unless only an earlier one kept enough."""
        if recall.is_covered:
            self.watch = watch

    def sources(self, recall: Recall, returned: Collection[int]) -> list[int]:
        """For each block a host of the refuge that has its parts; empty if blocks begin anew.

        ``returned`` are the hosts of the refuge whose savings are still there.
        """
        if self.watch is not None and recall.safe != START:
            owner, buddies = self.watch.owner, self.watch.buddies
            keepers = [[host for host in (h, buddies[h]) if host in returned] for h in owner]
            found = [host for hosts in keepers for host in hosts[:1] if host is not None]
            if len(found) == len(owner):
                return found
        # What is nowhere now will be nowhere later, also when another snapshot has become safe.
        self.watch = None
        return []
