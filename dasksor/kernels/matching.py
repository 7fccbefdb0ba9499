"""Pairs of strongly coupled vertices of a sparse matrix."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def pairs(indptr, indices, data):
    """For each row the lower of the two rows it is paired with: itself for the first of a pair.

    Each row in turn takes its strongest coupling ``-a_ij`` among the rows that are still alone;
    where none is left it joins the pair of its strongest coupling.
    """
    n = indptr.size - 1
    root = np.full(n, -1, np.int64)
    for i in range(n):
        if root[i] >= 0:
            continue
        alone = paired = -1
        strongest_alone = strongest_paired = 0.0
        for k in range(indptr[i], indptr[i + 1]):
            j, strength = indices[k], -data[k]
            if j == i:
                continue
            if root[j] < 0 and strength > strongest_alone:
                strongest_alone, alone = strength, j
            elif root[j] >= 0 and strength > strongest_paired:
                strongest_paired, paired = strength, j
        if alone >= 0:
            root[i] = root[alone] = i
        else:
            root[i] = i if paired < 0 else root[paired]
    return root
