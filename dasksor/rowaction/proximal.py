"""Linear programs in standard form by the proximal method of multipliers.

    minimise  c'x   over  A x = b,  l <= x <= h.

One step (Rockafellar 1976), from ``x`` and ``u``, is the saddle point of

    c'x - u'(A x - b) + |x - x_k|^2 / (2 alpha) - delta/2 |u - u_k|^2,

and the maximum over its ``u`` is the minimum of the function of `dasksor.rowaction.dual`. Without
the last term it is the augmented Lagrangian of the dual program, whose inner minimum De Leone and
Mangasarian (1988) find by projected SOR. For linear programs the steps end at a solution after
finitely many, soon where ``alpha`` is large; where there is none, the changes of ``x`` and ``u`` in
one step tend to what proves it (Banjac, Goulart, Stellato and Boyd 2019).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from dasksor.rowaction.blocks import Blocks
from dasksor.rowaction.dual import Dual
from dasksor.rowaction.newton import Newton
from dasksor.rowaction.rows import Terms

BALANCE = 1.0  # alpha delta: how short steps of u are beside those of x
ANCHORED = 1e-6  # the same, where x is anchored
LARGEST = 1e8  # of alpha
NEWTON_STEPS, TURNS = 40, 200  # most for one step of the outer method
SWEEPS_PER_TURN = 10  # where there are sweeps alone
# A sweep after each of Newton's steps undoes some of what the step has settled.
NEWTON_PER_SWEEP = 5


class Standard(NamedTuple):
    """A program in standard form."""

    c: np.ndarray
    A: sp.csr_array
    b: np.ndarray
    box: np.ndarray


@dataclass
class Proximal:
    """The state between two steps.

    Parameters
    ----------
    blocks : Blocks
        The rows of ``program.A``.
    newton : Newton, optional
        Sweeps alone without.
    anchored : ndarray of bool, shape (n,), optional
        Unknowns whose ``x_k`` stays 0: with `c` = 0 the steps tend to that solution of ``A x = b``
        in the box in which they have the least norm.
    """

    program: Standard
    blocks: Blocks
    newton: Newton | None
    omega: float = 1.0
    anchored: np.ndarray | None = None
    alpha: float = 1.0
    sweeps: int = 0

    def __post_init__(self) -> None:
        m, n = self.program.A.shape
        self.x = np.clip(np.zeros(n), *self.program.box)
        self.u = np.zeros(m)
        self.change_x, self.change_u = np.zeros(n), np.zeros(m)
        self._unbounded = np.array([[-np.inf], [np.inf]]) * np.ones(m)

    def step(self, tolerance: float, until: float) -> None:
        """One step, its minimum to a gradient norm of ``tolerance``; ``alpha`` for the next.

        Nothing is begun after the ``until`` of `time.perf_counter`.
        """
        c, _, b, box = self.program
        delta = (BALANCE if self.anchored is None else ANCHORED) / self.alpha
        target = b + delta * self.u
        terms = Terms(self.alpha, delta, target, self._unbounded, box)
        centre = self.x if self.anchored is None else np.where(self.anchored, 0.0, self.x)
        dual = Dual(self.blocks, terms, centre - self.alpha * c, self.u)
        effort, done = self._minimise(dual, tolerance, until)
        x = dual.x
        self.change_x, self.change_u = x - self.x, dual.u - self.u
        self.x, self.u = x, dual.u
        if self.anchored is not None:
            return
        if not done:
            self.alpha = max(0.5 * self.alpha, 1e-4)
        elif effort <= 0.25:
            self.alpha = min(4.0 * self.alpha, LARGEST)
        elif effort <= 0.75:
            self.alpha = min(2.0 * self.alpha, LARGEST)

    def _minimise(self, dual: Dual, tolerance: float, until: float) -> tuple[float, bool]:
        """Sweeps, and Newton's steps between them; the part of the allowance spent, and success."""
        by_newton = self.newton is not None
        turns = NEWTON_STEPS if by_newton else TURNS
        if self.newton is not None:
            self.newton.forget()
        for turn in range(turns):
            count = SWEEPS_PER_TURN if not by_newton else int(turn % NEWTON_PER_SWEEP == 0)
            if count:
                dual.sweep(self.omega, count)
                self.sweeps += count
            dual.renew()
            gradient = dual.gradient()
            size = float(np.linalg.norm(gradient))
            if size <= tolerance:
                return turn / turns, True
            if time.perf_counter() > until:
                break
            if self.newton is not None:
                goal = 0.1 * max(size, tolerance)
                dual.move(self.newton.step(dual, gradient, goal))
                dual.renew()
        return 1.0, False
