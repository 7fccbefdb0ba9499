"""SOR sweeps over rows stored by diagonals, with the formula and the bits of `dasksor.kernels.csr`.

``values[(p D + d) C + k]`` is the entry of row ``i = p C + k`` in column ``own + i + offsets[d]``
of the local vector. The D offsets ascend; -1, number ``below``, and 1 are among them, 0 is not, and
no others are shorter than C.
So the C rows of a chunk read each other through -1 and 1 only: all other diagonals go through
vector instructions, then one recurrence of one operation a row remains. Zeros fill what is not
stored: ``g - 0 x`` is g.

Indices are unsigned: numba makes signed ones check for counting from the end, and that check stops
the vectoriser.
"""

from __future__ import annotations

import numba
import numpy as np

from dasksor.kernels.bounded import clipped
from dasksor.kernels.fused import fma


@numba.njit(nogil=True, cache=True)
def mark(indptr, indices, found):
    """Set ``found[column - row + m - 1]`` for every entry of the m rows."""
    m = indptr.size - 1
    for i in range(m):
        for k in range(indptr[i], indptr[i + 1]):
            found[indices[k] - i + m - 1] = True


@numba.njit(nogil=True, cache=True)
def fill(indptr, indices, data, own, offsets, values):
    """Store the entries but the diagonal in ``values[p, d, k]``."""
    chunk = values.shape[2]
    for i in range(indptr.size - 1):
        d = 0
        for k in range(indptr[i], indptr[i + 1]):
            distance = indices[k] - own - i
            if distance != 0:
                while offsets[d] < distance:
                    d += 1
                values[i // chunk, d, i % chunk] = data[k]


@numba.njit(nogil=True, cache=True)
def copy(t, b, at, size):
    for k in range(size):
        t[k] = b[at + k]


@numba.njit(nogil=True, cache=True)
def subtract(t, values, v, x, at, first, last):
    for k in range(first, last):
        t[k] = fma(-np.float64(values[v + k]), x[at + k], t[k])


@numba.njit(nogil=True, cache=True)
def subtract_diagonal(t, values, v, x, at, size):
    """``t -= a x`` along a diagonal, where it does not leave ``x``."""
    first, last = max(0, -at), min(size, x.size - at)
    if first < last:
        subtract(t, values, np.uint64(v), x, np.uint64(at), np.uint64(first), np.uint64(last))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def finish(t, c, values, neighbour, diagonal, first, omega, x, at, size):
    """From ``t = g`` to what the recurrence needs, ``x_i = t_i + c_i x_i-1``."""
    for k in range(size):
        a = diagonal[first + k]
        scale = omega / a
        t[k] = fma(scale, fma(-a, x[at + k], t[k]), x[at + k])
        c[k] = -scale * np.float64(values[neighbour + k])


@numba.njit(nogil=True, cache=True)
def recur(t, c, x, at, size, newest, bounds, first):
    """``x_i = t_i + c_i x_i-1``, clipped; return sum(change^2)."""
    total = 0.0
    for k in range(size):
        newest = clipped(fma(c[k], newest, t[k]), bounds, first + k)
        change = newest - x[at + k]
        total += change * change
        x[at + k] = newest
    return total


@numba.njit(nogil=True, cache=True)
def recur_back(t, c, x, at, size, newest, bounds, first):
    """``x_i = t_i + c_i x_i+1``, clipped, last row first."""
    total = 0.0
    for j in range(size):
        k = size - np.uint64(1) - j
        newest = clipped(fma(c[k], newest, t[k]), bounds, first + k)
        change = newest - x[at + k]
        total += change * change
        x[at + k] = newest
    return total


# Chunks are so short that a call for each would cost as much as a diagonal.
@numba.njit(nogil=True, cache=True)
def forward(begin, end, values, chunk, offsets, below, diagonal, omega, b, x, own, bounds=None):
    """Relax chunks begin, ..., end - 1; return sum(change^2)."""
    t, c = np.empty(chunk), np.empty(chunk)
    count, total = offsets.size, 0.0
    for p in range(begin, end):
        first, v = p * chunk, p * chunk * count
        at, m = own + first, min(chunk, b.size - first)
        size = np.uint64(m)
        copy(t, b, np.uint64(first), size)
        for d in range(below + 1, count):
            subtract_diagonal(t, values, v + d * chunk, x, at + offsets[d], m)
        for d in range(below):
            subtract_diagonal(t, values, v + d * chunk, x, at + offsets[d], m)
        near = np.uint64(v + below * chunk)
        finish(t, c, values, near, diagonal, np.uint64(first), omega, x, np.uint64(at), size)
        newest = x[at - 1] if at > 0 else 0.0
        total += recur(t, c, x, np.uint64(at), size, newest, bounds, np.uint64(first))
    return total


@numba.njit(nogil=True, cache=True)
def backward(begin, end, values, chunk, offsets, below, diagonal, omega, b, x, own, bounds=None):
    """Relax chunks end - 1, ..., begin, last row first; return sum(change^2)."""
    t, c = np.empty(chunk), np.empty(chunk)
    count, total = offsets.size, 0.0
    for p in range(end - 1, begin - 1, -1):
        first, v = p * chunk, p * chunk * count
        at, m = own + first, min(chunk, b.size - first)
        size = np.uint64(m)
        copy(t, b, np.uint64(first), size)
        for d in range(below, -1, -1):
            subtract_diagonal(t, values, v + d * chunk, x, at + offsets[d], m)
        for d in range(count - 1, below + 1, -1):
            subtract_diagonal(t, values, v + d * chunk, x, at + offsets[d], m)
        near = np.uint64(v + (below + 1) * chunk)
        finish(t, c, values, near, diagonal, np.uint64(first), omega, x, np.uint64(at), size)
        newest = x[at + m] if at + m < x.size else 0.0
        total += recur_back(t, c, x, np.uint64(at), size, newest, bounds, np.uint64(first))
    return total


@numba.njit(nogil=True, cache=True)
def subtract_products(t, diagonal, first, x, at, size):
    for k in range(size):
        t[k] = fma(-diagonal[first + k], x[at + k], t[k])


@numba.njit(nogil=True, cache=True)
def residual(values, chunk, offsets, below, diagonal, b, x, own, r):
    """Write ``r_i = b_i - sum_j a_ij x_j``, in the order of a forward sweep."""
    count = offsets.size
    for p in range(-(-b.size // chunk)):
        first, v = p * chunk, p * chunk * count
        at, m = own + first, min(chunk, b.size - first)
        t, size = r[first : first + m], np.uint64(m)
        copy(t, b, np.uint64(first), size)
        for d in range(below + 1, count):
            subtract_diagonal(t, values, v + d * chunk, x, at + offsets[d], m)
        for d in range(below):
            subtract_diagonal(t, values, v + d * chunk, x, at + offsets[d], m)
        subtract_products(t, diagonal, np.uint64(first), x, np.uint64(at), size)
        subtract_diagonal(t, values, v + below * chunk, x, at - 1, m)
