"""What bounds ``lower <= x <= upper`` change: each new value is clipped, residuals are natural.

Sweeps take ``bounds``, a tuple of ``lower`` and ``upper`` by row, or None. Numba compiles them for
each of the two, so that those without bounds cost nothing.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def clipped(value, bounds, i):
    """The value of row ``i``, moved between its bounds; NaN stays NaN, and no zero changes sign."""
    if bounds is None:
        return value
    lower, upper = bounds
    raised = lower[i] if lower[i] > value else value
    return upper[i] if upper[i] < raised else raised


@numba.njit(nogil=True, cache=True)
def natural(r, x, own, diagonal, lower, upper):
    """Turn ``r = b - A x`` into ``a_ii (clip(x_i + r_i / a_ii, lower_i, upper_i) - x_i)``.

    For ``a_ii > 0`` that is r_i between ``a_ii (lower_i - x_i)`` and ``a_ii (upper_i - x_i)``: r_i
    itself where no bound cuts, and no division.
    """
    for i in range(r.size):
        least, most = diagonal[i] * (lower[i] - x[own + i]), diagonal[i] * (upper[i] - x[own + i])
        if r[i] < least:
            r[i] = least
        elif r[i] > most:
            r[i] = most


@numba.njit(nogil=True, cache=True)
def leaves_face(z, r, down, up):
    """Whether ``x + z`` has other unknowns pressed against their bounds than ``x``.

    The bounds are ``down <= 0`` and ``up >= 0`` away; a residual ``r`` presses by its sign.
    """
    for i in range(z.size):
        pressed = (down[i] == 0.0 and r[i] <= 0.0) or (up[i] == 0.0 and r[i] >= 0.0)
        if pressed:
            if z[i] != 0.0:
                return True
        elif z[i] <= down[i] or z[i] >= up[i]:
            return True
    return False


@numba.njit(nogil=True, cache=True)
def reach(p, down, up):
    """The longest step along ``p`` that stays between bounds ``down`` and ``up`` away."""
    longest = np.inf
    for i in range(p.size):
        if p[i] < 0.0:
            longest = min(longest, down[i] / p[i])
        elif p[i] > 0.0:
            longest = min(longest, up[i] / p[i])
    return longest
