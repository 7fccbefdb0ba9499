"""A block of an accelerated run: cycles of free sweeps, each with a step at its end.

In a cycle a block sweeps over its own unknowns only, and waits for nobody. Then what all blocks
found is frozen, their halos exchanged, and every block computes its rows of a product exactly. The
leader adds the inner products and sends the step back (see `dasksor.engine.leader`). What is swept,
and what a step does, is a `Descent`'s.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from dasksor.engine.recall import Saved, kept
from dasksor.engine.snapshot import Snapshot
from dasksor.messages import CoarsePart, Cut, Cycle, Halo, Moments, Part, Piece, Reach, Stretch
from dasksor.partition import Exchange
from dasksor.rows import norms


class Descent(Protocol):
    """The vectors of one block; ``x`` are its unknowns, shape (nrhs, size)."""

    x: np.ndarray

    def begin(self, cycle: Cycle) -> Reach | None:
        """Do what comes before the passes, which start from no correction; what there is to say."""
        ...

    def sweep(self, omega: float, direction: int) -> None:
        """Make one pass over the correction."""
        ...

    def local(self, cut: Cut) -> np.ndarray:
        """A copy of what ``cut`` freezes, over all columns of the block, shape (k, columns)."""
        ...

    def residual(self, y: np.ndarray) -> np.ndarray:
        """The exact norms of the residual of the iterate, which is ``y`` with its halos."""
        ...

    def report(self, cycle: Cycle, y: np.ndarray) -> CoarsePart | Moments:
        """What the leader has to know of the vector ``y`` that the cycle froze."""
        ...


class CycleBlock:
    """The state of one block; messages as for `dasksor.engine.block.Block`.

    Parameters
    ----------
    index : int
        Block number.
    exchange : Exchange
        Its neighbours.
    b : ndarray, shape (nrhs, size)
        Its entries of the right-hand sides.
    descent : Descent
        Its vectors.
    own : slice
        Where its unknowns are among its columns.
    directions : tuple of int
        The passes of a cycle.
    """

    never_waits = has_unheard = False

    def __init__(
        self,
        index: int,
        exchange: Exchange,
        b: np.ndarray,
        descent: Descent,
        own: slice,
        *,
        directions: tuple[int, ...],
    ) -> None:
        self.index = index
        self.exchange = exchange
        self.version = 0
        self.outbox: list[Halo | Piece | Part] = []
        self._b, self._descent, self._own, self._directions = b, descent, own, directions
        self._cycle: Cycle | None = None
        self._begun = 0
        self._snapshot = Snapshot(index, exchange)
        self._report: Piece | Part | None = None
        self._frozen = np.zeros((0, 0))
        self.measured: dict[int, Saved] = {}

    def resume(self, epoch: int, parts: dict[int, Saved]) -> None:
        """Go on from iterate ``epoch``, with no directions; ``parts`` are by epoch."""
        self.measured = dict(parts)
        self.version = parts[epoch].version
        self._descent.x = parts[epoch].x.copy()
        self._snapshot.epoch = epoch

    @property
    def own(self) -> np.ndarray:
        """The block's unknowns as they are now, shape (nrhs, size)."""
        return self._descent.x

    @property
    def ages(self) -> dict[int, int]:
        """Passes of a cycle use nobody else's values."""
        return {}

    # What may be done next

    @property
    def ready(self) -> bool:
        """Whether a pass of this cycle is left to do."""
        cycle = self._cycle
        return cycle is not None and self._passes < cycle.passes

    @property
    def can_measure(self) -> bool:
        """Whether the snapshot has every halo it needs."""
        return self._snapshot.is_complete

    @property
    def _passes(self) -> int:
        return self.version - self._begun

    def has_finished(self, q: int) -> bool:
        """Neighbours never have to be waited for."""
        return True

    def sweep(self) -> None:
        """Make one pass over the correction; freeze it after the last one."""
        assert self._cycle is not None
        self._descent.sweep(self._cycle.omega, self._directions[self._passes])
        self.version += 1
        if not self.ready:
            self._freeze()

    def measure(self) -> None:
        """Compute with the frozen vector what the cycle asks for, and report it."""
        assert self._cycle is not None
        y = self._frozen = self._snapshot.release()
        if self._cycle.cut is Cut.ITERATE:
            self._say(self._piece(y))
        else:
            self._say(self._descent.report(self._cycle, y))

    def repeat(self) -> None:
        """Send again the halos of the present snapshot, and what was reported of it."""
        snapshot = self._snapshot
        if snapshot.vector is not None:
            self.outbox += snapshot.halos(snapshot.vector[:, self._own])
        elif self._report is not None:
            self.outbox += [*snapshot.halos(self._frozen[:, self._own]), self._report]

    # What comes in

    def receive(self, message: Halo | Cycle | Stretch) -> None:
        """Take a message; older and repeated ones change nothing."""
        if isinstance(message, Halo):
            self._snapshot.receive(message)
        elif isinstance(message, Stretch):
            self.measured = kept(self.measured, message)
        elif self._cycle is None or message.epoch > self._cycle.epoch:
            self._begin(message)

    def _begin(self, cycle: Cycle) -> None:
        self._cycle, self._begun, self._report = cycle, self.version, None
        found = self._descent.begin(cycle)
        if found is not None:
            self._say(found)
        elif cycle.cut is not Cut.CORRECTION:
            self._freeze()

    def _freeze(self) -> None:
        assert self._cycle is not None
        vector = self._descent.local(self._cycle.cut)
        self.outbox += self._snapshot.take(self._cycle.epoch, vector, self._own)

    def _say(self, report: Piece | Part) -> None:
        self._report = report
        self.outbox.append(report)

    def _piece(self, y: np.ndarray) -> Piece:
        epoch = self._snapshot.epoch
        residual = self._descent.residual(y)
        self.measured[epoch] = Saved(y[:, self._own].copy(), self.version)
        return Piece(self.index, epoch, self.version, 0.0, 0.0, residual, norms(self._b))
