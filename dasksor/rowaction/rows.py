"""Rows of a sparse matrix, ready for row actions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from dasksor.kernels import actions


class Terms(NamedTuple):
    """What a block of rows has to know of ``F``, beside its rows; see `dasksor.kernels.actions`.

    Attributes
    ----------
    alpha, delta : float
    target : ndarray, shape (m,) or (1,)
    bounds : ndarray, shape (2, m) or (2, 1)
        Between which the multipliers ``u`` stay.
    box : ndarray, shape (2, n)
        Between which ``x`` stays.
    """

    alpha: float
    delta: float
    target: np.ndarray
    bounds: np.ndarray
    box: np.ndarray

    def rows(self, own: slice) -> Terms:
        """Those of some rows; what is one number for all rows stays one."""
        return self._replace(
            target=self.target if self.target.size == 1 else self.target[own],
            bounds=self.bounds if self.bounds.shape[1] == 1 else self.bounds[:, own],
        )


class ActionRows(NamedTuple):
    """A matrix by rows (CSR), with the squares of their norms."""

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    norms: np.ndarray
    columns: int

    @classmethod
    def of(cls, A: Any) -> ActionRows:
        csr = sp.csr_array(A, dtype=np.float64)
        norms = np.empty(csr.shape[0])
        actions.squares(csr.indptr, csr.data, norms)
        return cls(csr.indptr, csr.indices, csr.data, norms, csr.shape[1])

    @property
    def size(self) -> int:
        return self.norms.size

    def slice(self, own: slice) -> ActionRows:
        first, last = self.indptr[own.start], self.indptr[own.stop]
        return ActionRows(
            self.indptr[own.start : own.stop + 1] - first,
            self.indices[first:last],
            self.data[first:last],
            self.norms[own],
            self.columns,
        )

    def sweep(self, terms: Terms, omega: float, z: np.ndarray, u: np.ndarray) -> None:
        """One action of each row in turn, on ``z`` and ``u`` in place."""
        alpha, delta, target, bounds, box = terms
        target = np.ascontiguousarray(np.broadcast_to(target, u.shape))
        bounds = np.ascontiguousarray(np.broadcast_to(bounds, (2, u.size)))
        actions.sweep(*self[:4], alpha, delta, omega, target, bounds, z, box, u)

    def times(self, x: np.ndarray) -> np.ndarray:
        result = np.empty(self.size)
        actions.product(*self[:3], x, result)
        return result

    def transposed_times(self, u: np.ndarray) -> np.ndarray:
        result = np.zeros(self.columns)
        actions.add_transposed(*self[:3], u, 1.0, result)
        return result
