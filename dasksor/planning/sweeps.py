"""How many sweeps: Young's theory where it holds, laws fitted to runs where there is none."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dasksor.coarse import PLANAR_LIMIT
from dasksor.engine.course import Course, Limits
from dasksor.engine.host import LOCAL_SWEEPS
from dasksor.omega import Estimated, Given, Relaxation, optimal
from dasksor.planning.stencil import Stencil
from dasksor.status import Status

# Before they fall at their rate, over-relaxed residuals rise by about this factor: with it sweeps
# of 50 x 50 to 1000 x 1000 and 20^3 to 100^3 come out within 15 %, for rtol 1e-5 and 1e-8.
RISE = math.exp(5.0)
# Free sweeps behind the exact ones at the same omega, times the lines of a block: for blocks cut
# off from each other, and for each sweep that a message is old. Fitted to `dasksor.simulate` on
# 30 x 30 and 60 x 60.
CUT_OFF, OLD = 4.0, 2.5
# Cycles of conjugate gradients on blocks that cut aggregates at random, for rtol 1e-8.
ACCELERATED = {2: 118, 3: 54}
# Blocks thinner than an aggregate, and coarse unknowns that stand for several: powers of the ratio.
THIN = 0.85
JOINED = {2: 0.42, 3: 0.26}


class Count(NamedTuple):
    """Sweeps of a run, how often a residual is judged, and whether it gets there at all."""

    sweeps: int
    legs: int
    converges: bool = True


def decay(omega: float, gap: float) -> float:
    """``-log`` of the spectral radius of an SOR sweep, from ``1 - mu`` of the Jacobi matrix.

    Young: ``lam = ((omega mu + sqrt(omega^2 mu^2 - 4 (omega - 1))) / 2)^2`` below the best omega,
    ``omega - 1`` from there on.
    """
    mu = 1.0 - gap
    square = (2.0 - omega) ** 2 - omega**2 * gap * (2.0 - gap)
    if square <= 0.0:
        return -math.log(omega - 1.0)
    return -2.0 * math.log((omega * mu + math.sqrt(square)) / 2.0)


def exact(stencil: Stencil, rtol: float, omega: str) -> Count:
    """Exact SOR: the course of a real run, shown changes and residuals of Young's eigenvalue."""
    gap = stencil.jacobi_gap
    relaxation: Relaxation = Estimated()
    if omega == "best":
        relaxation = Given(optimal(stencil.jacobi_radius))
    course = Course(Limits(rtol / RISE, 0.0, 2**62, None), relaxation)
    one, sweeps, fall = np.ones(1), 0, 0.0
    leg = course.measured(0, one, 0.0, rhs_norms=one)
    while leg is not None:
        rate = decay(leg.omega, gap) if leg.omega > 1.0 else -2.0 * math.log(1.0 - gap)
        fall += rate * (leg.until - sweeps)
        sweeps = leg.until
        level = np.array([math.exp(-fall)])
        leg = course.measured(sweeps, level, 0.0, rhs_norms=one, ratio=math.exp(-rate))
    # Where omega rises too slowly, a real run ends as stagnated.
    return Count(sweeps, len(course.history), course.status is Status.CONVERGED)


def free(stencil: Stencil, rtol: float, thickness: float, age: float) -> Count:
    """Plain total asynchrony: blocks of ``thickness`` lines, messages ``age`` sweeps old."""
    omega = stencil.cautious_omega(thickness)
    alone = -math.log(rtol) / decay(omega, stencil.jacobi_gap)
    delay = (CUT_OFF + OLD * min(age, LOCAL_SWEEPS)) / thickness
    sweeps = math.ceil(alone * (1.0 + delay))
    return Count(sweeps, _looks(sweeps))


def accelerated(stencil: Stencil, rtol: float, thickness: float) -> Count:
    """Conjugate gradients over free sweeps: nearly constant, but for thin blocks and large n."""
    dimensions = len(stencil.shape)
    sweeps = ACCELERATED[dimensions] * -math.log10(rtol) / 8.0
    sweeps *= max(1.0, stencil.aggregate / thickness) ** THIN
    sweeps *= (aggregates(stencil) / coarse_unknowns(stencil)) ** JOINED[dimensions]
    cycles = math.ceil(sweeps / 2.0)
    return Count(2 * cycles, math.ceil(cycles / 10))


def aggregates(stencil: Stencil) -> int:
    """Unknowns of the coarse space."""
    return max(1, stencil.n // 64)


def coarse_unknowns(stencil: Stencil) -> int:
    """What is left of them in the coarse solve, where pairs are joined until they are few."""
    count = aggregates(stencil)
    while count > PLANAR_LIMIT:
        count = (count + 1) // 2
    return count


def _looks(sweeps: int) -> int:
    # Each leg is a quarter of the sweeps so far, and five at least.
    return max(1, math.ceil(math.log(max(1.0, sweeps / 20.0)) / math.log(1.25)) + 4)
