"""SOR sweeps over sparse rows of any pattern.

One forward sweep with relaxation factor omega, new values used as soon as they are there:

    x_i <- x_i + s_i (b_i - sum_j a_ij x_j),    s_i = omega / a_ii,    i = 0, ..., m - 1

Row i of the block owns ``x[own + i]``; ``columns`` point into the same ``x``, which holds the
block's own unknowns and its halo. A row waits for the one before it, so the newest value comes
last and costs one operation: with g_i the rest without it and without the diagonal,

    x_i <- (x_i + s_i (g_i - a_ii x_i)) - (s_i a_i,i-1) x_i-1.

g_i takes the entries right of the diagonal, then those left of it, both from left to right; a
backward sweep does all this in the reverse order. Every storage does so, whatever block a row is
in: that makes results independent of both, bit for bit.

``before`` and ``after`` hold a_i,i-1 and a_i,i+1, ``values`` the rest of each row in the order of a
forward sweep, filled up with zeros to groups of three: rows of many lengths become loops of few,
which the processor foresees, and not many bytes are zeros. Row i has groups
``first[i], ..., first[i + 1] - 1``. Indices are unsigned: numba makes signed ones check for
counting from the end. With ``bounds`` each new value is clipped, see `dasksor.kernels.bounded`.
"""

from __future__ import annotations

import numba
import numpy as np

from dasksor.kernels.bounded import clipped
from dasksor.kernels.fused import fma

GROUP = 3
ONE, TWO, THREE = (np.uint64(k) for k in (1, 2, 3))


@numba.njit(nogil=True, cache=True)
def widths(indptr, indices, data, own):
    """Whether the entries off the diagonal are whole numbers of a byte, and whether float32."""
    whole = single = True
    for i in range(indptr.size - 1):
        for k in range(indptr[i], indptr[i + 1]):
            if indices[k] != own + i:
                value = np.float64(data[k])
                whole &= abs(value) <= 127.0 and value == np.rint(value)
                single &= value == np.float64(np.float32(value))
    return whole, single


@numba.njit(nogil=True, cache=True)
def lengths(indptr, indices, own, lower, upper, rest):
    """Count the entries of each row but the diagonal and its neighbours.

    ``lower`` says whether ``x[own - 1]`` is what the first row has before its diagonal in the whole
    matrix too, and ``upper`` the like of the last row.
    """
    for i in range(rest.size):
        for k in range(indptr[i], indptr[i + 1]):
            distance = indices[k] - own - i
            near = (distance == -1 and (i > 0 or lower)) or (
                distance == 1 and (i + 1 < rest.size or upper)
            )
            rest[i] += distance != 0 and not near


@numba.njit(nogil=True, cache=True)
def pack(indptr, indices, data, own, lower, upper, first, columns, values, before, after):
    """Store the rows; ``values``, ``before`` and ``after`` come as zeros."""
    m = before.size
    for i in range(m):
        slot = GROUP * np.int64(first[i])
        for side in (1, -1):
            for k in range(indptr[i], indptr[i + 1]):
                distance = indices[k] - own - i
                if distance * side <= 0:
                    continue
                if distance == -1 and (i > 0 or lower):
                    before[i] = data[k]
                elif distance == 1 and (i + 1 < m or upper):
                    after[i] = data[k]
                else:
                    columns[slot], values[slot] = indices[k], data[k]
                    slot += 1
        columns[slot : GROUP * np.int64(first[i + 1])] = own + i


@numba.njit(nogil=True, cache=True)
def subtract(g, group, end, columns, values, x):
    for q in range(np.uint64(group), np.uint64(end)):
        k = THREE * q
        g = fma(-np.float64(values[k]), x[columns[k]], g)
        g = fma(-np.float64(values[k + ONE]), x[columns[k + ONE]], g)
        g = fma(-np.float64(values[k + TWO]), x[columns[k + TWO]], g)
    return g


@numba.njit(nogil=True, cache=True)
def subtract_back(g, group, end, columns, values, x):
    for q in range(np.uint64(group), np.uint64(end)):
        k = THREE * (np.uint64(end) - ONE - (q - np.uint64(group)))
        g = fma(-np.float64(values[k + TWO]), x[columns[k + TWO]], g)
        g = fma(-np.float64(values[k + ONE]), x[columns[k + ONE]], g)
        g = fma(-np.float64(values[k]), x[columns[k]], g)
    return g


@numba.njit(nogil=True, cache=True, error_model="numpy")
def finished(g, diagonal, neighbour, omega, old, newest):
    """The new x_i; all but the last operation can go before ``newest`` is there."""
    scale = omega / diagonal
    rest: float = fma(scale, fma(-diagonal, old, g), old)
    return fma(-scale * np.float64(neighbour), newest, rest)


@numba.njit(nogil=True, cache=True)
def forward(
    begin, end, first, columns, values, before, after, diagonal, omega, b, x, own, bounds=None
):
    """Relax rows begin, ..., end - 1; return sum(change^2)."""
    total, edge = 0.0, np.uint64(x.size - 1)
    newest = x[max(own + begin - 1, 0)]
    for i in range(np.uint64(begin), np.uint64(end)):
        at = np.uint64(own) + i
        old = x[at]
        g = fma(-np.float64(after[i]), x[min(at + ONE, edge)], b[i])
        g = subtract(g, first[i], first[i + ONE], columns, values, x)
        newest = finished(g, diagonal[i], before[i], omega, old, newest)
        newest = clipped(newest, bounds, i)
        x[at] = newest
        total += (newest - old) * (newest - old)
    return total


@numba.njit(nogil=True, cache=True)
def backward(
    begin, end, first, columns, values, before, after, diagonal, omega, b, x, own, bounds=None
):
    """Relax rows end - 1, ..., begin; return sum(change^2)."""
    total = 0.0
    newest = x[min(own + end, x.size - 1)]
    for j in range(np.uint64(begin), np.uint64(end)):
        i = np.uint64(end) - ONE - (j - np.uint64(begin))
        at = np.uint64(own) + i
        old = x[at]
        g = fma(-np.float64(before[i]), x[max(at, ONE) - ONE], b[i])
        g = subtract_back(g, first[i], first[i + ONE], columns, values, x)
        newest = finished(g, diagonal[i], after[i], omega, old, newest)
        newest = clipped(newest, bounds, i)
        x[at] = newest
        total += (newest - old) * (newest - old)
    return total


@numba.njit(nogil=True, cache=True)
def residual(first, columns, values, before, after, diagonal, b, x, own, r):
    """Write ``r_i = b_i - sum_j a_ij x_j``, in the order of a forward sweep."""
    edge = np.uint64(x.size - 1)
    for i in range(np.uint64(r.size)):
        at = np.uint64(own) + i
        g = fma(-np.float64(after[i]), x[min(at + ONE, edge)], b[i])
        g = subtract(g, first[i], first[i + ONE], columns, values, x)
        g = fma(-diagonal[i], x[at], g)
        r[i] = fma(-np.float64(before[i]), x[max(at, ONE) - ONE], g)
