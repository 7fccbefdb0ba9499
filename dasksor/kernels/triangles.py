"""The two substitutions of SSOR-preconditioned conjugate gradients, over compressed sparse rows.

``K = I + L`` with ``L`` the part below the diagonal, within a block of rows ``first, ...,
last - 1``, of a scaled matrix; vectors are those of the whole system. Matrices of few rows that
are not empty are lists of these: see `gather`.
"""

from __future__ import annotations

import numba

# Sums need no fixed order here, unlike in sweeps: nothing promises equal bits. Those over the few
# entries of a row are quicker as they stand, and the newest value is best used last.
FAST = {"contract", "reassoc", "nsz"}
FUSED = {"contract"}


@numba.njit(nogil=True, cache=True)
def count(indptr, indices, first, last):
    """Entries of the block below and above the diagonal, those in other blocks, and their rows."""
    lower = upper = outside = rows = 0
    for i in range(first, last):
        before = outside
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if j < first or j >= last:
                outside += 1
            elif j < i:
                lower += 1
            elif j > i:
                upper += 1
        rows += outside > before
    return lower, upper, outside, rows


@numba.njit(nogil=True, cache=True)
def split(indptr, indices, data, left, right, first, last, lower, upper):
    """Sort ``left_i a_ij right_j`` into ``lower`` and ``upper``, strict triangles as CSR."""
    low = up = 0
    for i in range(first, last):
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if first <= j < i:
                lower[1][low], lower[2][low] = j, left[i] * data[k] * right[j]
                low += 1
            elif i < j < last:
                upper[1][up], upper[2][up] = j, left[i] * data[k] * right[j]
                up += 1
        lower[0][i - first + 1] = low
        upper[0][i - first + 1] = up


@numba.njit(nogil=True, cache=True)
def couplings(indptr, indices, data, left, right, first, last, outside):
    """The entries of `split` in other blocks, as for `gather`."""
    rows, ptr, columns, values = outside
    at = row = 0
    for i in range(first, last):
        before = at
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if j < first or j >= last:
                columns[at], values[at] = j, left[i] * data[k] * right[j]
                at += 1
        if at > before:
            rows[row], ptr[row + 1] = i, at
            row += 1


@numba.njit(nogil=True, cache=True, fastmath=FUSED)
def gather(sparse, row, begin, source, sums):
    """Add ``M' source`` to ``sums`` for the listed rows before number ``row``, from ``begin`` on.

    ``M`` lists its rows that are not empty, ascending, then pointers, columns and values. Returns
    how many listed rows come before ``begin``.
    """
    rows, ptr, columns, values = sparse
    while row > 0 and rows[row - 1] >= begin:
        row -= 1
        factor = source[rows[row]]
        for k in range(ptr[row], ptr[row + 1]):
            sums[columns[k]] += values[k] * factor
    return row


@numba.njit(nogil=True, cache=True, fastmath=FUSED)
def scatter(sparse, row, begin, end, sign, source, target):
    """Add ``sign M source`` to ``target``, which begins at row ``begin``, for rows before ``end``.

    Begins with the listed row of number ``row``, and returns the number of the next one.
    """
    rows, ptr, columns, values = sparse
    while row < rows.size and rows[row] < end:
        total = 0.0
        for k in range(ptr[row], ptr[row + 1]):
            total += values[k] * source[columns[k]]
        target[rows[row] - begin] += sign * total
        row += 1
    return row


@numba.njit(nogil=True, cache=True, fastmath=FUSED)
def backward(ptr, idx, val, first, last, r, beta, p, t, image, sums):
    """``p <- r + beta p``, ``(I + U) t = p``, last row first, and ``sums <- sums + W't``."""
    for i in range(last - 1, first - 1, -1):
        rest = r[i] + beta * p[i]
        p[i] = rest
        for k in range(ptr[i - first + 1] - 1, ptr[i - first] - 1, -1):
            rest -= val[k] * t[idx[k]]
        t[i] = rest
    gather(image, image[0].size, first, t, sums)


@numba.njit(nogil=True, cache=True, fastmath=FUSED)
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


@numba.njit(nogil=True, cache=True, fastmath=FUSED)
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
