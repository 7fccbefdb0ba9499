"""How rows are numbered: whether neighbours have numbers near each other, or could have."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def jumps(indptr, indices, step):
    """For rows ``0, step, ...`` the distance of each entry to the next of the row below; the mean.

    Columns are sorted. Where rows are swept in turn, entries of ``x`` at small jumps are in cache.
    """
    total, count = 0.0, 0
    for i in range(0, indptr.size - 2, step):
        at, end = indptr[i + 1], indptr[i + 2]
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            while at + 1 < end and abs(indices[at + 1] - j) <= abs(indices[at] - j):
                at += 1
            if at < end:
                total += abs(indices[at] - j)
                count += 1
    return total / max(1, count)


@numba.njit(nogil=True, cache=True)
def widest_level(indptr, indices, root, most):
    """The size of the largest of the sets of rows at equal distance from ``root``.

    They are gone through until ``most`` rows have been met, or all that can be reached.
    """
    n = indptr.size - 1
    met, queue = np.zeros(n, np.bool_), np.empty(n, np.int32)
    met[root], queue[0] = True, root
    begin, end, widest = 0, 1, 1
    while begin < end and end < most:
        level = end
        for place in range(begin, level):
            for k in range(indptr[queue[place]], indptr[queue[place] + 1]):
                j = indices[k]
                if not met[j]:
                    met[j], queue[end] = True, j
                    end += 1
        begin, widest = level, max(widest, end - level)
    return widest
