"""SOR sweeps over compressed sparse rows.

One forward sweep with relaxation factor omega, new values used as soon as they are there:

    x_i <- x_i + omega / a_ii * (b_i - sum_j a_ij x_j),    i = 0, ..., m - 1

Row i of the block owns ``x[own + i]``; ``indices`` point into the same ``x``, which holds the
block's own unknowns and its halo. Every row is summed in its stored order, whatever block it is
in: that makes results independent of the partition, bit for bit.
"""

from __future__ import annotations

import numba


@numba.njit(nogil=True, cache=True)
def relax_row(i, indptr, indices, data, scale, b, x, own):
    rest = b[i]
    for k in range(indptr[i], indptr[i + 1]):
        rest -= data[k] * x[indices[k]]
    change = scale[i] * rest
    x[own + i] += change
    return change * change


@numba.njit(nogil=True, cache=True)
def forward(indptr, indices, data, scale, b, x, own):
    """Sweep rows 0, ..., m - 1 with ``scale = omega / diagonal``; return sum(change^2)."""
    change = 0.0
    for i in range(scale.size):
        change += relax_row(i, indptr, indices, data, scale, b, x, own)
    return change


@numba.njit(nogil=True, cache=True)
def backward(indptr, indices, data, scale, b, x, own):
    """Sweep rows m - 1, ..., 0, else as `forward`."""
    change = 0.0
    for i in range(scale.size - 1, -1, -1):
        change += relax_row(i, indptr, indices, data, scale, b, x, own)
    return change


@numba.njit(nogil=True, cache=True)
def residual(indptr, indices, data, b, x, r):
    """Write ``r_i = b_i - sum_j a_ij x_j``."""
    for i in range(r.size):
        rest = b[i]
        for k in range(indptr[i], indptr[i + 1]):
            rest -= data[k] * x[indices[k]]
        r[i] = rest
