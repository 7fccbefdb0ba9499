"""The coarse space that deflates conjugate gradients: piecewise constants over aggregates.

With ``Z`` the aggregates' vectors, ``W = B Z`` and ``E = Z'W`` the residual is kept free of
``span(Z)``: ``P = I - W E^-1 Z'`` is applied to every product (Nicolaides 1987; Frank and Vuik,
*On the construction of deflation-based preconditioners*, SIAM J. Sci. Comput. 23, 2001).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from dasksor.accelerate.aggregation import Level, finest_within, groups_at
from dasksor.accelerate.triangles import Entries
from dasksor.coarse import Factors
from dasksor.kernels.matching import columns_summed

# Entries of the coarse factors for each entry of A: what a coarse solve may add to an iteration.
BUDGET = 0.3


@dataclass(frozen=True)
class Deflation:
    """``Z``, ``W`` and the factors of ``E``.

    Attributes
    ----------
    group : ndarray of int, shape (n,)
        The aggregate of each unknown.
    weight : ndarray, shape (n,)
        The vector that `Z` cuts into pieces: for ``A``, not for the scaled matrix.
    images : list of Entries
        ``W`` of the scaled matrix, for each block its rows.
    """

    group: np.ndarray
    weight: np.ndarray
    images: list[Entries]
    count: int
    _factors: Factors

    def solve(self, sums: np.ndarray) -> np.ndarray:
        """``E^-1`` times the sum of the rows of ``sums``."""
        return self._factors.solve(sums.sum(axis=0))

    def restricted(self, v: np.ndarray) -> np.ndarray:
        """``Z'v`` for a vector of the unscaled system."""
        return np.bincount(self.group, self.weight * v, minlength=self.count)

    def prolonged(self, c: np.ndarray) -> np.ndarray:
        """``Z c`` in the unscaled system."""
        return self.weight * c[self.group]


def deflation_of(
    matrix: sp.csr_array,
    scale: np.ndarray,
    weight: np.ndarray,
    levels: list[list[Level]],
    ranges: list[tuple[int, int]],
    on_team: Callable[[Callable[[int], Any]], list[Any]],
) -> Deflation | None:
    """The coarse space of the finest aggregates that are worth it; None where none are.

    ``levels[p]`` are those of block ``p`` with rows ``ranges[p]``; ``on_team`` does work for each
    block. The scaled matrix is ``scale_i a_ij scale_j``.
    """
    number = min(finest_within(own, BUDGET * matrix.nnz / len(levels)) for own in levels)
    if number < 0:
        return None
    parts = [groups_at(own, number) for own in levels]
    counts = [own[number].size for own in levels]
    starts = np.cumsum([0, *counts])
    group = np.concatenate([part + start for part, start in zip(parts, starts[:-1], strict=True)])
    group = group.astype(np.int32, copy=False)
    count = int(starts[-1])
    arrays = (matrix.indptr, matrix.indices, matrix.data, group, weight, scale, count)
    images = on_team(lambda p: columns_summed(*arrays, *ranges[p]))
    restricted = sum(_coarse_rows(image, group, weight / scale, count) for image in images)
    return Deflation(group, weight, images, count, Factors(sp.csr_array(restricted)))


def _coarse_rows(image: Entries, group: np.ndarray, weight: np.ndarray, count: int) -> sp.csr_array:
    """``Z'W`` from some rows of ``W``."""
    rows, ptr, columns, values = image
    size = rows.size
    product = sp.csr_array((values, columns.astype(np.int32), ptr), shape=(size, count))
    entries = (weight[rows], (group[rows], np.arange(size)))
    return sp.csr_array(sp.csr_array(entries, shape=(count, size)) @ product)
