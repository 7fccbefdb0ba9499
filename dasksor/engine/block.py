"""One block of rows as a state machine: what it knows, may do next, and has to say.

No input or output and no clock: messages come in through `receive`, go out through `outbox`. The
same object runs in the sequential solve (one block, no neighbours), in long-lived tasks on a
cluster, and in virtual time.

Pass ``k`` may begin when, for forward passes, every lower neighbour's values of pass ``k - s`` or
later and every upper neighbour's of ``k - 1 - s`` or later are here; backward passes exchange
lower and upper. With ``s = 0`` neighbours cannot run ahead, so this is SOR in the natural order,
bit for bit. With ``s = None`` nothing is waited for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dasksor.engine.recall import Saved, kept
from dasksor.engine.snapshot import Snapshot
from dasksor.messages import Halo, Order, Piece, Slice
from dasksor.partition import Exchange
from dasksor.rows import FORWARD, Rows, norms, residual_norms

NOTHING_HELD = -1


class Block:
    """The state of one block.

    Parameters
    ----------
    index : int
        Block number.
    rows : Rows
        Its rows of ``A``.
    exchange : Exchange
        Its neighbours.
    b, x0 : ndarray, shape (nrhs, size)
        Its entries of the right-hand sides and of the start.
    staleness : int or None
        How many passes old values may be; None for any age.
    directions : tuple of int
        The passes that make one sweep.

    Attributes
    ----------
    version : int
        Passes done.
    measured : dict
        Its parts of snapshots, by epoch.
    outbox : list
        Messages to send.
    """

    def __init__(
        self,
        index: int,
        rows: Rows,
        exchange: Exchange,
        b: np.ndarray,
        x0: np.ndarray,
        *,
        staleness: int | None = 0,
        directions: tuple[int, ...] = (FORWARD,),
    ) -> None:
        self.index = index
        self.exchange = exchange
        self.staleness = staleness
        self.version = 0
        self.until = 0
        self.change = self.before = 0.0
        self.outbox: list[Slice | Halo | Piece] = []
        self._rows = rows
        self._b = b
        self._x = np.zeros((len(b), rows.columns.size))
        self._own = slice(rows.own, rows.own + rows.size)
        self._x[:, self._own] = x0
        self._directions = directions
        self._omega = 0.0
        self._held = dict.fromkeys(exchange.neighbours, NOTHING_HELD)
        self._used: dict[int, int] = {}
        self._order: Order | None = None
        self._snapshot = Snapshot(index, exchange)
        self._taken = (0, 0.0, 0.0)
        self._piece: Piece | None = None
        self.measured: dict[int, Saved] = {}
        self._publish()

    def resume(self, epoch: int, parts: dict[int, Saved]) -> None:
        """Go on from snapshot ``epoch``, before anything has come in; ``parts`` are by epoch."""
        saved = parts[epoch]
        self.measured = dict(parts)
        self.version, self.change = saved.version, saved.change
        self._x[:, self._own] = saved.x
        self._snapshot.epoch = epoch
        self.outbox = []
        self._publish()

    @property
    def own(self) -> np.ndarray:
        """The block's unknowns as they are now, shape (nrhs, size)."""
        return self._x[:, self._own]

    @property
    def ages(self) -> dict[int, int]:
        """By neighbour: how many passes older than exact the values were that the last pass used.

        Negative where they were newer; empty before the first pass.
        """
        fresh = self._sides(self.version)[0]
        return {q: self.version - (q not in fresh) - used for q, used in self._used.items()}

    # What may be done next

    @property
    def never_waits(self) -> bool:
        """Whether any age of old values will do."""
        return self.staleness is None

    @property
    def has_unheard(self) -> bool:
        """Whether a neighbour has not been heard of yet."""
        return NOTHING_HELD in self._held.values()

    @property
    def ready(self) -> bool:
        """Whether the next pass may begin."""
        k = self.version + 1
        if k > self.until or self.has_unheard:
            return False
        if self.staleness is None:
            return True
        fresh, old = self._sides(k)
        oldest = k - self.staleness
        return all(self._held[q] >= oldest for q in fresh) and all(
            self._held[q] >= oldest - 1 for q in old
        )

    def has_finished(self, q: int) -> bool:
        """Whether neighbour ``q`` has done all passes there are to do for now."""
        return self._held[q] >= self.until

    @property
    def can_measure(self) -> bool:
        """Whether the snapshot has every halo it needs and waits for its residual."""
        return self._snapshot.is_complete

    def sweep(self) -> None:
        """Make one pass over the rows and publish."""
        self.version += 1
        self._used = dict(self._held)
        direction = self._direction(self.version)
        self.before = self.change
        (self.change,) = self._rows.sweep(self._x, self._b, self._omega, direction)
        self._publish()
        self._snapshot_if_due()

    def measure(self) -> None:
        """Report the exact residual of the snapshot; its vector is kept for the answer."""
        epoch, y = self._snapshot.epoch, self._snapshot.release()
        residual = residual_norms(self._rows, y, self._b)
        version, change, _ = self._taken
        self.measured[epoch] = Saved(y[:, self._own].copy(), version, change)
        self._piece = Piece(self.index, epoch, *self._taken, residual, norms(self._b))
        self.outbox.append(self._piece)

    def repeat(self) -> None:
        """Publish again what neighbours may have lost."""
        self._publish()

    # What comes in

    def receive(self, message: Slice | Halo | Order) -> None:
        """Take a message; older and repeated ones change nothing."""
        if isinstance(message, Slice):
            if message.version > self._held[message.source]:
                self._held[message.source] = message.version
                self._x[:, self.exchange.takes[message.source]] = message.values
        elif isinstance(message, Halo):
            self._snapshot.receive(message)
        elif self._order is None or message.number > self._order.number:
            self._obey(message)
        elif message == self._order:
            self._repeat_snapshot()

    def _obey(self, order: Order) -> None:
        self._order = order
        self.until = order.until
        self._omega = order.omega
        self.measured = kept(self.measured, order)
        self._snapshot_if_due()

    # Snapshots

    def _snapshot_if_due(self) -> None:
        order = self._order
        if order is None or order.at not in (None, self.version):
            return
        if order.epoch > self._snapshot.epoch:
            self._taken = (self.version, self.change, self.before)
            self.outbox += self._snapshot.take(order.epoch, self._x.copy(), self._own)

    def _repeat_snapshot(self) -> None:
        """An order that comes again says that halos or the piece have been lost."""
        snapshot = self._snapshot
        if snapshot.vector is not None:
            self.outbox += snapshot.halos(snapshot.vector[:, self._own])
        elif self._piece is not None and snapshot.epoch in self.measured:
            self.outbox += [*snapshot.halos(self.measured[snapshot.epoch].x), self._piece]

    # Helpers

    def _sides(self, k: int) -> tuple[Sequence[int], Sequence[int]]:
        """The neighbours that exact pass ``k`` uses values of pass ``k`` of, and of ``k - 1``."""
        lower, upper = self.exchange.lower, self.exchange.upper
        return (lower, upper) if self._direction(k) == FORWARD else (upper, lower)

    def _direction(self, k: int) -> int:
        return self._directions[(k - 1) % len(self._directions)]

    def _publish(self) -> None:
        for q in self.exchange.neighbours:
            values = self.own[:, self.exchange.gives[q]].copy()
            self.outbox.append(Slice(self.index, q, self.version, values))
