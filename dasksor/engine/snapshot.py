"""A vector frozen in all blocks at once, as one block sees it: its own part and halos to come."""

from __future__ import annotations

import numpy as np

from dasksor.messages import Halo
from dasksor.partition import Exchange

NO_EPOCH = -1


class Snapshot:
    """Collects the halos of the newest snapshot of one block.

    Halos may come before the block itself takes the snapshot, and more than once; those of older
    snapshots change nothing.
    """

    def __init__(self, index: int, exchange: Exchange) -> None:
        self.epoch = NO_EPOCH
        self.vector: np.ndarray | None = None
        self._index, self._exchange = index, exchange
        self._halos: dict[int, dict[int, Halo]] = {}
        self._awaited: set[int] = set()

    @property
    def is_complete(self) -> bool:
        """Whether a vector is here with every halo it needs."""
        return self.vector is not None and not self._awaited

    def take(self, epoch: int, vector: np.ndarray, own: slice) -> list[Halo]:
        """Freeze the local ``vector``, the block's part at ``own``; returns halos for others."""
        self.epoch, self.vector = epoch, vector
        takes = self._exchange.takes
        self._awaited = {q for q, place in takes.items() if place.stop > place.start}
        self._halos = {e: halos for e, halos in self._halos.items() if e >= epoch}
        halos = self.halos(vector[:, own])
        self._fill()
        return halos

    def halos(self, part: np.ndarray) -> list[Halo]:
        """What other blocks need of this block's ``part`` of the newest snapshot."""
        gives = self._exchange.gives
        cuts = {q: part[:, gives[q]].copy() for q in self._exchange.neighbours}
        return [
            Halo(self._index, q, self.epoch, values) for q, values in cuts.items() if values.size
        ]

    def receive(self, halo: Halo) -> None:
        """Take a halo."""
        if halo.epoch >= self.epoch:
            self._halos.setdefault(halo.epoch, {})[halo.source] = halo
            self._fill()

    def release(self) -> np.ndarray:
        """The complete vector; the snapshot forgets it."""
        assert self.vector is not None
        vector, self.vector = self.vector, None
        return vector

    def _fill(self) -> None:
        if self.vector is None:
            return
        for q, halo in self._halos.get(self.epoch, {}).items():
            self.vector[:, self._exchange.takes[q]] = halo.values
            self._awaited.discard(q)
