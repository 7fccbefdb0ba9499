"""Facts about a matrix that decide which schedules and which omegas are safe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from dasksor.bounded_rows import BoundedRows
from dasksor.dense_rows import DenseRows
from dasksor.kernels.symmetry import asymmetry
from dasksor.partition import Partition, compact
from dasksor.rows import Rows
from dasksor.sparse_rows import SparseRows

# What rounding leaves of an asymmetry that is zero, of the terms that cancel.
ROUNDING = 1e-13


@dataclass(frozen=True)
class RowFacts:
    """What one block can say of its rows.

    Attributes
    ----------
    entries : int
        Stored entries.
    dominance : float
        ``max_i sum_{j != i} |a_ij| / |a_ii|``; below 1: strictly diagonally dominant.
    coupling : float
        The same sum over columns of other blocks only.
    asymmetry : float
        Over the rows ``i`` here, ``sum u_i (A v)_i - v_i (A u)_i`` for two fixed vectors of
        scattered entries in [-1, 1]. Over all rows it is 0 for a symmetric matrix.
    weight : float
        ``sum |a_ij|``, the scale of `asymmetry`.
    positive : bool
        Whether the whole diagonal is positive.
    needs : dict
        Which unknowns of which block the rows read (see `dasksor.partition.exchanges`).
    """

    entries: int
    dominance: float
    coupling: float
    asymmetry: float
    weight: float
    positive: bool
    needs: dict[int, slice | np.ndarray]


class _Sums(NamedTuple):
    """What `RowFacts` takes from the entries of some rows; the names are those there."""

    entries: int
    dominance: float
    coupling: float
    asymmetry: float
    weight: float


def row_facts(rows: Rows, partition: Partition) -> RowFacts:
    """Look over the rows of one block."""
    if isinstance(rows, BoundedRows):
        rows = rows.free
    if isinstance(rows, DenseRows):
        sums = _sums_dense(rows)
    elif isinstance(rows, SparseRows):
        sums = _sums_sparse(rows)
    needs = {q: compact(index) for q, index in partition.split(rows.columns).items()}
    return RowFacts(**sums._asdict(), positive=bool((rows.diagonal > 0.0).all()), needs=needs)


def _sums_sparse(rows: SparseRows) -> _Sums:
    (u, v), parts, begin = _scattered(rows), [], 0
    for piece in rows.pieces():
        end = begin + piece.shape[0]
        weights = np.abs(piece.data)
        inside = (piece.indices >= rows.own) & (piece.indices < rows.own + rows.size)
        # No row is empty, each has its diagonal entry: reduceat needs that.
        sums = np.add.reduceat([weights, weights * inside], piece.indptr[:-1], axis=1)
        own = slice(rows.own + begin, rows.own + end)
        asymmetry = float(u[own] @ (piece @ v) - v[own] @ (piece @ u))
        total, within = sums
        parts.append(_sums_of(piece.nnz, total, within, rows.diagonal[begin:end], asymmetry))
        begin = end
    entries, dominance, coupling, asymmetries, weight = zip(*parts, strict=True)
    return _Sums(sum(entries), max(dominance), max(coupling), sum(asymmetries), sum(weight))


def _sums_dense(rows: DenseRows) -> _Sums:
    images, own = np.empty((2, rows.size)), slice(rows.own, rows.own + rows.size)
    u, v = vectors = np.stack(_scattered(rows))
    rows.residual(vectors, np.zeros((2, rows.size)), images)
    asymmetry = float(v[own] @ images[0] - u[own] @ images[1])
    total, within = _absolute_sums_dense(rows)
    return _sums_of(rows.values.size, total, within, rows.diagonal, asymmetry)


def _sums_of(
    entries: int, total: np.ndarray, within: np.ndarray, diagonal: np.ndarray, asymmetry: float
) -> _Sums:
    """From the sums of absolute values over each row, and over its columns in the block."""
    size = np.abs(diagonal)
    return _Sums(
        entries,
        dominance=float(np.max((total - size) / size)),
        coupling=float(np.max(np.maximum(total - within, 0.0) / size)),
        asymmetry=asymmetry,
        weight=float(total.sum()),
    )


def _scattered(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """The two vectors of `RowFacts.asymmetry`, as far as these rows read them."""
    columns = rows.columns
    return np.sin(1.7 * columns + 0.3), np.cos(0.9 * columns)


def _absolute_sums_dense(rows: DenseRows) -> tuple[np.ndarray, np.ndarray]:
    total, inside = np.empty(rows.size), np.empty(rows.size)
    for i, row in enumerate(rows.values):
        weights = np.abs(row)
        total[i] = weights.sum(dtype=np.float64)
        inside[i] = weights[rows.own : rows.own + rows.size].sum(dtype=np.float64)
    return total, inside


def could_be_positive_definite(facts: Sequence[RowFacts]) -> bool:
    """Whether ``A`` is symmetric, as a random test sees it, with a positive diagonal."""
    asymmetry = abs(sum(f.asymmetry for f in facts))
    return asymmetry <= ROUNDING * sum(f.weight for f in facts) and all(f.positive for f in facts)


def suits_gradients(matrix: np.ndarray | sp.csr_array) -> bool:
    """The same for a matrix that is all here, in one pass."""
    if not (matrix.diagonal() > 0.0).all():
        return False
    if isinstance(matrix, np.ndarray):
        # Scaled, so that a huge diagonal entry does not hide the others.
        rows, scale = np.arange(len(matrix)), 1.0 / np.sqrt(matrix.diagonal()[:, None])
        vectors = scale * np.stack([np.sin(1.7 * rows + 0.3), np.cos(0.9 * rows)], axis=1)
        (u, v), (au, av) = vectors.T, (matrix @ vectors).T
        found, weight = float(u @ av - v @ au), float(np.abs(u) @ np.abs(av))
    else:
        found, weight = asymmetry(matrix.indptr, matrix.indices, matrix.data)
    return abs(found) <= ROUNDING * weight


def dominance(matrix: np.ndarray | sp.csr_array) -> float:
    """The worst row or the worst column, whichever is better: below 1 it bounds ``rho(|J|)``.

    Of rows ``max_i sum_{j != i} |a_ij| / |a_ii|``, of columns the same of the transpose.
    """
    absolute, diagonal = abs(matrix), np.abs(matrix.diagonal()).astype(np.float64)
    sums = (absolute.sum(axis=axis, dtype=np.float64) for axis in (0, 1))
    return min(float(np.max((total - diagonal) / diagonal)) for total in sums)


def worst(facts: Sequence[RowFacts]) -> tuple[float, float]:
    """``(dominance, coupling)`` of the whole matrix."""
    return max(f.dominance for f in facts), max(f.coupling for f in facts)


def is_symmetric(matrix: np.ndarray | sp.csr_array) -> bool:
    """Whether ``A`` equals its transpose up to rounding."""
    if sp.issparse(matrix):
        difference = abs(matrix - matrix.T)
        return bool(difference.nnz == 0 or difference.max() <= 1e-12 * abs(matrix).max())
    return bool(np.allclose(matrix, matrix.T, rtol=1e-12, atol=0.0))


def jacobi_bound(matrix: np.ndarray | sp.csr_array, steps: int = 30) -> float:
    """A bound on ``rho(|J|)``, ``J = I - D^-1 A``, by Collatz and Wielandt.

    ``max_i (|J| u)_i / u_i`` bounds the spectral radius for every positive ``u``; power steps on
    ``|J|`` sharpen it. Below 1, ``A`` is an H-matrix and asynchronous SOR is proven for omega up
    to `dasksor.omega.asynchronous_limit`.
    """
    diagonal = np.abs(matrix.diagonal())
    absolute = abs(matrix)
    u = np.ones(len(diagonal))
    bound = np.inf
    for _ in range(steps):
        image = (absolute @ u) / diagonal - u
        bound = min(bound, float(np.max(image / u)))
        # Half a step of the identity keeps u positive where rows of J are empty or J is periodic.
        u = 0.5 * (u + image)
        u /= u.max()
        u = np.maximum(u, 1e-300)
    return bound
