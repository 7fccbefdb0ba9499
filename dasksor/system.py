"""The validated problem: everything that can be refused before a worker starts is refused here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import dask
import dask.array as da
import numpy as np
import scipy.sparse as sp
from dask import delayed

from dasksor.bounded_rows import check_positive
from dasksor.bounds import Bound, are_infinite, as_bounds, part_of, projected
from dasksor.errors import BlockError
from dasksor.partition import Partition, crossings
from dasksor.rows import Rows, canonical_csr, canonical_dense, check_rows, prepare_rows
from dasksor.sources import RowFactory

Matrix: TypeAlias = np.ndarray | sp.csr_array | da.Array | RowFactory
ACCEPTED = (
    "a NumPy array, a scipy sparse array or matrix, a Dask array, "
    "or the result of dasksor.from_blocks"
)


@dataclass(frozen=True)
class LinearSystem:
    """``A x = b``, or the same between bounds, with a start ``x0``; checked.

    Attributes
    ----------
    matrix : ndarray, csr_array, dask.array.Array or RowFactory
        ``A``, shape (n, n). NumPy and scipy input is complete here and fully checked; rows of the
        others come into being, and are checked, on the workers.
    rhs : ndarray or dask.array.Array
        ``b``, shape (nrhs, n): one row for each right-hand side.
    start : ndarray, dask.array.Array or None
        ``x0``, of the same shape; None for zero.
    vector : bool
        Whether ``b`` was one-dimensional.
    lower, upper : ndarray, dask.array.Array or None
        Bounds of the unknowns, shape (n,), the same for all right-hand sides; None for a system
        without them.
    """

    matrix: Matrix
    rhs: np.ndarray | da.Array
    start: np.ndarray | da.Array | None
    vector: bool
    lower: Bound | None = None
    upper: Bound | None = None

    @classmethod
    def of(cls, A: Any, b: Any, x0: Any = None, bounds: Any = None) -> LinearSystem:
        """Check and convert what the user gave.

        Raises
        ------
        TypeError
            ``A`` is no matrix, or a dtype is complex or not numeric.
        ValueError
            Shapes do not match, ``A`` is not square or empty or has unknown chunks, an entry is
            NaN or infinite, or a diagonal entry is zero; with ``bounds`` also what `as_bounds`
            says, and where a diagonal entry is negative.
        """
        return cls.with_matrix(as_matrix(A), b, x0, bounds)

    @classmethod
    def with_matrix(
        cls, matrix: Matrix, b: Any, x0: Any = None, bounds: Any = None
    ) -> LinearSystem:
        """The same with a matrix that has been checked before."""
        n = matrix.shape[0]
        rhs = as_vectors(b, n, "b")
        start = None if x0 is None else as_vectors(x0, n, "x0")
        if start is not None and start.shape != rhs.shape:
            raise ValueError(
                f"x0 has shape {np.shape(x0)} but b has shape {np.shape(b)}: they must match"
            )
        if bounds is None:
            return cls(matrix, rhs, start, np.ndim(b) == 1)
        if isinstance(matrix, np.ndarray | sp.csr_array):
            check_positive(matrix.diagonal())
        return cls(matrix, rhs, start, np.ndim(b) == 1, *as_bounds(bounds, n))

    @property
    def n(self) -> int:
        return self.matrix.shape[0]

    @property
    def nrhs(self) -> int:
        return self.rhs.shape[0]

    @property
    def is_local(self) -> bool:
        """Whether all of ``A`` is in this process."""
        return not isinstance(self.matrix, da.Array | RowFactory)

    @property
    def is_bounded(self) -> bool:
        """Whether the unknowns have bounds, which may be infinite."""
        return self.lower is not None

    @cached_property
    def is_free(self) -> bool:
        """Whether no bound is seen to be finite; those of Dask arrays are not looked at."""
        return self.lower is None or self.upper is None or are_infinite(self.lower, self.upper)

    @property
    def entries(self) -> int | None:
        """Stored entries of ``A``, where that is known without building it."""
        if isinstance(self.matrix, RowFactory):
            return None
        if isinstance(self.matrix, da.Array):
            return None if _has_sparse_chunks(self.matrix) else self.n**2
        return self.matrix.size

    @property
    def is_dense(self) -> bool:
        """Whether every row stores, and so reads, all columns; False where only workers know."""
        return self.entries == self.n**2

    def partition(self, nblocks: int) -> Partition:
        """Contiguous blocks of nearly equal work."""
        if isinstance(self.matrix, sp.csr_array):
            matrix = self.matrix
            crossing = crossings(matrix.indptr, matrix.indices)
            return Partition.balanced(np.diff(matrix.indptr) + 1, nblocks, crossing)
        return Partition.even(self.n, nblocks)

    def rows(self, start: int, stop: int) -> Any:
        """Rows ``start, ..., stop - 1`` of ``A``, to be built where they are computed.

        The rows themselves for a matrix that is here, else a Dask ``Delayed``.
        """
        if isinstance(self.matrix, RowFactory):
            return delayed(_built, pure=False)(self.matrix.function, start, stop, self.n)
        if isinstance(self.matrix, da.Array):
            pieces = self.matrix[start:stop].to_delayed().tolist()
            return delayed(assembled, pure=False)(pieces)
        return self.matrix[start:stop]

    def prepared(self, start: int, stop: int) -> Any:
        """The same rows ready for sweeps, a Dask ``Delayed``; only for a matrix that is not here.

        Rows of a function are built and made ready in one task: a worker has no more of them at
        a time than threads.
        """
        if isinstance(self.matrix, RowFactory):
            make = delayed(_prepared, pure=False)
            return make(self.matrix.function, start, stop, self.n)
        return delayed(prepare_rows, pure=False)(self.rows(start, stop), start)

    def gathered(self) -> LinearSystem:
        """The same system with all of ``A`` in this process."""
        if self.is_local:
            return self
        (matrix,) = dask.compute(self.rows(0, self.n), scheduler="threads")
        check_rows(matrix, 0)
        return replace(self, matrix=matrix)

    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """All of `rhs`, and of `start` between the bounds, in this process."""
        parts = self.entries_of(self.rhs, 0, self.n), self.entries_of(self.start, 0, self.n)
        return dask.compute(*parts, scheduler="threads")

    def entries_of(self, vectors: np.ndarray | da.Array | None, start: int, stop: int) -> Any:
        """Entries ``start, ..., stop - 1`` of `rhs` or `start`: an array, or a ``Delayed`` one.

        Those of `start` are projected onto the bounds.
        """
        if vectors is self.rhs:
            return _part(self.rhs, start, stop, "b")
        if vectors is None:
            part = delayed(np.zeros, pure=False)((self.nrhs, stop - start))
        else:
            part = _part(vectors, start, stop, "x0")
        bounds = self.bounds_of(start, stop)
        if bounds is None:
            return part
        if isinstance(part, np.ndarray) and isinstance(bounds, np.ndarray):
            return projected(part, bounds)
        return delayed(projected)(part, bounds)

    def bounds_here(self, start: int, stop: int) -> np.ndarray:
        """`bounds_of` those unknowns, in this process."""
        (bounds,) = dask.compute(self.bounds_of(start, stop), scheduler="threads")
        return bounds

    def bounds_of(self, start: int, stop: int) -> Any:
        """Bounds of the unknowns ``start, ..., stop - 1``; None where all are free.

        Returns
        -------
        ndarray, shape (2, stop - start), or a ``Delayed`` one
            Lower and upper bounds.
        """
        if self.lower is None or self.upper is None or self.is_free:
            return None
        return part_of(self.lower, self.upper, start, stop)


def _part(vectors: np.ndarray | da.Array, start: int, stop: int, name: str) -> Any:
    part = vectors[:, start:stop]
    if isinstance(part, da.Array):
        return delayed(checked_entries)(part.rechunk(-1).to_delayed().item(), name, start)
    return np.ascontiguousarray(part)


def as_matrix(A: Any) -> Matrix:
    """Convert ``A`` to one of the four kinds of matrix, or say what is wrong with it."""
    if isinstance(A, RowFactory):
        return A
    if isinstance(A, list | tuple):
        A = np.asarray(A)
    if not (isinstance(A, np.ndarray | da.Array) or sp.issparse(A)):
        raise TypeError(f"A must be {ACCEPTED}, got {type(A).__name__}")
    if A.ndim != 2:
        raise ValueError(f"A must be two-dimensional, got shape {A.shape}")
    if any(math.isnan(size) for size in A.shape):
        raise ValueError(
            f"A has unknown chunk sizes, shape {A.shape}: call A.compute_chunk_sizes() first"
        )
    _check_dtype(A.dtype, "A")
    if A.shape[0] != A.shape[1]:
        raise ValueError(f"A must be square, got shape {A.shape}: SOR solves square systems only")
    if A.shape[0] == 0:
        raise ValueError("A is empty, shape (0, 0): nothing to solve")
    if isinstance(A, da.Array):
        # Several sparse formats cannot be sliced; only workers see which chunks have one of them.
        return da.map_blocks(_sliceable, A, dtype=A.dtype, meta=A._meta)
    local = canonical_csr(A) if sp.issparse(A) else canonical_dense(A)
    check_rows(local, 0)
    return local


def as_vectors(b: Any, n: int, name: str) -> np.ndarray | da.Array:
    """``b`` of shape (n,) or (n, m) as (1, n) or (m, n), float64, checked as far as it is here."""
    if not isinstance(b, da.Array):
        b = np.asarray(b)
    if any(math.isnan(size) for size in b.shape):
        raise ValueError(
            f"{name} has unknown chunk sizes, shape {b.shape}: "
            f"call {name}.compute_chunk_sizes() first"
        )
    if b.ndim not in (1, 2) or b.shape[0] != n or 0 in b.shape:
        raise ValueError(f"{name} has shape {b.shape} but A has shape ({n}, {n}): they must match")
    _check_dtype(b.dtype, name)
    vectors = b.astype(np.float64).reshape(n, -1).T
    if isinstance(vectors, np.ndarray):
        checked_entries(vectors, name)
        return np.ascontiguousarray(vectors)
    return vectors


def checked_entries(vectors: np.ndarray, name: str, first: int = 0) -> np.ndarray:
    """The ``vectors``, contiguous, which begin at row ``first``; refuses NaN and infinity."""
    if not np.isfinite(vectors).all():
        j, i = np.argwhere(~np.isfinite(vectors))[0]
        value = vectors[j, i]
        raise ValueError(f"{name} has {value} at row {first + i}: all entries must be finite")
    return np.ascontiguousarray(vectors)


def assembled(pieces: list[list[Any]]) -> np.ndarray | sp.csr_array:
    """One row block from a grid of chunks, dense or sparse, in canonical form."""
    if any(sp.issparse(piece) for row in pieces for piece in row):
        return canonical_csr(sp.block_array(pieces, format="csr"))
    whole = pieces[0][0] if len(pieces) == len(pieces[0]) == 1 else np.block(pieces)
    return canonical_dense(whole)


def _built(
    function: Callable[[int, int], Any], start: int, stop: int, n: int
) -> np.ndarray | sp.csr_array:
    try:
        rows = function(start, stop)
    except Exception as error:
        raise BlockError(
            f"block of rows {start} to {stop - 1}, building: {type(error).__name__}: {error}"
        ) from error
    if not (isinstance(rows, np.ndarray) or sp.issparse(rows)) or rows.shape != (stop - start, n):
        raise ValueError(
            f"function({start}, {stop}) must return an array of shape ({stop - start}, {n}), "
            f"got {type(rows).__name__} of shape {getattr(rows, 'shape', None)}"
        )
    _check_dtype(rows.dtype, "A")
    return canonical_csr(rows) if sp.issparse(rows) else canonical_dense(rows)


def _prepared(function: Callable[[int, int], Any], start: int, stop: int, n: int) -> Rows:
    return prepare_rows(_built(function, start, stop, n), start)


def _check_dtype(dtype: np.dtype, name: str) -> None:
    if dtype.kind == "c":
        raise TypeError(f"{name} has complex dtype {dtype}: dasksor solves real systems only")
    if dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {dtype}: use a floating-point or integer dtype")


def _sliceable(chunk: Any) -> Any:
    return sp.csr_array(chunk) if sp.issparse(chunk) else chunk


def _has_sparse_chunks(A: da.Array) -> bool:
    return sp.issparse(A._meta)
