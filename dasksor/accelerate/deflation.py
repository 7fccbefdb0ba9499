"""The coarse space that deflates conjugate gradients: pieces of near-null vectors on aggregates.

With ``Z`` the aggregates' vectors, ``W = B Z`` and ``E = Z'W`` the residual is kept free of
``span(Z)``: ``P = I - W E^-1 Z'`` is applied to every product (Nicolaides 1987; Frank and Vuik,
*On the construction of deflation-based preconditioners*, SIAM J. Sci. Comput. 23, 2001).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from dasksor.accelerate.aggregation import (
    coupled_rows,
    finest_within,
    groups_at,
    levels_of,
    levels_of_nodes,
)
from dasksor.accelerate.basis import Basis, basis_of
from dasksor.accelerate.triangles import Entries
from dasksor.coarse import Factors
from dasksor.kernels import faces

# Entries of the coarse factors for each entry of A: what a coarse solve may add to an iteration.
BUDGET = 0.3
# A coarse space that lacks fewer columns than so is not worth new factors.
NEARLY_ALL = 0.995


@dataclass(frozen=True)
class Deflation:
    """``Z``, ``W`` and the factors of ``E``.

    Attributes
    ----------
    basis : Basis
        ``Z``, for ``A`` and not for the scaled matrix.
    images : list of Entries
        ``W`` of the scaled matrix, for each block its rows.
    matrix : csr_array
        ``E``.
    """

    basis: Basis
    images: list[Entries]
    matrix: sp.csr_array
    _factors: Factors | KeptFactors

    @property
    def count(self) -> int:
        """Columns of ``Z``."""
        return self.basis.count

    def solve(self, sums: np.ndarray) -> np.ndarray:
        """``E^-1`` times the sum of the rows of ``sums``."""
        return self._factors.solve(sums.sum(axis=0))

    def restricted(self, free: np.ndarray, before: Deflation | None = None) -> Deflation | None:
        """The columns that are zero wherever unknowns are not free; None where there are none.

        The others stay, and are not used. The factors of ``before``, made for other free unknowns,
        go on to serve where they have nearly the same columns.
        """
        inside = self.basis.inside(free)
        if not inside.any():
            return None
        images = []
        for rows, ptr, columns, values in self.images:
            own = np.empty_like(values)
            faces.listed(rows, ptr, values, free, own)
            images.append((rows, ptr, columns, own))
        factors = before and before._factors
        if not isinstance(factors, KeptFactors) or not factors.serve(inside):
            factors = KeptFactors(self.matrix, self.basis.null, np.flatnonzero(inside))
        return replace(self, images=images, _factors=factors)


class KeptFactors:
    """Factors of some rows and columns of ``E``; solutions are zero in the others."""

    def __init__(self, matrix: sp.csr_array, null: np.ndarray, kept: np.ndarray) -> None:
        self._kept = kept
        self._factors = Factors(sp.csr_array(matrix[kept][:, kept]), null[kept])

    def serve(self, inside: np.ndarray) -> bool:
        """Whether no other than these columns are used, and nearly all of them."""
        enough = self._kept.size >= NEARLY_ALL * np.count_nonzero(inside)
        return bool(enough and inside[self._kept].all())

    def solve(self, b: np.ndarray) -> np.ndarray:
        """For ``b`` of shape (n,)."""
        x = np.zeros_like(b)
        x[self._kept] = self._factors.solve(b[self._kept])
        return x


def deflation_of(
    matrix: sp.csr_array,
    scale: np.ndarray,
    vectors: np.ndarray,
    ranges: list[tuple[int, int]],
    on_team: Callable[[Callable[[int], Any]], list[Any]],
) -> Deflation | None:
    """The coarse space of the finest aggregates that are worth it; None where none are.

    Aggregates stay in a block, whose rows are ``ranges[p]``; ``on_team`` does work for each block.
    The scaled matrix is ``scale_i a_ij scale_j``; ``vectors``, of shape (k, n), are nearly in the
    null space of ``A``.
    """
    grouped = levels_of if len(vectors) == 1 else levels_of_nodes
    levels = on_team(lambda p: grouped(matrix, *ranges[p]))
    # Each aggregate has up to k columns, each pair of neighbours k^2 entries.
    budget = BUDGET * matrix.nnz / len(vectors) ** 2
    able = sum(map(bool, levels))
    numbers = [finest_within(own, budget / able) if own else -1 for own in levels]
    if max(numbers) < 0:
        return None
    # A block without aggregates that are small enough is one; rows without couplings are in none.
    group, count = np.where(coupled_rows(matrix), 0, -1).astype(np.int32), 0
    for own, number, (first, last) in zip(levels, numbers, ranges, strict=True):
        block = group[first:last]
        if number >= 0:
            block[:] = groups_at(own, number)
        size = int(block.max()) + 1
        block[block >= 0] += count
        count += size
    basis = basis_of(vectors, group, count, scale)
    images = on_team(lambda p: basis.image(matrix, scale, *ranges[p]))
    energy = sp.csr_array(sum(basis.energy(image, scale) for image in images))
    return Deflation(basis, images, energy, Factors(energy, basis.null))
