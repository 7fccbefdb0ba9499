"""SOR sweeps that read half of a dense symmetric matrix, with the bits of `dasksor.kernels.dense`.

The rows of a panel, from their tile to the end at which the sweep arrives last, serve twice: their
products with old values go to these rows, and when the rows are done, those of the transposed
panel with new values to the rows to come. The second time they come from the cache. Sums have the
blocks, the lanes and the order that whole rows have.
"""

from __future__ import annotations

import numba
import numpy as np

from dasksor.kernels.dense import (
    AHEAD,
    BLOCK,
    add_block,
    add_left,
    add_right,
    read_tile,
    relax_tile,
    rest_outside,
    row,
    tiles,
)
from dasksor.kernels.lanes import LANES, add, add_product, load, prefetch, spread, store, zeros


@numba.njit(nogil=True, cache=True)
def equals_transpose(values):
    """Whether ``a_ij = a_ji`` exactly."""
    n, side = len(values), 8 * LANES
    for top in range(0, n, side):
        for first in range(0, top + 1, side):
            for i in range(top, min(top + side, n)):
                for j in range(first, min(first + side, i)):
                    if values[i, j] != values[j, i]:
                        return False
    return True


@numba.njit(nogil=True, cache=True)
def add_transposed(values, panel, x, start, stop, coming, kept):
    """``kept_i += sum_j a_ji x_j`` over the panel's rows ``j``, for some ``i``.

    Meanwhile the four rows from ``coming`` begin to come from memory.
    """
    end = min(panel + BLOCK, x.size // LANES * LANES)
    # Measured: without these an eighth slower, with all sixteen rows no faster.
    r0, r1 = row(values, coming), row(values, coming + 1)
    r2, r3 = row(values, coming + 2), row(values, coming + 3)
    for i in range(start, stop, LANES):
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = zeros()
        for j in range(panel, end, LANES):
            s0 = add_product(s0, load(values[j], i), spread(x[j]))
            s1 = add_product(s1, load(values[j + 1], i), spread(x[j + 1]))
            s2 = add_product(s2, load(values[j + 2], i), spread(x[j + 2]))
            s3 = add_product(s3, load(values[j + 3], i), spread(x[j + 3]))
            s4 = add_product(s4, load(values[j + 4], i), spread(x[j + 4]))
            s5 = add_product(s5, load(values[j + 5], i), spread(x[j + 5]))
            s6 = add_product(s6, load(values[j + 6], i), spread(x[j + 6]))
            s7 = add_product(s7, load(values[j + 7], i), spread(x[j + 7]))
        even, odd = add(add(s0, s4), add(s2, s6)), add(add(s1, s5), add(s3, s7))
        store(kept, i, add(load(kept, i), add(even, odd)))
        for r in (r0, r1, r2, r3):
            prefetch(r, i)


@numba.njit(nogil=True, cache=True)
def take_left(values, x, tile, kept, left):
    """What `add_left` gives, of what earlier panels have left and of the tile's own panel."""
    if tile + LANES > x.size:
        add_left(values, tile, x, tile, left)
    else:
        left[:] = kept[tile : tile + LANES]
        add_block(values, tile, x, tile // BLOCK * BLOCK, tile, AHEAD, left)


@numba.njit(nogil=True, cache=True)
def take_right(values, x, tile, kept, right):
    """As `take_left`, for `add_right`."""
    full = x.size // LANES * LANES
    if tile < full:
        right[:] = kept[tile : tile + LANES]
        stop = min(tile // BLOCK * BLOCK + BLOCK, full)
        add_block(values, tile, x, tile + LANES, stop, -AHEAD, right)


@numba.njit(nogil=True, cache=True)
def keep_left(values, x, tile, kept):
    """After a tile of a forward sweep: what its panel gives to the rows below."""
    if (tile + LANES) % BLOCK == 0:
        full = x.size // LANES * LANES
        add_transposed(values, tile + LANES - BLOCK, x, tile + LANES, full, tile + LANES, kept)


@numba.njit(nogil=True, cache=True)
def keep_right(values, x, tile, kept):
    """After a tile of a backward sweep: what its panel gives to the rows above."""
    if tile + LANES > x.size:
        for j in range(tile, x.size):
            for i in range(tile):
                kept[i] += values[j, i] * x[j]
    if tile % BLOCK == 0:
        add_transposed(values, tile, x, 0, tile, tile - 4, kept)


@numba.njit(nogil=True, cache=True)
def sweep(values, scale, b, x, direction, squares, bounds=None):
    """As `dasksor.kernels.dense.sweep`, for a whole matrix that equals its transpose."""
    left, right, rest = np.zeros(LANES), np.zeros(LANES), np.zeros(LANES)
    old, new = np.zeros(LANES * LANES), np.zeros(LANES * LANES)
    kept = np.zeros(x.shape)
    for tile in tiles(0, scale.size, direction):
        read_tile(values, tile, tile, direction, old, new)
        for s in range(len(x)):
            left[:] = right[:] = 0.0
            if direction > 0:
                add_right(values, tile, x[s], tile, right)
                take_left(values, x[s], tile, kept[s], left)
            else:
                add_left(values, tile, x[s], tile, left)
                take_right(values, x[s], tile, kept[s], right)
            rest_outside(b[s], left, right, tile, rest)
            squares[s] += relax_tile(old, new, rest, scale, x[s], tile, 0, direction, bounds)
            if direction > 0:
                keep_left(values, x[s], tile, kept[s])
            else:
                keep_right(values, x[s], tile, kept[s])
