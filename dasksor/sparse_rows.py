"""The two storages of sparse rows: compressed rows for any pattern, diagonals for grids."""

from __future__ import annotations

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
    """Rows of any pattern; `columns` holds the block's own unknowns and what its rows read.

    The arrays from ``first`` to ``after`` are those of `dasksor.kernels.csr`. No row reads an own
    unknown farther from its own than ``reach``.
    """

    first: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    before: np.ndarray
    after: np.ndarray
    diagonal: np.ndarray
    columns: np.ndarray
    own: int
    reach: int

    @property
    def size(self) -> int:
        return self.diagonal.size

    @property
    def _storage(self) -> Any:
        return self.first, self.indices, self.values, self.before, self.after, self.diagonal

    def sweep(
        self, x: np.ndarray, b: np.ndarray, omega: float, direction: int, count: int = 1
    ) -> np.ndarray:
        relax = csr.forward if direction > 0 else csr.backward
        group = max(self.reach, LEAST_GROUP)
        used = group * sizeof(self) // self.size
        arguments = (*self._storage, omega, b, x, self.own)
        return _passes(relax, self.size, group, used, direction, count, arguments)

    def residual(self, x: np.ndarray, b: np.ndarray, r: np.ndarray) -> None:
        arguments = (*self._storage, b, x, self.own, r)
        csr.residual(*arguments)

    def csr(self) -> sp.csr_array:
        """The rows as a matrix over the local vector, without its zeros."""
        number = np.arange(self.size)
        row = np.repeat(number, csr.GROUP * np.diff(self.first))
        rest = np.flatnonzero(self.values)
        parts = [
            (self.values[rest], row[rest], self.indices[rest]),
            *(
                (values[values != 0], number[values != 0], (self.own + k + number)[values != 0])
                for k, values in ((-1, self.before), (0, self.diagonal), (1, self.after))
            ),
        ]
        data, rows, columns = (np.concatenate(part) for part in zip(*parts, strict=True))
        shape = (self.size, self.columns.size)
        return sp.csr_array((data.astype(np.float64), (rows, columns)), shape=shape)

    def summed(self, groups: np.ndarray, count: int) -> sp.csr_array:
        return summed(self.csr(), groups, count)


@dataclass(frozen=True)
class DiagonalRows:
    """As `CsrRows`; ``values`` and ``offsets`` are those of `dasksor.kernels.diagonals`."""

    values: np.ndarray
    offsets: np.ndarray
    chunk: int
    diagonal: np.ndarray
    columns: np.ndarray
    own: int

    @property
    def size(self) -> int:
        return self.diagonal.size

    @property
    def _storage(self) -> Any:
        below = int(np.searchsorted(self.offsets, -1))
        return self.values, self.chunk, self.offsets, below, self.diagonal

    def sweep(
        self, x: np.ndarray, b: np.ndarray, omega: float, direction: int, count: int = 1
    ) -> np.ndarray:
        relax = diagonals.forward if direction > 0 else diagonals.backward
        chunks = -(-self.size // self.chunk)
        group = -(-max(int(np.abs(self.offsets).max()), LEAST_GROUP) // self.chunk)
        used = group * sizeof(self) // chunks
        arguments = (*self._storage, omega, b, x, self.own)
        return _passes(relax, chunks, group, used, direction, count, arguments)

    def residual(self, x: np.ndarray, b: np.ndarray, r: np.ndarray) -> None:
        arguments = (*self._storage, b, x, self.own, r)
        diagonals.residual(*arguments)

    def csr(self) -> sp.csr_array:
        """The rows as a matrix over the local vector, without its zeros."""
        chunk, d, k = np.nonzero(self.values.reshape(-1, self.offsets.size, self.chunk))
        row, number = chunk * self.chunk + k, np.arange(self.size)
        data = np.concatenate([self.values[self.values != 0], self.diagonal])
        rows = np.concatenate([row, number])
        columns = np.concatenate([self.own + row + self.offsets[d], self.own + number])
        shape = (self.size, self.columns.size)
        return sp.csr_array((data.astype(np.float64), (rows, columns)), shape=shape)

    def summed(self, groups: np.ndarray, count: int) -> sp.csr_array:
        return summed(self.csr(), groups, count)


SparseRows = CsrRows | DiagonalRows


@sizeof.register(CsrRows)
@sizeof.register(DiagonalRows)
def _bytes(rows: SparseRows) -> int:
    return sum(a.nbytes for a in vars(rows).values() if isinstance(a, np.ndarray))


def _passes(
    relax: Any,
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
        if some.size > 1:
            several(relax, units, group, direction, some, arguments)
        else:
            some[0] = relax(0, units, *arguments)
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
    index = np.int32 if max(columns.size, matrix.nnz) < 2**30 else np.int64
    indptr, indices = (a.astype(index, copy=False) for a in (matrix.indptr, indices))
    pattern = indptr, indices
    # The first unknown on either side of the block need not be its neighbour in the whole matrix.
    lower = own > 0 and bool(columns[own - 1] == start - 1)
    upper = own + size < columns.size and bool(columns[own + size] == start + size)
    found = np.zeros(size + columns.size, dtype=bool)
    diagonals.mark(*pattern, found)
    offsets = np.flatnonzero(found) - own - size + 1
    offsets = np.union1d(offsets[offsets != 0], [-1, 1])
    stray = (not lower and own - 1 in indices[: indptr[1]]) or (
        not upper and own + size in indices[indptr[-2] :]
    )
    chunk = min([CHUNK, *np.abs(offsets[np.abs(offsets) > 1])])
    row = np.repeat(np.arange(own, own + size, dtype=index), np.diff(indptr))
    dtype = _narrowest(matrix.data[indices != row])
    if not stray and chunk >= LEAST_CHUNK and offsets.size * size <= PADDING * matrix.nnz:
        values = np.zeros((-(-size // chunk), offsets.size, chunk), dtype)
        diagonals.fill(*pattern, matrix.data, own, offsets, values)
        return DiagonalRows(
            frozen(values.reshape(-1)),
            frozen(offsets),
            int(chunk),
            frozen(diagonal),
            frozen(columns),
            own,
        )
    rest = np.zeros(size, dtype=np.int64)
    csr.lengths(*pattern, own, lower, upper, rest)
    first = np.concatenate([[0], np.cumsum(-(-rest // csr.GROUP))]).astype(index)
    slots = csr.GROUP * int(first[-1])
    read, values = np.zeros(slots, index), np.zeros(slots, dtype)
    before, after = np.zeros((2, size), dtype)
    csr.pack(*pattern, matrix.data, own, lower, upper, first, read, values, before, after)
    return CsrRows(
        frozen(first),
        frozen(read.view(f"u{read.itemsize}")),
        frozen(values),
        frozen(before),
        frozen(after),
        frozen(diagonal),
        frozen(columns),
        own,
        int(np.abs(offsets).max()),
    )


def _narrowest(values: np.ndarray) -> type:
    """The smallest type that holds all values exactly: memory is what sweeps wait for."""
    if np.abs(values).max(initial=0.0) <= 127 and (values == np.rint(values)).all():
        return np.int8
    return np.float32 if (values == values.astype(np.float32)).all() else np.float64
