"""Adds the pieces of each snapshot, asks the course, and gives orders.

The answer of a run is a snapshot: one fixed vector, whose residual the blocks measured piece by
piece on that very vector while they swept on. Nothing else can end a run as converged.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from dasksor.engine.course import Course, Leg
from dasksor.engine.recall import START, Recall
from dasksor.messages import Held, Order, Piece, Progress, Stop
from dasksor.rows import joined
from dasksor.status import Status

# Snapshots are taken at least this often, so that a lost worker costs no more; but never more
# often than this many sweeps, or they would cost more than they save.
SAVE_EVERY = 1.0
SHORTEST = 16


class _Memo(NamedTuple):
    """How the run stood after a snapshot."""

    course: Course
    order: Order
    judge_at: int
    ceiling: int
    versions: dict[int, int]


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
    copied : bool
        Whether hosts keep copies of each other's parts of snapshots.
    saves : bool
        Whether snapshots are taken often, so that little is lost with a worker.
    """

    def __init__(
        self,
        course: Course,
        nblocks: int,
        *,
        passes: int = 1,
        exact: bool = True,
        copied: bool = False,
        saves: bool = False,
    ):
        self.course = course
        self.order = Order(0, START, 0, 0, 1.0, START, START)
        self._nblocks = nblocks
        self._passes = passes
        self._exact = exact
        self._saves = saves
        self._pieces: dict[int, Piece] = {}
        self._versions = dict.fromkeys(range(nblocks), 0)
        self._snapshot_after = math.inf
        self._judged = -1
        self._last_look = (0, 0.0)
        self._pace = math.inf
        # The pass after which the next residual is judged, and the last pass ordered beyond it.
        self._judge_at = self._ceiling = 0
        self._stopped = False
        self._ending: Status | None = None
        self.recall = Recall(nblocks, copied=copied, memo=self._memo(dict(self._versions)))

    def receive(self, report: Held | Piece | Progress, now: float) -> Order | Stop | None:
        """Take a report; return what every host has to be told, if anything."""
        if self._stopped:
            return None
        if isinstance(report, Held):
            self.recall.hear(report)
            return None
        if isinstance(report, Progress):
            self._versions.update(report.versions)
            return self._snapshot_when_due()
        # Pieces may come again, also of a snapshot that has been judged.
        if report.epoch == self.order.epoch > self._judged:
            self._pieces[report.block] = report
            if len(self._pieces) == self._nblocks:
                return self._look(now)
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

    def rewind(self) -> int:
        """Go back to the safe snapshot; its number. `order` is what new hosts are to be told."""
        self.recall.disperse()
        self._stopped, self._ending = False, None
        memo = self.recall.memo
        self.course.restore(memo.course)
        number, oldest = self.order.number + 1, self.recall.oldest
        self.order = memo.order._replace(number=number, oldest=oldest)
        self._judge_at, self._ceiling = memo.judge_at, memo.ceiling
        self._versions = dict(memo.versions)
        self._pieces, self._judged = {}, self.recall.safe if self.course.history else -1
        self._pace = math.inf
        if not self._exact:
            # Not after the last sweep, which nobody would ever go beyond.
            soon = self._mean_sweeps(self._versions) + 1
            self._snapshot_after = min(soon, self.course.limits.maxiter)
        return self.recall.safe

    def _memo(self, versions: dict[int, int]) -> _Memo:
        return _Memo(self.course.copy(), self.order, self._judge_at, self._ceiling, versions)

    def _end(self) -> Stop:
        self._stopped = True
        return Stop(self.order.keep)

    def _look(self, now: float) -> Order | Stop:
        # In the order of the blocks, so that sums do not depend on who reported first.
        pieces = [self._pieces[p] for p in range(self._nblocks)]
        self._pieces, self._judged = {}, self.order.epoch
        versions = {p.block: p.version for p in pieces}
        sweeps = int(self._mean_sweeps(versions))
        self._measure_pace(sweeps, now)
        if self._exact and sweeps * self._passes < self._judge_at:
            goes_on = self._pass_by(pieces, sweeps, now)
        else:
            goes_on = self._judge(pieces, sweeps, now)
        if not goes_on:
            return self._end()
        if self._exact:
            self._plan_exact(sweeps)
        self.recall.remember(self._judged, self._memo(versions), self.order.keep)
        return self.order if self._exact else self._snapshot_when_due() or self.order

    def _pass_by(self, pieces: list[Piece], sweeps: int, now: float) -> bool:
        goes_on = self.course.passing(sweeps, joined(p.residual for p in pieces), now)
        if self.course.improved:
            self._give(keep=self._judged)
        return goes_on and self._ending is None

    def _judge(self, pieces: list[Piece], sweeps: int, now: float) -> bool:
        change, before = sum(p.change for p in pieces), sum(p.before for p in pieces)
        leg = self.course.measured(
            sweeps,
            joined(p.residual for p in pieces),
            now,
            rhs_norms=joined(p.rhs for p in pieces),
            ratio=math.sqrt(change / before) if before else 1.0,
        )
        if self.course.improved:
            self._give(keep=self._judged)
        if leg is None:
            return False
        if self._ending is not None:
            self.course.status = self._ending
            return False
        last = self.course.limits.maxiter * self._passes
        if self._exact:
            self._set_leg(leg, sweeps, last)
        else:
            self._snapshot_after = min(leg.until, sweeps + self._stretch())
            self._give(until=last, omega=leg.omega)
        return True

    def _set_leg(self, leg: Leg, sweeps: int, last: int) -> None:
        # No block is past the ceiling, so all of them can still take a snapshot there or later.
        # The slack behind the next one lets them sweep on while it is measured.
        self._judge_at = max(leg.until * self._passes, self._ceiling)
        slack = (leg.until - sweeps) // 2 * self._passes if leg.settled else 0
        self._ceiling = min(self._judge_at + slack, last)
        self._give(omega=leg.omega)

    def _plan_exact(self, sweeps: int) -> None:
        """Order the next snapshot: where the residual is judged, or one on the way there."""
        stretch = self._stretch() * self._passes
        at = min(self._judge_at, max(sweeps * self._passes + stretch, self.order.until))
        until = self._ceiling if at == self._judge_at else min(at + stretch // 2, self._judge_at)
        self._give(epoch=self.order.epoch + 1, at=int(at), until=int(until))

    def _snapshot_when_due(self) -> Order | None:
        # Blocks that have done their last pass report nothing more, so this is asked after every
        # order as well.
        if self._mean_sweeps(self._versions) < self._snapshot_after:
            return None
        self._snapshot_after = math.inf
        return self._give(epoch=self.order.epoch + 1, at=None)

    def _give(self, **changes: Any) -> Order:
        self.order = self.order._replace(
            number=self.order.number + 1, oldest=self.recall.oldest, **changes
        )
        return self.order

    def _measure_pace(self, sweeps: int, now: float) -> None:
        before, then = self._last_look
        self._last_look = sweeps, now
        if now > then and sweeps > before:
            self._pace = (sweeps - before) / (now - then)

    def _stretch(self) -> float:
        """Sweeps until the next snapshot has to be taken."""
        return max(SHORTEST, self._pace * SAVE_EVERY // 1) if self._saves else math.inf

    def _mean_sweeps(self, versions: dict[int, int]) -> float:
        return sum(versions.values()) / self._nblocks / self._passes
