"""Dense rows made ready for sweeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dask.sizeof import sizeof

from dasksor.kernels import dense


@dataclass(frozen=True)
class DenseRows:
    """Dense rows; every unknown is local, so ``own`` is the global number of the first row."""

    values: np.ndarray
    diagonal: np.ndarray
    own: int

    @property
    def size(self) -> int:
        return self.diagonal.size

    @property
    def columns(self) -> np.ndarray:
        return np.arange(self.values.shape[1])

    def sweep(self, x: np.ndarray, b: np.ndarray, scale: np.ndarray, direction: int) -> float:
        kernel = dense.forward if direction > 0 else dense.backward
        return kernel(self.values, scale, b, x, self.own)

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
