"""How a solve can end."""

from __future__ import annotations

from enum import Enum


class Status(Enum):
    """The value is the sentence for the user."""

    CONVERGED = "the residual meets the tolerance"
    MAXITER = "the maximum number of sweeps was done before the residual met the tolerance"
    TIMEOUT = "the time limit was reached before the residual met the tolerance"
    STAGNATED = "the residual stopped falling before it met the tolerance"
    DIVERGED = "the residual grew beyond 10,000 times its start, or is not finite"
    INDEFINITE = "a direction with x'Ax < 0 was found: A is not positive definite, as this needs it"
    INFEASIBLE = "no point meets the conditions: the problem has no solution"
    UNBOUNDED = "the objective has no lower bound: the problem has no solution"
    STOPPED = "the callback or the user stopped the solve"

    @property
    def info(self) -> int:
        """The sign that scipy's ``info`` has: 0 converged, 1 out of sweeps or time, -1 failed."""
        if self is Status.CONVERGED:
            return 0
        failed = (Status.DIVERGED, Status.INDEFINITE, Status.INFEASIBLE, Status.UNBOUNDED)
        return -1 if self in failed else 1
