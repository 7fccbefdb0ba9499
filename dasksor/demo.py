"""``dasksor demo``: two heat problems in every mode, side by side, audited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from distributed import Client, LocalCluster
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from scipy.sparse import eye_array

from dasksor import problems
from dasksor.choices import available_cores
from dasksor.progress import Watch
from dasksor.result import Result
from dasksor.solve import solve

RTOL = 1e-6
# More workers than this only make the synchronous run longer: its grid is small.
MOST_WORKERS = 4
SEQUENTIAL: dict[str, Any] = {"mode": "sequential"}
EXACT: dict[str, dict[str, Any]] = {
    "sync": {"mode": "sync"},
    "async": {"mode": "async", "staleness": 0},
}
ACCELERATED: dict[str, Any] = {"mode": "async", "staleness": None, "accelerate": "cg"}
CHAOTIC: dict[str, Any] = ACCELERATED | {"accelerate": None}


@dataclass(frozen=True)
class Problem:
    """A system, and how many sweeps the comparison with the sequential run is given."""

    title: str
    A: Any
    b: np.ndarray
    dominant: bool
    compared_sweeps: int

    @property
    def target(self) -> float:
        return RTOL * float(np.linalg.norm(self.b))


@dataclass(frozen=True)
class Line:
    """One solve of the table: its result, its audit, its comparison with the sequential run."""

    result: Result
    audited: float
    meets: bool
    identical: bool | None

    @property
    def holds(self) -> bool:
        return self.result.success and self.meets and self.identical is not False


def steady_plate(side: int) -> Problem:
    """Poisson's equation on the unit square, one source everywhere: SOR needs many sweeps."""
    A = problems.poisson((side, side))
    b = np.full(side * side, 1.0 / (side + 1) ** 2)
    title = f"steady heat, {side} x {side} points: 2-D Poisson"
    return Problem(title, A, b, dominant=False, compared_sweeps=50)


def time_step(side: int) -> Problem:
    """One implicit step of the heat equation from a hot square: strictly diagonally dominant."""
    A = eye_array(side * side) + 2.0 * problems.poisson((side, side))
    b = np.zeros((side, side))
    b[side // 4 : side // 2, side // 4 : side // 2] = 1.0
    title = f"a time step of heat, {side} x {side} points: strictly dominant"
    return Problem(title, A, b.ravel(), dominant=True, compared_sweeps=10)


def run(console: Console, problems_: list[Problem] | None = None) -> bool:
    """Solve, print the tables; whether every audit and every identity holds."""
    workers = min(MOST_WORKERS, available_cores())
    holds = True
    # Not the default client: audits are made here, by scipy, without the cluster.
    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        for problem in problems_ or [steady_plate(150), time_step(1000)]:
            with Watch(console) as watch:
                _compile(problem, watch)
                lines = _solve_all(problem, client, watch)
            console.print(_table(problem, lines))
            holds &= all(line.holds for line in lines)
    console.print(
        f"residual: norm(b - A x) / norm(b), measured anew by scipy, tolerance {RTOL:g}\n"
        "as first: the iterate after a set number of sweeps against the sequential one\n"
        "staleness None: nobody waits; cg: conjugate gradients over such sweeps\n"
        f"all of it holds: {'yes' if holds else 'NO'}",
        highlight=False,
    )
    return holds


def _compile(problem: Problem, watch: Watch) -> None:
    """One sweep, so that the seconds of the table are those of solving."""
    with watch.note("the first run compiles the sweeps, which takes a few seconds"):
        solve(problem.A, problem.b, maxiter=1, **SEQUENTIAL)


def _solve_all(problem: Problem, client: Client, watch: Watch) -> list[Line]:
    lines = [_solve_one(problem, "sequential", SEQUENTIAL, watch)]
    reference = _fixed(problem, SEQUENTIAL)
    for label, how in EXACT.items():
        here = how | {"client": client}
        identical = np.array_equal(_fixed(problem, here), reference)
        lines.append(_solve_one(problem, label, here, watch, identical))
    if problem.dominant:
        # On the plate it would take more than ten times the sweeps of exact SOR.
        here = CHAOTIC | {"client": client}
        lines.append(_solve_one(problem, "async, nobody waits", here, watch))
    here = ACCELERATED | {"client": client}
    lines.append(_solve_one(problem, "async, nobody waits, accelerated", here, watch))
    return lines


def _solve_one(
    problem: Problem,
    label: str,
    how: dict[str, Any],
    watch: Watch,
    identical: bool | None = None,
) -> Line:
    show = watch.follow(label, problem.target)
    result = solve(problem.A, problem.b, rtol=RTOL, callback=show, **how)
    audited = float(result.residual(problem.A, problem.b))
    return Line(result, audited, audited <= problem.target, identical)


def _fixed(problem: Problem, how: dict[str, Any]) -> np.ndarray:
    """The iterate after a fixed number of sweeps."""
    result = solve(
        problem.A, problem.b, rtol=0.0, atol=0.0, maxiter=problem.compared_sweeps, omega=1.5, **how
    )
    return result.x


def _table(problem: Problem, lines: list[Line]) -> Table:
    table = Table(title=problem.title, title_justify="left", box=SIMPLE_HEAD, padding=0)
    table.add_column("mode")
    for name in (
        "staleness",
        "cg",
        "blocks",
        "threads",
        "sweeps",
        "seconds",
        "residual",
        "as first",
    ):
        table.add_column(name, justify="right")
    scale = float(np.linalg.norm(problem.b))
    for line in lines:
        result = line.result
        table.add_row(
            result.mode,
            str(result.staleness),
            "yes" if result.accelerate else "-",
            str(result.blocks),
            str(result.workers),
            str(result.sweeps),
            f"{result.timings['wall']:.2f}",
            f"{line.audited / scale:.2e}" + ("" if line.meets else " !"),
            {None: "-", True: "bit for bit", False: "DIFFERS"}[line.identical],
        )
    return table
