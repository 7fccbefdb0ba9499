"""The leader of an accelerated run: from the blocks' inner products to the next step.

A step corrects ``z`` on the coarse space, ``z + Z c`` with ``Z'AZ c = Z'(r - A z)``, makes it
orthogonal to the directions kept, and goes along it as far as the norm of its rule falls. Where the
rule starts with the coarse space, the correction is of the residual after the step instead, and the
next passes start from it. All of it follows from the moments of one snapshot: one exchange between
the hosts for each cycle. Between bounds there is no coarse space, and a second exchange, of numbers
only: how far the blocks can follow the direction (see `dasksor.engine.faces`).

One host leads, so that all hosts do the same whatever their rounding. It says nothing new before it
has heard of all blocks, so a message is never replaced by a newer one before it has been read.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from dasksor.coarse import CoarseSpace, Entries
from dasksor.engine.steps import StepRule
from dasksor.messages import CoarsePart, Cut, Cycle, Failure, Moments, Part, Reach, Step, Stretch
from dasksor.rows import dots, joined
from dasksor.status import Status

# The number of the host that leads.
LEADER = 0
# A residual kept by recurrence drifts from the true one, which is measured at least this often.
MEASURE_EVERY = 10
# More numbers than a stretch gives to cycles: steps between bounds take two.
NUMBERS = 2 * (MEASURE_EVERY + 1)
# Sums of signed terms are right up to this share of the terms. What is left of an ill-conditioned
# direction by the directions kept is less exact: only so much below zero is clearly negative.
ROUNDING, CLEARLY = 1e-13, 1e-6


@dataclass
class _Direction:
    """What is kept of ``p``: ``t'Ap`` of shape (nrhs,) and ``Z'Ap``."""

    curvature: np.ndarray
    coarse: np.ndarray


class Leader:
    """Parts of blocks and orders of the monitor in, cycles out; no input or output of its own.

    Parameters
    ----------
    nblocks : int
        How many parts make a whole.
    hosts : int
        How many have to be told of cycles.
    cycle : int
        Passes of a cycle.
    rule : StepRule
        What a step minimises.
    """

    def __init__(self, nblocks: int, hosts: int, *, cycle: int, rule: StepRule) -> None:
        self.hosts = hosts
        self.said: Cycle | None = None
        self.failure: Failure | None = None
        self._nblocks, self._cycle, self._rule = nblocks, cycle, rule
        self._stretch: Stretch | None = None
        self._parts: dict[int, Any] = {}
        self._space: CoarseSpace | None = None
        self._past: deque[_Direction] = deque(maxlen=rule.kept)
        self._found: Step | None = None
        self._seen: deque[np.ndarray] = deque(maxlen=2)
        self._unmeasured = self._passes = 0

    def obey(self, stretch: Stretch) -> Cycle | None:
        """Begin a stretch; None when it is not a new one."""
        if self._stretch is not None and stretch.number <= self._stretch.number:
            return None
        self._stretch, self._passes, self._unmeasured = stretch, stretch.done, 0
        first = Cut.ITERATE if self._rule.is_bounded else Cut.AGGREGATES
        return self._say(first if stretch.targets is None else Cut.CORRECTION, stretch.epoch)

    def receive(self, part: Part) -> Cycle | None:
        """Take a part of the present snapshot; the next cycle once all are here.

        Where there is none to come, `failure` says why.
        """
        if self.said is None or part.epoch != self.said.epoch or self.failure is not None:
            return None
        self._parts[part.block] = part
        if len(self._parts) < self._nblocks:
            return None
        # In the order of the blocks, so that sums do not depend on whose part came first.
        parts = [self._parts[p] for p in range(self._nblocks)]
        self._parts = {}
        if isinstance(part, CoarsePart):
            self._space = CoarseSpace([Entries(p.rows, p.columns, p.values) for p in parts])
            return self._say(Cut.ITERATE, part.epoch + 1, members=self._space.members)
        if isinstance(part, Reach):
            found: Step | Status = self._shortened(parts)
        else:
            found = self._step(parts)
        if isinstance(found, Status):
            self.failure = Failure(part.epoch, found)
            return None
        self._passes += self.said.passes
        if self._rule.is_bounded and isinstance(part, Moments):
            self._found = found
            return self._say(Cut.NOTHING, part.epoch + 1, step=found)
        cut = Cut.ITERATE if self._is_time_to_measure() else Cut.CORRECTION
        return self._say(cut, part.epoch + 1, step=found)

    def _step(self, parts: list[Moments]) -> Step | Status:
        assert self._stretch is not None
        assert self._stretch.rhs_norms is not None
        if self._rule.is_bounded:
            self._drop(np.any([m.turned for m in parts], axis=0))
        tr, taz, *rest_of = np.sum([m.values for m in parts], axis=0)
        tqs, past_r = rest_of[: len(self._past)], rest_of[len(self._past) :]
        rest, coarse_r = np.concatenate([m.coarse for m in parts], axis=2)
        space = self._space
        c = image = np.zeros_like(rest)
        noise = ROUNDING * np.abs(taz)
        if space is not None and not self._rule.starts_coarse:
            c = space.solve(rest)
            image = space.times(c)
            noise += ROUNDING * space.magnitude(c)
        # With z + Z c in place of z, and Z'A z = Z'r - rest.
        tr = tr + dots(c, coarse_r)
        taz = taz + 2.0 * dots(c, coarse_r - rest) + dots(c, image)
        if not (np.isfinite(tr).all() and np.isfinite(taz).all()):
            return Status.DIVERGED
        conjugate = np.zeros((len(self._past), len(tr)))
        curvature, coarse = taz, coarse_r - rest + image
        for i, old in enumerate(self._past):
            tq = tqs[i] + dots(c, old.coarse)
            beta = conjugate[i] = _ratio(tq, old.curvature)
            # 0 but for rounding errors, which count once the true residual has replaced r.
            tr = tr - beta * past_r[i]
            curvature = curvature - beta * tq
            coarse = coarse - beta[:, None] * old.coarse
        residual = joined(m.residual for m in parts)
        negative = (taz < -noise) | ((taz > noise) & (curvature < -CLEARLY * taz))
        # What solves for the rounding errors of b has no sign to trust.
        negative &= residual > ROUNDING * self._stretch.rhs_norms
        if negative.any() and not self._rule.is_residual:
            return Status.INDEFINITE
        # Next to nothing left of the correction: its rounding errors are no direction.
        curvature = np.where((taz > noise) & (curvature > 1e-12 * taz), curvature, 0.0)
        self._past.append(_Direction(curvature, coarse))
        length = _ratio(tr, curvature)
        if space is not None and self._rule.starts_coarse:
            c = space.solve(coarse_r - length[:, None] * coarse)
        self._seen.append(residual)
        self._unmeasured += 1
        return Step(c, conjugate, length)

    def _drop(self, turned: np.ndarray) -> None:
        """Forget the directions of the right-hand sides that are ``turned``."""
        for old in self._past:
            old.curvature = np.where(turned, 0.0, old.curvature)

    def _shortened(self, parts: list[Reach]) -> Step:
        """The step found, no longer than the bounds allow; one that ends there drops directions."""
        assert self._found is not None
        step, most = self._found, np.min([part.values for part in parts], axis=0)
        self._drop(step.length > most)
        return step._replace(length=np.minimum(step.length, most))

    def _is_time_to_measure(self) -> bool:
        """Whether the residual, falling as before, meets the tolerance after the present step."""
        assert self._stretch is not None
        if self._unmeasured >= MEASURE_EVERY or self._passes >= self._stretch.most:
            return True
        if len(self._seen) < 2:
            return False
        before, seen = self._seen
        ahead = seen * np.minimum(1.0, _ratio(seen, before))
        return bool((ahead <= self._stretch.targets).all())

    def _say(
        self, cut: Cut, epoch: int, *, step: Step | None = None, members: np.ndarray | None = None
    ) -> Cycle:
        assert self._stretch is not None
        left = self._stretch.most - self._passes
        passes = min(self._cycle, left) if cut is Cut.CORRECTION else 0
        self.said = Cycle(LEADER, epoch, cut, passes, self._stretch.omega, step, members)
        return self.said


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a / b``, and 0 where ``b`` is 0: a right-hand side that is solved takes no step."""
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0.0)
