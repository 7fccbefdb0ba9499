"""A test of symmetry in one pass."""

from __future__ import annotations

import math

import numba


@numba.njit(nogil=True, cache=True)
def scattered(i, step):
    """The ``i``-th of a sequence that fills [-1, 1] evenly."""
    return 2.0 * (i * step - math.floor(i * step)) - 1.0


@numba.njit(nogil=True, cache=True)
def asymmetry(indptr, indices, data):
    """``u'Av - v'Au`` for two fixed vectors of scattered entries, and ``sum_{i != j} |a_ij|``."""
    found = weight = 0.0
    for i in range(indptr.size - 1):
        u, v = scattered(i + 1, 0.6180339887498949), scattered(i + 1, 0.7548776662466927)
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            uj, vj = scattered(j + 1, 0.6180339887498949), scattered(j + 1, 0.7548776662466927)
            if j != i:
                found += data[k] * (u * vj - v * uj)
                weight += abs(data[k])
    return found, weight
