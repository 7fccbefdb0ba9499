"""Vector passes of stabilised biconjugate gradients, on one thread."""

from __future__ import annotations

import numba

from dasksor.kernels.triangles import FAST


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def products(s, r):
    """``s's`` and ``s'r``."""
    square = product = 0.0
    for i in range(s.size):
        square += s[i] * s[i]
        product += s[i] * r[i]
    return square, product


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def subtract(alpha, v, r):
    """``r <- r - alpha v``."""
    for i in range(r.size):
        r[i] -= alpha * v[i]


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def advance(alpha, p, step, s, y, r, shadow):
    """``y <- y + alpha p + step r``, ``r <- r - step s``; returns the new ``r'r``, ``shadow'r``."""
    square = product = 0.0
    for i in range(r.size):
        y[i] += alpha * p[i] + step * r[i]
        entry = r[i] - step * s[i]
        r[i] = entry
        square += entry * entry
        product += shadow[i] * entry
    return square, product


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def turn(beta, step, r, v, p):
    """``p <- r + beta (p - step v)``."""
    for i in range(p.size):
        p[i] = r[i] + beta * (p[i] - step * v[i])
