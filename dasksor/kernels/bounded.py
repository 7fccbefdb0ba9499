"""What bounds ``lower <= x <= upper`` change: each new value is clipped, residuals are natural.

Sweeps take ``bounds``, a tuple of ``lower`` and ``upper`` by row, or None. Numba compiles them for
each of the two, so that those without bounds cost nothing.
"""

from __future__ import annotations

import numba


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
