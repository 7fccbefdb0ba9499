"""The monitor of an accelerated run: judges the residuals that the blocks measure.

It orders stretches of cycles, which the hosts make among themselves (see `dasksor.engine.leader`);
the iterate at the end of each is measured.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dasksor.engine.course import Course
from dasksor.engine.leader import NUMBERS
from dasksor.engine.recall import START, Recall
from dasksor.messages import Failure, Held, Piece, Progress, Stop, Stretch
from dasksor.rows import joined
from dasksor.status import Status


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
    passes : int
        Passes per sweep: 2 for symmetric sweeps, else 1.
    copied : bool
        Whether hosts keep copies of each other's parts of iterates.
    """

    def __init__(
        self, course: Course, nblocks: int, *, passes: int = 1, copied: bool = False
    ) -> None:
        self.course = course
        omega, most = course.relaxation.omega, passes * course.limits.maxiter
        self.order = Stretch(1, 1, omega, 0, most, None, None, START, START)
        self.recall = Recall(nblocks, copied=copied, memo=_Memo(course.copy(), START))
        self._nblocks, self._per_sweep = nblocks, passes
        self._pieces: dict[int, Piece] = {}
        self._stopped = False
        self._ending: Status | None = None

    def receive(self, report: Any, now: float) -> Stretch | Stop | None:
        """Take a report; return what every host has to be told, if anything."""
        if isinstance(report, Held):
            self.recall.hear(report)
        if self._stopped or isinstance(report, Progress | Held):
            return None
        if report.epoch < self.order.epoch:
            return None
        if isinstance(report, Failure):
            self.course.status = report.status
            self._stopped = True
            return Stop(self.order.keep)
        # A stretch ends with one measurement: these are all of the same snapshot.
        self._pieces[report.block] = report
        if len(self._pieces) < self._nblocks:
            return None
        # In the order of the blocks, so that sums do not depend on who reported first.
        pieces = [self._pieces[p] for p in range(self._nblocks)]
        self._pieces = {}
        return self._judge(pieces, now)

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
        self._pieces = {}
        # Hosts that begin anew have no coarse space. Snapshots have numbers that those before them
        # have not given to others, which may be on their way to a checkpoint.
        self._give(self.order.epoch + NUMBERS, 0, targets=None, rhs_norms=None)
        return self.recall.safe

    def _judge(self, pieces: list[Piece], now: float) -> Stretch | Stop:
        norms = joined(p.residual for p in pieces)
        rhs_norms = joined(p.rhs for p in pieces)
        epoch, passes = pieces[0].epoch, sum(p.version for p in pieces) // self._nblocks
        limits = self.course.limits
        sweeps = passes // self._per_sweep
        leg = self.course.measured(sweeps, norms, now, rhs_norms=rhs_norms)
        if self.course.improved:
            self.order = self.order._replace(keep=epoch)
        keep = self.order.keep
        if leg is not None and self._ending is not None:
            self.course.status, leg = self._ending, None
        if leg is None:
            self._stopped = True
            return Stop(keep)
        self.recall.remember(epoch, _Memo(self.course.copy(), keep), keep)
        targets = np.maximum(limits.rtol * rhs_norms, limits.atol)
        return self._give(epoch + 1, passes, targets=targets, rhs_norms=rhs_norms)

    def _give(self, epoch: int, done: int, **changes: Any) -> Stretch:
        number, oldest = self.order.number + 1, self.recall.oldest
        self.order = self.order._replace(
            number=number, epoch=epoch, done=done, oldest=oldest, **changes
        )
        return self.order
