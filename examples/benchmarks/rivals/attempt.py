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


def tightened(attempt: Callable[[float], Attempt], rtol: float, tolerance: float) -> Attempt:
    """The first attempt whose true residual is at most `rtol`, or one that no longer improves.

    `tolerance` is the solver's own, for the first attempt.
    """
    last = float("inf")
    while True:
        found = attempt(tolerance)
        if not rtol < found.residual < 0.99 * last:
            return found
        last = found.residual
        tolerance *= max(0.8 * rtol / last, 0.01)
