"""One block's part of a descent between bounds: projected sweeps, conjugate while the face stays.

In a cycle every block sweeps ``A z = r`` from ``z = 0`` and keeps ``x + z`` between the bounds, so
the whole way from ``x`` to ``x + z`` is feasible. An exact step along ``z``, no longer than the
bounds allow, lowers the energy ``x'Ax / 2 - b'x`` for every omega in (0, 2) and all blocks
(gradient-projection SOR: Mangasarian and De Leone 1988). Where no block leaves the face of the last
iterate, ``z`` is made conjugate to the directions kept, and the run is conjugate gradients on the
free unknowns (Polyak 1969), preconditioned by block SOR. A step that ends at a bound, or a new
face, drops them, so that at least every second step is one along a ``z``.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from dasksor.bounded_rows import BoundedRows
from dasksor.engine.leader import LEADER
from dasksor.engine.steps import StepRule
from dasksor.kernels.bounded import leaves_face, natural, reach
from dasksor.messages import Cut, Cycle, Moments, Reach
from dasksor.rows import dots, norms, residual


class Faces:
    """A `dasksor.engine.cycles.Descent`; parameters as for `dasksor.engine.conjugate.Conjugate`."""

    def __init__(
        self, index: int, rows: BoundedRows, b: np.ndarray, x0: np.ndarray, rule: StepRule
    ) -> None:
        self._index, self._rows, self._b = index, rows, b
        self._own = slice(rows.own, rows.own + rows.size)
        self.x = np.array(x0, dtype=np.float64)
        self._r = np.zeros_like(self.x)
        self._direction = (np.zeros_like(self.x), np.zeros_like(self.x))
        self._z = np.zeros((len(b), rows.columns.size))
        self._room = (self.x, self.x)
        self._past: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=rule.kept)

    def begin(self, cycle: Cycle) -> Reach | None:
        """Find the direction and say how far it goes, or go along it."""
        step = cycle.step
        if cycle.cut is Cut.NOTHING:
            assert step is not None
            return Reach(self._index, LEADER, cycle.epoch, self._turn(step.conjugate))
        if step is not None:
            self._go(step.length)
        self._z[:] = 0.0
        self._room = (self._rows.lower - self.x, self._rows.upper - self.x)
        return None

    def sweep(self, omega: float, direction: int) -> None:
        """Make one pass over ``A z = r``."""
        for j, room in enumerate(zip(*self._room, strict=True)):
            one = slice(j, j + 1)
            self._rows.free.sweep(self._z[one], self._r[one], omega, direction, 1, room)

    def local(self, cut: Cut) -> np.ndarray:
        """The iterate, or the correction."""
        if cut is Cut.CORRECTION:
            return self._z.copy()
        vector = np.zeros_like(self._z)
        vector[:, self._own] = self.x
        return vector

    def residual(self, y: np.ndarray) -> np.ndarray:
        """Replace ``r`` by the true residual; the norms of the natural one."""
        self._r = residual(self._rows.free, y, self._b)
        return norms(self._natural())

    def report(self, cycle: Cycle, y: np.ndarray) -> Moments:
        """The inner products of the correction, and whether it leaves the face."""
        r = self._r
        z, az = y[:, self._own].copy(), r - residual(self._rows.free, y, r)
        self._direction = (z, az)
        values = [
            dots(z, r),
            dots(z, az),
            *(dots(z, q) for _, q in self._past),
            *(dots(p, r) for p, _ in self._past),
        ]
        turned = [leaves_face(*vectors) for vectors in zip(z, r, *self._room, strict=True)]
        coarse = np.zeros((2, len(r), 0))
        norm = norms(self._natural())
        return Moments(
            self._index, LEADER, cycle.epoch, np.array(values), norm, coarse, np.array(turned)
        )

    def _turn(self, conjugate: np.ndarray) -> np.ndarray:
        """Make the direction conjugate; the longest step along it."""
        p, q = self._direction
        for beta, (p_i, q_i) in zip(conjugate, self._past, strict=True):
            p -= beta[:, None] * p_i
            q -= beta[:, None] * q_i
        return np.array([reach(*vectors) for vectors in zip(p, *self._room, strict=True)])

    def _go(self, length: np.ndarray) -> None:
        p, q = self._direction
        # Between the bounds but for rounding.
        self.x = np.clip(self.x + length[:, None] * p, self._rows.lower, self._rows.upper)
        self._r = self._r - length[:, None] * q
        self._past.append((p, q))

    def _natural(self) -> np.ndarray:
        rows, found = self._rows, self._r.copy()
        for rj, xj in zip(found, self.x, strict=True):
            natural(rj, xj, 0, rows.diagonal, rows.lower, rows.upper)
        return found
