"""Which storage a block of sparse rows gets, and how it gets there."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from dasksor.kernels import csr, diagonals
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
    matrix too, ``upper`` the like of the last row. ``row`` is the unknown of each entry's row.
    """

    data: np.ndarray
    indptr: np.ndarray
    indices: np.ndarray
    row: np.ndarray
    diagonal: np.ndarray
    columns: np.ndarray
    own: int
    lower: bool
    upper: bool

    @property
    def size(self) -> int:
        return self.diagonal.size

    @property
    def narrowest(self) -> Any:
        """The smallest type that holds all off-diagonal values exactly: memory is time."""
        values = self.data[self.indices != self.row]
        if np.abs(values).max(initial=0.0) <= 127 and (values == np.rint(values)).all():
            return np.int8
        with np.errstate(over="ignore"):
            return np.float32 if (values == values.astype(np.float32)).all() else np.float64

    @property
    def hangs_together(self) -> bool:
        """Whether locally adjacent unknowns that the block's ends read are globally adjacent."""
        start, end = self.indices[: self.indptr[1]], self.indices[self.indptr[-2] :]
        return (self.lower or self.own - 1 not in start) and (
            self.upper or self.own + self.size not in end
        )


def prepare_sparse(matrix: sp.csr_array, start: int, diagonal: np.ndarray) -> SparseRows:
    """Store rows ``start, start + 1, ...`` of a canonical matrix for sweeps."""
    size, n = matrix.shape
    if size == n:
        columns, indices = np.arange(n), matrix.indices
    else:
        columns = np.union1d(matrix.indices, np.arange(start, start + size))
        indices = np.searchsorted(columns, matrix.indices)
    own = int(np.searchsorted(columns, start))
    index = np.int32 if max(columns.size, matrix.nnz) < 2**30 else np.int64
    indptr, indices = (a.astype(index, copy=False) for a in (matrix.indptr, indices))
    row = np.repeat(np.arange(own, own + size, dtype=index), np.diff(indptr))
    lower = own > 0 and bool(columns[own - 1] == start - 1)
    upper = own + size < columns.size and bool(columns[own + size] == start + size)
    block = Block(matrix.data, indptr, indices, row, diagonal, columns, own, lower, upper)
    found = np.zeros(size + columns.size, dtype=bool)
    diagonals.mark(indptr, indices, found)
    offsets = np.flatnonzero(found) - own - size + 1
    offsets = np.union1d(offsets[offsets != 0], [-1, 1])
    if block.hangs_together:
        chunk = int(min([CHUNK, *np.abs(offsets[np.abs(offsets) > 1])]))
        if chunk >= LEAST_CHUNK and offsets.size * size <= PADDING * matrix.nnz:
            return _by_diagonals(block, offsets, chunk)
        if size % 3 == 0 and matrix.nnz >= LONG * size:
            rows = _by_triples(block)
            if rows.values.size <= TRIPLE_PADDING * matrix.nnz:
                return rows
    return _by_rows(block)


def _common(block: Block) -> tuple[np.ndarray, np.ndarray, int]:
    return frozen(block.diagonal), frozen(block.columns), block.own


def _reach(block: Block) -> int:
    return int(np.abs(block.indices - block.row).max())


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
    before, after = np.zeros((2, block.size), values.dtype)
    csr.pack(*pattern, block.data, *edges, first, indices, values, before, after)
    indices = indices.view(f"u{indices.itemsize}")
    arrays = [frozen(a) for a in (first, indices, values, before, after)]
    arguments: Any = (*arrays, *_common(block), _reach(block))
    return CsrRows(*arguments)


def _by_triples(block: Block) -> TripleRows:
    row, width = block.row - block.own, 2 * block.columns.size
    dtype: Any = block.narrowest
    distance, triple, place = block.indices - block.row, row // 3, row % 3
    inside = (place + distance >= 0) & (place + distance < 3)
    before, after = np.zeros((2, block.size), dtype)
    left, right = np.zeros((2, block.size // 3), dtype)
    for array, at, offset in ((before, row, -1), (after, row, 1)):
        array[at[distance == offset]] = block.data[distance == offset]
    for array, offset in ((left, -2), (right, 2)):
        chosen = inside & (distance == offset)
        array[triple[chosen]] = block.data[chosen]
    rest = ~inside & (np.abs(distance) > 1)
    # In the order of a forward sweep: columns above, then columns below, each ascending.
    key = triple[rest].astype(np.int64) * width + (distance[rest] < 0) * (width // 2)
    key, slot = np.unique(key + block.indices[rest], return_inverse=True)
    first = np.searchsorted(key // width, np.arange(block.size // 3 + 1))
    values = np.zeros(3 * key.size, dtype)
    values[3 * slot + place[rest]] = block.data[rest]
    unsigned = np.dtype(f"u{block.indices.itemsize}")
    indices = (key % (width // 2)).astype(unsigned)
    first = first.astype(block.indptr.dtype)
    arrays = [frozen(a) for a in (first, indices, values, left, right, before, after)]
    arguments: Any = (*arrays, *_common(block), _reach(block))
    return TripleRows(*arguments)
