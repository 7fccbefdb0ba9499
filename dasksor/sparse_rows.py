"""The two storages of sparse rows: compressed rows for any pattern, diagonals for grids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from dask.sizeof import sizeof

from dasksor.kernels import csr, diagonals
from dasksor.kernels.passes import several

# Rows in a chunk of diagonals; below the least, the loop around a chunk outweighs it.
CHUNK, LEAST_CHUNK = 64, 16
# By diagonals a float64 takes two thirds of the bytes that it takes with its column.
PADDING = 1.5
# What passes at the same time may keep in use, of the megabyte or two that a core has its own.
CACHE, MOST_PASSES = 1_000_000, 8
LEAST_GROUP = 512


@dataclass(frozen=True)
class CsrRows:
    """Compressed sparse rows; `columns` holds the block's own unknowns and what its rows read.

    ``middle`` and ``near`` as in `dasksor.kernels.csr`; no row reads an own unknown farther from
    its own than ``reach``.
    """

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    middle: np.ndarray
    near: np.ndarray
    diagonal: np.ndarray
    columns: np.ndarray
    own: int
    reach: int

    @property
    def size(self) -> int:
        return self.diagonal.size

    def sweep(
        self, x: np.ndarray, b: np.ndarray, omega: float, direction: int, count: int = 1
    ) -> np.ndarray:
        relax = csr.forward if direction > 0 else csr.backward
        group = max(self.reach, LEAST_GROUP)
        arrays = (self.indptr, self.indices, self.data, self.middle, self.near)
        used = group * sizeof(self) // self.size
        return _passes(
            relax, self.size, group, used, direction, count, (*arrays, omega, b, x, self.own)
        )

    def residual(self, x: np.ndarray, b: np.ndarray, r: np.ndarray) -> None:
        csr.residual(self.indptr, self.indices, self.data, b, x, r)

    def csr(self) -> sp.csr_array:
        """The rows as a matrix over the local vector."""
        entries = (self.data, self.indices.view(f"i{self.indices.itemsize}"), self.indptr)
        return sp.csr_array(entries, shape=(self.size, self.columns.size))

    def summed(self, groups: np.ndarray, count: int) -> sp.csr_array:
        return summed(self.csr(), groups, count)


@dataclass(frozen=True)
class DiagonalRows:
    """As `CsrRows`; ``values`` and ``offsets`` as in `dasksor.kernels.diagonals`."""

    values: np.ndarray
    offsets: np.ndarray
    chunk: int
    diagonal: np.ndarray
    columns: np.ndarray
    own: int

    @property
    def size(self) -> int:
        return self.diagonal.size

    def sweep(
        self, x: np.ndarray, b: np.ndarray, omega: float, direction: int, count: int = 1
    ) -> np.ndarray:
        relax = diagonals.forward if direction > 0 else diagonals.backward
        reach = int(np.abs(self.offsets).max())
        group = -(-max(reach, LEAST_GROUP) // self.chunk)
        zero = int(np.searchsorted(self.offsets, 0))
        storage = (self.values, self.chunk, self.offsets, zero)
        used = group * self.chunk * sizeof(self) // self.size
        chunks = -(-self.size // self.chunk)
        return _passes(
            relax, chunks, group, used, direction, count, (*storage, omega, b, x, self.own)
        )

    def residual(self, x: np.ndarray, b: np.ndarray, r: np.ndarray) -> None:
        diagonals.residual(self.values, self.chunk, self.offsets, b, x, self.own, r)

    def csr(self) -> sp.csr_array:
        """The rows as a matrix over the local vector, without its zeros."""
        by_rows = self.values.reshape(-1, self.offsets.size, self.chunk).transpose(0, 2, 1)
        chunk, k, d = np.nonzero(by_rows)
        row = chunk * self.chunk + k
        indptr = np.searchsorted(row, np.arange(self.size + 1))
        entries = (
            by_rows[chunk, k, d].astype(np.float64),
            self.own + row + self.offsets[d],
            indptr,
        )
        return sp.csr_array(entries, shape=(self.size, self.columns.size))

    def summed(self, groups: np.ndarray, count: int) -> sp.csr_array:
        return summed(self.csr(), groups, count)


SparseRows = CsrRows | DiagonalRows


@sizeof.register(CsrRows)
@sizeof.register(DiagonalRows)
def _bytes(rows: SparseRows) -> int:
    return sum(a.nbytes for a in vars(rows).values() if isinstance(a, np.ndarray))


def _passes(
    relax: Callable[..., float],
    units: int,
    group: int,
    used: int,
    direction: int,
    count: int,
    arguments: tuple[Any, ...],
) -> np.ndarray:
    """Make ``count`` passes; a group of ``units`` uses ``used`` bytes. Returns sum(change^2)."""
    together = min(max(CACHE // used - 1, 1), MOST_PASSES)
    changes = np.zeros(count)
    for first in range(0, count, together):
        some = changes[first : first + together]
        several(relax, units, units if some.size == 1 else group, direction, some, arguments)
    return changes


def summed(matrix: sp.csr_array, groups: np.ndarray, count: int) -> sp.csr_array:
    """The rows with the columns of each group added up: ``A Z`` in float64, as a matrix."""
    entries = (matrix.data.astype(np.float64), groups[matrix.indices], matrix.indptr)
    result = sp.csr_array(entries, shape=(matrix.shape[0], count), copy=True)
    result.sum_duplicates()
    return result


def frozen(array: np.ndarray) -> np.ndarray:
    """The array as C-contiguous and read-only.

    Arrays that crossed a process are read-only and those that did not are not; one kind keeps
    numba to one compiled kernel.
    """
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def prepare_sparse(matrix: sp.csr_array, start: int, diagonal: np.ndarray) -> SparseRows:
    """Store rows ``start, start + 1, ...`` of a canonical matrix for sweeps."""
    size, n = matrix.shape
    if size == n:
        columns, indices = np.arange(n), matrix.indices
    else:
        columns = np.union1d(matrix.indices, np.arange(start, start + size))
        indices = np.searchsorted(columns, matrix.indices)
    own = int(np.searchsorted(columns, start))
    index = np.int32 if max(columns.size, matrix.nnz) < 2**31 else np.int64
    indices, indptr = (a.astype(index, copy=False) for a in (indices, matrix.indptr))
    row = np.repeat(np.arange(own, own + size, dtype=index), np.diff(indptr))
    middle = np.flatnonzero(indices == row).astype(index)
    near = _near(matrix.indices, start, middle, indptr)
    distance = indices - row
    offsets = _offsets(distance, own + size - 1)
    ends = np.count_nonzero(near & csr.BEFORE), np.count_nonzero(near & csr.AFTER)
    # An end of a block may read the first unknown beyond it, yet not the neighbour of its own.
    joined = ends == (np.count_nonzero(distance == -1), np.count_nonzero(distance == 1))
    chunk = min(CHUNK, int(min(np.abs(offsets[np.abs(offsets) > 1]), default=CHUNK)))
    if joined and chunk >= LEAST_CHUNK and offsets.size * size <= PADDING * matrix.nnz:
        values = np.zeros((-(-size // chunk), offsets.size, chunk), _narrowest(matrix.data))
        diagonals.fill(indptr, distance, matrix.data, offsets, values)
        return DiagonalRows(
            frozen(values.reshape(-1)),
            frozen(offsets),
            chunk,
            frozen(diagonal),
            frozen(columns),
            own,
        )
    inside = distance[(indices >= own) & (indices < own + size)]
    return CsrRows(
        frozen(indptr),
        frozen(indices.view(f"u{indices.itemsize}")),
        frozen(matrix.data),
        frozen(middle),
        frozen(near),
        frozen(diagonal),
        frozen(columns),
        own,
        int(np.abs(inside).max()),
    )


def _near(columns: np.ndarray, start: int, middle: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """For each row `csr.BEFORE` where it reads the unknown before its own, `csr.AFTER` likewise."""
    number = np.arange(start, start + middle.size)
    before = (middle > indptr[:-1]) & (columns[middle - 1] == number - 1)
    after = middle + 1 < indptr[1:]
    after[after] = columns[middle[after] + 1] == number[after] + 1
    return (csr.BEFORE * before + csr.AFTER * after).astype(np.int8)


def _offsets(distance: np.ndarray, shift: int) -> np.ndarray:
    """The distances that occur, ascending, and -1, 0 and 1."""
    found = np.zeros(shift + max(1, int(distance.max())) + 1, dtype=bool)
    found[distance + shift] = True
    return np.union1d(np.flatnonzero(found) - shift, [-1, 0, 1])


def _narrowest(values: np.ndarray) -> type:
    """The smallest type that holds all values exactly: memory is what sweeps wait for."""
    if np.abs(values).max() <= 127 and (values == np.rint(values)).all():
        return np.int8
    return np.float32 if (values == values.astype(np.float32)).all() else np.float64
