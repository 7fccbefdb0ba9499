"""Conjugate gradients with SSOR on the faces of a box: ``min x'Ax / 2 - b'x, lower <= x <= upper``.

Projected SSOR sweeps find which unknowns are held at a bound; on the face of the others conjugate
gradients solve, and their step is projected onto the box (Kocvara and Zowe, *An iterative two-step
algorithm for linear complementarity problems*, Numerische Mathematik 68, 1994; the projected search
is that of More and Toraldo, *On the solution of large quadratic programming problems with bound
constraints*, SIAM J. Optim. 1, 1991). Where that gains too little the step ends at the first bound
in its way, which is held then (Polyak 1969). No step raises the quadratic, and sweeps with
``0 < omega < 2`` lower it wherever ``x`` is no solution: that makes ``x`` converge for symmetric
positive definite ``A``. Where each bound that the solution touches presses on it, some face is the
last, and the gradients on it need not stop before the tolerance.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from scipy.linalg.blas import dnrm2 as nrm2

from dasksor.accelerate.gradients import LOOK_EVERY, Gradients
from dasksor.accelerate.splitting import Splitting
from dasksor.bounded_rows import BoundedRows
from dasksor.kernels import faces
from dasksor.kernels.bounded import natural, reach

# Symmetric sweeps between faces; over-relaxed ones carry an edge that is wrong farther.
SWEEPS, OMEGA = 2, 1.9
# While the face changes, its residual need not fall below this part of the natural one.
ROUGH, NEARLY = 0.1, 0.01
# What more digits than so would show of one start are rounding errors.
DIGITS = 1e-9
# Sweeps that change what is held of a larger part of the unknowns are far from the last face; after
# a smaller part it is worth trying whether this is it.
UNSETTLED, SETTLED = 1e-3, 1e-4
# A projected step has to gain this part of what its slope promises, or is halved, so many times,
# before it is cut where the first bound is.
SUFFICIENT, HALVINGS = 0.1, 3
# So many rounds on one face are in vain if the residual stays above this part of its lowest, and
# the quadratic does not fall.
GAIN, PATIENCE = 0.99, 10
# A fall of the quadratic by less than this part of it shows nothing.
ROUNDING = 1e-13

Guess: TypeAlias = Callable[[BoundedRows, np.ndarray, np.ndarray, np.ndarray], np.ndarray | None]


class Faces:
    """One right-hand side on its way; see `dasksor.accelerate.run.Iteration`.

    Parameters
    ----------
    splitting : Splitting
    guess : callable
        From rows, ``b``, ``x`` and `held`, what may be held at last; or None.
    rows : BoundedRows
        All rows of the matrix, with the bounds.
    most : int
        Iterations after which gradients on a face end, wherever they are. Less than these are for
        rounds: what is cut short on a face would have to begin anew.
    b, x0 : ndarray, shape (n,)
        ``x0`` between the bounds.

    Attributes
    ----------
    iterations : int
        Those of conjugate gradients, and symmetric sweeps.
    estimate : float
        The norm of the natural residual as the recurrences have it.
    held : ndarray of int8, shape (n,)
        -1 where an unknown is held at its lower bound, 1 at the upper one, 0 elsewhere.
    indefinite, exhausted : bool
        Whether a direction with ``p'Ap < 0`` was found; whether nothing was gained any more.
    """

    may_rise = True

    def __init__(
        self,
        splitting: Splitting,
        guess: Guess,
        rows: BoundedRows,
        most: int,
        b: np.ndarray,
        x0: np.ndarray,
    ) -> None:
        self._splitting, self._guess, self._rows, self._b = splitting, guess, rows, b
        self._bounds, self._most = (rows.lower, rows.upper), most
        self._x = x0.copy()
        self._r, self._new, self._s, self._rest = (np.empty_like(b) for _ in range(4))
        self._gradients = Gradients(splitting, b, x0)
        self._face: Splitting | None = None
        self._guessed = False
        self._lowest, self._least, self._vain = math.inf, math.inf, 0
        self.held = np.zeros(b.size, np.int8)
        self.iterations, self.estimate = 0, math.inf
        self.indefinite = self.exhausted = False

    def measured(self) -> tuple[np.ndarray, float]:
        """The iterate, and the 2-norm of the natural residual computed anew from it."""
        self._look()
        return self._x.copy(), self.estimate

    def restart(self, x: np.ndarray) -> None:
        """Begin anew from ``x``, the vector that was measured last."""
        self._x[:] = x
        self._lowest, self._least, self._vain = math.inf, math.inf, 0
        self.indefinite = self.exhausted = False

    def run(self, target: float, until: int, deadline: float) -> None:
        """Go on until the natural residual meets ``target``, or about so many times, or so long."""
        while self.estimate > target and self.iterations < until:
            if self.indefinite or self.exhausted or time.perf_counter() >= deadline:
                break
            self._round(target, until, deadline)

    def _round(self, target: float, until: int, deadline: float) -> None:
        """Sweeps, and a step on the face that they have found."""
        changed = self._sweep(until)
        if self.estimate <= target or self.iterations >= until:
            return
        far = changed > UNSETTLED * self._b.size
        if far and not self._guessed and self._leap(deadline):
            return
        if changed or self._face is None:
            self._face = self._splitting.restricted(self.held == 0, self._face)
        aim = max(target, self._accuracy(changed) * self.estimate)
        while True:
            d = self._direction(aim, deadline)
            moved = self._search(d)
            if (moved and changed) or self.iterations >= self._most or not self._press(d):
                break
            self._face = self._splitting.restricted(self.held == 0, self._face)
        self._judge(changed)

    def _judge(self, changed: int) -> None:
        """Count the rounds that gain nothing: on ill-conditioned faces the residual falls late."""
        energy = -0.5 * float(self._x @ self._b + self._x @ self._r)
        falls = energy < self._least - ROUNDING * abs(energy)
        if changed or falls or self.estimate < GAIN * self._lowest:
            self._lowest, self._least, self._vain = self.estimate, energy, 0
        else:
            self._vain += 1
        self.exhausted = self._vain >= PATIENCE

    def _accuracy(self, changed: int) -> float:
        """The part of the natural residual that gradients on the face need not go below."""
        share = changed / self._b.size
        return ROUGH if share > UNSETTLED else NEARLY if share > SETTLED else DIGITS

    def _hold(self) -> int:
        return faces.hold(self._x, self._r, *self._bounds, self.held)

    def _sweep(self, until: int) -> int:
        """Projected sweeps, where some unknown is at a bound; how many they hold or let go."""
        if self._face is None:
            self._hold()
        if not faces.touches(self._x, *self._bounds):
            return self._hold()
        x, b = self._x[None], self._b[None]
        for _ in range(min(SWEEPS, until - self.iterations)):
            for direction in (1, -1):
                self._rows.sweep(x, b, OMEGA, direction)
            self.iterations += 1
        self._look()
        return self._hold()

    def _look(self) -> None:
        """``r = b - A x`` anew, and the norm of what is natural of it."""
        self._product(self._b, self._x, self._r)
        self._weigh()

    def _weigh(self) -> None:
        self._rest[:] = self._r
        natural(self._rest, self._x, 0, self._rows.diagonal, *self._bounds)
        self.estimate = float(nrm2(self._rest))

    def _product(self, b: np.ndarray, x: np.ndarray, r: np.ndarray) -> None:
        """``r = b - A x``."""
        split = self._splitting
        split.team.run(lambda number: split.residual(number, b, x, r))

    def _direction(self, aim: float, deadline: float) -> np.ndarray:
        """Towards the solution on the face; once a bound is in its way, so far as it is known."""
        rest = np.where(self.held == 0, self._r, 0.0)
        assert self._face is not None
        gradients = self._gradients
        gradients.turn(self._face, rest)
        left = self._most - self.iterations
        while True:
            gradients.run(aim, min(left, gradients.iterations + LOOK_EVERY), deadline)
            d = gradients.iterate()
            ended = gradients.indefinite or gradients.exhausted or gradients.estimate <= aim
            tired = gradients.iterations >= left or time.perf_counter() >= deadline
            if ended or tired or self._cut(d):
                break
        self.iterations += max(1, gradients.iterations)
        self.indefinite = gradients.indefinite
        return d

    def _cut(self, d: np.ndarray) -> int:
        return faces.step(self._x, 1.0, d, *self._bounds, self._new, self._s)

    def _press(self, d: np.ndarray) -> int:
        """Hold what is at a bound that is in the way of ``d``."""
        return faces.press(self._x, d, *self._bounds, self.held)

    def _search(self, d: np.ndarray) -> bool:
        """Step along the projection of ``x + alpha d``; false where a bound had to end it."""
        alpha = 1.0
        for _ in range(HALVINGS):
            faces.step(self._x, alpha, d, *self._bounds, self._new, self._s)
            self._product(self._r, self._s, self._rest)
            slope, rest = faces.products(self._s, self._r, self._rest)
            # The quadratic falls by (slope + rest) / 2.
            if slope + rest >= 2.0 * SUFFICIENT * slope > 0.0:
                self._x, self._new = self._new, self._x
                self._r, self._rest = self._rest, self._r
                self._weigh()
                return True
            alpha *= 0.5
        lower, upper = self._bounds
        alpha = min(1.0, reach(d, lower - self._x, upper - self._x))
        faces.step(self._x, alpha, d, lower, upper, self._x, self._s)
        self._look()
        return False

    def _leap(self, deadline: float) -> bool:
        """Hold what a coarse solution holds, and step on that face; whether that gains anything."""
        self._guessed = True
        held = self._guess(self._rows, self._b, self._x, self.held)
        if held is None:
            return False
        lower, upper = self._bounds
        before = self._x, self._r, self.held
        self._x = np.where(held < 0, lower, np.where(held > 0, upper, self._x))
        self._r, self.held = np.empty_like(self._r), held
        self._look()
        self._face = self._splitting.restricted(held == 0)
        self._search(self._direction(ROUGH * self.estimate, deadline))
        slope, rest = faces.products(self._x - before[0], before[1], self._r)
        if slope + rest > 0.0:
            return True
        self._x, self._r, self.held = before
        self._weigh()
        return False
