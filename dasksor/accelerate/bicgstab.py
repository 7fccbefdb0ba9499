"""Stabilised biconjugate gradients (van der Vorst 1992) with the SSOR splitting, deflated."""

from __future__ import annotations

import math
import time

import numpy as np
from scipy.linalg.blas import dnrm2 as nrm2

from dasksor.accelerate.ssor import Ssor
from dasksor.kernels import recurrences

# The norm of the residual itself is looked at when due, and at least this often.
LOOK_EVERY = 10
# Iterations without a new lowest residual after which a run has lost its way.
PATIENCE = 200
# Of vectors that are orthogonal up to rounding, the cosine.
ORTHOGONAL = 1e-16


class Bicgstab:
    """One right-hand side on its way; products are with ``K^-1 P B H^-1``, see `Ssor`.

    Parameters
    ----------
    ssor : Ssor
    b, x0 : ndarray, shape (n,)

    Attributes
    ----------
    iterations : int
        Each takes two products.
    estimate : float
        The norm of the residual as the recurrences have it, when it was looked at last.
    exhausted : bool
        Whether they have broken down and must begin anew.
    indefinite : bool
        Always False: this method needs no definite matrix.
    """

    indefinite = may_rise = False

    def __init__(self, ssor: Ssor, b: np.ndarray, x0: np.ndarray) -> None:
        self._ssor, self._b = ssor, b
        self.iterations = 0
        self.restart(x0.copy())

    def restart(self, x: np.ndarray) -> None:
        """Begin anew from ``x``."""
        self._x0, self._fresh = x, True
        self.estimate, self.exhausted = math.inf, False

    def measured(self) -> tuple[np.ndarray, float]:
        """The iterate, and the 2-norm of ``b - A x`` computed anew from it."""
        x = self._x0.copy()
        if not self._fresh:
            x += self._ssor.ended(self._y, self._start)
        return x, float(nrm2(self._b - self._ssor.matrix @ x))

    def run(self, target: float, until: int, deadline: float) -> None:
        """Iterate until the residual seems to meet ``target``, or so many times, or so long."""
        if self._fresh:
            self._begin()
        while self.iterations < until and self.estimate > target and not self.exhausted:
            if time.perf_counter() >= deadline:
                break
            self._step()
            self.iterations += 1
            self._look(target, until)

    def _begin(self) -> None:
        residual = self._b - self._ssor.matrix @ self._x0
        self._r, self._start = self._ssor.begun(residual)
        self._shadow, self._p = self._r.copy(), self._r.copy()
        self._y, self._v, self._s, self._t = np.zeros((4, self._r.size))
        self._rho, _ = recurrences.products(self._r, self._r)
        self._length = self._shadow_norm = math.sqrt(self._rho)
        self._fresh = self._broken = False
        self._looked = self._lowest_at = self.iterations
        self.estimate = self._lowest = self._ssor.norm(self._r)
        self.exhausted = not math.isfinite(self.estimate)
        self._factor = self.estimate / self._length if self._length else 0.0

    def _step(self) -> None:
        r, p, v, s = self._r, self._p, self._v, self._s
        self._ssor.times(p, self._t, v)
        square, product = recurrences.products(v, self._shadow)
        # Vectors that are orthogonal up to rounding end the recurrences.
        self._broken = not abs(product) > ORTHOGONAL * math.sqrt(square) * self._shadow_norm
        alpha = 0.0 if self._broken else self._rho / product
        recurrences.subtract(alpha, v, r)
        self._ssor.times(r, self._t, s)
        square, product = recurrences.products(s, r)
        step = product / square if square else 0.0
        square, rho = recurrences.advance(alpha, p, step, s, self._y, r, self._shadow)
        self._length = math.sqrt(square)
        self._broken |= not abs(rho) > ORTHOGONAL * self._length * self._shadow_norm or not step
        if not self._broken:
            recurrences.turn(rho / self._rho * alpha / step, step, r, v, p)
        self._rho = rho

    def _look(self, target: float, until: int) -> None:
        due = self.iterations - self._looked >= LOOK_EVERY or self.iterations >= until
        if not (due or self._broken or self._factor * self._length <= target):
            return
        self.estimate = self._ssor.norm(self._r)
        self._factor = self.estimate / self._length if self._length else 0.0
        self._looked = self.iterations
        if self.estimate < self._lowest:
            self._lowest, self._lowest_at = self.estimate, self.iterations
        lost = self.iterations - self._lowest_at > PATIENCE
        wild = not math.isfinite(self.estimate)
        self.exhausted = wild or (self.estimate > target and (self._broken or lost))
