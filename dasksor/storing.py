"""Which storage a block of sparse rows gets, and how it gets there."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from dasksor.kernels import csr, diagonals, triples
from dasksor.sparse_rows import CsrRows, DiagonalRows, SparseRows, TripleRows, frozen

# Rows in a chunk of diagonals; below the least, the loop around a chunk outweighs it.
CHUNK, LEAST_CHUNK = 64, 16
# By diagonals a float64 takes two thirds of the bytes that it takes with its column.
PADDING = 1.5
# So many entries a row, so many zeros for each, and triples are worth it.
LONG, TRIPLE_PADDING = 16, 1.2


class Block(NamedTuple):
    """Entries of a block of rows, their columns numbered locally.

    ``lower`` says whether ``own - 1`` stands for the unknown before the first row's in the whole
    matrix too, ``upper`` the like of the last row. ``halo`` are the unknowns of other blocks.
    """

    data: np.ndarray
    indptr: np.ndarray
    indices: np.ndarray
    diagonal: np.ndarray
    halo: np.ndarray
    start: int
    own: int
    lower: bool
    upper: bool

    @property
    def size(self) -> int:
        return self.diagonal.size

    @property
    def width(self) -> int:
        """How many unknowns the local vector has."""
        return self.size + self.halo.size

    @property
    def narrowest(self) -> Any:
        """The smallest type that holds all off-diagonal values exactly: memory is time."""
        whole, single = csr.widths(self.indptr, self.indices, self.data, self.own)
        return np.int8 if whole else np.float32 if single else np.float64

    @property
    def hangs_together(self) -> bool:
        """Whether locally adjacent unknowns that the block's ends read are globally adjacent."""
        start, end = self.indices[: self.indptr[1]], self.indices[self.indptr[-2] :]
        return (self.lower or self.own - 1 not in start) and (
            self.upper or self.own + self.size not in end
        )


def prepare_sparse(matrix: sp.csr_array, start: int, diagonal: np.ndarray) -> SparseRows:
    """Store rows ``start, start + 1, ...`` of a canonical matrix for sweeps.

    Beside the rows as they were and the rows as they will be, hardly any memory is taken.
    """
    size, stop = diagonal.size, start + diagonal.size
    columns = matrix.indices
    below, above = np.unique(columns[columns < start]), np.unique(columns[columns >= stop])
    own, width = below.size, below.size + size + above.size
    index = np.int32 if max(width, matrix.nnz) < 2**30 else np.int64
    indptr = matrix.indptr.astype(index, copy=False)
    lower = own > 0 and bool(below[-1] == start - 1)
    upper = above.size > 0 and bool(above[0] == stop)
    halo = np.concatenate([below, above])
    indices = _local(columns, start, stop, halo, own).astype(index, copy=False)
    block = Block(matrix.data, indptr, indices, diagonal, halo, start, own, lower, upper)
    found = np.zeros(size + width, dtype=bool)
    diagonals.mark(indptr, indices, found)
    offsets = np.flatnonzero(found) - own - size + 1
    offsets = np.union1d(offsets[offsets != 0], [-1, 1])
    if block.hangs_together:
        chunk = int(min([CHUNK, *np.abs(offsets[np.abs(offsets) > 1])]))
        if chunk >= LEAST_CHUNK and offsets.size * size <= PADDING * matrix.nnz:
            return _by_diagonals(block, offsets, chunk)
        if size % 3 == 0 and matrix.nnz >= LONG * size:
            first = np.zeros(size // 3 + 1, indptr.dtype)
            triples.pack(*_entries(block), first, indices[:0], np.zeros(0))
            if 3 * int(first[-1]) <= TRIPLE_PADDING * matrix.nnz:
                return _by_triples(block, first)
    return _by_rows(block)


def _local(columns: np.ndarray, start: int, stop: int, halo: np.ndarray, own: int) -> np.ndarray:
    """The places of global ``columns`` in the local vector."""
    if halo.size == 0:
        return columns if start == 0 else columns - start
    indices = columns - columns.dtype.type(start - own)
    far = np.flatnonzero((columns < start) | (columns >= stop))
    place = np.searchsorted(halo, columns[far])
    indices[far] = place + np.where(place < own, 0, stop - start)
    return indices


def _common(block: Block) -> tuple[np.ndarray, np.ndarray, int, int]:
    return frozen(block.diagonal), frozen(block.halo), block.start, block.own


def _entries(block: Block) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    return block.indptr, block.indices, block.data, block.own


def _reach(block: Block) -> int:
    """How far from its own unknown a row reads; its columns ascend, and none is empty."""
    at = block.own + np.arange(block.size)
    ends = block.indices[block.indptr[:-1]], block.indices[block.indptr[1:] - 1]
    return max(int(np.abs(end - at).max()) for end in ends)


def _near(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same arrays; of a symmetric matrix two views of one."""
    if not np.array_equal(before[1:], after[:-1]):
        return before, after
    both = np.append(before, after[-1])
    return both[:-1], both[1:]


def _by_diagonals(block: Block, offsets: np.ndarray, chunk: int) -> DiagonalRows:
    values = np.zeros((-(-block.size // chunk), offsets.size, chunk), block.narrowest)
    diagonals.fill(block.indptr, block.indices, block.data, block.own, offsets, values)
    return DiagonalRows(frozen(values.reshape(-1)), frozen(offsets), chunk, *_common(block))


def _by_rows(block: Block) -> CsrRows:
    pattern, edges = (block.indptr, block.indices), (block.own, block.lower, block.upper)
    rest = np.zeros(block.size, dtype=np.int64)
    csr.lengths(*pattern, *edges, rest)
    first = np.concatenate([[0], np.cumsum(-(-rest // csr.GROUP))]).astype(block.indptr.dtype)
    slots = csr.GROUP * int(first[-1])
    indices, values = np.zeros(slots, block.indices.dtype), np.zeros(slots, block.narrowest)
    before, after = (np.zeros(block.size, values.dtype) for _ in range(2))
    csr.pack(*pattern, block.data, *edges, first, indices, values, before, after)
    indices = indices.view(f"u{indices.itemsize}")
    arrays = [frozen(a) for a in (first, indices, values, *_near(before, after))]
    arguments: Any = (*arrays, *_common(block), _reach(block))
    return CsrRows(*arguments)


def _by_triples(block: Block, first: np.ndarray) -> TripleRows:
    entries, dtype = _entries(block), block.narrowest
    indices, values = (
        np.empty(int(first[-1]), block.indices.dtype),
        np.zeros(3 * int(first[-1]), dtype),
    )
    triples.pack(*entries, first, indices, values)
    left, right = (np.zeros(block.size // 3, dtype) for _ in range(2))
    before, after = (np.zeros(block.size, dtype) for _ in range(2))
    triples.pack_inside(*entries, left, right, before, after)
    indices = indices.view(f"u{indices.itemsize}")
    inside = (left, right, *_near(before, after))
    arrays = [frozen(a) for a in (first, indices, values, *inside)]
    arguments: Any = (*arrays, *_common(block), _reach(block))
    return TripleRows(*arguments)
