"""SOR sweeps over rows that read the same columns by threes, as those of the nodes of a solid.

Triple q is rows 3q, 3q + 1, 3q + 2. ``values[3k], values[3k + 1], values[3k + 2]`` are their
entries in column ``columns[k]``, k = first[q], ..., first[q + 1] - 1: an index and an entry of x
are loaded once for three rows, whose sums do not wait for each other. ``right[q]`` is the entry of
the first row in the column of the third, ``left[q]`` that of the third in the column of the first.
Order, ``before`` and ``after`` are those of `dasksor.kernels.csr`, and so are the bits.
"""

from __future__ import annotations

import numba
import numpy as np

from dasksor.kernels.bounded import clipped
from dasksor.kernels.csr import ONE, THREE, TWO, finished
from dasksor.kernels.fused import fma


@numba.njit(nogil=True, cache=True)
def following(indices, k, end, low, high, near):
    """The first place from ``k`` of a column in ``low, ..., high - 1`` other than ``near``."""
    while k < end and (indices[k] < low or indices[k] == near):
        k += 1
    return k if k < end and indices[k] < high else end


@numba.njit(nogil=True, cache=True)
def pack(indptr, indices, data, own, first, columns, values):
    """Write ``first``, and the rest but what is in a triple or next to a row's own unknown.

    The entries come as zeros; without room for them only ``first`` is written.
    """
    slot, places = 0, np.empty(3, np.int64)
    for q in range(first.size - 1):
        top = own + 3 * q
        # In the order of a forward sweep: columns above, then columns below, each ascending.
        for low, high in ((top + 3, np.iinfo(np.int64).max), (0, top)):
            places[:] = indptr[3 * q : 3 * q + 3]
            while True:
                column = high
                for r in range(3):
                    near = top - 1 if r == 0 else top + 3 if r == 2 else -1
                    end = indptr[3 * q + r + 1]
                    k = places[r] = following(indices, places[r], end, low, high, near)
                    if k < end:
                        column = min(column, indices[k])
                if column == high:
                    break
                for r in range(3):
                    k = places[r]
                    if k < indptr[3 * q + r + 1] and indices[k] == column:
                        if values.size > 0:
                            values[3 * slot + r] = data[k]
                        places[r] += 1
                if values.size > 0:
                    columns[slot] = column
                slot += 1
        first[q + 1] = slot


@numba.njit(nogil=True, cache=True)
def pack_inside(indptr, indices, data, own, left, right, before, after):
    """Store what is in a triple or next to a row's own unknown; everything comes as zeros."""
    for i in range(before.size):
        q, place = i // 3, i % 3
        for k in range(indptr[i], indptr[i + 1]):
            distance = indices[k] - own - i
            if distance == -1:
                before[i] = data[k]
            elif distance == 1:
                after[i] = data[k]
            elif distance == 2 and place == 0:
                right[q] = data[k]
            elif distance == -2 and place == 2:
                left[q] = data[k]


@numba.njit(nogil=True, cache=True)
def subtract(g, first, last, columns, values, x):
    g0, g1, g2 = g
    for k in range(np.uint64(first), np.uint64(last)):
        x_k = x[columns[k]]
        g0 = fma(-np.float64(values[THREE * k]), x_k, g0)
        g1 = fma(-np.float64(values[THREE * k + ONE]), x_k, g1)
        g2 = fma(-np.float64(values[THREE * k + TWO]), x_k, g2)
    return g0, g1, g2


@numba.njit(nogil=True, cache=True)
def subtract_back(g, first, last, columns, values, x):
    g0, g1, g2 = g
    for j in range(np.uint64(first), np.uint64(last)):
        k = np.uint64(last) - ONE - (j - np.uint64(first))
        x_k = x[columns[k]]
        g0 = fma(-np.float64(values[THREE * k]), x_k, g0)
        g1 = fma(-np.float64(values[THREE * k + ONE]), x_k, g1)
        g2 = fma(-np.float64(values[THREE * k + TWO]), x_k, g2)
    return g0, g1, g2


@numba.njit(nogil=True, cache=True)
def opened(q, right, after, b, x, at):
    """The right-hand sides less the old values in the triple and just after it."""
    i, edge = THREE * q, np.uint64(x.size - 1)
    g0 = fma(-np.float64(after[i]), x[at + ONE], b[i])
    g0 = fma(-np.float64(right[q]), x[at + TWO], g0)
    g1 = fma(-np.float64(after[i + ONE]), x[at + TWO], b[i + ONE])
    g2 = fma(-np.float64(after[i + TWO]), x[min(at + THREE, edge)], b[i + TWO])
    return g0, g1, g2


