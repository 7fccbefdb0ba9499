"""The monitor of an accelerated run: from the blocks' inner products to the next step.

A step corrects ``z`` on the coarse space, ``z + Z c`` with ``Z'AZ c = Z'(r - A z)``, makes it
orthogonal to the directions kept, and goes along it as far as the norm of its rule falls. Where the
rule starts with the coarse space, the correction is of the residual after the step instead, and the
next passes start from it. All of it follows from the moments of one snapshot: one exchange with the
blocks for each cycle.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dasksor.coarse import CoarseSpace, Entries
from dasksor.engine.course import Course
from dasksor.engine.recall import START, Recall
from dasksor.engine.steps import StepRule
from dasksor.messages import CoarsePart, Cut, Cycle, Held, Moments, Piece, Progress, Step, Stop
from dasksor.rows import dots, joined
from dasksor.status import Status

# A residual kept by recurrence drifts from the true one, which is measured at least this often.
MEASURE_EVERY = 10
# Sums of signed terms are right up to this share of the terms. What is left of an ill-conditioned
# direction by the directions kept is less exact: only so much below zero is clearly negative.
ROUNDING, CLEARLY = 1e-13, 1e-6


@dataclass
class _Direction:
    """What the monitor keeps of ``p``: ``t'Ap`` of shape (nrhs,) and ``Z'Ap``."""

    curvature: np.ndarray
    coarse: np.ndarray


class _Memo(NamedTuple):
    """How the run stood after an iterate."""

    course: Course
    keep: int


class Conductor:
    """Reports in, orders out; no input or output of its own, like `dasksor.engine.monitor.Monitor`.

    Parameters
    ----------
    course : Course
        Judges the measured residuals.
    nblocks : int
        How many reports make a snapshot.
    cycle : int
        Passes of a cycle.
    rule : StepRule
        What a step minimises.
    passes : int
        Passes per sweep: 2 for symmetric sweeps, else 1.
    copied : bool
        Whether hosts keep copies of each other's parts of iterates.
    """

    def __init__(
        self,
        course: Course,
        nblocks: int,
        *,
        cycle: int,
        rule: StepRule,
        passes: int = 1,
        copied: bool = False,
    ) -> None:
        self.course = course
        self._rule = rule
        omega = course.relaxation.omega
        self.order = Cycle(1, 1, Cut.AGGREGATES, 0, omega, None, None, START, START)
        self.recall = Recall(nblocks, copied=copied, memo=_Memo(course.copy(), START))
        self._nblocks, self._cycle = nblocks, cycle
        self._per_sweep, self._most = passes, passes * course.limits.maxiter
        self._reports: dict[int, Any] = {}
        self._space: CoarseSpace | None = None
        self._past: deque[_Direction] = deque(maxlen=rule.kept)
        self._targets = self._rhs_norms = np.zeros(0)
        self._seen: deque[np.ndarray] = deque(maxlen=2)
        self._unmeasured = 0
        self._passes = 0
        self._stopped = False
        self._ending: Status | None = None

    def receive(self, report: Any, now: float) -> Cycle | Stop | None:
        """Take a report; return what every host has to be told, if anything."""
        if isinstance(report, Held):
            self.recall.hear(report)
        if self._stopped or isinstance(report, Progress | Held):
            return None
        if report.epoch != self.order.epoch:
            return None
        self._reports[report.block] = report
        if len(self._reports) < self._nblocks:
            return None
        # In the order of the blocks, so that sums do not depend on who reported first.
        reports = [self._reports[p] for p in range(self._nblocks)]
        self._reports = {}
        if isinstance(report, CoarsePart):
            return self._found(reports)
        if isinstance(report, Piece):
            return self._judge(reports, now)
        return self._step(reports)

    def tick(self, now: float) -> Stop | None:
        """End the run when its time is over."""
        limit = self.course.limits.timeout
        if limit is None or now < limit or self._stopped:
            return None
        return self.stop(Status.TIMEOUT)

    def stop(self, status: Status) -> Stop | None:
        """End the run with the best iterate measured, or with the first when there is none yet."""
        if not self.course.history:
            self._ending = status
            return None
        self.course.status = self.course.status or status
        self._stopped = True
        return Stop(self.order.keep)

    def rewind(self) -> int:
        """Go back to the safe iterate; its number. `order` is what new hosts are to be told."""
        self.recall.disperse()
        self._stopped, self._ending = False, None
        memo = self.recall.memo
        self.course.restore(memo.course)
        self.order = self.order._replace(keep=memo.keep)
        self._past.clear()
        self._seen.clear()
        self._reports = {}
        self._give(Cut.AGGREGATES)
        return self.recall.safe

    def _found(self, parts: list[CoarsePart]) -> Cycle:
        self._space = CoarseSpace([Entries(p.rows, p.columns, p.values) for p in parts])
        return self._give(Cut.ITERATE, members=self._space.members)

    def _judge(self, pieces: list[Piece], now: float) -> Cycle | Stop:
        norms = joined(p.residual for p in pieces)
        rhs_norms = self._rhs_norms = joined(p.rhs for p in pieces)
        self._passes = sum(p.version for p in pieces) // self._nblocks
        limits = self.course.limits
        self._targets = np.maximum(limits.rtol * rhs_norms, limits.atol)
        sweeps = self._passes // self._per_sweep
        leg = self.course.measured(sweeps, norms, now, rhs_norms=rhs_norms)
        if self.course.improved:
            self.order = self.order._replace(keep=self.order.epoch)
        if leg is not None and self._ending is not None:
            self.course.status, leg = self._ending, None
        if leg is None:
            self._stopped = True
            return Stop(self.order.keep)
        self._unmeasured = 0
        keep = self.order.keep
        self.recall.remember(self.order.epoch, _Memo(self.course.copy(), keep), keep)
        return self._give(Cut.CORRECTION)

    def _step(self, reports: list[Moments]) -> Cycle | Stop:
        assert self._space is not None
        tr, taz = np.sum([m.tr for m in reports], axis=0), np.sum([m.taz for m in reports], axis=0)
        rest, coarse_r = np.zeros((2, len(tr), self._space.members.size))
        for m in reports:
            place = self._space.place(m.members)
            rest[:, place], coarse_r[:, place] = m.coarse, m.coarse_r
        c = np.zeros_like(rest) if self._rule.starts_coarse else self._space.solve(rest)
        image = self._space.times(c)
        # With z + Z c in place of z, and Z'A z = Z'r - rest.
        noise = ROUNDING * (np.abs(taz) + self._space.magnitude(c))
        tr = tr + dots(c, coarse_r)
        taz = taz + 2.0 * dots(c, coarse_r - rest) + dots(c, image)
        if not (np.isfinite(tr).all() and np.isfinite(taz).all()):
            return self._fail(Status.DIVERGED)
        conjugate, curvature = [], taz
        coarse = coarse_r - rest + image
        for i, old in enumerate(self._past):
            tq = np.sum([m.tq[i] for m in reports], axis=0) + dots(c, old.coarse)
            beta = _ratio(tq, old.curvature)
            conjugate.append(beta)
            # 0 but for rounding errors, which count once the true residual has replaced r.
            tr = tr - beta * np.sum([m.past_r[i] for m in reports], axis=0)
            curvature = curvature - beta * tq
            coarse = coarse - beta[:, None] * old.coarse
        residual = joined(m.residual for m in reports)
        negative = (taz < -noise) | ((taz > noise) & (curvature < -CLEARLY * taz))
        # What solves for the rounding errors of b has no sign to trust.
        negative &= residual > ROUNDING * self._rhs_norms
        if negative.any() and not self._rule.is_residual:
            return self._fail(Status.INDEFINITE)
        # Next to nothing left of the correction: its rounding errors are no direction.
        curvature = np.where((taz > noise) & (curvature > 1e-12 * taz), curvature, 0.0)
        self._past.append(_Direction(curvature, coarse))
        length = _ratio(tr, curvature)
        if self._rule.starts_coarse:
            c = self._space.solve(coarse_r - length[:, None] * coarse)
        step = Step(c, conjugate, length)
        self._seen.append(residual)
        self._unmeasured += 1
        self._passes = sum(m.version for m in reports) // self._nblocks
        return self._give(Cut.ITERATE if self._is_time_to_measure() else Cut.CORRECTION, step=step)

    def _is_time_to_measure(self) -> bool:
        """Whether the residual, falling as before, meets the tolerance after the present step."""
        if self._unmeasured >= MEASURE_EVERY or self._passes >= self._most:
            return True
        if len(self._seen) < 2:
            return False
        before, seen = self._seen
        ahead = seen * np.minimum(1.0, _ratio(seen, before))
        return bool((ahead <= self._targets).all())

    def _fail(self, status: Status) -> Stop:
        self.course.status = status
        self._stopped = True
        return Stop(self.order.keep)

    def _give(
        self, cut: Cut, *, step: Step | None = None, members: np.ndarray | None = None
    ) -> Cycle:
        passes = min(self._cycle, self._most - self._passes) if cut is Cut.CORRECTION else 0
        number, epoch = self.order.number + 1, self.order.epoch + 1
        self.order = self.order._replace(
            number=number,
            epoch=epoch,
            cut=cut,
            passes=passes,
            step=step,
            members=members,
            oldest=self.recall.oldest,
        )
        return self.order


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a / b``, and 0 where ``b`` is 0: a right-hand side that is solved takes no step."""
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0.0)
