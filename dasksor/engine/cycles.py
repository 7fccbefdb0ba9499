"""A block of an accelerated run: flexible conjugate directions over cycles of free sweeps.

Every block keeps its part of the iterate ``x``, of the residual ``r = b - A x``, and of a few
directions ``p_i`` with ``q_i = A p_i``. In a cycle it sweeps ``A z = r`` from ``z = 0`` over its
own unknowns only, and waits for nobody. Then the corrections of all blocks are frozen, their halos
exchanged, and every block computes its rows of ``A z`` exactly. The leader adds the inner products
and sends the step back (see `dasksor.engine.leader`).

Any ``z`` is allowed: the step is an exact line search along a direction made orthogonal to those
kept, so what it minimises never grows, whatever the blocks did (Notay 2000): the energy norm of the
error, or the norm of the residual (see `dasksor.engine.steps`).
"""

from __future__ import annotations

from collections import deque

import numpy as np

from dasksor.bounded_rows import BoundedRows
from dasksor.coarse import BlockOfCoarse, aggregates
from dasksor.engine.leader import LEADER
from dasksor.engine.recall import Saved, kept
from dasksor.engine.snapshot import Snapshot
from dasksor.engine.steps import StepRule
from dasksor.messages import CoarsePart, Cut, Cycle, Halo, Moments, Piece, Step, Stretch
from dasksor.partition import Exchange
from dasksor.rows import Rows, dots, norms


