"""Row actions: SOR on the multipliers of the rows of A, by rows of A; A A' is never formed.

To minimise, over lower <= u <= upper,

    F(u) = max_{l <= x <= h} (u'A x - |x - x0|^2 / (2 alpha)) - t'u + delta/2 |u|^2,

keep z = x0 + alpha A'u, which makes x = clip(z, l, h) and grad F = A x - t + delta u. One action is

    u_i <- clip(u_i - omega (A_i x - t_i + delta u_i) / (alpha |A_i|^2 + delta), lower_i, upper_i),
    z <- z + alpha (change of u_i) A_i'.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def squares(indptr, data, norms):
    """Write |A_i|^2 of each row."""
    for i in range(norms.size):
        total = 0.0
        for k in range(indptr[i], indptr[i + 1]):
            total += data[k] * data[k]
        norms[i] = total


@numba.njit(nogil=True, cache=True)
def sweep(indptr, indices, data, norms, alpha, delta, omega, target, bounds, z, box, u):
    """One action of each row in turn; ``bounds`` are lower, upper of u, ``box`` l, h of x."""
    for i in range(u.size):
        curvature = alpha * norms[i] + delta
        if curvature == 0.0:
            continue
        gradient = delta * u[i] - target[i]
        for k in range(indptr[i], indptr[i + 1]):
            j = np.uint64(indices[k])
            gradient += data[k] * min(max(z[j], box[0, j]), box[1, j])
        new = min(max(u[i] - omega * gradient / curvature, bounds[0, i]), bounds[1, i])
        step = alpha * (new - u[i])
        u[i] = new
        if step != 0.0:
            for k in range(indptr[i], indptr[i + 1]):
                z[np.uint64(indices[k])] += step * data[k]


@numba.njit(nogil=True, cache=True)
def product(indptr, indices, data, x, result):
    """Write ``A x``."""
    for i in range(result.size):
        total = 0.0
        for k in range(indptr[i], indptr[i + 1]):
            total += data[k] * x[np.uint64(indices[k])]
        result[i] = total


@numba.njit(nogil=True, cache=True)
def add_transposed(indptr, indices, data, u, scale, z):
    """``z <- z + scale A'u``."""
    for i in range(u.size):
        step = scale * u[i]
        if step != 0.0:
            for k in range(indptr[i], indptr[i + 1]):
                z[np.uint64(indices[k])] += step * data[k]


@numba.njit(nogil=True, cache=True)
def slope(z, y, reach, box):
    """``y'clip(z + reach y, l, h)`` and its derivative by ``reach``: what F' on a line takes."""
    total, free = 0.0, 0.0
    for j in range(z.size):
        here = z[j] + reach * y[j]
        if here <= box[0, j]:
            total += y[j] * box[0, j] if y[j] != 0.0 else 0.0
        elif here >= box[1, j]:
            total += y[j] * box[1, j] if y[j] != 0.0 else 0.0
        else:
            total += y[j] * here
            free += y[j] * y[j]
    return total, free
