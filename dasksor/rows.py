"""A block of rows made ready for sweeps: local columns, checked, of one storage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias

import numpy as np
import scipy.sparse as sp
from scipy.linalg.blas import dnrm2 as nrm2

from dasksor.dense_rows import DenseRows
from dasksor.sparse_rows import SparseRows, frozen
from dasksor.storing import prepare_sparse

FORWARD, BACKWARD = 1, -1
Storage: TypeAlias = DenseRows | SparseRows


class Rows(Protocol):
    """Rows ``start, ..., start + size - 1`` of ``A``, addressed through a local vector.

    The local vector holds the unknowns ``columns`` (sorted, global numbers): the block's own ones,
    at ``own, ..., own + size - 1``, between those that it reads from lower and upper blocks.
    Sweeps and residuals are of all right-hand sides: ``x``, ``b`` and ``r`` have shape (nrhs, ...).
    """

    @property
    def size(self) -> int: ...

    @property
    def own(self) -> int: ...

    @property
    def columns(self) -> np.ndarray: ...

    @property
    def diagonal(self) -> np.ndarray: ...

    def sweep(
        self, x: np.ndarray, b: np.ndarray, omega: float, direction: int, count: int = 1
    ) -> np.ndarray:
        """Make ``count`` passes in place; for each the sum of the squared changes."""
        ...

    def residual(self, x: np.ndarray, b: np.ndarray, r: np.ndarray) -> None: ...

    def summed(self, groups: np.ndarray, count: int) -> Any: ...


def residual(rows: Rows, x: np.ndarray, b: np.ndarray) -> np.ndarray:
    """This block's part of ``b - A x``, shape (nrhs, size)."""
    r = np.empty((len(b), rows.size))
    rows.residual(x, b, r)
    return r


def residual_norms(rows: Rows, x: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The 2-norm of that, one for each right-hand side."""
    return norms(residual(rows, x, b))


def norms(vectors: np.ndarray) -> np.ndarray:
    """The 2-norm of each row.

    Of BLAS, which scales: NumPy squares the entries as they are, and the norm of a tiny nonzero
    vector becomes 0, which any tolerance accepts.
    """
    return np.array([nrm2(vector) for vector in vectors])


def dots(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The inner product of each row of ``a`` with the same row of ``b``."""
    return np.einsum("ji,ji->j", a, b)


def joined(parts: Iterable[np.ndarray]) -> np.ndarray:
    """The norms of whole vectors from the norms of their parts."""
    return np.hypot.reduce(list(parts), axis=0)


def canonical_csr(matrix: Any) -> sp.csr_array:
    """A CSR array, columns sorted and unique, float64 or float32; never changes its input."""
    result = sp.csr_array(matrix)
    if result.dtype not in (np.float64, np.float32):
        result = result.astype(np.float64)
    if not result.has_canonical_format:
        result = result.copy()
        result.sum_duplicates()
    return result


def narrowed(matrix: sp.csr_array) -> sp.csr_array:
    """The same matrix object, its indices of 32 bits where they fit; scipy keeps wider ones."""
    if max(*matrix.shape, matrix.nnz) < 2**31:
        matrix.indices = matrix.indices.astype(np.int32, copy=False)
        matrix.indptr = matrix.indptr.astype(np.int32, copy=False)
    return matrix


def canonical_dense(matrix: Any) -> np.ndarray:
    """As a 2-D array of float64 or float32."""
    result = np.asarray(matrix)
    return result if result.dtype in (np.float64, np.float32) else result.astype(np.float64)


def check_rows(matrix: sp.csr_array | np.ndarray, start: int) -> np.ndarray:
    """Return the diagonal of the rows that begin at ``start``, or say which entry is bad.

    Raises
    ------
    ValueError
        An entry is NaN or infinite, or a diagonal entry is zero or missing.
    """
    if not _all_finite(matrix):
        row, column, value = _first_not_finite(matrix)
        raise ValueError(f"A[{start + row}, {column}] is {value}: all entries must be finite")
    diagonal = np.asarray(matrix.diagonal(start), dtype=np.float64)
    if not diagonal.all():
        row = start + int(np.flatnonzero(diagonal == 0)[0])
        raise ValueError(
            f"zero on the diagonal in row {row}: SOR needs a nonzero diagonal; "
            "reorder the rows or use another method"
        )
    return diagonal


def _all_finite(matrix: sp.csr_array | np.ndarray) -> bool:
    if sp.issparse(matrix):
        return bool(np.isfinite(matrix.data).all())
    # A product is quicker, and finite only if all entries are; they may be finite and overflow.
    sums = matrix @ np.ones(matrix.shape[1], matrix.dtype)
    return bool(np.isfinite(sums).all() or np.isfinite(matrix).all())


def _first_not_finite(matrix: sp.csr_array | np.ndarray) -> tuple[int, int, float]:
    if isinstance(matrix, np.ndarray):
        row, column = np.argwhere(~np.isfinite(matrix))[0]
        return int(row), int(column), float(matrix[row, column])
    k = int(np.flatnonzero(~np.isfinite(matrix.data))[0])
    row = int(np.searchsorted(matrix.indptr, k, side="right")) - 1
    return row, int(matrix.indices[k]), float(matrix.data[k])


def prepare_rows(matrix: sp.csr_array | np.ndarray, start: int) -> Storage:
    """Make rows ``start, start + 1, ...`` of a matrix (canonical, all columns) ready for sweeps.

    Raises
    ------
    ValueError
        As `check_rows`.
    """
    diagonal = check_rows(matrix, start)
    if isinstance(matrix, np.ndarray):
        return DenseRows.of(frozen(matrix), frozen(diagonal), start)
    return prepare_sparse(matrix, start, diagonal)
