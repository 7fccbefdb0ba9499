"""Generalised minimal residuals, scipy's, in cycles over the deflated SSOR splitting."""

from __future__ import annotations

import math
import time

import numpy as np
from scipy.linalg.blas import dnrm2 as nrm2
from scipy.sparse.linalg import LinearOperator, gmres

from dasksor.accelerate.ssor import Ssor

# Directions kept until a restart: each is a vector.
CYCLE = 30
# A cycle that leaves more of the residual has come to a stop.
STALLED = 0.99


class Gmres:
    """One right-hand side on its way; see `dasksor.accelerate.bicgstab.Bicgstab`.

    Attributes
    ----------
    iterations : int
        Each takes one product.
    """

    indefinite = may_rise = False

    def __init__(self, ssor: Ssor, b: np.ndarray, x0: np.ndarray) -> None:
        self._ssor, self._b = ssor, b
        self.iterations = 0
        self.restart(x0.copy())

    def restart(self, x: np.ndarray) -> None:
        """Begin anew from ``x``."""
        self._x = x
        self.estimate, self.exhausted = math.inf, False

    def measured(self) -> tuple[np.ndarray, float]:
        """The iterate, and the 2-norm of ``b - A x`` computed from it."""
        return self._x.copy(), float(nrm2(self._b - self._ssor.matrix @ self._x))

    def run(self, target: float, until: int, deadline: float) -> None:
        """Make cycles until the residual meets ``target``, or so many iterations, or so long."""
        residual = self._b - self._ssor.matrix @ self._x
        norm = float(nrm2(residual))
        try:
            while norm > target and self.iterations < until and not self.exhausted:
                self._cycle(residual, target / norm, until, deadline)
                residual = self._b - self._ssor.matrix @ self._x
                before, norm = norm, float(nrm2(residual))
                self.estimate = norm
                # More cycles like this lead nowhere.
                self.exhausted = not norm <= max(STALLED * before, target)
        except _OutOfTimeError:
            return

    def _cycle(self, residual: np.ndarray, rtol: float, until: int, deadline: float) -> None:
        r, start = self._ssor.begun(residual)
        t, y = np.zeros((2, r.size))

        def product(p: np.ndarray) -> np.ndarray:
            if time.perf_counter() >= deadline:
                raise _OutOfTimeError
            self._ssor.times(np.ascontiguousarray(p), t, y)
            return y.copy()

        def count(_: float) -> None:
            self.iterations += 1

        operator = LinearOperator((r.size, r.size), matvec=product, dtype=np.float64)
        size = min(CYCLE, until - self.iterations)
        found, _ = gmres(
            operator, r, rtol=0.5 * min(1.0, rtol), restart=size, maxiter=1,
            callback=count, callback_type="pr_norm",
        )  # fmt: skip
        self._x += self._ssor.ended(found, start)


class _OutOfTimeError(Exception):
    """Leaves a cycle of scipy's, whose iterate is then lost."""
