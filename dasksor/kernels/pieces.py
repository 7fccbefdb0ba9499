"""Pieces of vectors on groups of rows."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def orthonormalised(parts, begin, members, factors):
    """Make the columns of ``parts`` orthonormal on each group of rows, as `members_of` lists them.

    Modified Gram-Schmidt, twice. A column of which less than 1e-8 is left depends on those before,
    and becomes zero. ``factors`` of a group becomes ``R``, zero before: ``R_ij`` times column ``i``
    adds up to what column ``j`` was.
    """
    k = parts.shape[1]
    for g in range(begin.size - 1):
        rows, R = members[begin[g] : begin[g + 1]], factors[g]
        for j in range(k):
            size = 0.0
            for i in rows:
                size += parts[i, j] ** 2
            for _ in range(2):
                for other in range(j):
                    if R[other, other] == 0.0:
                        continue
                    product = 0.0
                    for i in rows:
                        product += parts[i, other] * parts[i, j]
                    for i in rows:
                        parts[i, j] -= product * parts[i, other]
                    R[other, j] += product
            left = 0.0
            for i in rows:
                left += parts[i, j] ** 2
            if left > 1e-16 * size:
                R[j, j] = np.sqrt(left)
            for i in rows:
                parts[i, j] = parts[i, j] / R[j, j] if R[j, j] > 0.0 else 0.0
