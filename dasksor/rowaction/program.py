"""A linear program, checked, and what a pair of vectors is worth as its solution."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

CERTAIN = 1e-8  # how small, beside what it proves, a certificate's violation must be


class Measure(NamedTuple):
    """How far ``x`` and ``y`` are from optimal, by their own numbers.

    Attributes
    ----------
    primal, dual : float
        ``c'x``, and ``b'y`` plus what the bounds add to it.
    infeasibility : float
        The largest violation of a constraint by ``x``, divided by ``1 + max |b|``.
    dual_infeasibility : float
        The largest reduced cost of the wrong sign, divided by ``1 + max |c|``.
    gap : float
        ``|primal - dual| / (1 + |primal| + |dual|)``.
    """

    primal: float
    dual: float
    infeasibility: float
    dual_infeasibility: float
    gap: float

    @property
    def worst(self) -> float:
        return max(self.infeasibility, self.dual_infeasibility, self.gap)


class Program(NamedTuple):
    """``min c'x`` with ``A_i x <= b_i``, the first rows, ``A_i x = b_i``, the last, and a box.

    Attributes
    ----------
    c : ndarray, shape (n,)
    A : scipy.sparse.csr_array, shape (m, n)
    b : ndarray, shape (m,)
    inequalities : int
        How many rows are inequalities.
    box : ndarray, shape (2, n)
        Lower and upper bounds of ``x``.
    """

    c: np.ndarray
    A: sp.csr_array
    b: np.ndarray
    inequalities: int
    box: np.ndarray

    def excess(self, x: np.ndarray) -> np.ndarray:
        """By how much each row is violated."""
        excess = self.A @ x - self.b
        excess[: self.inequalities] = np.maximum(excess[: self.inequalities], 0.0)
        return np.abs(excess)

    def signed(self, y: np.ndarray) -> np.ndarray:
        """``y`` with multipliers of the right sign: none of an inequality is positive."""
        y = y.copy()
        y[: self.inequalities] = np.minimum(y[: self.inequalities], 0.0)
        return y

    def reduced(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reduced costs ``c - A'y`` as multipliers of lower and upper bounds, and what is left."""
        costs = self.c - self.A.T @ y
        finite = np.isfinite(self.box)
        lower = np.where(finite[0], np.maximum(costs, 0.0), 0.0)
        upper = np.where(finite[1], np.minimum(costs, 0.0), 0.0)
        return lower, upper, costs - lower - upper

    def measure(self, x: np.ndarray, y: np.ndarray) -> Measure:
        """For an ``x`` within its bounds and a ``y`` of the right signs."""
        lower, upper, left = self.reduced(y)
        bounds = np.where(np.isfinite(self.box), self.box, 0.0)
        primal = float(self.c @ x)
        dual = float(self.b @ y + bounds[0] @ lower + bounds[1] @ upper)
        return Measure(
            primal,
            dual,
            _largest(self.excess(x)) / (1.0 + _largest(self.b)),
            _largest(left) / (1.0 + _largest(self.c)),
            abs(primal - dual) / (1.0 + abs(primal) + abs(dual)),
        )

    def proves_infeasible(self, y: np.ndarray) -> bool:
        """Whether ``y`` says that no ``x`` is feasible (Farkas).

        Every feasible ``x`` has ``y'A x >= b'y`` where ``y`` has the right signs. If ``b'y`` is
        larger than ``y'A x`` anywhere in the box by ``t``, none is. Rounding leaves small
        coefficients where the box is infinite: a feasible ``x`` would need entries whose sum is
        `t` divided by these, and at 1e8 that passes for a proof.
        """
        y = self.signed(y)
        image = self.A.T @ y
        ends = np.where(image > 0.0, self.box[1], self.box[0])
        bounded = np.isfinite(ends)
        most = image[bounded] * ends[bounded]
        terms = np.concatenate([self.b * y, -most])
        surplus = float(terms.sum())
        if not surplus > 1e-9 * float(np.abs(terms).sum()):
            return False
        return _largest(image[~bounded]) <= CERTAIN * surplus

    def recession(self, ray: np.ndarray) -> np.ndarray:
        """``ray`` without what would leave the box."""
        return np.clip(ray, *np.where(np.isfinite(self.box), 0.0, [[-np.inf], [np.inf]]))

    def proves_unbounded(self, ray: np.ndarray) -> bool:
        """Whether ``c'x`` falls for ever along ``ray``, from any feasible ``x``."""
        ray = self.recession(ray)
        terms = self.c * ray
        fall = -float(terms.sum())
        if not fall > 1e-9 * float(np.abs(terms).sum()):
            return False
        violation = self._replace(b=np.zeros_like(self.b)).excess(ray)
        return _largest(violation) <= CERTAIN * fall


