"""SOR sweeps over compressed sparse rows.

One forward sweep with relaxation factor omega, new values used as soon as they are there:

    x_i <- x_i + s_i (b_i - sum_j a_ij x_j),    s_i = omega / a_ii,    i = 0, ..., m - 1

Row i of the block owns ``x[own + i]``; ``indices`` point into the same ``x``, which holds the
block's own unknowns and its halo. A row waits for the one before it, so the newest value comes
last and costs one operation: with g_i the rest without it and without the diagonal,

    x_i <- (x_i + s_i (g_i - a_ii x_i)) - (s_i a_i,i-1) x_i-1.

g_i takes the entries right of the diagonal, then those left of it, both from left to right. A
backward sweep takes those left of it from left to right, then those right of it from right to
left, and x_i+1 last. Every storage does so, whatever block a row is in: that makes results
independent of both, bit for bit.

``middle`` says where the diagonal entries are. Bit `BEFORE` of ``near`` says that the entry before
it belongs to unknown i - 1, bit `AFTER` that the one after it belongs to i + 1. Indices are
unsigned: numba makes signed ones check for counting from the end.
"""

from __future__ import annotations

import numba
import numpy as np

from dasksor.kernels.fused import fma

BEFORE, AFTER = 1, 2
ONE = np.uint64(1)


@numba.njit(nogil=True, cache=True)
def subtract(g, first, last, indices, data, x):
    for k in range(first, last):
        g = fma(-np.float64(data[k]), x[indices[k]], g)
    return g


@numba.njit(nogil=True, cache=True)
def subtract_back(g, first, last, indices, data, x):
    for j in range(first, last):
        k = last - ONE - (j - first)
        g = fma(-np.float64(data[k]), x[indices[k]], g)
    return g


@numba.njit(nogil=True, cache=True, error_model="numpy")
def finished(g, diagonal, neighbour, omega, old, newest):
    """The new x_i; all but the last operation can go before ``newest`` is there."""
    scale = omega / diagonal
    rest: float = fma(scale, fma(-diagonal, old, g), old)
    return fma(-scale * neighbour, newest, rest)


@numba.njit(nogil=True, cache=True)
def forward(begin, end, indptr, indices, data, middle, near, omega, b, x, own):
    """Relax rows begin, ..., end - 1; return sum(change^2)."""
    total, here = 0.0, np.uint64(own)
    newest = x[own + begin - 1] if own + begin > 0 else 0.0
    for i in range(np.uint64(begin), np.uint64(end)):
        at, has = np.uint64(middle[i]), np.uint64(near[i] & BEFORE)
        g = subtract(b[i], at + ONE, np.uint64(indptr[i + ONE]), indices, data, x)
        g = subtract(g, np.uint64(indptr[i]), at - has, indices, data, x)
        neighbour = np.float64(data[at - has]) * np.float64(has)
        old = x[here + i]
        newest = finished(g, np.float64(data[at]), neighbour, omega, old, newest)
        x[here + i] = newest
        total += (newest - old) * (newest - old)
    return total


@numba.njit(nogil=True, cache=True)
def backward(begin, end, indptr, indices, data, middle, near, omega, b, x, own):
    """Relax rows end - 1, ..., begin; return sum(change^2)."""
    total, here = 0.0, np.uint64(own)
    newest = x[own + end] if own + end < x.size else 0.0
    for j in range(np.uint64(begin), np.uint64(end)):
        i = np.uint64(end) - ONE - (j - np.uint64(begin))
        at, has = np.uint64(middle[i]), np.uint64((near[i] & AFTER) >> 1)
        g = subtract(b[i], np.uint64(indptr[i]), at, indices, data, x)
        g = subtract_back(g, at + has + ONE, np.uint64(indptr[i + ONE]), indices, data, x)
        neighbour = np.float64(data[at + has]) * np.float64(has)
        old = x[here + i]
        newest = finished(g, np.float64(data[at]), neighbour, omega, old, newest)
        x[here + i] = newest
        total += (newest - old) * (newest - old)
    return total


@numba.njit(nogil=True, cache=True)
def residual(indptr, indices, data, b, x, r):
    """Write ``r_i = b_i - sum_j a_ij x_j``, columns ascending."""
    for i in range(np.uint64(r.size)):
        first, last = np.uint64(indptr[i]), np.uint64(indptr[i + ONE])
        r[i] = subtract(b[i], first, last, indices, data, x)
