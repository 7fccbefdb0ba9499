"""The storages of sparse rows: for any pattern, by diagonals for grids, by triples for solids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from dask.sizeof import sizeof

from dasksor.kernels import csr, diagonals, triples
from dasksor.kernels.passes import several

# What passes at the same time may keep in use, of the megabyte or two that a core has its own.
CACHE, MOST_PASSES = 1_000_000, 8
LEAST_GROUP = 512
# A smaller block stays in cache from one pass to the next by itself.
LEAST_BYTES = 4_000_000
# Entries that are looked at together, where a look takes many times their bytes.
SOME = 2**15
# Lower and upper bounds of the rows' own unknowns, for sweeps that clip; frozen.
Bounds: TypeAlias = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class CsrRows:
    """Rows ``start, start + 1, ...`` of any pattern, which read ``halo`` of other blocks.

    The arrays from ``first`` to ``after`` are those of `dasksor.kernels.csr`. No row reads an own
    unknown farther from its own than ``reach``.
    """

    first: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    before: np.ndarray
    after: np.ndarray
    diagonal: np.ndarray
    halo: np.ndarray
    start: int
    own: int
    reach: int

    @property
    def size(self) -> int:
        return self.diagonal.size

    @property
    def columns(self) -> np.ndarray:
        return _columns(self)

    @property
    def _storage(self) -> Any:
        return self.first, self.indices, self.values, self.before, self.after, self.diagonal

    def sweep(
        self,
        x: np.ndarray,
        b: np.ndarray,
        omega: float,
        direction: int,
        count: int = 1,
        bounds: Bounds | None = None,
    ) -> np.ndarray:
        group = max(self.reach, LEAST_GROUP)
        return _passes(self, csr, self.size, group, x, b, omega, direction, count, bounds)

    def residual(self, x: np.ndarray, b: np.ndarray, r: np.ndarray) -> None:
        for xj, bj, rj in zip(x, b, r, strict=True):
            arguments = (*self._storage, bj, xj, self.own, rj)
            csr.residual(*arguments)

    def pieces(self) -> Iterator[sp.csr_array]:
        """Some rows after the other as matrices over the local vector, without zeros."""
        for begin, end in _cuts(self, 1):
            slots = slice(*(csr.GROUP * self.first[[begin, end]].astype(np.int64)))
            row = np.repeat(np.arange(begin, end), csr.GROUP * np.diff(self.first[begin : end + 1]))
            rest = (self.values[slots], row, self.indices[slots])
            yield _matrix(self, begin, end, [rest, *_neighbours(self, begin, end)])

    def csr(self) -> sp.csr_array:
        """All rows as one matrix over the local vector, without zeros."""
        return _stacked(self.pieces())

    def summed(self, groups: np.ndarray, count: int) -> sp.csr_array:
        return _stacked(summed(piece, groups, count) for piece in self.pieces())


@dataclass(frozen=True)
class DiagonalRows:
    """As `CsrRows`; ``values`` and ``offsets`` are those of `dasksor.kernels.diagonals`."""

    values: np.ndarray
    offsets: np.ndarray
    chunk: int
    diagonal: np.ndarray
    halo: np.ndarray
    start: int
    own: int

    @property
    def size(self) -> int:
        return self.diagonal.size

    @property
    def columns(self) -> np.ndarray:
        return _columns(self)

    @property
    def _storage(self) -> Any:
        below = int(np.searchsorted(self.offsets, -1))
        return self.values, self.chunk, self.offsets, below, self.diagonal

    def sweep(
        self,
        x: np.ndarray,
        b: np.ndarray,
        omega: float,
        direction: int,
        count: int = 1,
        bounds: Bounds | None = None,
    ) -> np.ndarray:
        chunks = -(-self.size // self.chunk)
        group = -(-max(int(np.abs(self.offsets).max()), LEAST_GROUP) // self.chunk)
        return _passes(self, diagonals, chunks, group, x, b, omega, direction, count, bounds)

    def residual(self, x: np.ndarray, b: np.ndarray, r: np.ndarray) -> None:
        for xj, bj, rj in zip(x, b, r, strict=True):
            arguments = (*self._storage, bj, xj, self.own, rj)
            diagonals.residual(*arguments)

    def pieces(self) -> Iterator[sp.csr_array]:
        values = self.values.reshape(-1, self.offsets.size, self.chunk)
        for begin, end in _cuts(self, self.chunk):
            part = values[begin // self.chunk : -(-end // self.chunk)]
            chunk, d, k = np.nonzero(part)
            row = begin + chunk * self.chunk + k
            rest = (part[chunk, d, k], row, self.own + row + self.offsets[d])
            yield _matrix(self, begin, end, [rest])

    def csr(self) -> sp.csr_array:
        return _stacked(self.pieces())

    def summed(self, groups: np.ndarray, count: int) -> sp.csr_array:
        return _stacked(summed(piece, groups, count) for piece in self.pieces())


@dataclass(frozen=True)
class TripleRows:
    """As `CsrRows`; ``first`` to ``after`` are those of `dasksor.kernels.triples`."""

    first: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    left: np.ndarray
    right: np.ndarray
    before: np.ndarray
    after: np.ndarray
    diagonal: np.ndarray
    halo: np.ndarray
    start: int
    own: int
    reach: int

    @property
    def size(self) -> int:
        return self.diagonal.size

    @property
    def columns(self) -> np.ndarray:
        return _columns(self)

    @property
    def _storage(self) -> Any:
        inside = self.left, self.right, self.before, self.after
        return self.first, self.indices, self.values, *inside, self.diagonal

    def sweep(
        self,
        x: np.ndarray,
        b: np.ndarray,
        omega: float,
        direction: int,
        count: int = 1,
        bounds: Bounds | None = None,
    ) -> np.ndarray:
        group = max(self.reach, LEAST_GROUP) // 3 + 1
        return _passes(self, triples, self.size // 3, group, x, b, omega, direction, count, bounds)

    def residual(self, x: np.ndarray, b: np.ndarray, r: np.ndarray) -> None:
        for xj, bj, rj in zip(x, b, r, strict=True):
            arguments = (*self._storage, bj, xj, self.own, rj)
            triples.residual(*arguments)

    def pieces(self) -> Iterator[sp.csr_array]:
        for begin, end in _cuts(self, 3):
            some = slice(begin // 3, end // 3)
            slots = slice(*self.first[[some.start, some.stop]].astype(np.int64))
            top = np.arange(begin, end, 3)
            row = np.repeat(top, 3 * np.diff(self.first[some.start : some.stop + 1]))
            row += np.arange(row.size) % 3
            values = self.values[3 * slots.start : 3 * slots.stop]
            parts = [
                (values, row, np.repeat(self.indices[slots], 3)),
                (self.left[some], top + 2, self.own + top),
                (self.right[some], top, self.own + top + 2),
            ]
            yield _matrix(self, begin, end, [*parts, *_neighbours(self, begin, end)])

    def csr(self) -> sp.csr_array:
        return _stacked(self.pieces())

    def summed(self, groups: np.ndarray, count: int) -> sp.csr_array:
        return _stacked(summed(piece, groups, count) for piece in self.pieces())


SparseRows = CsrRows | DiagonalRows | TripleRows


@sizeof.register(CsrRows)
@sizeof.register(DiagonalRows)
@sizeof.register(TripleRows)
def _bytes(rows: SparseRows) -> int:
    arrays = {name: a for name, a in vars(rows).items() if isinstance(a, np.ndarray)}
    if "before" in arrays and np.may_share_memory(arrays["before"], arrays["after"]):
        del arrays["after"]
    return sum(array.nbytes for array in arrays.values())


def _columns(rows: SparseRows) -> np.ndarray:
    own = np.arange(rows.start, rows.start + rows.size)
    if rows.halo.size == 0:
        return own
    return np.concatenate([rows.halo[: rows.own], own, rows.halo[rows.own :]])


def _passes(
    rows: SparseRows,
    kernels: Any,
    units: int,
    group: int,
    x: np.ndarray,
    b: np.ndarray,
    omega: float,
    direction: int,
    count: int,
    bounds: Bounds | None,
) -> np.ndarray:
    """Make ``count`` passes over each system; no row reads farther than a ``group`` of ``units``.

    Returns for each pass the sum of the squared changes.
    """
    relax = kernels.forward if direction > 0 else kernels.backward
    used = group * sizeof(rows) // units
    together = min(max(CACHE // used - 1, 1), MOST_PASSES)
    if used // group * units < LEAST_BYTES:
        together = 1
    changes = np.zeros((len(x), count))
    for made, xj, bj in zip(changes, x, b, strict=True):
        arguments = (*rows._storage, omega, bj, xj, rows.own, bounds)
        for first in range(0, count, together):
            some = made[first : first + together]
            if some.size > 1:
                several(relax, units, group, direction, some, arguments)
            else:
                some[0] = relax(0, units, *arguments)
    return changes.sum(axis=0)


def _cuts(rows: SparseRows, unit: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows that begin with a unit and have some thousand entries."""
    step = unit * max(SOME * rows.size // (rows.values.size + rows.size) // unit, 1)
    return ((begin, min(begin + step, rows.size)) for begin in range(0, rows.size, step))


def _stacked(pieces: Iterable[sp.csr_array]) -> sp.csr_array:
    return sp.vstack(list(pieces), format="csr")


def _matrix(
    rows: SparseRows, begin: int, end: int, parts: list[tuple[np.ndarray, ...]]
) -> sp.csr_array:
    """The diagonal and ``parts`` (values, rows, columns) of some rows, without stored zeros."""
    number = np.arange(begin, end)
    parts = [(rows.diagonal[begin:end], number, rows.own + number), *parts]
    kept = [[array[part[0] != 0] for array in part] for part in parts]
    data, row, column = (np.concatenate(arrays) for arrays in zip(*kept, strict=True))
    shape = (end - begin, rows.size + rows.halo.size)
    return sp.csr_array((data.astype(np.float64), (row - begin, column)), shape=shape)


def _neighbours(rows: CsrRows | TripleRows, begin: int, end: int) -> list[tuple[np.ndarray, ...]]:
    number = np.arange(begin, end)
    at, some = rows.own + number, slice(begin, end)
    return [(rows.before[some], number, at - 1), (rows.after[some], number, at + 1)]


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
