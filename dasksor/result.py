"""What `dasksor.solve` returns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np

from dasksor.engine.course import Course, Measurement
from dasksor.engine.outcome import Outcome, Timings
from dasksor.kernels.bounded import natural
from dasksor.options import Options
from dasksor.rows import joined, norms
from dasksor.status import Status
from dasksor.system import LinearSystem


@dataclass(frozen=True)
class Result:
    """The answer of a solve, with the residual that was measured on this very ``x``.

    Unpacks as scipy's solvers return: ``x, info = dasksor.solve(A, b)``.

    Attributes
    ----------
    x : ndarray or dask.array.Array
        The best iterate whose residual was measured, of the shape of ``b``; a Dask array when
        ``b`` was one.
    status : Status
        How the solve ended; its value is a sentence.
    sweeps : int
        Sweeps done when ``x`` was taken; under staleness the mean over the blocks; iterations
        where a Krylov method ran in this process.
    residual_norm : float or ndarray, shape (m,)
        2-norm of ``b - A x``, one for each column of a two-dimensional ``b``; with bounds of the
        natural residual, ``a_ii (clip(x_i + r_i / a_ii, lower_i, upper_i) - x_i)`` with
        ``r = b - A x``.
    rtol, atol : float
        Converged means ``norm(b - A x) <= max(rtol * norm(b), atol)`` for every column.
    target : float or ndarray, shape (m,)
        That maximum.
    omega : float
        Relaxation factor of the last sweeps.
    omega_origin : str
        ``"given"``, ``"estimated"`` while sweeping, ``"proven"`` safe for every schedule, or
        ``"heuristic"``.
    mode : str
        ``"sequential"``, ``"threads"``, ``"sync"`` or ``"async"``, and `reason` says why.
    staleness : int or None
        0: exact SOR; None: totally asynchronous.
    accelerate : str or None
        The method: ``"cg"``, ``"chebyshev"``, ``"bicgstab"``, ``"gmres"``, ``"gcr"``, or,
        between bounds, ``"projection"``: an exact step along every free sweep.
    blocks, workers : int
        Row blocks, and worker threads that swept them (1 and 1 when sequential).
    losses, moves : int
        How often the blocks changed hands in asynchronous mode: because workers were lost, and to
        spread them better over those there are.
    mailbox : str or None
        What carried slices between threads in asynchronous mode.
    history : list of Measurement
        ``(time, sweeps, residual_norm, omega)`` of each measured residual: seconds since the
        start of the sweeps, and the Frobenius norm over all columns.
    timings : dict
        Seconds by phase. ``"total"`` adds up threads: setup, compute, communication, tests,
        waiting; ``"blocks"`` lists compute and tests of each block; ``"wall"`` is the whole
        call. In mode ``"sync"`` Dask moves data and schedules while blocks wait, so
        communication is part of waiting.
    messages, bytes_sent : int
        Slices between threads (in mode ``"sync"`` between processes) and their bytes.
    sweeps_per_block : list of int
        Sweeps that each block had done at the end of the run; in asynchronous mode they differ.
    active : ndarray or dask.array.Array of int8, or None
        -1 where ``x`` is at its lower bound, 1 where it is at its upper one, else 0; of the shape
        of ``x``. None without bounds.
    multipliers : ndarray or dask.array.Array, or None
        ``A x - b`` where a bound is active, else 0: what the bound pushes with. At a solution it
        is not negative at a lower bound, and not positive at an upper one.
    """

    x: Any
    status: Status
    sweeps: int
    residual_norm: Any
    rtol: float
    atol: float
    target: Any
    omega: float
    omega_origin: str
    mode: str
    reason: str
    staleness: int | None
    accelerate: str | None
    blocks: int
    workers: int
    losses: int
    moves: int
    mailbox: str | None
    history: list[Measurement] = field(repr=False)
    timings: dict[str, Any] = field(repr=False)
    messages: int
    bytes_sent: int
    sweeps_per_block: list[int] = field(repr=False)
    active: Any = field(default=None, repr=False)
    multipliers: Any = field(default=None, repr=False)

    @property
    def success(self) -> bool:
        return self.status is Status.CONVERGED

    @property
    def message(self) -> str:
        """The sentence that says how the solve ended."""
        return self.status.value

    @property
    def info(self) -> int:
        """0 converged, > 0 sweeps done without convergence, < 0 failure."""
        return self.status.info * (max(1, self.sweeps) if self.status.info > 0 else 1)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.x, self.info))

    def residual(self, A: Any, b: Any, bounds: Any = None) -> Any:
        """Measure ``norm(b - A x)`` anew from ``A`` and ``b``: an audit of this result.

        With ``bounds`` the norm of the natural residual.

        Returns
        -------
        float or ndarray, shape (m,)
            As `residual_norm`. Dask input is multiplied block by block where its blocks are.
        """
        return residual_norm(LinearSystem.of(A, b, self.x, bounds))

    def to_dict(self) -> dict[str, Any]:
        """Everything but vectors, in plain types that json can write."""
        numbers = np.asarray(self.residual_norm).tolist()
        return {
            "success": self.success,
            "status": self.status.name.lower(),
            "message": self.message,
            "info": self.info,
            "sweeps": self.sweeps,
            "residual_norm": numbers,
            "bounded": self.active is not None,
            "rtol": self.rtol,
            "atol": self.atol,
            "target": np.asarray(self.target).tolist(),
            "omega": self.omega,
            "omega_origin": self.omega_origin,
            "mode": self.mode,
            "reason": self.reason,
            "staleness": self.staleness,
            "accelerate": self.accelerate,
            "blocks": self.blocks,
            "workers": self.workers,
            "losses": self.losses,
            "moves": self.moves,
            "mailbox": self.mailbox,
            "history": [m._asdict() for m in self.history],
            "timings": self.timings,
            "messages": self.messages,
            "bytes_sent": self.bytes_sent,
            "sweeps_per_block": self.sweeps_per_block,
        }

    def plot(self) -> Any:
        """Residual against time, seconds by phase and sweeps of the blocks, as a Bokeh layout.

        Returns
        -------
        bokeh.models.GridPlot
            For ``bokeh.plotting.show``, a notebook, or a page of your own.
        """
        # Bokeh takes longer to import than the rest of dasksor.
        from dasksor.charts import solve

        return solve.layout(self.to_dict())

    def report(self, path: str | Path, *, theme: str = "light") -> Path:
        """Write text, charts, choices and history as one HTML page that needs no network.

        Parameters
        ----------
        path : str or Path
        theme : str
            ``"light"`` or ``"dark"``.

        Returns
        -------
        Path
            Of the page.
        """
        from dasksor.charts import solve

        return solve.write(self.to_dict(), str(self), path, theme)

    def _repr_html_(self) -> str:
        from dasksor.charts import solve

        return solve.summary(self.to_dict())

    def __str__(self) -> str:
        worst = float(np.max(self.residual_norm))
        natural = "" if self.active is None else "natural "
        origin = "" if self.omega_origin == "given" else f" ({self.omega_origin})"
        staleness = "exact" if self.staleness == 0 else f"staleness {self.staleness}"
        if self.accelerate:
            staleness += f", accelerated by {self.accelerate}"
        where = "one thread" if self.mode == "sequential" else f"{self.workers} threads"
        blocks = "one block" if self.blocks == 1 else f"{self.blocks} blocks"
        how = f"{self.sweeps} sweeps, omega {self.omega:.6g}{origin}, {staleness}"
        if self.accelerate and self.mode != "async":
            with_ssor = f"{self.accelerate} with SSOR, omega {self.omega:.6g}{origin}"
            how = f"{self.sweeps} iterations of {with_ssor}"
        lines = [
            f"{'converged' if self.success else 'not converged'}: {self.message}",
            f"{natural}residual norm {worst:.3e} (rtol {self.rtol:g}, atol {self.atol:g})",
            how,
            f"mode {self.mode}, {blocks} on {where}: {self.reason}",
        ]
        if self.mailbox:
            lines.append(
                f"{self.messages} slices by mailbox {self.mailbox}, {self.bytes_sent / 1e6:.1f} MB"
            )
        if self.losses or self.moves:
            lines.append(
                f"blocks changed hands: {self.losses} times for lost workers, "
                f"{self.moves} times to spread them better"
            )
        total = self.timings["total"]
        spent = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in total.items())
        lines.append(f"{self.timings['wall']:.2f} s; thread seconds: {spent}")
        return "\n".join(lines)


def result_of(
    system: LinearSystem,
    request: Options,
    course: Course,
    outcome: Outcome,
    began: float,
    setup: float,
    *,
    contact: tuple[Any, Any] | None = None,
    **how: Any,
) -> Result:
    """What a run has come to; ``contact``: active set and multipliers, of the shape of ``x``."""
    assert course.status is not None
    active, multipliers = contact or (None, None)
    norms = course.best_norms
    total: Timings = outcome.timings
    total.setup = setup
    return Result(
        x=shaped(outcome.x, system.vector),
        status=course.status,
        sweeps=course.best_sweeps,
        residual_norm=float(norms[0]) if system.vector else norms,
        rtol=request.limits.rtol,
        atol=request.limits.atol,
        target=float(course.targets[0]) if system.vector else course.targets,
        omega=course.relaxation.omega,
        omega_origin=course.relaxation.origin,
        history=course.history,
        timings=timings_dict(total, outcome.blocks, time.perf_counter() - began),
        messages=outcome.messages,
        bytes_sent=outcome.bytes_sent,
        sweeps_per_block=outcome.sweeps or [course.sweeps] * how["blocks"],
        active=None if active is None else shaped(active, system.vector),
        multipliers=None if multipliers is None else shaped(multipliers, system.vector),
        **how,
    )


def residual_norm(system: LinearSystem, nblocks: int = 16) -> Any:
    """``norm(b - A x)``, ``x`` the start of ``system``, by scipy's or NumPy's own product.

    With bounds the norm of the natural residual.
    """
    # As it is, whether or not it lies between the bounds.
    x = dask.delayed(replace(system, lower=None, upper=None).entries_of(system.start, 0, system.n))
    if system.is_local and not isinstance(system.rhs, da.Array):
        x, bounds = dask.compute(x, system.bounds_of(0, system.n))
        found = _norms(system.matrix, system.rhs, bounds, x, 0)
        return float(found[0]) if system.vector else found
    parts = [
        dask.delayed(_norms)(
            system.rows(start, stop),
            system.entries_of(system.rhs, start, stop),
            system.bounds_of(start, stop),
            x,
            start,
        )
        for start, stop in system.partition(min(nblocks, system.n)).ranges
    ]
    found = joined(dask.compute(*parts))
    return float(found[0]) if system.vector else found


def _norms(
    rows: Any, b: np.ndarray, bounds: np.ndarray | None, x: np.ndarray, start: int
) -> np.ndarray:
    r = b - (rows @ x.T).T
    if bounds is not None:
        diagonal = rows.diagonal(start).astype(np.float64)
        for rj, xj in zip(r, x, strict=True):
            natural(rj, xj, start, diagonal, *bounds)
    return norms(r)


def shaped(x: Any, vector: bool) -> Any:
    """From (nrhs, n), as solved, to the shape of ``b``."""
    if vector:
        return x[0]
    return x.T if isinstance(x, da.Array) else np.ascontiguousarray(x.T)


def timings_dict(total: Timings, blocks: list[Timings], wall: float) -> dict[str, Any]:
    """The plain form of what was measured."""
    per_block = [{"compute": t.compute, "tests": t.tests} for t in blocks]
    return {"wall": wall, "total": asdict(total), "blocks": per_block}
