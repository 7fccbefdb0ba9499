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
from scipy.sparse.linalg import splu

from dasksor.kernels.matching import pairs
from dasksor.rows import CsrRows, Rows

# Six matchings make aggregates of about 64 unknowns: 8 x 8 points of a plane grid.
MATCHINGS = 6
# A factorisation of this size costs tenths of a second where the graph is nearly planar; elsewhere
# it fills up.
PLANAR_LIMIT, PLANAR_DEGREE = 20_000, 12
LIMIT = 2_000


def aggregates(rows: Rows) -> np.ndarray:
    """For each row of a block the global number of a row that stands for its aggregate.

    Aggregates stay within the block. All rows of a dense block are one.
    """
    first = int(rows.columns[rows.own])
    if not isinstance(rows, CsrRows):
        return np.full(rows.size, first)
    matrix = sp.csr_array(
        (rows.data, rows.indices, rows.indptr), shape=(rows.size, rows.columns.size)
    )
    inside = sp.csr_array(matrix[:, rows.own : rows.own + rows.size])
    roots, _ = matched(inside, MATCHINGS)
    return first + roots


def matched(matrix: sp.csr_array, matchings: int) -> tuple[np.ndarray, sp.csr_array]:
    """Aggregates of ``matrix`` after repeated matching, and the matrix between them.

    Returns for each row the lowest row of its aggregate, and ``Z'AZ``, its rows in their order.
    """
    roots = np.arange(matrix.shape[0])
    members = roots
    for _ in range(matchings):
        matrix.sum_duplicates()
        root = pairs(matrix.indptr, matrix.indices, matrix.data)
        kept, number = np.unique(root, return_inverse=True)
        if kept.size == root.size:
            break
        prolongation = sp.csr_array(
            (np.ones(root.size), number, np.arange(root.size + 1)), shape=(root.size, kept.size)
        )
        matrix = sp.csr_array(prolongation.T @ matrix @ prolongation)
        members, roots = number[members], roots[kept]
    return roots[members], matrix


class Entries(NamedTuple):
    """Entries ``values`` of ``Z'AZ`` between aggregates ``rows`` and ``columns``."""

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray


class CoarseSpace:
    """``E = Z'AZ``, factorised.

    Attributes
    ----------
    members : ndarray
        The aggregates, ascending: vectors of the coarse space have one entry for each.
    """

    def __init__(self, parts: list[Entries]) -> None:
        rows, columns, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        self.members = np.unique(rows)
        shape = (self.members.size,) * 2
        place = (np.searchsorted(self.members, rows), np.searchsorted(self.members, columns))
        self._matrix = sp.csr_array((values, place), shape=shape)
        self._groups, small = np.arange(shape[0]), self._matrix
        while _fills_up(small):
            lowest, small = matched(sp.csr_array(small), 1)
            kept, number = np.unique(lowest, return_inverse=True)
            if kept.size == lowest.size:
                break
            self._groups = number[self._groups]
        self._ngroups = small.shape[0]
        # A singular system has a singular coarse matrix: the shift only bounds what it adds.
        shift = 1e-12 * sp.diags_array(np.abs(small.diagonal()))
        self._factors = splu(sp.csc_array(small + shift))

    def solve(self, t: np.ndarray) -> np.ndarray:
        """The coarse correction for coarse residuals ``t`` of shape (nrhs, members)."""
        summed = np.zeros((len(t), self._ngroups))
        for total, residual in zip(summed, t, strict=True):
            np.add.at(total, self._groups, residual)
        return self._factors.solve(summed.T).T[:, self._groups]

    def times(self, c: np.ndarray) -> np.ndarray:
        """``E c``, both of shape (nrhs, members)."""
        return (self._matrix @ c.T).T

    def gathered(self, parts: list[tuple[np.ndarray, np.ndarray]], nrhs: int) -> np.ndarray:
        """One coarse vector from parts ``(members, values of shape (nrhs, members))``."""
        result = np.zeros((nrhs, self.members.size))
        for members, values in parts:
            result[:, np.searchsorted(self.members, members)] = values
        return result


def _fills_up(matrix: sp.csr_array) -> bool:
    n = matrix.shape[0]
    return n > (PLANAR_LIMIT if matrix.nnz <= PLANAR_DEGREE * n else LIMIT)
