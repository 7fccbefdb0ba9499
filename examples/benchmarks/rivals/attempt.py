"""One timed solve. Runs also in the Python of PETSc, so it imports nothing but the library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Attempt:
    seconds: float
    residual: float
    tolerance: float
    note: str
    omega: float | None = None


def tightened(attempt: Callable[[float], Attempt], rtol: float) -> Attempt:
    """The attempt with the largest tolerance of the solver's own whose true residual is `rtol`."""
    tolerance = rtol
    while True:
        found = attempt(tolerance)
        if not found.residual > rtol:
            return found
        tolerance *= 0.8 * rtol / found.residual
        if tolerance < 1e-15:
            return found
