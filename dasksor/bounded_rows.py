"""A block of rows whose unknowns have bounds: sweeps clip, residuals are natural."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from dask.sizeof import sizeof

from dasksor.kernels.bounded import natural
from dasksor.rows import Storage
from dasksor.sparse_rows import frozen


@dataclass(frozen=True)
class BoundedRows:
    """Rows of ``lower <= x <= upper`` together with ``natural(x) = 0``; see `dasksor.rows.Rows`.

    A sweep clips each component right after its update (projected SOR, Cryer 1971). The residual
    is the natural one, ``a_ii (clip(x_i + r_i / a_ii, lower_i, upper_i) - x_i)`` with
    ``r = b - A x``, which is r_i where no bound cuts. With infinite bounds every bit is as without.

    Attributes
    ----------
    free : Rows
        The same rows without bounds.
    lower, upper : ndarray, shape (size,)
        Bounds of the block's own unknowns.
    """

    free: Storage
    lower: np.ndarray
    upper: np.ndarray

    @property
    def size(self) -> int:
        return self.free.size

    @property
    def own(self) -> int:
        return self.free.own

    @property
    def columns(self) -> np.ndarray:
        return self.free.columns

    @property
    def diagonal(self) -> np.ndarray:
        return self.free.diagonal

    def sweep(
        self, x: np.ndarray, b: np.ndarray, omega: float, direction: int, count: int = 1
    ) -> np.ndarray:
        bounds = self.lower, self.upper
        return self.free.sweep(x, b, omega, direction, count, bounds)

    def residual(self, x: np.ndarray, b: np.ndarray, r: np.ndarray) -> None:
        self.free.residual(x, b, r)
        for xj, rj in zip(x, r, strict=True):
            natural(rj, xj, self.own, self.diagonal, self.lower, self.upper)

    def summed(self, groups: np.ndarray, count: int) -> Any:
        return self.free.summed(groups, count)


@sizeof.register(BoundedRows)
def _bytes(rows: BoundedRows) -> int:
    return sizeof(rows.free) + rows.lower.nbytes + rows.upper.nbytes


def with_bounds(rows: Storage, bounds: np.ndarray, start: int) -> BoundedRows:
    """The rows, the first of which is ``start``, with ``bounds`` of shape (2, size).

    Raises
    ------
    ValueError
        A diagonal entry is not positive.
    """
    check_positive(rows.diagonal, start)
    return BoundedRows(rows, *(frozen(bound) for bound in bounds))


def check_positive(diagonal: np.ndarray, start: int = 0) -> None:
    """Refuse rows ``start, ...`` that bounds have no meaning for."""
    if not (diagonal > 0.0).all():
        row = int(np.argmax(diagonal <= 0.0))
        raise ValueError(
            f"bounds need a positive diagonal, got {diagonal[row]:g} in row {start + row}: "
            "state the problem with a positive one, or leave bounds out"
        )
