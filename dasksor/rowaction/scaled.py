"""A linear program in standard form, scaled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from dasksor.rowaction.program import Program
from dasksor.rowaction.proximal import Standard

EQUILIBRATIONS = 10


class Scaled(NamedTuple):
    """With slacks, rows and columns scaled to entries about 1, and `b` and `c` to norm 1.

    ``x = columns * scaled x * size``, ``y = rows * scaled u * price``.
    """

    standard: Standard
    rows: np.ndarray
    columns: np.ndarray
    size: float
    price: float

    @classmethod
    def of(cls, program: Program, slack: float | None = None) -> Scaled:
        """By default all columns are scaled; with ``slack`` those of `x` are not."""
        m, n, slacks = program.b.size, program.c.size, program.inequalities
        A = sp.csr_array(sp.hstack([program.A, sp.eye_array(m, slacks)]))
        rows, columns = np.ones(m), np.ones(n + slacks)
        for _ in range(EQUILIBRATIONS):
            # Ruiz 2001: in the limit the largest entry of each row and column is 1.
            by = _scale(A, 1)
            A, rows = sp.csr_array(sp.diags_array(by) @ A), rows * by
            if slack is None:
                by = _scale(A, 0)
                A, columns = sp.csr_array(A @ sp.diags_array(by)), columns * by
        if slack is not None:
            columns[n:] = slack
            A = sp.csr_array(A @ sp.diags_array(columns))
        c = np.concatenate([program.c, np.zeros(slacks)]) * columns
        box = np.concatenate([program.box, np.tile([[0.0], [np.inf]], slacks)], axis=1)
        b = program.b * rows
        size, price = (float(np.linalg.norm(v)) or 1.0 for v in (b, c))
        return cls(
            Standard(c / price, A, b / size, box / columns / size), rows, columns, size, price
        )

    def change(self, program: Program, x: np.ndarray) -> np.ndarray:
        """A change of `x`, without slacks, in the program's own terms."""
        return (x * self.columns)[: program.c.size] * self.size

    def point(self, program: Program, x: np.ndarray) -> np.ndarray:
        """An `x` likewise, within its bounds to the last bit."""
        return np.clip(self.change(program, x), *program.box)

    def multipliers(self, program: Program, u: np.ndarray) -> np.ndarray:
        return program.signed(self.rows * u * self.price)


def _scale(A: sp.csr_array, axis: int) -> np.ndarray:
    largest = np.abs(A).max(axis=axis).toarray().ravel() if A.nnz else np.zeros(A.shape[1 - axis])
    return 1.0 / np.sqrt(np.where(largest > 0.0, largest, 1.0))
