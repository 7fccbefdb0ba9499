"""The plain solve: one block, one process, no cluster."""

from __future__ import annotations

import math
import time

import numpy as np

from dasksor.engine.course import Course
from dasksor.engine.outcome import Outcome, Timings
from dasksor.rows import Rows, norms, residual_norms
from dasksor.status import Status

# Sweeps between two looks at the clock.
TOGETHER = 8


def run(
    rows: Rows, b: np.ndarray, x0: np.ndarray, course: Course, *, directions: tuple[int, ...]
) -> Outcome:
    """Sweep until the course ends; ``b`` and ``x0`` have shape (nrhs, n)."""
    timings, began = Timings(), time.perf_counter()
    deadline = course.limits.timeout or math.inf
    rhs_norms = norms(b)
    x, best = x0.copy(), x0.copy()
    sweeps, change, before = 0, 0.0, 0.0
    try:
        while True:
            with timings.measure("tests"):
                residual = residual_norms(rows, x, b)
                ratio = math.sqrt(change / before) if before else 1.0
                now = time.perf_counter() - began
                leg = course.measured(sweeps, residual, now, rhs_norms=rhs_norms, ratio=ratio)
                if course.improved:
                    best[:] = x
            if leg is None:
                break
            with timings.measure("compute"):
                while sweeps < leg.until and time.perf_counter() - began < deadline:
                    # Passes in one direction share a reading of the matrix.
                    count = min(TOGETHER, leg.until - sweeps) if len(directions) == 1 else 1
                    for direction in directions:
                        made = rows.sweep(x, b, leg.omega, direction, count)
                        before, change = [before, change, *made.tolist()][-2:]
                    sweeps += count
    except KeyboardInterrupt:
        if not course.history:
            raise
        course.status = Status.STOPPED
        course.passing(sweeps, residual_norms(rows, x, b), time.perf_counter() - began)
        if course.improved:
            best[:] = x
    return Outcome(best, timings, [timings])
