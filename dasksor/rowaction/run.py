"""Proximal steps until their vectors, unscaled, are a solution or prove that there is none."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np

from dasksor.rowaction.blocks import Blocks
from dasksor.rowaction.newton import Newton
from dasksor.rowaction.program import Measure, Program
from dasksor.rowaction.proximal import Proximal, Standard
from dasksor.rowaction.rows import ActionRows
from dasksor.rowaction.scaled import Scaled

# The numbers are scipy's.
OPTIMAL, LIMIT, INFEASIBLE, UNBOUNDED, UNDECIDED = range(5)
DECIDED = (OPTIMAL, INFEASIBLE, UNBOUNDED, UNDECIDED)  # an undecided run goes on by other means

COSTLY = 1e-7  # beside 1 + max |c|: a reduced cost that keeps its unknown at a bound


class Settings(NamedTuple):
    """See `dasksor.linprog`; ``until`` is a time of `time.perf_counter`."""

    tol: float
    maxiter: int
    until: float
    accelerate: str | None
    omega: float
    blocks: int
    client: Any


class Found(NamedTuple):
    status: int
    x: np.ndarray
    y: np.ndarray
    measure: Measure
    steps: int
    certificate: np.ndarray | None = None


class Run:
    """A program with its scaled form, whose rows it keeps in blocks while it is entered."""

    def __init__(self, program: Program, scaled: Scaled, settings: Settings) -> None:
        self.program, self.scaled, self.settings = program, scaled, settings
        self._newton = Newton(scaled.standard.A) if settings.accelerate else None
        rows = ActionRows.of(scaled.standard.A)
        self._blocks = Blocks.of(rows, settings.blocks, settings.client)
        self._proximals: list[Proximal] = []

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self._blocks.close()

    @property
    def effort(self) -> tuple[int, int, int]:
        """Sweeps, Newton's steps, factorisations."""
        newton = self._newton
        sweeps = sum(proximal.sweeps for proximal in self._proximals)
        return sweeps, newton.steps if newton else 0, newton.factors if newton else 0

    def optimum(self) -> Found:
        found = self._steps(self.scaled.standard)
        if found.status != UNDECIDED:
            return found
        # The ray is worth something only together with a feasible point: look for one.
        standard = self.scaled.standard
        other = self._steps(standard._replace(c=np.zeros_like(standard.c)), at_all=True)
        if other.status == INFEASIBLE:
            return other
        if other.measure.infeasibility > self.settings.tol:
            return found
        measure = self.program.measure(other.x, found.y)
        return found._replace(status=UNBOUNDED, x=other.x, measure=measure)

    def _steps(self, standard: Standard, *, at_all: bool = False) -> Found:
        """With ``at_all`` until `x` is feasible, whatever it costs."""
        proximal = self._proximal(standard)
        tolerance = 1e-3
        for count in range(1, self.settings.maxiter + 1):
            proximal.step(tolerance, self.settings.until)
            found = self._judged(proximal, count)
            feasible = found.measure.infeasibility <= self.settings.tol
            decided = found.status in ((OPTIMAL, INFEASIBLE) if at_all else DECIDED)
            if decided or (at_all and feasible) or self._late:
                break
            tolerance = min(tolerance, max(0.05 * found.measure.worst, 1e-3 * self.settings.tol))
        return found

    def _judged(self, proximal: Proximal, count: int) -> Found:
        program, scaled = self.program, self.scaled
        x = scaled.point(program, proximal.x)
        y = scaled.multipliers(program, proximal.u)
        found = Found(LIMIT, x, y, program.measure(x, y), count)
        if found.measure.worst <= self.settings.tol:
            return found._replace(status=OPTIMAL)
        certificate = scaled.multipliers(program, proximal.change_u)
        if program.proves_infeasible(certificate):
            return found._replace(status=INFEASIBLE, certificate=certificate)
        ray = scaled.change(program, proximal.change_x)
        if program.proves_unbounded(ray):
            feasible = found.measure.infeasibility <= self.settings.tol
            return found._replace(
                status=UNBOUNDED if feasible else UNDECIDED, certificate=program.recession(ray)
            )
        return found

    def shortest(self, optimum: Found) -> Found:
        """The optimal `x` of least norm: that point of the optimal face which is nearest to 0.

        The face holds the feasible `x` that are complementary to one optimal `y`, whichever: what
        has a reduced cost stays at its bound.
        """
        program, standard = self.program, self.scaled.standard
        lower, upper, _ = program.reduced(optimum.y)
        costs = np.concatenate([lower + upper, -optimum.y[: program.inequalities]])
        costs[np.abs(costs) <= COSTLY * (1.0 + np.max(np.abs(program.c)))] = 0.0
        box = np.where([costs < 0.0, costs > 0.0], standard.box[::-1], standard.box)
        face = standard._replace(c=np.zeros_like(standard.c), box=box)
        proximal = self._proximal(face, anchored=np.arange(costs.size) < program.c.size)
        for count in range(1, self.settings.maxiter + 1):
            proximal.step(1e-2 * self.settings.tol, self.settings.until)
            x = self.scaled.point(program, proximal.x)
            measure = program.measure(x, optimum.y)
            found = Found(LIMIT, x, optimum.y, measure, optimum.steps + count)
            change = max(np.linalg.norm(proximal.change_x), np.linalg.norm(proximal.change_u))
            if change <= self.settings.tol and measure.worst <= self.settings.tol:
                return found._replace(status=OPTIMAL)
            if self._late:
                break
        return found

    def _proximal(self, standard: Standard, anchored: np.ndarray | None = None) -> Proximal:
        made = Proximal(standard, self._blocks, self._newton, self.settings.omega, anchored)
        self._proximals.append(made)
        return made

    @property
    def _late(self) -> bool:
        return time.perf_counter() > self.settings.until
