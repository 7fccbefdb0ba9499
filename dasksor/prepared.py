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
from dasksor.accelerate.gmres import CYCLE, Gmres
from dasksor.accelerate.gradients import Gradients
from dasksor.accelerate.splitting import Splitting, prepare_splitting
from dasksor.accelerate.ssor import Ssor, prepare_ssor
from dasksor.accelerate.team import Team
from dasksor.analysis import row_facts
from dasksor.choices import HERE, acceleration_here, available_cores, choose_mode, choose_omega
from dasksor.engine import sequential
from dasksor.engine.course import Course, Measurement
from dasksor.engine.method import Method
from dasksor.engine.outcome import Outcome
from dasksor.errors import NotConverged
from dasksor.omega import Given
from dasksor.options import AUTO, KRYLOV, Options, check_choice, checked_limits
from dasksor.partition import Partition
from dasksor.result import Result, result_of
from dasksor.rows import Rows, prepare_rows
from dasksor.status import Status
from dasksor.system import LinearSystem, as_matrix, as_vectors

Driver = Callable[[np.ndarray, np.ndarray, Course], Outcome]
# With a coarse space the iterations hardly depend on omega, between 1.2 and 1.6.
OMEGA = 1.4


@dataclass(frozen=True)
class Prepared:
    """A matrix made ready for solves in this process; made by `dasksor.prepare`.

    Attributes
    ----------
    mode : str
        ``"sequential"`` or ``"threads"``, and `reason` says why.
    accelerate : str or None
        ``"cg"``, ``"bicgstab"``, ``"gmres"``, or None for plain sweeps.
    """

    matrix: Any
    mode: str
    reason: str
    accelerate: str | None
    _options: Options
    _nullvector: np.ndarray | None = None

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
    ) -> Result:
        """Solve ``A x = b``; everything as for `dasksor.solve`.

        A start ``x0`` near the solution, that of the time step before say, saves iterations.
        """
        began = time.perf_counter()
        system = LinearSystem.with_matrix(self.matrix, b, x0)
        limits = checked_limits(system.n, rtol, atol, maxiter, timeout)
        request = replace(self._options, limits=limits, callback=callback)
        result = self.result(system, request, began)
        if raise_on_failure and not result.success:
            raise NotConverged(result)
        return result

    def result(self, system: LinearSystem, request: Options, began: float) -> Result:
        """The result of a solve with this matrix."""
        rhs, start = system.vectors()
        course, run = (
            self._iterations(request) if self.accelerate else self._sweeps(system, request)
        )
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
        if isinstance(system.rhs, da.Array):
            outcome.x = da.from_array(outcome.x, chunks=system.rhs.chunks)
        splitting = self._splitting if self.accelerate == "cg" else None
        return result_of(
            system, request, course, outcome, began, setup,
            mode=self.mode, reason=self.reason, staleness=0, accelerate=self.accelerate,
            blocks=splitting.partition.nblocks if splitting else 1,
            workers=splitting.team.size if splitting else 1,
            mailbox=None, losses=0, moves=0,
        )  # fmt: skip

    @cached_property
    def _rows(self) -> Rows:
        return prepare_rows(self.matrix, 0)

    @cached_property
    def _splitting(self) -> Splitting:
        wanted = self._options.omega
        omega = OMEGA if wanted == AUTO else float(wanted)
        threads = available_cores() if self.mode == "threads" else 1
        blocks = self._options.blocks or threads
        team = Team(min(threads, blocks))
        return prepare_splitting(self.matrix, omega, team, blocks, self._nullvector)

    @cached_property
    def _ssor(self) -> Ssor:
        wanted = self._options.omega
        return prepare_ssor(
            self.matrix, None if wanted == AUTO else float(wanted), self._nullvector
        )

    def _sweeps(self, system: LinearSystem, request: Options) -> tuple[Course, Driver]:
        rows, method = self._rows, Method(0, request.directions)
        facts = [row_facts(rows, Partition((0, system.n)))]
        omega = choose_omega(request, system, facts, method)
        driver = partial(sequential.run, rows, directions=request.directions)
        return Course(request.limits, omega, request.callback), driver

    def _iterations(self, request: Options) -> tuple[Course, Driver]:
        if self.accelerate == "cg":
            omega, origin = self._splitting.omega, "proven"
            begin: Callable[..., accelerated.Iteration] = partial(Gradients, self._splitting)
            driver = partial(accelerated.run, begin, threads=self._splitting.team.size)
        else:
            omega, origin = self._ssor.omega, "heuristic"
            begin = partial(Gmres if self.accelerate == "gmres" else Bicgstab, self._ssor)
            cycle = CYCLE if self.accelerate == "gmres" else None
            driver = partial(accelerated.run, begin, cycle=cycle)
        # Conjugate gradients converge for every omega in (0, 2).
        relaxation = Given(omega, "given" if request.omega != AUTO else origin)
        return Course(request.limits, relaxation, request.callback), driver


def prepare(
    A: Any,
    *,
    mode: str = AUTO,
    omega: float | str = AUTO,
    sweep: str = "forward",
    accelerate: str | None = AUTO,
    blocks: int | None = None,
    nullvector: Any = None,
) -> Prepared:
    """Make a matrix ready, once, for solves in this process with any number of right-hand sides.

    Parameters
    ----------
    A : ndarray, scipy sparse array or matrix
        As for `dasksor.solve`.
    mode : {"auto", "sequential", "threads"}
    omega, sweep, accelerate, blocks
        As for `dasksor.solve`.
    nullvector : array_like, shape (n,), optional
        Nearly in the null space of ``A``, without zeros: pieces of it make the coarse space of
        accelerated solves. Constant by default.

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
        system.n, mode=mode, omega=omega, sweep=sweep, accelerate=accelerate, blocks=blocks
    )
    accelerate = acceleration_here(options, system)
    if nullvector is not None:
        if accelerate is None:
            raise ValueError("nullvector has no meaning for plain sweeps: leave it out")
        nullvector = as_vectors(nullvector, system.n, "nullvector")[0]
    mode, reason = choose_mode(options.mode, system, has_client=False, accelerate=accelerate)
    if mode == "async":
        mode, reason = "sequential", "in this process"
    return Prepared(matrix, mode, reason, accelerate, options, nullvector)