@numba.njit(nogil=True, cache=True)
def opened_back(q, left, before, b, x, at):
    """As `opened`, just before it."""
    i = THREE * q
    g0 = fma(-np.float64(before[i]), x[max(at, ONE) - ONE], b[i])
    g1 = fma(-np.float64(before[i + ONE]), x[at], b[i + ONE])
    g2 = fma(-np.float64(before[i + TWO]), x[at + ONE], b[i + TWO])
    g2 = fma(-np.float64(left[q]), x[at], g2)
    return g0, g1, g2


@numba.njit(nogil=True, cache=True)
def store(x, at, x0, x1, x2):
    """Write the new values of a triple; return sum(change^2)."""
    change = (x0 - x[at]) ** 2 + (x1 - x[at + ONE]) ** 2 + (x2 - x[at + TWO]) ** 2
    x[at], x[at + ONE], x[at + TWO] = x0, x1, x2
    return change


@numba.njit(nogil=True, cache=True)
def forward(
    begin, end, first, columns, values, left, right, before, after, d, omega, b, x, own, bounds=None
):
    """Relax triples begin, ..., end - 1, ``d`` the diagonal; return sum(change^2)."""
    total, newest = 0.0, x[max(own + 3 * begin - 1, 0)]
    for q in range(np.uint64(begin), np.uint64(end)):
        i = THREE * q
        at = np.uint64(own) + i
        g = opened(q, right, after, b, x, at)
        g0, g1, g2 = subtract(g, first[q], first[q + ONE], columns, values, x)
        x0 = finished(g0, d[i], before[i], omega, x[at], newest)
        x0 = clipped(x0, bounds, i)
        x1 = finished(g1, d[i + ONE], before[i + ONE], omega, x[at + ONE], x0)
        x1 = clipped(x1, bounds, i + ONE)
        g2 = fma(-np.float64(left[q]), x0, g2)
        newest = finished(g2, d[i + TWO], before[i + TWO], omega, x[at + TWO], x1)
        newest = clipped(newest, bounds, i + TWO)
        total += store(x, at, x0, x1, newest)
    return total


@numba.njit(nogil=True, cache=True)
def backward(
    begin, end, first, columns, values, left, right, before, after, d, omega, b, x, own, bounds=None
):
    """Relax triples end - 1, ..., begin; return sum(change^2)."""
    total, newest = 0.0, x[min(own + 3 * end, x.size - 1)]
    for p in range(np.uint64(begin), np.uint64(end)):
        q = np.uint64(end) - ONE - (p - np.uint64(begin))
        i = THREE * q
        at = np.uint64(own) + i
        g = opened_back(q, left, before, b, x, at)
        g0, g1, g2 = subtract_back(g, first[q], first[q + ONE], columns, values, x)
        x2 = finished(g2, d[i + TWO], after[i + TWO], omega, x[at + TWO], newest)
        x2 = clipped(x2, bounds, i + TWO)
        x1 = finished(g1, d[i + ONE], after[i + ONE], omega, x[at + ONE], x2)
        x1 = clipped(x1, bounds, i + ONE)
        g0 = fma(-np.float64(right[q]), x2, g0)
        newest = finished(g0, d[i], after[i], omega, x[at], x1)
        newest = clipped(newest, bounds, i)
        total += store(x, at, newest, x1, x2)
    return total


@numba.njit(nogil=True, cache=True)
def residual(first, columns, values, left, right, before, after, d, b, x, own, r):
    """Write ``r_i = b_i - sum_j a_ij x_j``, in the order of a forward sweep."""
    for q in range(np.uint64(first.size - 1)):
        i = THREE * q
        at = np.uint64(own) + i
        g = opened(q, right, after, b, x, at)
        g0, g1, g2 = subtract(g, first[q], first[q + ONE], columns, values, x)
        g0 = fma(-d[i], x[at], g0)
        r[i] = fma(-np.float64(before[i]), x[max(at, ONE) - ONE], g0)
        g1 = fma(-d[i + ONE], x[at + ONE], g1)
        r[i + ONE] = fma(-np.float64(before[i + ONE]), x[at], g1)
        g2 = fma(-d[i + TWO], x[at + TWO], fma(-np.float64(left[q]), x[at], g2))
        r[i + TWO] = fma(-np.float64(before[i + TWO]), x[at + ONE], g2)
