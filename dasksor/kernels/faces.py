"""What faces of a box need: parts of triangles, unknowns held at their bounds, projected steps."""

from __future__ import annotations

import numba

from dasksor.kernels.bounded import clipped


@numba.njit(nogil=True, cache=True)
def hold(x, r, lower, upper, held):
    """Mark unknowns that ``r = b - A x`` presses against a bound: -1 at lower, 1 at upper, else 0.

    Returns how many have changed.
    """
    changed = 0
    for i in range(x.size):
        side = 0
        if x[i] <= lower[i] and r[i] <= 0.0:
            side = -1
        elif x[i] >= upper[i] and r[i] >= 0.0:
            side = 1
        changed += side != held[i]
        held[i] = side
    return changed


@numba.njit(nogil=True, cache=True)
def press(x, d, lower, upper, held):
    """Mark unknowns at a bound that the direction ``d`` would leave it by; returns how many."""
    pressed = 0
    for i in range(x.size):
        if held[i] == 0 and x[i] <= lower[i] and d[i] < 0.0:
            held[i] = -1
            pressed += 1
        elif held[i] == 0 and x[i] >= upper[i] and d[i] > 0.0:
            held[i] = 1
            pressed += 1
    return pressed


@numba.njit(nogil=True, cache=True)
def touches(x, lower, upper):
    """Whether any unknown is at a bound."""
    found = False
    for i in range(x.size):
        found = x[i] <= lower[i] or x[i] >= upper[i]
        if found:
            break
    return found


@numba.njit(nogil=True, cache=True)
def step(x, alpha, d, lower, upper, new, s):
    """``new = clip(x + alpha d, lower, upper)``, ``s = new - x``; returns how many were clipped."""
    cut = 0
    for i in range(x.size):
        value = x[i] + alpha * d[i]
        new[i] = clipped(value, (lower, upper), i)
        cut += new[i] != value
        s[i] = new[i] - x[i]
    return cut


@numba.njit(nogil=True, cache=True)
def products(s, before, after):
    """``s'before`` and ``s'after``."""
    first = second = 0.0
    for i in range(s.size):
        first += s[i] * before[i]
        second += s[i] * after[i]
    return first, second


@numba.njit(nogil=True, cache=True)
def compressed(ptr, idx, val, first, free, kept):
    """Write ``val`` into ``kept``, and zero where row or column is not free; row 0 is ``first``."""
    for i in range(ptr.size - 1):
        for k in range(ptr[i], ptr[i + 1]):
            kept[k] = val[k] if free[first + i] and free[idx[k]] else 0.0


@numba.njit(nogil=True, cache=True)
def banded(bands, offsets, first, last, free, kept):
    """The same of the diagonals of `dasksor.kernels.bands`."""
    for d in range(offsets.size):
        back = offsets[d]
        kept[d, : min(back, last - first)] = 0.0
        kept[d, last - first :] = 0.0
        if back < last - first:
            band, own = bands[d, back : last - first], kept[d, back : last - first]
            row, column = free[first + back : last], free[first : last - back]
            for i in range(own.size):
                own[i] = band[i] * (row[i] & column[i])


@numba.njit(nogil=True, cache=True)
def listed(rows, ptr, val, free, kept):
    """The same of rows that are listed, as in `dasksor.kernels.triangles`; columns stay."""
    for row in range(rows.size):
        for k in range(ptr[row], ptr[row + 1]):
            kept[k] = val[k] if free[rows[row]] else 0.0
