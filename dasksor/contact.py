"""Where a solution touches its bounds, and what the bounds push back with."""

from __future__ import annotations

import dask
import numpy as np

from dasksor.system import LinearSystem

AT_LOWER, FREE, AT_UPPER = -1, 0, 1


def contact(system: LinearSystem, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The active set and the multipliers of a system that is here, both of the shape of ``x``."""
    here = system.entries_of(system.rhs, 0, system.n), system.bounds_of(0, system.n)
    b, bounds = dask.compute(*here, scheduler="threads")
    return touching(x, bounds, b - (system.matrix @ x.T).T)


def touching(x: np.ndarray, bounds: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """-1 at a lower bound, 1 at an upper one, else 0; and ``-r`` at both, else 0.

    ``r = b - A x``; shapes are (nrhs, size), that of ``bounds`` (2, size).
    """
    lower, upper = bounds
    active = np.where(x == lower, AT_LOWER, np.where(x == upper, AT_UPPER, FREE)).astype(np.int8)
    return active, np.where(active == FREE, 0.0, 0.0 - r)
