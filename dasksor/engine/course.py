"""Where a run goes after each measured residual: on, with which omega and until when, or home."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from dasksor.omega import Relaxation
from dasksor.status import Status

DIVERGENCE = 1e4
# Over-relaxed sweeps may first raise the residual, for as many sweeps as a grid has lines.
PATIENCE = 10_000


@dataclass(frozen=True)
class Limits:
    """When to stop: ``norm(b - A x) <= max(rtol * norm(b), atol)``, or sweeps, or seconds."""

    rtol: float
    atol: float
    maxiter: int
    timeout: float | None

    def after(self, sweeps: int, seconds: float) -> Limits:
        """What is left of them."""
        timeout = None if self.timeout is None else max(self.timeout - seconds, 1e-9)
        return replace(self, maxiter=max(0, self.maxiter - sweeps), timeout=timeout)


class Measurement(NamedTuple):
    """One verified residual: what `callback` receives and `Result.history` lists."""

    time: float
    sweeps: int
    residual_norm: float
    omega: float


@dataclass(frozen=True)
class Leg:
    """Sweep on with ``omega`` until sweep ``until``, then measure; ``settled``: omega will stay."""

    until: int
    omega: float
    settled: bool


@dataclass
class Course:
    """Judges measured residuals; pure, so that every driver and the simulator share it.

    `measured` takes the norms of each right-hand side and returns the next `Leg`, or None when
    the run is over; `status` then says why; `targets` are the norms that each right-hand side has
    to come down to. `improved` says whether the vector measured last is
    the one to return so far. A residual ``divergence`` times its start ends a run. Residuals seen
    in `passing` decide nothing else, so that the sweeps of a run do not depend on how often it was
    looked at.
    """

    limits: Limits
    relaxation: Relaxation
    callback: Callable[[Measurement], object] | None = None
    divergence: float = DIVERGENCE
    status: Status | None = None
    history: list[Measurement] = field(default_factory=list)
    best_sweeps: int = 0
    best: float = math.inf
    improved: bool = False
    improved_at: int = 0
    best_norms: np.ndarray = field(default_factory=lambda: np.zeros(0))
    targets: np.ndarray = field(default_factory=lambda: np.zeros(0))
    _lowest: float = math.inf
    _levels: list[tuple[int, float]] = field(default_factory=list)

    @property
    def sweeps(self) -> int:
        """Sweeps done when a residual was measured last."""
        return self.history[-1].sweeps

    def measured(
        self,
        sweeps: int,
        norms: np.ndarray,
        now: float,
        *,
        rhs_norms: np.ndarray,
        ratio: float = 1.0,
    ) -> Leg | None:
        """Take residual ``norms`` after ``sweeps``; ``ratio``: last change over the one before."""
        self.targets = np.maximum(self.limits.rtol * rhs_norms, self.limits.atol)
        level = self._note(sweeps, norms, now)
        if level < 0.99 * self._lowest:
            self.improved_at = sweeps
        self._lowest = min(level, self._lowest)
        self._levels.append((sweeps, level))
        self.status = self._judge(sweeps, norms, level, now)
        if self.status is not None:
            return None
        self.relaxation.observe(ratio, level / self._lowest if self._lowest else 1.0)
        return self._next_leg(sweeps, norms)

    def passing(self, sweeps: int, norms: np.ndarray, now: float) -> bool:
        """Note a residual measured on the way; False when the callback asks to stop."""
        self._note(sweeps, norms, now)
        if self.callback is not None and _asks_to_stop(self.callback, self.history[-1]):
            self.status = Status.STOPPED
        return self.status is None

    def copy(self) -> Course:
        """The course as it is now, for `restore`."""
        return replace(
            self,
            callback=None,
            relaxation=copy.copy(self.relaxation),
            history=list(self.history),
            _levels=list(self._levels),
        )

    def restore(self, other: Course) -> None:
        """Go back to where a copy was made; limits and callback stay."""
        state = vars(other.copy())
        del state["limits"], state["callback"]
        vars(self).update(state)

    def _note(self, sweeps: int, norms: np.ndarray, now: float) -> float:
        level = math.hypot(*norms)
        self.history.append(Measurement(now, sweeps, level, self.relaxation.omega))
        # Who sets no tolerance asks for a number of sweeps, and so for the last iterate.
        counting = not self.targets.any() and math.isfinite(level)
        self.improved = level < self.best or not self._levels or counting
        if self.improved:
            self.best, self.best_sweeps, self.best_norms = level, sweeps, norms
        return level

    def _judge(self, sweeps: int, norms: np.ndarray, level: float, now: float) -> Status | None:
        converged = math.isfinite(level) and bool((norms <= self.targets).all())
        start = max(self._levels[0][1], math.hypot(*self.targets))
        diverged = not math.isfinite(level) or level > self.divergence * start
        tired = sweeps >= self.limits.maxiter
        overtime = self.limits.timeout is not None and now >= self.limits.timeout
        stuck = self.targets.any() and sweeps > 2 * self.improved_at + PATIENCE
        stopped = self.callback is not None and _asks_to_stop(self.callback, self.history[-1])
        for holds, status in (
            (converged, Status.CONVERGED),
            (diverged, Status.DIVERGED),
            (stopped, Status.STOPPED),
            (tired, Status.MAXITER),
            (overtime, Status.TIMEOUT),
            (stuck, Status.STAGNATED),
        ):
            if holds:
                return status
        return None

    def _next_leg(self, sweeps: int, norms: np.ndarray) -> Leg:
        patience = self.relaxation.patience()
        ahead = min(self._predicted(sweeps, norms), patience, self.limits.maxiter - sweeps)
        return Leg(sweeps + max(1, ahead), self.relaxation.omega, self.relaxation.settled)

    def _predicted(self, sweeps: int, norms: np.ndarray) -> int:
        """Sweeps until the target, from the last rate; never far beyond what was seen."""
        longest = max(5, sweeps // 4)
        if len(self._levels) < 2 or not (self.targets > 0).all():
            return longest
        (k0, r0), (k1, r1) = self._levels[-2:]
        rate = math.log(r0 / r1) / (k1 - k0) if 0.0 < r1 < r0 and k1 > k0 else 0.0
        if rate <= 0.0:
            return longest
        # Of some right-hand sides nothing may be left.
        with np.errstate(divide="ignore"):
            left = float(np.max(np.log(norms) - np.log(self.targets))) / rate
        return int(min(longest, max(sweeps // 50, math.ceil(left))))


def _asks_to_stop(callback: Callable[[Measurement], object], progress: Measurement) -> bool:
    try:
        return bool(callback(progress))
    except (StopIteration, KeyboardInterrupt):
        return True
