"""Newton steps on the piecewise quadratic function of `dasksor.rowaction.dual`, for free ``u``.

Sweeps settle slowly which ``x_j`` are between their bounds; given those, the minimum is that of a
quadratic function. So the generalised Newton method (Mangasarian, JOTA 121, 2004; semismooth, in
the terms of Qi and Sun 1993) solves

    (alpha A_F A_F' + delta I) d = -grad F,    F = {j: l_j < z_j < h_j},

by conjugate gradients with products by ``A_F`` and ``A_F'``, the diagonal as preconditioner. Where
these need too many iterations, that part of the matrix is factorised (Cholesky, dense) in which it
may be ill-conditioned: the rows without a free slack, of constraints that hold with equality. The
factor serves as preconditioner in this step, and in those after it while ``F`` changes little.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.linalg import cho_factor, cho_solve

from dasksor.rowaction.dual import Dual

Preconditioner = Callable[[np.ndarray], np.ndarray]

PLAIN, FACTORED = (100, 10_000), 100  # most iterations of conjugate gradients
MOST_FACTORED = 12_000  # rows of a matrix that is factorised: 1.2 GB


class _Factor(NamedTuple):
    """A preconditioner: Cholesky's factor for the rows ``tight``, the diagonal for the others."""

    tight: np.ndarray
    cholesky: Any

    def solved(self, diagonal: np.ndarray, r: np.ndarray) -> np.ndarray:
        z = r / diagonal
        z[self.tight] = cho_solve(self.cholesky, r[self.tight], check_finite=False)
        return z


class Newton:
    """Steps for one matrix; keeps the last factor.

    Attributes
    ----------
    steps, iterations, factors : int
        Newton's steps, iterations of conjugate gradients, factorisations.
    """

    def __init__(self, A: sp.csr_array) -> None:
        self._columns = sp.csc_array(A)
        # Which row a column that has one entry belongs to: such a column is a slack.
        starts, alone = self._columns.indptr, np.diff(self._columns.indptr) == 1
        self._row_of = np.full(alone.size, -1)
        self._row_of[alone] = self._columns.indices[starts[:-1][alone]]
        self._factor: _Factor | None = None
        self._plain_fails = False
        self.steps = self.iterations = self.factors = 0

    def step(self, dual: Dual, gradient: np.ndarray, goal: float) -> np.ndarray:
        """``d`` with a residual of at most ``goal``, or the best that was to be had."""
        self.steps += 1
        alpha, delta, _, _, box = dual.terms
        free = np.flatnonzero((dual.z > box[0]) & (dual.z < box[1]))
        part = sp.csr_array(self._columns[:, free])
        back = sp.csr_array(part.T)
        squares = sp.csr_array((part.data**2, part.indices, part.indptr), shape=part.shape)
        diagonal = alpha * squares.sum(axis=1) + delta
        tight = np.setdiff1d(np.arange(gradient.size), self._row_of[free])

        def times(p: np.ndarray) -> np.ndarray:
            return alpha * (part @ (back @ p)) + delta * p

        def solved(by: Preconditioner, most: int) -> tuple[np.ndarray, bool]:
            d, count, done = conjugate_gradients(times, by, -gradient, goal, most)
            self.iterations += count
            return d, done

        can_factor = tight.size <= MOST_FACTORED
        if not (self._plain_fails and can_factor):
            # Until they have taken about as long as a factorisation would.
            worth = int(np.clip(tight.size**3 / (10.0 * max(part.nnz, 1)), *PLAIN))
            d, done = solved(lambda r: r / diagonal, worth if can_factor else PLAIN[1])
            if done or not can_factor:
                return d
            self._plain_fails = True
        if self._factor is not None:
            d, done = solved(partial(self._factor.solved, diagonal), FACTORED)
            if done:
                return d
        self._factor = None  # room for the next
        matrix = (part[tight] @ back[:, tight]).toarray(order="F")
        matrix *= alpha
        matrix[np.diag_indices(tight.size)] += delta
        cholesky = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
        self._factor = _Factor(tight, cholesky)
        self.factors += 1
        d, _ = solved(partial(self._factor.solved, diagonal), 4 * FACTORED)
        return d

    def forget(self) -> None:
        """Try the diagonal again: the matrix has become another one."""
        self._plain_fails = False


def conjugate_gradients(
    times: Preconditioner, by: Preconditioner, b: np.ndarray, goal: float, most: int
) -> tuple[np.ndarray, int, bool]:
    """An approximate solution, the iterations, and whether its residual norm is within ``goal``."""
    x, r = np.zeros_like(b), b.copy()
    z = by(r)
    p, rz = z.copy(), float(r @ z)
    for count in range(1, most + 1):
        image = times(p)
        curvature = float(p @ image)
        if not curvature > 0.0:
            return x, count, False
        x += rz / curvature * p
        r -= rz / curvature * image
        if np.linalg.norm(r) <= goal:
            return x, count, True
        z = by(r)
        rz, before = float(r @ z), rz
        p = z + rz / before * p
    return x, most, False
