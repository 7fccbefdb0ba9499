"""Chebyshev semi-iteration with the SSOR splitting: conjugate gradients without inner products.

With the interval ``[a, c]`` of the eigenvalues of ``G = K^-1 P B K'^-1`` known, residuals are
``r_k = p_k(G) r_0`` with the polynomial ``p_k(z) = T_k((m - z) / h) / T_k(m / h)`` that is least
there, ``m`` and ``h`` the middle and half the length. Its recurrences are those of conjugate
gradients, with coefficients that are known beforehand (Golub and Varga 1961; Saad, *Iterative
Methods for Sparse Linear Systems*, 2003, algorithm 12.1):

    p <- r + beta_k p,   x <- x + alpha_k K'^-1 p,   r <- r - alpha_k G p

The lower end is that of a few conjugate gradients with which every run begins, and is lowered where
residuals fall more slowly than it promises (Hageman and Young, *Applied Iterative Methods*, 1981,
chapters 4 to 6).
"""

from __future__ import annotations

import math
import time

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal

from dasksor.accelerate.gradients import LOOK_EVERY, Gradients
from dasksor.accelerate.splitting import Splitting
from dasksor.kernels import vectors

# Conjugate gradients before the first estimate, and what is taken of their lowest Ritz value, which
# no eigenvalue needs to reach.
STEPS, SAFETY = 12, 0.8
# The interval is adapted where residuals fall at less than this part of the rate that it promises.
WORTH_ADAPTING = 0.75
# A residual that has grown so much shows a negative eigenvalue: none of [0, c] can make it grow.
RISEN = 2.0
# An eigenvalue this small, against the largest, is zero up to rounding.
NOTHING = 1e-13


class Chebyshev(Gradients):
    """One right-hand side on its way; see `dasksor.accelerate.gradients.Gradients`.

    Attributes
    ----------
    interval : tuple of float or None
        The ends ``a, c``; None before they are estimated.
    """

    def __init__(self, splitting: Splitting, b: np.ndarray, x0: np.ndarray) -> None:
        super().__init__(splitting, b, x0)
        self.interval: tuple[float, float] | None = None
        self._lowest, self._highest = math.inf, highest_eigenvalue(splitting)
        self._lengths: list[float] = []
        self._betas: list[float] = []
        self._leg: list[tuple[float, float]] = []
        self._polynomial = Polynomial(1.0, 2.0)
        self._rho_before = 0.0

    def restart(self, x: np.ndarray) -> None:
        super().restart(x)
        self.interval = None
        self._lengths, self._betas = [], []

    def _iterate(self, number: int) -> None:
        if self.interval is None:
            super()._iterate(number)
            return
        meet, own = self._splitting.team.meet, self._splitting.parts[number].own
        if number == 0:
            self._plan()
        meet()
        for alpha, beta in self._leg:
            self._direction(number, beta)
            self._parts[2, number] = vectors.advance(
                alpha, self._t[own], self._y[own], self._x[own], self._r[own]
            )
        meet()
        if number == 0:
            self._judge()
        meet()
        self._look(number)

    def _decide(self) -> None:
        curvature, rho = float(self._parts[1].sum()), self._rho
        super()._decide()
        if self.indefinite or self.exhausted:
            return
        self._lengths.append(rho / curvature)
        self._betas.append(self._beta)
        if len(self._lengths) == STEPS and self._rho > 0.0:
            self._lowest = min(self._lowest, SAFETY * lowest_ritz(self._lengths, self._betas))
            self._settle()

    def _settle(self) -> None:
        """Begin a polynomial at the present residual."""
        self.interval = self._lowest, self._highest
        self._polynomial = Polynomial(*self.interval)
        self._rho_before = self._rho

    def _plan(self) -> None:
        """The coefficients of the steps to the next look."""
        count = min(LOOK_EVERY, self._until - self.iterations)
        if self._target > 0.0:
            left = math.log(math.sqrt(self._rho) * self._factor / self._target)
            count = min(count, math.ceil(left / self._polynomial.rate))
        self._leg = [self._polynomial.coefficients() for _ in range(max(1, count))]

    def _judge(self) -> None:
        """Whether the residual has fallen as it should, and what that says of the interval."""
        self.iterations += len(self._leg)
        self._rho = float(self._parts[2].sum())
        ratio = math.sqrt(self._rho / self._rho_before)
        self.indefinite = not ratio <= RISEN
        self._over = (
            self.iterations >= self._until
            or time.perf_counter() >= self._deadline
            or self._rho == 0.0
        )
        if self.indefinite or self._rho == 0.0 or not self._polynomial.falls_short(ratio):
            return
        lowest, nothing = self._polynomial.eigenvalue(ratio), NOTHING * self._highest
        self.exhausted = abs(lowest) <= nothing
        if lowest > nothing:
            self._lowest = lowest
            self._settle()


