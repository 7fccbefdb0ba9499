"""Bounds on the unknowns, ``lower <= x <= upper``, checked."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
from dask import delayed

Bound = np.ndarray | da.Array


def as_bounds(bounds: Any, n: int) -> tuple[Bound, Bound]:
    """What the user gave as ``(lower, upper)``, each of shape (n,) and float64.

    Entries of Dask arrays are checked where they are computed, by `checked_bounds`.

    Raises
    ------
    TypeError, ValueError
        Not a pair of numbers or arrays, shapes do not match, an entry is NaN, or no ``x`` lies
        between two bounds.
    """
    try:
        lower, upper = bounds
    except (TypeError, ValueError):
        raise ValueError(
            f"bounds must be a pair (lower, upper), got {type(bounds).__name__}: "
            "use -inf or inf where there is no bound"
        ) from None
    lower, upper = _as_bound(lower, n, "lower"), _as_bound(upper, n, "upper")
    if isinstance(lower, np.ndarray) and isinstance(upper, np.ndarray):
        check_bounds(lower, upper)
    return lower, upper


def _as_bound(bound: Any, n: int, name: str) -> Bound:
    if not isinstance(bound, da.Array):
        bound = np.asarray(bound)
    if bound.dtype.kind not in "fiub":
        raise TypeError(
            f"the {name} bound has dtype {bound.dtype}: use real numbers, -inf or inf for none"
        )
    if bound.shape not in ((), (n,)):
        raise ValueError(
            f"the {name} bound has shape {bound.shape} but A has shape ({n}, {n}): "
            f"give a number, or an array of shape ({n},)"
        )
    bound = bound.astype(np.float64)
    if isinstance(bound, da.Array):
        return da.broadcast_to(bound, (n,))
    return np.broadcast_to(bound, (n,))


def check_bounds(lower: np.ndarray, upper: np.ndarray, first: int = 0) -> None:
    """Refuse bounds of the unknowns ``first, ...`` that no ``x`` fulfils."""
    for bound, name, never in ((lower, "lower", np.inf), (upper, "upper", -np.inf)):
        bad = np.isnan(bound) | (bound == never)
        if bad.any():
            i = int(np.argmax(bad))
            raise ValueError(
                f"the {name} bound is {bound[i]} at row {first + i}: "
                f"use a number, or {-never} for none"
            )
    if (lower > upper).any():
        i = int(np.argmax(lower > upper))
        raise ValueError(
            f"the lower bound {lower[i]:g} is above the upper bound {upper[i]:g} "
            f"at row {first + i}: no x lies between them"
        )


def checked_bounds(lower: np.ndarray, upper: np.ndarray, first: int) -> np.ndarray:
    """Bounds of the unknowns ``first, ...`` as one array, shape (2, size), after `check_bounds`."""
    check_bounds(lower, upper, first)
    return np.stack([lower, upper])


def are_infinite(lower: Bound, upper: Bound) -> bool:
    """Whether no bound is seen to be finite; those of Dask arrays are not looked at."""
    return not any(isinstance(v, da.Array) or np.isfinite(v).any() for v in (lower, upper))


def part_of(lower: Bound, upper: Bound, start: int, stop: int) -> Any:
    """Bounds of the unknowns ``start, ..., stop - 1``: (2, size), an array or a ``Delayed``."""
    parts = [bound[start:stop] for bound in (lower, upper)]
    if not any(isinstance(part, da.Array) for part in parts):
        return np.stack(parts)
    parts = [p.rechunk(-1).to_delayed().item() if isinstance(p, da.Array) else p for p in parts]
    return delayed(checked_bounds)(*parts, start)


def projected(x: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """The nearest vectors between ``bounds``; their shapes are (nrhs, size) and (2, size)."""
    return np.clip(x, *bounds)
