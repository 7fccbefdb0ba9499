"""The two substitutions of SSOR-preconditioned conjugate gradients, over compressed sparse rows.

``K = I + L`` with ``L`` the part below the diagonal, within a block of rows ``first, ...,
last - 1``, of a matrix scaled to have its diagonal known; vectors are those of the whole system.
"""

from __future__ import annotations

import numba

# Sums need no fixed order here, unlike in sweeps: nothing promises equal bits.
FAST = {"contract", "reassoc", "nsz"}


@numba.njit(nogil=True, cache=True)
def count(indptr, indices, first, last):
    """How many entries of the block are below the diagonal, above it, and in other blocks."""
    lower = upper = outside = 0
    for i in range(first, last):
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if j < first or j >= last:
                outside += 1
            elif j < i:
                lower += 1
            elif j > i:
                upper += 1
    return lower, upper, outside


@numba.njit(nogil=True, cache=True)
def split(indptr, indices, data, left, right, first, last, lower, upper, outside):
    """Sort ``left_i a_ij right_j`` into ``lower`` and ``upper``, CSR, and ``outside``, triplets."""
    low = up = out = 0
    for i in range(first, last):
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            value = left[i] * data[k] * right[j]
            if j < first or j >= last:
                outside[0][out], outside[1][out], outside[2][out] = i, j, value
                out += 1
            elif j < i:
                lower[1][low], lower[2][low] = j, value
                low += 1
            elif j > i:
                upper[1][up], upper[2][up] = j, value
                up += 1
        lower[0][i - first + 1] = low
        upper[0][i - first + 1] = up


@numba.njit(nogil=True, cache=True)
def couplings(indptr, indices, data, left, right, first, last, rows, columns, values):
    """The entries of `split` in other blocks only."""
    at = 0
    for i in range(first, last):
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if j < first or j >= last:
                rows[at], columns[at] = i, j
                values[at] = left[i] * data[k] * right[j]
                at += 1


@numba.njit(nogil=True, cache=True)
def gather(entries, at, begin, source, sums):
    """Add ``M' source`` to ``sums`` for the entries before ``at`` in rows from ``begin`` on.

    ``M`` is a list of entries, rows ascending; returns where the next rows before end.
    """
    rows, columns, values = entries
    while at > 0 and rows[at - 1] >= begin:
        at -= 1
        sums[columns[at]] += values[at] * source[rows[at]]
    return at


@numba.njit(nogil=True, cache=True)
def scatter(entries, at, begin, end, sign, source, target):
    """Add ``sign M source`` to ``target``, which begins at row ``begin``, for rows before ``end``.

    Begins with entry ``at`` and returns the first one of the next rows.
    """
    rows, columns, values = entries
    while at < rows.size and rows[at] < end:
        target[rows[at] - begin] += sign * values[at] * source[columns[at]]
        at += 1
    return at


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def backward(ptr, idx, val, first, last, r, beta, p, t, image, sums):
    """``p <- r + beta p``, ``(I + U) t = p``, last row first, and ``sums <- sums + W't``."""
    for i in range(last - 1, first - 1, -1):
        rest = r[i] + beta * p[i]
        p[i] = rest
        for k in range(ptr[i - first + 1] - 1, ptr[i - first] - 1, -1):
            rest -= val[k] * t[idx[k]]
        t[i] = rest
    gather(image, image[0].size, first, t, sums)


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def forward(ptr, idx, val, first, last, p, tau, t, couplings, image, c, y):
    """``(I + L) y = p - tau t + R t - W c``; returns ``p'(t + y)``."""
    own = y[first:last]
    for i in range(first, last):
        y[i] = p[i] - tau * t[i]
    scatter(image, 0, first, last, -1.0, c, own)
    scatter(couplings, 0, first, last, 1.0, t, own)
    total = 0.0
    for i in range(first, last):
        rest = y[i]
        for k in range(ptr[i - first], ptr[i - first + 1]):
            rest -= val[k] * y[idx[k]]
        y[i] = rest
        total += p[i] * (t[i] + rest)
    return total


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def weighted_norm(ptr, idx, val, first, last, weight, v):
    """``sum_i (weight_i ((I + L) v)_i)^2``."""
    total = 0.0
    for i in range(first, last):
        entry = v[i]
        for k in range(ptr[i - first], ptr[i - first + 1]):
            entry += val[k] * v[idx[k]]
        entry *= weight[i]
        total += entry * entry
    return total
