"""Dense rows made ready for sweeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dask.sizeof import sizeof

from dasksor.kernels import dense, half

# In bytes: a matrix that may stay in a core's own cache.
CACHED = 2**21
# Right-hand sides; with more of them the cache is what limits, and half a matrix is read twice.
FEW = 4


@dataclass(frozen=True)
class DenseRows:
    """Dense rows; every unknown is local, so ``own`` is the global number of the first row.

    ``symmetric``: these are all rows, the matrix equals its transpose exactly, and it is so large
    that reading half of it takes less time. The bits are the same.
    """

    values: np.ndarray
    diagonal: np.ndarray
    own: int
    symmetric: bool

    @classmethod
    def of(cls, values: np.ndarray, diagonal: np.ndarray, own: int) -> DenseRows:
        """From frozen arrays."""
        halved = len(values) == values.shape[1] and values.nbytes > CACHED
        return cls(values, diagonal, own, halved and half.equals_transpose(values))

    @property
    def size(self) -> int:
        return self.diagonal.size

    @property
    def columns(self) -> np.ndarray:
        return np.arange(self.values.shape[1])

    def sweep(
        self,
        x: np.ndarray,
        b: np.ndarray,
        omega: float,
        direction: int,
        count: int = 1,
        bounds: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray:
        scale, changes = omega / self.diagonal, np.zeros((count, len(x)))
        for squares in changes:
            if self.symmetric and len(x) <= FEW:
                half.sweep(self.values, scale, b, x, direction, squares, bounds)
            else:
                dense.sweep(self.values, scale, b, x, self.own, direction, squares, bounds)
        return changes.sum(axis=1)

    def residual(self, x: np.ndarray, b: np.ndarray, r: np.ndarray) -> None:
        dense.residual(self.values, b, x, self.own, r)

    def summed(self, groups: np.ndarray, count: int) -> np.ndarray:
        """As `CsrRows.summed`."""
        result = np.zeros((self.size, count))
        for g in range(count):
            result[:, g] = self.values[:, groups == g].sum(axis=1, dtype=np.float64)
        return result


@sizeof.register(DenseRows)
def _dense_bytes(rows: DenseRows) -> int:
    return rows.values.nbytes + rows.diagonal.nbytes
