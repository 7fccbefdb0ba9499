"""The triangles of a block, and the substitutions with them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from scipy.linalg import blas

from dasksor.kernels import bands, faces, triangles

# Pointers, columns and values of compressed rows.
Csr = tuple[np.ndarray, np.ndarray, np.ndarray]
# Numbers of the rows that are not empty, and the three for these. Without signs, which cost a test
# for each access.
Entries = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
NO_ENTRIES: Entries = (
    np.empty(0, np.uint32), np.zeros(1, np.uint32), np.empty(0, np.uint32), np.empty(0),
)  # fmt: skip
NOTHING = np.empty(0)
# Shorter chunks are not worth a vectorised pass each.
SHORTEST_CHUNK, LONGEST_CHUNK = 24, 4096


@dataclass(frozen=True)
class CsrTriangles:
    """``I + L`` and ``I + U`` of rows ``first, ..., last - 1``, in compressed sparse rows."""

    first: int
    last: int
    lower: Csr
    upper: Csr

    def backward(
        self,
        r: np.ndarray,
        beta: float,
        p: np.ndarray,
        t: np.ndarray,
        image: Entries = NO_ENTRIES,
        sums: np.ndarray = NOTHING,
    ) -> None:
        """``p <- r + beta p``, solve ``(I + U) t = p``, and add ``W't`` to ``sums``."""
        triangles.backward(*self.upper, self.first, self.last, r, beta, p, t, image, sums)

    def forward(
        self,
        p: np.ndarray,
        tau: float,
        t: np.ndarray,
        y: np.ndarray,
        couplings: Entries = NO_ENTRIES,
        image: Entries = NO_ENTRIES,
        c: np.ndarray = NOTHING,
    ) -> float:
        """Solve ``(I + L) y = p - tau t + R t - W c``; returns ``p'(t + y)``."""
        where = (*self.lower, self.first, self.last)
        return triangles.forward(*where, p, tau, t, couplings, image, c, y)

    def weighted_norm(self, weight: np.ndarray, v: np.ndarray) -> float:
        """The squared 2-norm of ``weight (I + L) v``."""
        return triangles.weighted_norm(*self.lower, self.first, self.last, weight, v)

    def restricted(self, free: np.ndarray) -> CsrTriangles:
        """The same with rows and columns of the identity where unknowns are not free."""
        return replace(self, lower=self._kept(self.lower, free), upper=self._kept(self.upper, free))

    def _kept(self, triangle: Csr, free: np.ndarray) -> Csr:
        ptr, idx, val = triangle
        kept = np.empty_like(val)
        faces.compressed(ptr, idx, val, self.first, free, kept)
        return ptr, idx, kept


@dataclass(frozen=True)
class BandTriangles:
    """The same where ``U = L'`` has a few diagonals: they are kept, once, without columns."""

    first: int
    last: int
    bands: np.ndarray
    offsets: np.ndarray
    chunk: int

    def backward(
        self,
        r: np.ndarray,
        beta: float,
        p: np.ndarray,
        t: np.ndarray,
        image: Entries = NO_ENTRIES,
        sums: np.ndarray = NOTHING,
    ) -> None:
        where = (self.bands, self.offsets, self.chunk, self.first, self.last)
        bands.backward(*where, r, beta, p, t, image, sums)

    def forward(
        self,
        p: np.ndarray,
        tau: float,
        t: np.ndarray,
        y: np.ndarray,
        couplings: Entries = NO_ENTRIES,
        image: Entries = NO_ENTRIES,
        c: np.ndarray = NOTHING,
    ) -> float:
        where = (self.bands, self.offsets, self.chunk, self.first, self.last)
        return bands.forward(*where, p, tau, t, couplings, image, c, y)

    def weighted_norm(self, weight: np.ndarray, v: np.ndarray) -> float:
        return bands.weighted_norm(self.bands, self.offsets, self.first, self.last, weight, v)

    def restricted(self, free: np.ndarray) -> BandTriangles:
        kept = np.empty_like(self.bands)
        faces.banded(self.bands, self.offsets, self.first, self.last, free, kept)
        return replace(self, bands=kept)