def checked(c: Any, A_ub: Any, b_ub: Any, A_eq: Any, b_eq: Any, bounds: Any) -> Program:
    """The program that scipy's arguments describe.

    Raises
    ------
    ValueError
        Shapes that do not fit, numbers that are not finite, bounds that cross.
    """
    c = np.atleast_1d(np.asarray(c, dtype=np.float64))
    if c.ndim != 1 or c.size == 0:
        raise ValueError(f"c must be a vector, got shape {c.shape}: give one cost for each unknown")
    _check_finite("c", c)
    above, limits = _rows("ub", A_ub, b_ub, c.size)
    equal, values = _rows("eq", A_eq, b_eq, c.size)
    A = sp.csr_array(sp.vstack([above, equal], format="csr"))
    A.sum_duplicates()
    return Program(c, A, np.concatenate([limits, values]), limits.size, _box(bounds, c.size))


def _rows(name: str, A: Any, b: Any, n: int) -> tuple[sp.csr_array, np.ndarray]:
    if (A is None) != (b is None):
        raise ValueError(f"A_{name} and b_{name} belong together: give both or neither")
    if A is None:
        return sp.csr_array((0, n)), np.empty(0)
    dense = not sp.issparse(A)
    matrix = sp.csr_array(np.atleast_2d(np.asarray(A, np.float64)) if dense else A)
    matrix = sp.csr_array(matrix, dtype=np.float64)
    b = np.atleast_1d(np.asarray(b, dtype=np.float64))
    if matrix.shape != (b.size, n) or b.ndim != 1:
        raise ValueError(
            f"A_{name} has shape {matrix.shape} and b_{name} {b.shape}, with {n} costs: "
            f"give shapes ({b.size}, {n}) and ({b.size},)"
        )
    _check_finite(f"A_{name}", matrix.data)
    _check_finite(f"b_{name}", b)
    return matrix, b


def _check_finite(name: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise ValueError(f"{name} has entries that are not finite: leave such rows or columns out")


def _box(bounds: Any, n: int) -> np.ndarray:
    """Bounds as scipy takes them: one pair, or one for each unknown; ``None`` is infinite."""
    if bounds is None:
        bounds = (0.0, None)
    pairs = np.asarray(bounds, dtype=object)
    if pairs.size == 0 or pairs.shape not in ((2,), (1, 2), (n, 2)):
        raise ValueError(
            f"bounds have shape {pairs.shape}: give one pair (lower, upper), or {n} of them"
        )
    pairs = np.broadcast_to(pairs.reshape(-1, 2), (n, 2))
    box = np.empty((2, n))
    for side, infinite in enumerate((-np.inf, np.inf)):
        box[side] = [infinite if value is None else value for value in pairs[:, side]]
    if np.isnan(box).any():
        raise ValueError("bounds have entries that are NaN: use None or infinity for no bound")
    bad = np.flatnonzero((box[0] > box[1]) | (box[0] == np.inf) | (box[1] == -np.inf))
    if bad.size:
        j = int(bad[0])
        raise ValueError(
            f"bounds of x[{j}] leave nothing between {box[0, j]} and {box[1, j]}: "
            "lower bounds must not exceed upper ones"
        )
    return box


def _largest(values: np.ndarray) -> float:
    return float(np.max(np.abs(values), initial=0.0))
