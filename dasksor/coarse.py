"""The coarse space: piecewise constant vectors over aggregates of strongly coupled unknowns.

With ``Z`` the aggregates' indicator vectors, a correction ``Z c``, ``(Z'A Z) c = Z't``, removes
from a residual ``t`` what local sweeps cannot see. It makes the number of cycles nearly
independent of the size of the system and of the number of blocks (Nicolaides 1987; aggregation by
repeated pairwise matching after Notay 2010).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import SuperLU, splu

from dasksor.kernels.matching import contracted, pairs
from dasksor.rows import Rows, dots
from dasksor.sparse_rows import SparseRows

# Six matchings make aggregates of about 64 unknowns: 8 x 8 points of a plane grid.
MATCHINGS = 6
# A factorisation of this size costs tenths of a second where the graph is nearly planar; elsewhere
# it fills up.
PLANAR_LIMIT, PLANAR_DEGREE = 20_000, 12
LIMIT = 2_000
SHIFT = 1e-8


def aggregates(rows: Rows) -> np.ndarray:
    """For each row of a block the global number of a row that stands for its aggregate.

    Aggregates stay within the block. All rows of a dense block are one.
    """
    first = int(rows.columns[rows.own])
    if not isinstance(rows, SparseRows):
        return np.full(rows.size, first)
    inside = sp.csr_array(rows.csr()[:, rows.own : rows.own + rows.size])
    roots, _ = matched(inside, MATCHINGS)
    return first + roots


def matched(matrix: sp.csr_array, matchings: int) -> tuple[np.ndarray, sp.csr_array]:
    """Aggregates of ``matrix`` after repeated matching, and the matrix between them.

    Returns for each row the lowest row of its aggregate, and ``Z'AZ``, its rows in their order.
    """
    group = np.arange(matrix.shape[0])
    for _ in range(matchings):
        size = matrix.shape[0]
        arrays = (matrix.indptr, matrix.indices, matrix.data)
        pair, count = pairs(*arrays, 0, size)
        if count == size:
            break
        ptr, idx, val = contracted(*arrays, pair, count, 0, size)
        matrix = sp.csr_array((val, idx, ptr), shape=(count, count))
        group = pair[group]
    # Groups are numbered in the order of their lowest rows.
    _, lowest = np.unique(group, return_index=True)
    return lowest[group], matrix


class Factors:
    """Factors of a symmetric positive semidefinite matrix, for consistent right-hand sides.

    Of each part that is singular with a constant, or combinations of the columns of ``null``, as
    its null vectors, one diagonal entry for each of them is raised: the solution is then the one
    that is zero there. What is singular in another way, and so not what was hoped for, is shifted.
    """

    def __init__(self, matrix: sp.csr_array, null: np.ndarray | None = None) -> None:
        # Minimum degree goes astray among the ties of a regular numbering: 20 times the fill.
        self._order = np.random.default_rng(0).permutation(matrix.shape[0])
        null = np.ones((matrix.shape[0], 1)) if null is None else null
        raised = sp.csc_array(matrix + sp.diags_array(_raised(matrix, null)))
        shuffled = raised[self._order][:, self._order]
        try:
            self._factors = _symmetric_factors(shuffled)
        except RuntimeError:
            shift = SHIFT * (np.abs(shuffled.data).max() or 1.0)
            self._factors = _symmetric_factors(shuffled + shift * sp.eye_array(matrix.shape[0]))

    @property
    def nnz(self) -> int:
        """Stored entries."""
        return self._factors.nnz

    def solve(self, b: np.ndarray) -> np.ndarray:
        """For ``b`` of shape (n,) or (n, m)."""
        x = np.empty_like(b)
        x[self._order] = self._factors.solve(b[self._order])
        return x


def _symmetric_factors(matrix: sp.csc_array) -> SuperLU:
    return splu(
        sp.csc_array(matrix),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )


def _raised(matrix: sp.csr_array, null: np.ndarray) -> np.ndarray:
    """What is added to the diagonal, so that no part is singular."""
    parts, part = connected_components(matrix, directed=False)
    diagonal, image = matrix.diagonal(), matrix @ null
    pairs_of_columns = np.stack(
        [np.bincount(part, v * w, minlength=parts) for v in null.T for w in image.T], axis=1
    )
    energy = pairs_of_columns.reshape(parts, null.shape[1], null.shape[1])
    weight = np.bincount(part, np.abs(diagonal) * np.square(null).sum(axis=1))
    energies, turned = np.linalg.eigh(energy)
    # Of each part the combinations without energy are its null vectors, the others do not count.
    vectors = np.einsum("ij,ijk->ik", null, turned[part])
    vectors *= (np.abs(energies) <= 1e-12 * weight[:, None])[part]
    raised = np.zeros(diagonal.size)
    least = 1e-6 * np.abs(null).max()
    for k in range(null.shape[1]):
        # The largest entry of a vector is to be zero, and leaves the other vectors.
        order = np.lexsort((-np.abs(vectors[:, k]), part))
        pivots = order[np.searchsorted(part[order], np.arange(parts))]
        found = np.abs(vectors[pivots, k]) > least
        pinned = pivots[found]
        raised[pinned] = np.where(diagonal[pinned] == 0.0, 1.0, diagonal[pinned])
        share = np.zeros_like(vectors[pivots])
        share[found] = vectors[pinned] / vectors[pinned, k, None]
        vectors -= vectors[:, [k]] * share[part]
    return raised


class Entries(NamedTuple):
    """Entries ``values`` of ``Z'AZ`` between aggregates ``rows`` and ``columns``."""

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray


