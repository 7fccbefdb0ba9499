"""Deflated conjugate gradients with the SSOR splitting, in Eisenstat's form.

With ``S`` the square root of ``omega D^-1``, ``B = S A S = K + K' - tau I + R``, where
``K = I + L`` holds the strictly lower triangle of the blocks, ``R`` what couples them, and
``tau = 2 - omega``. Conjugate gradients run on ``K^-1 P B K'^-1``, whose product with ``p`` takes
one substitution back and one forth, and none with ``A`` (Eisenstat 1981):

    t = K'^-1 p,   c = E^-1 W't,   K^-1 P B t = t + K^-1 (p - tau t + R t - W c)

with the coarse space of `dasksor.accelerate.deflation`. One block has no ``R``.
"""

from __future__ import annotations

import math
import time

import numpy as np
from scipy.linalg.blas import dnrm2 as nrm2

from dasksor.accelerate.splitting import Splitting
from dasksor.kernels import vectors
from dasksor.kernels.triangles import gather

# The norm of the residual itself is looked at when due, and at least this often.
LOOK_EVERY = 10
# Sums of signed terms are right up to this share of the terms.
ROUNDING = 1e-12


class Gradients:
    """One right-hand side on its way: the iterate, the residual and the direction.

    Parameters
    ----------
    splitting : Splitting
    b, x0 : ndarray, shape (n,)

    Attributes
    ----------
    iterations : int
    estimate : float
        The norm of the residual as the recurrences have it, when it was looked at last.
    indefinite, exhausted : bool
        Whether a direction with ``p'Bp <= 0`` was found, clearly or within rounding errors; either
        ends a run.
    """

    # The error falls in the energy norm; the norm of the residual may rise meanwhile.
    may_rise = True

    def __init__(self, splitting: Splitting, b: np.ndarray, x0: np.ndarray) -> None:
        n = b.size
        self._residual = np.empty_like(b)
        self._x, self._r, self._p, self._t, self._y = (np.empty(n) for _ in range(5))
        self._norm = math.inf
        self._take(splitting, b, x0.copy())

    def turn(self, splitting: Splitting, b: np.ndarray) -> None:
        """Begin anew, from zero, with another splitting of as many unknowns, in the same memory."""
        self._take(splitting, b, np.zeros_like(b))
        self._residual[:] = b
        self._norm = float(nrm2(b))

    def _take(self, splitting: Splitting, b: np.ndarray, x0: np.ndarray) -> None:
        self._splitting, self._b, self._x0 = splitting, b, x0
        self.iterations = 0
        self.estimate = math.inf
        self.indefinite = self.exhausted = False
        self._fresh = True
        self._rho, self._beta, self._looked = 0.0, 0.0, 0
        # The norm of the residual that is solved for: squares of it might overflow.
        self._unit = 1.0
        # The norm of the residual over that of r, when it was looked at last.
        self._factor = math.inf
        deflation = splitting.deflation
        size = splitting.team.size
        self._sums = np.zeros((size, deflation.count if deflation else 0))
        self._coarse = np.zeros(self._sums.shape[1])
        self._start = np.zeros(self._sums.shape[1])
        self._parts = np.zeros((3, size))
        self._over = self._looks = False
        self._until = 0
        self._deadline = self._target = 0.0

    def measured(self) -> tuple[np.ndarray, float]:
        """The iterate, and the 2-norm of ``b - A x`` computed anew from it."""
        x, split = self.iterate(), self._splitting
        if self._fresh and not x.any():
            self._residual[:] = self._b
        else:
            split.team.run(lambda number: split.residual(number, self._b, x, self._residual))
        self._norm = float(nrm2(self._residual))
        return x, self._norm

    def iterate(self) -> np.ndarray:
        """The present iterate, in a new array."""
        if self._fresh:
            return self._x0.copy()
        split, x = self._splitting, self._splitting.scale * self._x
        if split.deflation is not None:
            sums = np.zeros_like(self._sums[:1])
            for image in split.deflation.images:
                gather(image, image[0].size, 0, self._x, sums[0])
            x += split.deflation.basis.prolonged(self._start - split.deflation.solve(sums))
        x *= self._unit
        x += self._x0
        return x

    def restart(self, x: np.ndarray) -> None:
        """Begin anew from ``x``, whose residual was the last one measured."""
        self._x0, self._fresh = x, True
        self.indefinite = self.exhausted = False
        self.estimate = math.inf

    def run(self, target: float, until: int, deadline: float) -> None:
        """Iterate until the residual seems to meet ``target``, or so many times, or so long."""
        self._target, self._until, self._deadline = target, until, deadline
        self._over = False
        self._splitting.team.run(self._work)
        self._fresh = False

    def _work(self, number: int) -> None:
        if self._fresh:
            self._begin(number)
        while not self._over:
            self._iterate(number)

    def _iterate(self, number: int) -> None:
        self._direction(number, self._beta)
        self._step(number)
        if number == 0:
            self._decide()
        self._splitting.team.meet()
        if self._looks:
            self._look(number)

    def _begin(self, number: int) -> None:
        split, meet = self._splitting, self._splitting.team.meet
        part, deflation = split.parts[number], split.deflation
        own = part.own
        if number == 0:
            self._rho = self._beta = 0.0
            self._looked = self.iterations
            self._unit = self._norm or 1.0
            self._residual /= self._unit
            if deflation is not None:
                self._start = deflation.solve(deflation.basis.restricted(self._residual)[None])
        meet()
        self._x[own] = self._t[own] = 0.0
        np.multiply(split.scale[own], self._residual[own], out=self._p[own])
        for triangles, _, image in part.blocks:
            triangles.forward(self._p, 0.0, self._t, self._r, image=image, c=self._start)
        r = self._r[own]
        self._parts[0, number] = r @ r
        meet()
        if number == 0:
            self._rho = float(self._parts[0].sum())
            self._over = self._rho == 0.0
            self._factor = self._norm / math.sqrt(self._rho) if self._rho else 0.0
        meet()

    def _direction(self, number: int, beta: float) -> None:
        """From ``r`` to ``p``, ``t`` and ``y``, with ``p'(t + y)`` in parts."""
        split, meet = self._splitting, self._splitting.team.meet
        sums = self._sums[number]
        sums[:] = 0.0
        for triangles, _, image in split.parts[number].blocks:
            triangles.backward(self._r, beta, self._p, self._t, image=image, sums=sums)
        meet()
        if split.deflation is not None:
            if number == 0:
                self._coarse = split.deflation.solve(self._sums)
            meet()
        self._parts[1, number] = sum(
            triangles.forward(
                self._p, split.tau, self._t, self._y,
                couplings=couplings, image=image, c=self._coarse,
            )
            for triangles, couplings, image in split.parts[number].blocks
        )  # fmt: skip
        meet()

    def _step(self, number: int) -> None:
        own = self._splitting.parts[number].own
        curvature = float(self._parts[1].sum())
        if not curvature > 0.0:
            self._tell_apart(number, curvature)
            return
        alpha = self._rho / curvature
        self._parts[2, number] = vectors.advance(
            alpha, self._t[own], self._y[own], self._x[own], self._r[own]
        )
        self._splitting.team.meet()

    def _tell_apart(self, number: int, curvature: float) -> None:
        """Whether a curvature that is not positive is more than rounding errors of its terms."""
        own = self._splitting.parts[number].own
        terms = np.abs(self._t[own]) + np.abs(self._y[own])
        self._parts[0, number] = np.abs(self._p[own]) @ terms
        self._splitting.team.meet()
        self.indefinite = curvature < -ROUNDING * float(self._parts[0].sum())
        self.exhausted = not self.indefinite

    def _decide(self) -> None:
        """What every member is to do next; one of them says so for all."""
        ended = self.indefinite or self.exhausted
        self.iterations += not ended
        rho = self._rho if ended else float(self._parts[2].sum())
        self._beta = rho / self._rho if self._rho else 0.0
        self._rho = rho
        self._over = (
            self.iterations >= self._until or time.perf_counter() >= self._deadline or rho == 0.0
        )
        seems_done = math.sqrt(rho) * self._factor <= self._target
        due = self.iterations - self._looked >= LOOK_EVERY
        self._looks = seems_done or due or self._over or ended

    def _look(self, number: int) -> None:
        split = self._splitting
        blocks = split.parts[number].blocks
        self._parts[0, number] = sum(
            block.triangles.weighted_norm(split.weight, self._r) for block in blocks
        )
        split.team.meet()
        if number == 0:
            self.estimate = self._unit * math.sqrt(float(self._parts[0].sum()))
            self._factor = self.estimate / math.sqrt(self._rho) if self._rho else 0.0
            self._looked = self.iterations
            ended = self.indefinite or self.exhausted
            self._over |= ended or self.estimate <= self._target
        split.team.meet()
