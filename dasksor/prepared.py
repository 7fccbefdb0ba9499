"""Solves in this process: a matrix made ready once, for any number of right-hand sides."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import dask.array as da
import numpy as np

from dasksor.accelerate import run as accelerated
from dasksor.accelerate.bicgstab import Bicgstab
from dasksor.accelerate.chebyshev import Chebyshev
from dasksor.accelerate.faces import Faces
from dasksor.accelerate.gmres import CYCLE, Gmres
from dasksor.accelerate.gradients import Gradients
from dasksor.accelerate.splitting import Splitting
from dasksor.bounded_rows import with_bounds
from dasksor.choices import (
    HERE,
    acceleration_here,
    check_bounded,
    check_nullspace,
    choose_mode,
    choose_omega,
)
from dasksor.contact import contact
from dasksor.engine import sequential
from dasksor.engine.course import Course, Measurement
from dasksor.engine.method import Method
from dasksor.engine.outcome import Outcome
from dasksor.errors import NotConverged
from dasksor.omega import Cautious, Given
from dasksor.options import AUTO, DEFINITE, KRYLOV, Options, check_choice, checked_limits
from dasksor.ordering import Driver, in_order
from dasksor.preparations import Preparations
from dasksor.result import Result, result_of
from dasksor.rows import Rows
from dasksor.status import Status
from dasksor.system import LinearSystem, as_matrix


@dataclass(frozen=True)
class Prepared:
    """A matrix made ready for solves in this process; made by `dasksor.prepare`.

    Attributes
    ----------
    mode : str
        ``"sequential"`` or ``"threads"``, and `reason` says why.
    accelerate : str or None
        ``"cg"``, ``"chebyshev"``, ``"bicgstab"``, ``"gmres"``, or None for plain sweeps.
    """

    matrix: Any
    mode: str
    reason: str
    accelerate: str | None
    _options: Options

    def solve(
        self,
        b: Any,
        x0: Any = None,
        *,
        rtol: float = 1e-5,
        atol: float = 0.0,
        maxiter: int | None = None,
        timeout: float | None = None,
        callback: Callable[[Measurement], object] | None = None,
        raise_on_failure: bool = False,
        bounds: Any = None,
    ) -> Result:
        """Solve ``A x = b``; everything as for `dasksor.solve`.

        A start ``x0`` near the solution, that of the time step before say, saves iterations.
        """
        began = time.perf_counter()
        system = LinearSystem.with_matrix(self.matrix, b, x0, bounds)
        check_bounded(self._options, system)
        limits = checked_limits(system.n, rtol, atol, maxiter, timeout)
        request = replace(self._options, limits=limits, callback=callback)
        result = self.result(system, request, began)
        if raise_on_failure and not result.success:
            raise NotConverged(result)
        return result

    def result(self, system: LinearSystem, request: Options, began: float) -> Result:
        """The result of a solve with this matrix."""
        if not system.is_free and self.accelerate not in ("cg", None):
            return self._unaccelerated.result(system, request, began)
        rhs, start = system.vectors()
        course, run = self._method(system, request)
        reason = self.reason
        if self._made.order is not None:
            run = in_order(run, self._made.order)
            reason += "; rows in reverse Cuthill-McKee order"
        if not system.is_free and self.mode == "threads":
            reason += "; projected sweeps on one of them"
        setup = time.perf_counter() - began
        outcome = run(rhs, start, course)
        left_open = self.accelerate in KRYLOV and request.accelerate == AUTO
        if left_open and course.status in (Status.STAGNATED, Status.DIVERGED):
            done, seconds = course.history[-1].sweeps, course.history[-1].time
            why = f"{self.reason}; {self.accelerate} failed after {done} iterations: plain sweeps"
            plain = replace(self, accelerate=None, reason=why)
            limits = request.limits.after(done, seconds)
            return plain.result(
                replace(system, start=outcome.x), replace(request, limits=limits), began
            )
        touched = contact(system, outcome.x) if system.is_bounded else None
        if isinstance(system.rhs, da.Array):
            chunks = system.rhs.chunks
            outcome.x = da.from_array(outcome.x, chunks=chunks)
            touched = touched and tuple(da.from_array(part, chunks=chunks) for part in touched)
        team = self._made.team if self.accelerate in DEFINITE else None
        return result_of(
            system, request, course, outcome, began, setup,
            mode=self.mode, reason=reason, staleness=0, accelerate=self.accelerate,
            blocks=self._made.nblocks if team else 1, workers=team.size if team else 1,
            mailbox=None, losses=0, moves=0, contact=touched,
        )  # fmt: skip

    @cached_property
    def _unaccelerated(self) -> Prepared:
        return replace(self, mode="sequential", reason="bounds", accelerate=None)

    @cached_property
    def _made(self) -> Preparations:
        return Preparations(self.matrix, self.mode, self.accelerate, self._options)

    def _method(self, system: LinearSystem, request: Options) -> tuple[Course, Driver]:
        if self.accelerate is None:
            return self._sweeps(system, request)
        if self.accelerate not in DEFINITE:
            return self._krylov(request)
        return self._gradients(request) if system.is_free else self._faces(system, request)

    def _krylov(self, request: Options) -> tuple[Course, Driver]:
        relaxation = Given(self._made.ssor.omega, "heuristic" if request.omega == AUTO else "given")
        course = Course(request.limits, relaxation, request.callback)
        if self.accelerate == "gmres":
            return course, partial(accelerated.run, partial(Gmres, self._made.ssor), cycle=CYCLE)
        return course, partial(accelerated.run, partial(Bicgstab, self._made.ssor))

    def _sweeps(self, system: LinearSystem, request: Options) -> tuple[Course, Driver]:
        method = Method(0, request.directions)
        omega = choose_omega(request, system, [self._made.facts], method)
        rows: Rows = self._made.rows
        if not system.is_free:
            rows = with_bounds(self._made.rows, system.bounds_here(0, system.n), 0)
        driver = partial(sequential.run, rows, directions=request.directions)
        return Course(request.limits, omega, request.callback), driver

    def _faces(self, system: LinearSystem, request: Options) -> tuple[Course, Driver]:
        bounds = system.bounds_here(0, system.n)
        if self._made.order is not None:
            bounds = bounds[:, self._made.order]
        rows = with_bounds(self._made.ordered_rows, bounds, 0)
        begin = partial(
            Faces, self._made.deflated, self._made.guess.held, rows, request.limits.maxiter
        )
        driver = partial(accelerated.run, begin, threads=self._made.team.size)
        return self._course(request, self._made.deflated), driver

    def _course(self, request: Options, splitting: Splitting) -> Course:
        # Every omega in (0, 2) makes conjugate gradients converge, and Chebyshev.
        given = request.omega != AUTO
        relaxation = Given(splitting.omega) if given else Cautious(splitting.omega, "proven")
        return Course(request.limits, relaxation, request.callback)

    def _gradients(self, request: Options) -> tuple[Course, Driver]:
        rtol = request.limits.rtol
        # Without a tolerance nothing would say that the expectation was wrong.
        expected = self._made.forecast if 0.0 < rtol < 1.0 else None
        splitting = self._made.plain if expected else self._made.deflated
        method = Chebyshev if self.accelerate == "chebyshev" else Gradients
        course = self._course(request, splitting)

        def driver(splitting: Splitting, patience: int | None = None) -> Callable[..., Outcome]:
            begin, threads = partial(method, splitting), self._made.team.size
            return partial(accelerated.run, begin, threads=threads, patience=patience)

        if expected is None:
            return course, driver(splitting)
        patience = expected.patience(rtol)

        def drive(rhs: np.ndarray, start: np.ndarray, course: Course) -> Outcome:
            began = time.perf_counter()
            outcome = driver(splitting, patience)(rhs, start, course)
            if course.status is not None:
                return outcome
            try:
                goes_on = driver(self._made.deflated)
            except KeyboardInterrupt:
                course.status = Status.STOPPED
                return outcome
            course.relaxation.omega = self._made.deflated.omega
            # The seconds of the set-up count.
            return outcome.followed_by(goes_on(rhs, outcome.x, course, began=began))

        return course, drive


def prepare(
    A: Any,
    *,
    mode: str = AUTO,
    omega: float | str = AUTO,
    sweep: str = "forward",
    accelerate: str | None = AUTO,
    blocks: int | None = None,
    nullspace: Any = None,
) -> Prepared:
    """Make a matrix ready, once, for solves in this process with any number of right-hand sides.

    Parameters
    ----------
    A : ndarray, scipy sparse array or matrix
        As for `dasksor.solve`.
    mode : {"auto", "sequential", "threads"}
    omega, sweep, accelerate, blocks, nullspace
        As for `dasksor.solve`.

    Returns
    -------
    Prepared
        Its method ``solve(b, x0=None, ...)`` returns a `Result`.

    Raises
    ------
    TypeError, ValueError
        Bad input; a matrix that is not in this process.
    """
    matrix = as_matrix(A)
    system = LinearSystem.with_matrix(matrix, np.zeros(matrix.shape[0]))
    check_choice("mode", mode, HERE)
    if not system.is_local:
        raise ValueError(
            f"prepare needs a matrix in this process, got {type(A).__name__}: use dasksor.solve"
        )
    options = Options.checked(
        system.n, mode=mode, omega=omega, sweep=sweep, accelerate=accelerate, blocks=blocks,
        nullspace=nullspace,
    )  # fmt: skip
    accelerate = acceleration_here(options, system)
    check_nullspace(options, system, accelerate)
    mode, reason = choose_mode(options.mode, system, has_client=False, accelerate=accelerate)
    if mode == "async":
        mode, reason = "sequential", "in this process"
    return Prepared(matrix, mode, reason, accelerate, options)