@dataclass(frozen=True)
class DenseTriangles:
    """The same for a matrix in one dense block.

    ``I + L = S K S`` with ``K`` the lower triangle of ``values`` and ``root = S^-1``; with omega 1,
    ``K`` is that of ``A`` itself. The upper triangle gives ``I + U``.
    """

    values: np.ndarray
    root: np.ndarray

    def backward(
        self,
        r: np.ndarray,
        beta: float,
        p: np.ndarray,
        t: np.ndarray,
        image: Entries = NO_ENTRIES,
        sums: np.ndarray = NOTHING,
    ) -> None:
        p *= beta
        p += r
        # BLAS reads columns first, and so the transpose.
        g = self.root * p
        np.multiply(self.root, blas.dtrsv(self.values.T, g, lower=1, trans=1), out=t)

    def forward(
        self,
        p: np.ndarray,
        tau: float,
        t: np.ndarray,
        y: np.ndarray,
        couplings: Entries = NO_ENTRIES,
        image: Entries = NO_ENTRIES,
        c: np.ndarray = NOTHING,
    ) -> float:
        g = self.root * (p - tau * t)
        np.multiply(self.root, blas.dtrsv(self.values.T, g, trans=1), out=y)
        return float(p @ (t + y))

    def weighted_norm(self, weight: np.ndarray, v: np.ndarray) -> float:
        image = weight / self.root * blas.dtrmv(self.values.T, v / self.root, trans=1)
        return float(image @ image)

    def restricted(self, free: np.ndarray) -> DenseTriangles:
        kept = np.where(np.outer(free, free), self.values, 0.0)
        np.fill_diagonal(kept, self.values.diagonal())
        return replace(self, values=kept)


Triangles = CsrTriangles | BandTriangles | DenseTriangles


def split(
    matrix: sp.csr_array,
    left: np.ndarray,
    right: np.ndarray,
    first: int,
    last: int,
    *,
    symmetric: bool,
) -> tuple[Triangles, Entries]:
    """The triangles of ``left_i a_ij right_j`` in a block, and its entries in other blocks.

    Where the matrix is ``symmetric``, ``left`` and ``right`` are the same.
    """
    arrays = (matrix.indptr, matrix.indices, matrix.data)
    lower, upper, outside, rows = triangles.count(*arrays[:2], first, last)
    far = (np.empty(rows, np.uint32), np.zeros(rows + 1, np.uint32))
    couplings = (*far, np.empty(outside, np.uint32), np.empty(outside))
    if outside:
        triangles.couplings(*arrays, left, right, first, last, couplings)
    offsets = _few_offsets(matrix, first, last, entries=lower) if symmetric else None
    if offsets is not None:
        made = np.zeros((offsets.size, last - first + 1))
        bands.fill(*arrays, left, offsets, first, last, made)
        chunk = int(min(LONGEST_CHUNK, last - first, *offsets[:-1]))
        return BandTriangles(first, last, made, offsets, chunk), couplings
    below, above = (
        (np.zeros(last - first + 1, np.uint64), np.empty(m, np.uint32), np.empty(m))
        for m in (lower, upper)
    )
    triangles.split(*arrays, left, right, first, last, below, above)
    return CsrTriangles(first, last, below, above), couplings


def _few_offsets(matrix: sp.csr_array, first: int, last: int, *, entries: int) -> np.ndarray | None:
    """The distances of the diagonals below the main one, where keeping them as such pays."""
    found = bands.offsets_below(matrix.indptr, matrix.indices, first, last)
    if found.size > bands.MOST:
        return None
    offsets = np.union1d(found, [1])[::-1].copy()
    padded = offsets.size * (last - first)
    if 8 * padded > 1.3 * 12 * entries or (offsets.size > 1 and offsets[-2] < SHORTEST_CHUNK):
        return None
    return offsets
