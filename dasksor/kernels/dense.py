"""SOR sweeps over dense rows, with the formula of `dasksor.kernels.csr`.

A row is summed in three pieces: right of its tile, left of its tile, the tile. The tile holds the
values that the rows just before have changed, so the two long pieces do not wait for them. Tiles
lie on a fixed grid of columns, so a row is summed alike in every partition, bit for bit.
"""

from __future__ import annotations

import numba

TILE = 64


# Reassociation lets the compiler keep several partial sums in vector registers; the pattern
# depends on the length alone, which the fixed tiles make the same for every partition.
@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def dot(row, x):
    total = 0.0
    for j in range(row.size):
        total += row[j] * x[j]
    return total


@numba.njit(nogil=True, cache=True)
def row_rest(row, b_i, x, column):
    """``b_i - row . x`` for the row whose diagonal entry stands in ``column``."""
    tile = column - column % TILE
    after = min(tile + TILE, row.size)
    rest = b_i - dot(row[after:], x[after:])
    rest -= dot(row[:tile], x[:tile])
    return rest - dot(row[tile:after], x[tile:after])


@numba.njit(nogil=True, cache=True)
def forward(values, scale, b, x, own):
    """Sweep the rows whose diagonal entries stand in columns ``own, own + 1, ...``."""
    total = 0.0
    for i in range(scale.size):
        change = scale[i] * row_rest(values[i], b[i], x, own + i)
        x[own + i] += change
        total += change * change
    return total


@numba.njit(nogil=True, cache=True)
def backward(values, scale, b, x, own):
    """As `forward`, last row first."""
    total = 0.0
    for i in range(scale.size - 1, -1, -1):
        change = scale[i] * row_rest(values[i], b[i], x, own + i)
        x[own + i] += change
        total += change * change
    return total


@numba.njit(nogil=True, cache=True)
def residual(values, b, x, own, r):
    """Write ``r_i = b_i - sum_j a_ij x_j``."""
    for i in range(r.size):
        r[i] = row_rest(values[i], b[i], x, own + i)
