"""The columns of a coarse space: on each aggregate, what near-null vectors are there.

One vector without zeros has one column for each aggregate, a piece of itself. Of several vectors,
as the rigid body modes of an elastic body, the pieces are orthonormalised on each aggregate, and
those that depend on others there are dropped (Vanek, Mandel and Brezina, *Algebraic multigrid by
smoothed aggregation for second and fourth order elliptic problems*, Computing 56, 1996).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from dasksor.accelerate.triangles import Entries
from dasksor.kernels.matching import columns_summed, members_of
from dasksor.kernels.pieces import orthonormalised

# What is left of terms that cancel counts as zero.
ROUNDING = 1e-14


@dataclass(frozen=True)
class Pieces:
    """One vector, cut along the aggregates.

    Attributes
    ----------
    group : ndarray of int, shape (n,)
        The aggregate of each unknown.
    weight : ndarray, shape (n,)
        The vector: for ``A``, not for the scaled matrix. Zero where an unknown has no aggregate.
    """

    group: np.ndarray
    weight: np.ndarray
    count: int

    @property
    def null(self) -> np.ndarray:
        """What coefficients give the vector."""
        return np.ones((self.count, 1))

    def restricted(self, v: np.ndarray) -> np.ndarray:
        """``Z'v`` for a vector of the unscaled system."""
        return np.bincount(self.group, self.weight * v, minlength=self.count)

    def prolonged(self, c: np.ndarray) -> np.ndarray:
        """``Z c`` in the unscaled system."""
        return self.weight * c[self.group]

    def inside(self, free: np.ndarray) -> np.ndarray:
        """Which columns are zero wherever unknowns are not free."""
        outside = ~free & (self.weight != 0.0)
        return np.bincount(self.group, outside, minlength=self.count) == 0.0

    def image(self, matrix: sp.csr_array, scale: np.ndarray, first: int, last: int) -> Entries:
        """Rows ``first, ..., last - 1`` of ``A Z``, each times its ``scale_i``."""
        arrays = (matrix.indptr, matrix.indices, matrix.data)
        return columns_summed(*arrays, self.group, self.weight, scale, self.count, first, last)

    def energy(self, image: Entries, scale: np.ndarray) -> sp.csr_array:
        """``Z'A Z`` from some rows of `image`."""
        rows, product = image[0], _as_csr(image, self.count)
        entries = (self.weight[rows] / scale[rows], (self.group[rows], np.arange(rows.size)))
        return sp.csr_array(sp.csr_array(entries, shape=(self.count, rows.size)) @ product)


@dataclass(frozen=True)
class Columns:
    """Several vectors, or one with zeros, as a sparse matrix ``Z``.

    Attributes
    ----------
    matrix : csr_array, shape (n, count)
        For ``A``, not for the scaled matrix.
    null : ndarray, shape (count, k)
        What coefficients give the vectors.
    """

    matrix: sp.csr_array
    null: np.ndarray

    @property
    def count(self) -> int:
        return self.matrix.shape[1]

    def restricted(self, v: np.ndarray) -> np.ndarray:
        return self.matrix.T @ v

    def prolonged(self, c: np.ndarray) -> np.ndarray:
        return self.matrix @ c

    def inside(self, free: np.ndarray) -> np.ndarray:
        return abs(self.matrix).T @ np.where(free, 0.0, 1.0) == 0.0

    def image(self, matrix: sp.csr_array, scale: np.ndarray, first: int, last: int) -> Entries:
        own = matrix[first:last]
        product = sp.csr_array(own @ self.matrix)
        product.sort_indices()
        terms = abs(own) @ abs(self.matrix).sum(axis=1)
        row = np.repeat(np.arange(last - first), np.diff(product.indptr))
        kept = np.abs(product.data) > ROUNDING * terms[row]
        row, column = row[kept], product.indices[kept].astype(np.uint32)
        rows, entries = np.unique(row, return_counts=True)
        ptr = np.concatenate([[0], np.cumsum(entries)]).astype(np.uint32)
        values = scale[first + row] * product.data[kept]
        return (first + rows).astype(np.uint32), ptr, column, values

    def energy(self, image: Entries, scale: np.ndarray) -> sp.csr_array:
        rows, product = image[0], _as_csr(image, self.count)
        unscaled = sp.diags_array(1.0 / scale[rows]) @ product
        return sp.csr_array(self.matrix[rows].T @ unscaled)


Basis = Pieces | Columns


def basis_of(vectors: np.ndarray, group: np.ndarray, count: int, scale: np.ndarray) -> Basis:
    """``vectors``, of shape (k, n), on ``count`` aggregates; ``group`` is -1 where there is none.

    Several are orthonormal on an aggregate after both sides of the matrix are scaled.
    """
    inside = group >= 0
    if len(vectors) == 1 and vectors[0].all():
        return Pieces(np.where(inside, group, 0), np.where(inside, vectors[0], 0.0), count)
    begin, members = members_of(group, count)
    parts = vectors.T / scale[:, None]
    parts /= np.linalg.norm(parts, axis=0)
    # Triangular factors of an aggregate: what its columns are to be times for the vectors.
    factors = np.zeros((count, len(vectors), len(vectors)))
    orthonormalised(parts, begin, members, factors)
    kept = np.einsum("gjj->gj", factors) > 0.0
    number = np.cumsum(kept).reshape(kept.shape) - 1
    row, column = np.nonzero(inside[:, None] & kept[group])
    entries = (scale[row] * parts[row, column], (row, number[group[row], column]))
    matrix = sp.csr_array(entries, shape=(group.size, int(kept.sum())))
    return Columns(matrix, factors[kept])


def _as_csr(image: Entries, count: int) -> sp.csr_array:
    rows, ptr, columns, values = image
    return sp.csr_array((values, columns.astype(np.int32), ptr), shape=(rows.size, count))
