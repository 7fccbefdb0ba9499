"""Snapshots that outlive a worker: which are safe, and where the run stood when they were taken."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dasksor.messages import Held, Order, Stretch

START = 0


class Saved(NamedTuple):
    """A block's part of a snapshot, shape (nrhs, size), and what it needs to go on from there."""

    x: np.ndarray
    version: int = 0
    change: float = 0.0


def kept(parts: dict[int, Any], order: Order | Stretch) -> dict[int, Any]:
    """What may still be asked for of ``parts``, which are by epoch."""
    return {e: part for e, part in parts.items() if e == order.keep or e >= order.oldest}


class Recall:
    """Which snapshot is safe: each block's part is kept on two workers.

    Parameters
    ----------
    nblocks : int
        How many copies make a snapshot safe.
    copied : bool
        False where there is but one process, which takes all copies with it: every snapshot is as
        safe as any. May change when blocks change hands.
    memo : object
        How the run stands at its start.
    """

    def __init__(self, nblocks: int, *, copied: bool, memo: Any) -> None:
        self.safe = START
        self._nblocks, self.copied = nblocks, copied
        self._held: dict[int, set[int]] = {}
        # By epoch: how the run stood after it, and the best snapshot then.
        self._memos: dict[int, tuple[Any, int]] = {START: (memo, START)}

    @property
    def newest(self) -> int:
        """The snapshot that was measured last."""
        return max(self._memos)

    @property
    def memo(self) -> Any:
        """How the run stood after the safe snapshot."""
        return self._memos[self.safe][0]

    @property
    def oldest(self) -> int:
        """The oldest snapshot that a return to the safe one needs."""
        return min(self.needed)

    @property
    def needed(self) -> set[int]:
        """The snapshots that a return to the safe one needs: itself, and the best one then."""
        return {self.safe, self._memos[self.safe][1]}

    @property
    def is_covered(self) -> bool:
        """Whether all that a return to the safe snapshot needs is kept twice, among these hosts."""
        return all(self._is_held(epoch) for epoch in self.needed)

    def known(self, epoch: int) -> tuple[Any, int] | None:
        """How the run stood after snapshot ``epoch``, and the best one then, if remembered."""
        return None if epoch == START else self._memos.get(epoch)

    def adopt(self, epoch: int, memo: Any, best: int) -> None:
        """Take snapshot ``epoch`` of an earlier run as the safe one."""
        self.safe = epoch
        self._memos[epoch] = memo, best

    def disperse(self) -> None:
        """Forget who keeps what: blocks go to other hosts, which make new copies.

        They go on from the safe snapshot, and later ones are taken anew, under the same numbers.
        """
        self._held = {}
        self._memos = {e: memo for e, memo in self._memos.items() if e <= self.safe}

    def start_over(self) -> None:
        """Go back to the start: too many workers were lost at once."""
        self.safe = START
        self._memos = {START: self._memos[START]}

    def remember(self, epoch: int, memo: Any, best: int) -> None:
        """Keep how the run stood after snapshot ``epoch``, when ``best`` was the best one."""
        if epoch == START:
            # Blocks that begin anew have nothing measured: they have to measure the start again.
            return
        self._memos[epoch] = memo, best
        self._settle(epoch)

    def hear(self, report: Held) -> None:
        """Take word of a copy."""
        if report.epoch >= self.oldest:
            self._held.setdefault(report.epoch, set()).add(report.block)
            self._settle(report.epoch)

    def _settle(self, epoch: int) -> None:
        if epoch < self.safe or epoch not in self._memos:
            return
        if self._is_held(epoch) and self._is_held(self._memos[epoch][1]):
            self.safe = epoch
            self._memos = {e: memo for e, memo in self._memos.items() if e >= epoch or e == START}
            self._held = {e: held for e, held in self._held.items() if e >= self.oldest}

    def _is_held(self, epoch: int) -> bool:
        # The start needs no copies: it is the user's.
        count = len(self._held.get(epoch, ()))
        return not self.copied or epoch == START or count == self._nblocks