class CycleBlock:
    """The state of one block; messages as for `dasksor.engine.block.Block`.

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
    directions : tuple of int
        The passes of a cycle.
    rule : StepRule
        What a step minimises.
    """

    never_waits = has_unheard = False

    def __init__(
        self,
        index: int,
        rows: Rows,
        exchange: Exchange,
        b: np.ndarray,
        x0: np.ndarray,
        *,
        directions: tuple[int, ...],
        rule: StepRule,
    ) -> None:
        self.index = index
        self.exchange = exchange
        self.version = 0
        self.outbox: list[Halo | Piece | CoarsePart | Moments] = []
        # Corrections keep between the bounds, which are for x: products with A know none.
        self._bounded = rows if isinstance(rows, BoundedRows) else None
        self._rows = rows.free if isinstance(rows, BoundedRows) else rows
        self._b, self._directions, self._rule = b, directions, rule
        self._own = slice(rows.own, rows.own + rows.size)
        self._x = np.array(x0, dtype=np.float64)
        self._r = np.zeros_like(self._x)
        self._candidate = self._ahead = (np.zeros_like(self._x), np.zeros_like(self._x))
        self._left = self._r
        self._z = np.zeros((len(b), rows.columns.size))
        self._past: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=rule.kept)
        self._cycle: Cycle | None = None
        self._begun = 0
        self._snapshot = Snapshot(index, exchange)
        self._report: Piece | CoarsePart | Moments | None = None
        self._frozen = self._z
        self._coarse: BlockOfCoarse | None = None
        self.measured: dict[int, Saved] = {}

    def resume(self, epoch: int, parts: dict[int, Saved]) -> None:
        """Go on from iterate ``epoch``, with no directions; ``parts`` are by epoch."""
        self.measured = dict(parts)
        self.version = parts[epoch].version
        self._x = parts[epoch].x.copy()
        self._snapshot.epoch = epoch

    @property
    def own(self) -> np.ndarray:
        """The block's unknowns as they are now, shape (nrhs, size)."""
        return self._x

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
        direction = self._directions[self._passes]
        if self._bounded is None:
            self._rows.sweep(self._z, self._left, self._cycle.omega, direction)
        else:
            self._bounded.correct(self._z, self._x, self._left, self._cycle.omega, direction)
        self.version += 1
        if not self.ready:
            self._freeze(self._z.copy())

    def measure(self) -> None:
        """Compute with the frozen vector what the cycle asks for, and report it."""
        assert self._cycle is not None
        y = self._snapshot.release()
        self._frozen = y
        if self._cycle.cut is Cut.AGGREGATES:
            self._report = self._coarse_part(y)
        elif self._cycle.cut is Cut.ITERATE:
            self._report = self._residual(y)
        else:
            self._report = self._moments(y)
        self.outbox.append(self._report)

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
        if cycle.members is not None:
            assert self._coarse is not None
            self._coarse.locate(cycle.members)
        if cycle.step is not None:
            self._make(cycle.step)
        self._z[:] = 0.0
        self._left = self._r - self._ahead[1] if self._rule.starts_coarse else self._r
        if cycle.cut is Cut.AGGREGATES:
            self._freeze(self._local(aggregates(self._rows)[None, :]))
        elif cycle.cut is Cut.ITERATE:
            self._freeze(self._local(self._x))

    def _local(self, part: np.ndarray) -> np.ndarray:
        vector = np.zeros((len(part), self._rows.columns.size))
        vector[:, self._own] = part
        return vector

    def _freeze(self, vector: np.ndarray) -> None:
        assert self._cycle is not None
        self.outbox += self._snapshot.take(self._cycle.epoch, vector, self._own)

    # What is computed

    def _coarse_part(self, y: np.ndarray) -> CoarsePart:
        self._coarse = BlockOfCoarse(self._rows, self._own, y[0].astype(np.int64))
        entries = self._coarse.entries()
        return CoarsePart(self.index, LEADER, self._snapshot.epoch, *entries)

    def _residual(self, y: np.ndarray) -> Piece:
        epoch = self._snapshot.epoch
        self._r = self._minus_product(self._b, y)
        self.measured[epoch] = Saved(y[:, self._own].copy(), self.version)
        return Piece(self.index, epoch, self.version, 0.0, 0.0, self._norms(), norms(self._b))

    def _norms(self) -> np.ndarray:
        return norms(self._r if self._bounded is None else self._bounded.natural(self._x, self._r))

    def _moments(self, y: np.ndarray) -> Moments:
        if self._bounded is not None:
            return self._bounded_moments(self._bounded, y)
        assert self._coarse is not None
        r, rest = self._r, self._minus_product(self._left, y)
        z, az = y[:, self._own].copy(), r - rest
        if self._rule.starts_coarse:
            z += self._ahead[0]
        self._candidate = (z, az)
        t = self._tested(z, az)
        return Moments(
            self.index,
            LEADER,
            self._snapshot.epoch,
            np.array(
                [
                    dots(t, r),
                    dots(t, az),
                    *(dots(t, q) for _, q in self._past),
                    *(dots(self._tested(p, q), r) for p, q in self._past),
                ]
            ),
            norms(r),
            np.array([self._coarse.summed(rest), self._coarse.summed(r)]),
        )

    def _bounded_moments(self, rows: BoundedRows, y: np.ndarray) -> Moments:
        z, az = y[:, self._own].copy(), self._r - self._minus_product(self._r, y)
        self._candidate = (z, az)
        values, none = np.array([dots(z, self._r), dots(z, az)]), np.zeros((2, len(z), 0))
        room, epoch = rows.room(self._x, z), self._snapshot.epoch
        return Moments(self.index, LEADER, epoch, values, self._norms(), none, room)

    def _tested(self, p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return q if self._rule.is_residual else p

    def _make(self, step: Step) -> None:
        if self._bounded is not None:
            z, az = self._candidate
            self._x += step.length[:, None] * z
            np.clip(self._x, self._bounded.lower, self._bounded.upper, out=self._x)
            self._r -= step.length[:, None] * az
            return
        assert self._coarse is not None
        (p, q), correction = self._candidate, self._coarse.correction(step.coarse)
        if self._rule.starts_coarse:
            self._ahead = correction
        else:
            p += correction[0]
            q += correction[1]
        for beta, (p_i, q_i) in zip(step.conjugate, self._past, strict=True):
            p -= beta[:, None] * p_i
            q -= beta[:, None] * q_i
        self._x += step.length[:, None] * p
        self._r -= step.length[:, None] * q
        self._past.append((p, q))

    def _minus_product(self, b: np.ndarray, y: np.ndarray) -> np.ndarray:
        r = np.empty_like(b)
        self._rows.residual(y, b, r)
        return r