class BlockOfCoarse:
    """One block's part of the coarse space.

    Parameters
    ----------
    rows : Rows
    own : slice
        Where the block's own unknowns are in its local vector.
    numbers : ndarray
        The number of the aggregate of each local unknown.
    """

    def __init__(self, rows: Rows, own: slice, numbers: np.ndarray) -> None:
        self._columns, group = np.unique(numbers, return_inverse=True)
        self._product = rows.summed(group, self._columns.size)
        self._group = group[own]
        inside, self._member = np.unique(self._group, return_inverse=True)
        self.members = self._columns[inside]
        self._place = np.zeros(0, dtype=np.int64)

    def entries(self) -> Entries:
        """The block's rows of ``Z'AZ``, also those without an entry that is not zero."""
        size = self._member.size
        restriction = sp.csr_array(
            (np.ones(size), (self._member, np.arange(size))), shape=(self.members.size, size)
        )
        found = sp.coo_array(restriction @ self._product)
        rows, columns = found.coords
        # An aggregate that is a singular system of its own has none, and is a member all the same.
        return Entries(
            np.concatenate([self.members[rows], self.members]),
            np.concatenate([self._columns[columns], self.members]),
            np.concatenate([found.data, np.zeros(self.members.size)]),
        )

    def locate(self, members: np.ndarray) -> None:
        """Remember where this block's aggregates are among all ``members``."""
        self._place = np.searchsorted(members, self._columns)

    def summed(self, vectors: np.ndarray) -> np.ndarray:
        """``Z'v`` over `members` for each of the ``vectors``, shape (nrhs, size)."""
        count = self.members.size
        return np.array([np.bincount(self._member, v, minlength=count) for v in vectors])

    def correction(self, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The block's parts of ``Z c`` and ``A Z c``, ``c`` of shape (nrhs, all members)."""
        near = c[:, self._place]
        return near[:, self._group], (self._product @ near.T).T


class CoarseSpace:
    """``E = Z'AZ``, factorised.

    Attributes
    ----------
    members : ndarray
        The numbers of all aggregates, ascending: coarse vectors have one entry for each.
    """

    def __init__(self, parts: list[Entries]) -> None:
        rows, columns, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        self.members = np.unique(rows)
        shape = (self.members.size,) * 2
        place = (np.searchsorted(self.members, rows), np.searchsorted(self.members, columns))
        self._matrix = sp.csr_array((values, place), shape=shape)
        self._absolute = abs(self._matrix)
        self._groups, small = np.arange(shape[0]), self._matrix
        while _fills_up(small):
            lowest, small = matched(sp.csr_array(small), 1)
            kept, number = np.unique(lowest, return_inverse=True)
            if kept.size == lowest.size:
                break
            self._groups = number[self._groups]
        self._ngroups = small.shape[0]
        # A singular system has a singular coarse matrix: the shift only bounds what it adds.
        diagonal = np.abs(small.diagonal())
        shift = np.where(diagonal > 0.0, 1e-12 * diagonal, diagonal.max() or 1.0)
        self._factors = splu(sp.csc_array(small + sp.diags_array(shift)))

    def solve(self, t: np.ndarray) -> np.ndarray:
        """The coarse correction for coarse residuals ``t`` of shape (nrhs, members)."""
        summed = np.zeros((len(t), self._ngroups))
        for total, residual in zip(summed, t, strict=True):
            np.add.at(total, self._groups, residual)
        return self._factors.solve(summed.T).T[:, self._groups]

    def times(self, c: np.ndarray) -> np.ndarray:
        """``E c``, both of shape (nrhs, members)."""
        return (self._matrix @ c.T).T

    def magnitude(self, c: np.ndarray) -> np.ndarray:
        """``|c|' |E| |c|`` for each row of ``c``: the scale of the rounding errors of ``c'E c``."""
        c = np.abs(c)
        return dots(c, (self._absolute @ c.T).T)


def _fills_up(matrix: sp.csr_array) -> bool:
    n = matrix.shape[0]
    return n > (PLANAR_LIMIT if matrix.nnz <= PLANAR_DEGREE * n else LIMIT)