class Polynomial:
    """``T_k((m - z) / h) / T_k(m / h)``, ``m`` and ``h`` the middle and half of an interval.

    Attributes
    ----------
    degree : int
    rate : float
        From one degree to the next it falls by about ``exp(-rate)`` on the interval.
    """

    def __init__(self, lowest: float, highest: float) -> None:
        self._middle, self._half = 0.5 * (lowest + highest), 0.5 * (highest - lowest)
        # The inverse hyperbolic cosine of m / h, also where that is nearly 1.
        self.rate = 2.0 * math.asinh(math.sqrt(lowest / (highest - lowest)))
        self.degree = 0
        self._quotient = self._alpha = 0.0

    def coefficients(self) -> tuple[float, float]:
        """``alpha`` and ``beta`` of the step to the next degree."""
        slope = self._middle / self._half
        before, alpha_before = self._quotient, self._alpha
        if self.degree == 0:
            self._quotient, self._alpha = 1.0 / slope, 1.0 / self._middle
        else:
            self._quotient = 1.0 / (2.0 * slope - before)
            self._alpha = 2.0 * self._quotient / self._half
        self.degree += 1
        return self._alpha, self._quotient * before * alpha_before / self._alpha

    @property
    def promised(self) -> float:
        """``log T_k(m / h)``: by so much residuals fall whose eigenvalues are in the interval."""
        grown = self.degree * self.rate
        return float(np.logaddexp(grown, -grown)) - math.log(2.0)

    def falls_short(self, ratio: float) -> bool:
        """Whether residuals that were multiplied by ``ratio`` fall at a rate too low."""
        return self.degree >= LOOK_EVERY and -math.log(ratio) < WORTH_ADAPTING * self.promised

    def eigenvalue(self, ratio: float) -> float:
        """The eigenvalue below the interval for which the polynomial is ``ratio``.

        No lowest eigenvalue is above: its share of the residual is at most all.
        """
        grown = self.promised + math.log(ratio)
        angle = (grown + math.log1p(math.sqrt(-math.expm1(-2.0 * grown)))) / self.degree
        difference, total = self.rate - angle, self.rate + angle
        return 2.0 * self._half * math.sinh(0.5 * total) * math.sinh(0.5 * difference)


def lowest_ritz(lengths: list[float], betas: list[float]) -> float:
    """The lowest Ritz value of conjugate gradients with these coefficients (Lanczos 1950)."""
    alpha, beta = np.array(lengths), np.array(betas[:-1])
    diagonal = 1.0 / alpha
    diagonal[1:] += beta / alpha[:-1]
    beside = np.sqrt(beta) / alpha[:-1]
    return float(eigvalsh_tridiagonal(diagonal, beside, select="i", select_range=(0, 0))[0])


def highest_eigenvalue(splitting: Splitting) -> float:
    """A bound on the eigenvalues of ``K^-1 P B K'^-1``: ``1 / tau``, with one block.

    With ``v = K'u``, ``v'K^-1 B K'^-1 v = 2 u'v - tau u'u + u'R u <= v'v / (tau - |R|)`` (without
    ``R``: Young 1971; Hageman and Young 1981), and ``P`` takes something off. If blocks have at
    most ``d`` neighbours, ``1 + d`` colours keep neighbours apart, and it is at most
    ``(1 + d) / tau``.
    """
    tau, partition = splitting.tau, splitting.partition
    sums, neighbours = [0.0], [0]
    for part in splitting.parts:
        for _, (_, ptr, columns, values), _ in part.blocks:
            if values.size:
                sums.append(float(np.add.reduceat(np.abs(values), ptr[:-1]).max()))
                owners = np.searchsorted(partition.bounds, columns, side="right")
                neighbours.append(np.unique(owners).size)
    coloured = (1 + max(neighbours)) / tau
    return min(coloured, 1.0 / (tau - max(sums))) if max(sums) < tau else coloured
