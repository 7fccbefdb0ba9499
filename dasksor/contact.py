"""Where a solution touches its bounds, and what the bounds push back with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import numpy as np

from dasksor.system import LinearSystem

AT_LOWER, FREE, AT_UPPER = -1, 0, 1
# Row blocks of a matrix that is built where it is computed.
BLOCKS = 16


def active_set(x: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """-1 where an unknown is at its lower bound, 1 where it is at its upper one, else 0."""
    lower, upper = bounds
    return np.where(x == lower, AT_LOWER, np.where(x == upper, AT_UPPER, FREE)).astype(np.int8)


def contact(system: LinearSystem, x: Any, compute: Callable[..., Any] = dask.compute) -> Any:
    """The active set, and the multipliers ``A x - b`` on it, each of the shape of ``x``.

    Parameters
    ----------
    system : LinearSystem
        With bounds.
    x : ndarray or dask.array.Array, shape (nrhs, n)
        Where it is a Dask array, so are the results, and nothing is computed.
    compute : callable
        What computes Dask collections; for a matrix that is not here.
    """
    if isinstance(x, da.Array):
        sizes = x.chunks[1]
    elif system.is_local:
        b = system.entries_of(system.rhs, 0, system.n)
        b, bounds = dask.compute(b, system.bounds_of(0, system.n), scheduler="threads")
        return _contact(system.matrix, b, bounds, x, 0)
    else:
        sizes = system.partition(min(BLOCKS, system.n)).sizes
    ends = np.cumsum(sizes).tolist()
    ranges = list(zip([0, *ends[:-1]], ends, strict=True))
    whole = dask.delayed(x.rechunk(-1).to_delayed().item() if isinstance(x, da.Array) else x)
    parts = [
        dask.delayed(_contact, nout=2)(
            system.rows(start, stop),
            system.entries_of(system.rhs, start, stop),
            system.bounds_of(start, stop),
            whole,
            start,
        )
        for start, stop in ranges
    ]
    if not isinstance(x, da.Array):
        found = compute(*parts)
        return tuple(np.concatenate(arrays, axis=1) for arrays in zip(*found, strict=True))
    return tuple(
        da.concatenate(
            [
                da.from_delayed(part[k], (system.nrhs, stop - start), dtype)
                for part, (start, stop) in zip(parts, ranges, strict=True)
            ],
            axis=1,
        )
        for k, dtype in enumerate((np.int8, np.float64))
    )


def _contact(
    rows: Any, b: np.ndarray, bounds: np.ndarray, x: np.ndarray, start: int
) -> tuple[np.ndarray, np.ndarray]:
    active = active_set(x[:, start : start + rows.shape[0]], bounds)
    return active, np.where(active == FREE, 0.0, (rows @ x.T).T - b)
