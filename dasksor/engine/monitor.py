"""Adds the pieces of each snapshot, asks the course, and gives orders.

The answer of a run is a snapshot: one fixed vector, whose residual the blocks measured piece by
piece on that very vector while they swept on. Nothing else can end a run as converged.
"""

from __future__ import annotations

import math
from typing import Any

from dasksor.engine.course import Course, Leg
from dasksor.messages import Order, Piece, Progress, Stop
from dasksor.rows import joined
from dasksor.status import Status


class Monitor:
    """The monitor of one run: reports in, orders out, no input or output of its own.

    Parameters
    ----------
    course : Course
        Judges the measured residuals.
    nblocks : int
        How many pieces make a snapshot.
    passes : int
        Passes per sweep: 2 for symmetric sweeps, else 1.
    exact : bool
        Staleness 0: snapshots are taken after a set pass, so they are iterates of sequential SOR.
    """

    def __init__(self, course: Course, nblocks: int, *, passes: int = 1, exact: bool = True):
        self.course = course
        self.order = Order(0, 0, 0, 0, 1.0, 0)
        self._nblocks = nblocks
        self._passes = passes
        self._exact = exact
        self._pieces: dict[int, Piece] = {}
        self._versions = dict.fromkeys(range(nblocks), 0)
        self._snapshot_after = math.inf
        self._judged = -1
        self._stopped = False
        self._ending: Status | None = None

    def receive(self, report: Piece | Progress, now: float) -> Order | Stop | None:
        """Take a report; return what every host has to be told, if anything."""
        if self._stopped:
            return None
        if isinstance(report, Progress):
            self._versions.update(report.versions)
            return self._snapshot_when_due()
        # Pieces may come again, also of a snapshot that has been judged.
        if report.epoch == self.order.epoch > self._judged:
            self._pieces[report.block] = report
            if len(self._pieces) == self._nblocks:
                return self._judge(now)
        return None

    def tick(self, now: float) -> Stop | None:
        """End the run when its time is over."""
        limit = self.course.limits.timeout
        if limit is None or now < limit or self._stopped:
            return None
        return self.stop(Status.TIMEOUT)

    def stop(self, status: Status) -> Stop | None:
        """End the run with the best snapshot so far, or with the first one when there is none."""
        if not self.course.history:
            self._ending = status
            return None
        self.course.status = self.course.status or status
        return self._end()

    def _end(self) -> Stop:
        self._stopped = True
        return Stop(self.order.keep)

    def _judge(self, now: float) -> Order | Stop:
        # In the order of the blocks, so that sums do not depend on who reported first.
        pieces = [self._pieces[p] for p in range(self._nblocks)]
        self._pieces, self._judged = {}, self.order.epoch
        change, before = sum(p.change for p in pieces), sum(p.before for p in pieces)
        sweeps = int(self._mean_sweeps({p.block: p.version for p in pieces}))
        leg = self.course.measured(
            sweeps,
            joined(p.residual for p in pieces),
            now,
            rhs_norms=joined(p.rhs for p in pieces),
            ratio=math.sqrt(change / before) if before else 1.0,
        )
        if self.course.improved:
            self._give(keep=self.order.epoch)
        if leg is not None and self._ending is not None:
            self.course.status, leg = self._ending, None
        if leg is None:
            return self._end()
        return self._plan_exact(leg, sweeps) if self._exact else self._plan_stale(leg)

    def _plan_exact(self, leg: Leg, sweeps: int) -> Order:
        # No block is past `until`, so all of them can still take a snapshot there or later. The
        # slack behind the next one lets them sweep on while it is measured.
        last = self.course.limits.maxiter * self._passes
        at = max(leg.until * self._passes, self.order.until)
        slack = (leg.until - sweeps) // 2 * self._passes if leg.settled else 0
        until = min(at + slack, last)
        return self._give(epoch=self.order.epoch + 1, at=at, until=until, omega=leg.omega)

    def _plan_stale(self, leg: Leg) -> Order:
        self._snapshot_after = leg.until
        order = self._give(until=self.course.limits.maxiter * self._passes, omega=leg.omega)
        # Blocks that have done their last pass report nothing more: look now.
        return self._snapshot_when_due() or order

    def _snapshot_when_due(self) -> Order | None:
        if self._mean_sweeps(self._versions) < self._snapshot_after:
            return None
        self._snapshot_after = math.inf
        return self._give(epoch=self.order.epoch + 1, at=None)

    def _give(self, **changes: Any) -> Order:
        self.order = self.order._replace(number=self.order.number + 1, **changes)
        return self.order

    def _mean_sweeps(self, versions: dict[int, int]) -> float:
        return sum(versions.values()) / self._nblocks / self._passes
