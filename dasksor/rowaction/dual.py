"""The function that row actions minimise, and how it is minimised by them.

With ``alpha > 0``, ``delta >= 0`` and bounds on ``x`` and ``u``, infinite ones allowed,

    minimise  F(u) = max_{l <= x <= h} (u'A x - |x - x0|^2 / (2 alpha)) - t'u + delta/2 |u|^2

over ``lower <= u <= upper``. It is convex, once differentiable, and quadratic on each of finitely
many pieces. It is the dual of

    minimise  |x - x0|^2 / (2 alpha) + phi(t - A x)  over  l <= x <= h,

where ``phi(s) = max_u (u's - delta/2 |u|^2)``. Free ``u`` and ``delta = 0`` make that ``A x = t``:
the step of a proximal method for a linear program. ``0 <= u <= nu`` makes it ``nu`` times the sum
of the positive parts of ``t - A x``: a support vector machine.
"""

from __future__ import annotations

import numpy as np

from dasksor.kernels import actions
from dasksor.rowaction.blocks import Blocks
from dasksor.rowaction.rows import Terms

LINE_STEPS = 60


class Dual:
    """A point ``u`` with its ``z = x0 + alpha A'u``, and ways to make ``F`` smaller."""

    def __init__(self, blocks: Blocks, terms: Terms, origin: np.ndarray, u: np.ndarray) -> None:
        self.blocks, self.terms, self.origin = blocks, terms, origin
        self.u = u.copy()
        self.renew()

    def renew(self) -> None:
        """Compute ``z`` anew: sweeps keep it by recurrence, which rounding drives away."""
        self.z = self.origin + self.terms.alpha * self.blocks.transposed_times(self.u)

    @property
    def x(self) -> np.ndarray:
        return np.clip(self.z, *self.terms.box)

    def gradient(self) -> np.ndarray:
        return self.blocks.times(self.x) - self.terms.target + self.terms.delta * self.u

    def violation(self, gradient: np.ndarray) -> float:
        """The norm of ``u - clip(u - grad F)``, zero at the minimum alone."""
        return float(np.linalg.norm(self.u - np.clip(self.u - gradient, *self.terms.bounds)))

    def sweep(self, omega: float, sweeps: int = 1) -> None:
        """Projected SOR: one action of each row in turn, ``sweeps`` times.

        Several blocks do so at the same time, each as if it were alone, and then the step along
        the sum of their changes is that which makes ``F`` smallest (parallel variable distribution,
        Ferris and Mangasarian 1994). Of `B` blocks, ``1 / B`` of the sum is the mean of `B` points
        where ``F`` is smaller, so it is smaller there, as ``F`` is convex, and smaller still where
        the step ends: with every omega in (0, 2).
        """
        if self.blocks.alone:
            for _ in range(sweeps):
                self.blocks.rows.sweep(self.terms, omega, self.z, self.u)  # type: ignore[union-attr]
            return
        step, image = self.blocks.changes(self.terms, omega, sweeps, self.z, self.u)
        self._go(step, image, self._room(step))

    def move(self, step: np.ndarray) -> bool:
        """Go along ``step``, cut to the bounds, to where ``F`` is least; false: it did not fall."""
        step = np.clip(self.u + step, *self.terms.bounds) - self.u
        return self._go(step, self.blocks.transposed_times(step), 1.0)

    def _room(self, step: np.ndarray) -> float:
        lower, upper = self.terms.bounds
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(step > 0, (upper - self.u) / step, (lower - self.u) / step)
        return float(np.min(room, where=step != 0, initial=np.inf))

    def _go(self, step: np.ndarray, image: np.ndarray, most: float) -> bool:
        """An exact line search: Newton's method on the slope, a broken line that rises."""
        alpha, delta, target, _, box = self.terms
        constant, squared = float(step @ (delta * self.u - target)), delta * float(step @ step)

        def slope(reach: float) -> tuple[float, float]:
            total, free = actions.slope(self.z, image, alpha * reach, box)
            return constant + reach * squared + total, squared + alpha * free

        first, _ = slope(0.0)
        if not first < 0.0:
            return False
        low, high, reach = 0.0, most, min(1.0, most)
        for _ in range(LINE_STEPS):
            value, curvature = slope(reach)
            if abs(value) <= 1e-3 * -first or (value < 0.0 and reach == most):
                break
            low, high = (reach, high) if value < 0.0 else (low, reach)
            newton = reach - value / curvature if curvature > 0.0 else np.inf
            middle = 0.5 * (low + high) if np.isfinite(high) else 2.0 * reach
            reach = newton if low < newton < high else min(middle, most)
        self.u = np.clip(self.u + reach * step, *self.terms.bounds)
        self.z += alpha * reach * image
        return True
