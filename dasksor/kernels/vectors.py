"""Vector passes of conjugate gradients."""

from __future__ import annotations

import numba

from dasksor.kernels.triangles import FAST, FUSED


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def advance(alpha, t, y, x, r):
    """``x <- x + alpha t``, ``r <- r - alpha (t + y)``; returns the new ``r'r``."""
    total = 0.0
    for i in range(r.size):
        x[i] += alpha * t[i]
        entry = r[i] - alpha * (t[i] + y[i])
        r[i] = entry
        total += entry * entry
    return total


@numba.njit(nogil=True, cache=True, fastmath=FUSED)
def residual(indptr, indices, data, first, last, b, x, r):
    """``r_i = b_i - sum_j a_ij x_j`` of rows ``first, ..., last - 1``; returns ``sum r_i^2``."""
    total = 0.0
    for i in range(first, last):
        rest = b[i]
        for k in range(indptr[i], indptr[i + 1]):
            rest -= data[k] * x[indices[k]]
        r[i] = rest
        total += rest * rest
    return total
