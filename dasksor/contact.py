"""Where a solution touches its bounds, and what the bounds push back with."""

from __future__ import annotations

from typing import Any

import dask
import dask.array as da
import numpy as np

from dasksor.system import LinearSystem

AT_LOWER, FREE, AT_UPPER = -1, 0, 1


def contact(system: LinearSystem, x: Any) -> tuple[Any, Any]:
    """The active set and the multipliers of a system that is here, both of the shape of ``x``.

    Where no bound is finite, of any system: zeros.
    """
    if system.is_free:
        zeros: Any = da.zeros_like if isinstance(x, da.Array) else np.zeros_like
        return zeros(x, dtype=np.int8), zeros(x)
    matrix: Any = system.matrix
    here = system.entries_of(system.rhs, 0, system.n), system.bounds_of(0, system.n)
    b, bounds = dask.compute(*here, scheduler="threads")
    return touching(x, bounds, b - (matrix @ x.T).T, matrix.diagonal())


def touching(
    x: np.ndarray, bounds: np.ndarray, r: np.ndarray, diagonal: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """-1 at a lower bound, 1 at an upper one, else 0; and ``-r`` at both, else 0.

    ``r = b - A x``. At a bound is also who is as near to it as the tolerance allows, so that the
    bound cuts ``x_i + r_i / a_ii``. Shapes are (nrhs, size), that of ``bounds`` (2, size).
    """
    lower, upper = bounds
    low = (x == lower) | (r <= diagonal * (lower - x))
    high = (x == upper) | (r >= diagonal * (upper - x))
    active = np.where(low, AT_LOWER, np.where(high, AT_UPPER, FREE)).astype(np.int8)
    return active, np.where(active == FREE, 0.0, 0.0 - r)
