"""One block's part of flexible conjugate directions with a coarse space.

Every block keeps its part of the iterate ``x``, of the residual ``r = b - A x``, and of a few
directions ``p_i`` with ``q_i = A p_i``; in a cycle it sweeps ``A z = r`` from ``z = 0``.

Any ``z`` is allowed: the step is an exact line search along a direction made orthogonal to those
kept, so what it minimises never grows, whatever the blocks did (Notay 2000): the energy norm of the
error, or the norm of the residual (see `dasksor.engine.steps`).
"""

from __future__ import annotations

from collections import deque

import numpy as np

from dasksor.coarse import BlockOfCoarse, aggregates
from dasksor.engine.leader import LEADER
from dasksor.engine.steps import StepRule
from dasksor.messages import CoarsePart, Cut, Cycle, Moments, Step
from dasksor.rows import Rows, dots, norms, residual


class Conjugate:
    """A `dasksor.engine.cycles.Descent`.

    Parameters
    ----------
    index : int
        Block number.
    rows : Rows
        Its rows of ``A``.
    b, x0 : ndarray, shape (nrhs, size)
        Its entries of the right-hand sides and of the start.
    rule : StepRule
        What a step minimises.
    """

    def __init__(
        self, index: int, rows: Rows, b: np.ndarray, x0: np.ndarray, rule: StepRule
    ) -> None:
        self._index, self._rows, self._b, self._rule = index, rows, b, rule
        self._own = slice(rows.own, rows.own + rows.size)
        self.x = np.array(x0, dtype=np.float64)
        self._r = np.zeros_like(self.x)
        self._candidate = self._ahead = (np.zeros_like(self.x), np.zeros_like(self.x))
        self._left = self._r
        self._z = np.zeros((len(b), rows.columns.size))
        self._past: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=rule.kept)
        self._coarse: BlockOfCoarse | None = None

    def begin(self, cycle: Cycle) -> None:
        """Make the step of the cycle."""
        if cycle.members is not None:
            assert self._coarse is not None
            self._coarse.locate(cycle.members)
        if cycle.step is not None:
            self._make(cycle.step)
        self._z[:] = 0.0
        self._left = self._r - self._ahead[1] if self._rule.starts_coarse else self._r

    def sweep(self, omega: float, direction: int) -> None:
        """Make one pass over ``A z = r``."""
        self._rows.sweep(self._z, self._left, omega, direction)

    def local(self, cut: Cut) -> np.ndarray:
        """The numbers of the aggregates, the iterate, or the correction."""
        if cut is Cut.CORRECTION:
            return self._z.copy()
        part = self.x if cut is Cut.ITERATE else aggregates(self._rows)[None, :]
        vector = np.zeros((len(part), self._rows.columns.size))
        vector[:, self._own] = part
        return vector

    def residual(self, y: np.ndarray) -> np.ndarray:
        """Replace ``r`` by the true residual; its norms."""
        self._r = residual(self._rows, y, self._b)
        return norms(self._r)

    def report(self, cycle: Cycle, y: np.ndarray) -> CoarsePart | Moments:
        """The entries of the coarse matrix, or the inner products of the correction."""
        if cycle.cut is Cut.AGGREGATES:
            self._coarse = BlockOfCoarse(self._rows, self._own, y[0].astype(np.int64))
            return CoarsePart(self._index, LEADER, cycle.epoch, *self._coarse.entries())
        return self._moments(cycle.epoch, y)

    def _moments(self, epoch: int, y: np.ndarray) -> Moments:
        assert self._coarse is not None
        r, rest = self._r, residual(self._rows, y, self._left)
        z, az = y[:, self._own].copy(), r - rest
        if self._rule.starts_coarse:
            z += self._ahead[0]
        self._candidate = (z, az)
        t = self._tested(z, az)
        return Moments(
            self._index,
            LEADER,
            epoch,
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

    def _tested(self, p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return q if self._rule.is_residual else p

    def _make(self, step: Step) -> None:
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
        self.x += step.length[:, None] * p
        self._r -= step.length[:, None] * q
        self._past.append((p, q))
