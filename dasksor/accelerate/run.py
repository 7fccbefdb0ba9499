"""The driver of accelerated solves in this process: iterations, and verdicts on them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from dasksor.engine.course import Course
from dasksor.engine.outcome import Outcome, Timings
from dasksor.rows import norms
from dasksor.status import Status

# Iterations between two measured residuals, which cost one or two iterations each; a callback
# wants to see more of them.
MEASURE_EVERY, MEASURE_FOR_CALLBACK = 50, 10
# Beyond this many times the estimate a measured residual shows rounding errors. They grow where the
# coarse space has made the matrix singular, so no more digits than so are asked of one start.
DRIFTED, DIGITS = 2.0, 1e-9
# The measured residual may be a little larger than its estimate.
MARGIN = 0.95


class Iteration(Protocol):
    """One right-hand side on its way, as `dasksor.accelerate.gradients.Gradients` describes it."""

    iterations: int
    estimate: float
    indefinite: bool
    exhausted: bool
    may_rise: bool

    def measured(self) -> tuple[np.ndarray, float]: ...

    def restart(self, x: np.ndarray) -> None: ...

    def run(self, target: float, until: int, deadline: float) -> None: ...


def run(
    begin: Callable[[np.ndarray, np.ndarray], Iteration],
    b: np.ndarray,
    x0: np.ndarray,
    course: Course,
    *,
    threads: int = 1,
    cycle: int | None = None,
    patience: int | None = None,
    began: float | None = None,
) -> Outcome:
    """Solve for every right-hand side; ``b`` and ``x0`` have shape (nrhs, n).

    ``begin`` makes an iteration of a right-hand side and its start; where it goes in cycles of
    ``cycle`` iterations, a residual is measured after each.

    After ``patience`` iterations the run ends without a verdict: the course has no status, and what
    is returned can be gone on from. The clock of such a run ``began`` when the first one did.
    """
    timings, limits = Timings(), course.limits
    done = course.sweeps if course.history else 0
    began = time.perf_counter() if began is None else began
    deadline = began + (limits.timeout or math.inf)
    every = cycle or (MEASURE_EVERY if course.callback is None else MEASURE_FOR_CALLBACK)
    rhs_norms = norms(b)
    runs = [_Run(xj, begin(bj, xj)) for bj, xj in zip(b, x0, strict=True)]
    if all(one.iteration.may_rise for one in runs):
        course.divergence = math.inf
    targets = np.maximum(limits.rtol * rhs_norms, limits.atol)
    best = x0.copy()
    try:
        while True:
            with timings.measure("tests"):
                seen = np.array([one.measure() for one in runs])
            found = [one.x for one in runs]
            sweeps = done + max(one.iteration.iterations for one in runs)
            now = time.perf_counter() - began
            leg = course.measured(sweeps, seen, now, rhs_norms=rhs_norms)
            if course.improved:
                best = np.array(found)
            if leg is None:
                break
            left = [
                (one, float(target))
                for one, norm, target in zip(runs, seen, targets, strict=True)
                if norm > target or target == 0.0
            ]
            course.status = _failure([one for one, _ in left])
            if course.status is not None:
                break
            if patience is not None and sweeps >= patience:
                break
            with timings.measure("compute"):
                until = min(sweeps + every, limits.maxiter, patience or limits.maxiter) - done
                for one, target in left:
                    one.advance(target, until, deadline)
    except KeyboardInterrupt:
        if not course.history:
            raise
        course.status = Status.STOPPED
        # The callback may have been interrupted before the iterate that it saw was kept.
        if course.improved:
            best = np.array(found)
        seen = np.array([one.measure() for one in runs])
        sweeps = done + max(one.iteration.iterations for one in runs)
        course.passing(sweeps, seen, time.perf_counter() - began)
        if course.improved:
            best = np.array([one.x for one in runs])
    total = Timings(compute=timings.compute * threads, tests=timings.tests)
    return Outcome(best, total, [timings])


def _failure(left: list[_Run]) -> Status | None:
    """Why iterations cannot go on, if they cannot."""
    if any(one.is_indefinite for one in left):
        return Status.INDEFINITE
    return Status.STAGNATED if all(one.is_stuck for one in left) else None


class _Run:
    """A right-hand side, and how far the recurrences of its iteration can be trusted."""

    def __init__(self, x0: np.ndarray, iteration: Iteration) -> None:
        self.iteration = iteration
        self.x, self.norm = x0, math.inf
        self._aim = self._began_at = math.inf

    @property
    def is_at_an_end(self) -> bool:
        """Whether the recurrences have got where they can, or have left the iterate."""
        estimate = self.iteration.estimate
        drifted = self.norm > DRIFTED * estimate
        return drifted or estimate <= self._aim or self.iteration.exhausted

    @property
    def is_indefinite(self) -> bool:
        """Whether a direction of no curvature was found that is no rounding error."""
        return self.iteration.indefinite and not self.is_at_an_end

    @property
    def is_stuck(self) -> bool:
        """Whether all that was gained since the last start is next to nothing."""
        return self.is_at_an_end and self.norm > 0.5 * self._began_at

    def measure(self) -> float:
        self.x, self.norm = self.iteration.measured()
        return self.norm

    def advance(self, target: float, until: int, deadline: float) -> None:
        """Iterate towards ``target``, anew from ``x`` where the recurrences are at an end."""
        if self.is_at_an_end:
            self.iteration.restart(self.x)
            self._began_at = self.norm
            self._aim = max(MARGIN * target, DIGITS * self.norm)
        self.iteration.run(self._aim, until, deadline)
