"""What a solve would take: sweeps and seconds, for each mode and number of workers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dasksor import config
from dasksor.planning import asynchronous, sweeps, synchronous
from dasksor.planning.forecast import MODES, Forecast
from dasksor.planning.layout import Layout
from dasksor.planning.machine import Machine
from dasksor.planning.stencil import Stencil

OMEGAS = ("auto", "best")


@dataclass(frozen=True)
class Plan:
    """Forecasts for one problem on one kind of machine.

    Attributes
    ----------
    shape : tuple of int
    rtol : float
    omega : str
    machine : Machine
    rows : tuple of Forecast
        By mode, then by workers.
    """

    shape: tuple[int, ...]
    rtol: float
    omega: str
    machine: Machine
    rows: tuple[Forecast, ...]

    @property
    def problem(self) -> str:
        """What is solved, in a few words."""
        grid = " x ".join(map(str, self.shape))
        return f"Poisson {grid}, rtol {self.rtol:g}, omega {self.omega}"

    def of(self, mode: str) -> list[Forecast]:
        """The forecasts of one mode."""
        return [row for row in self.rows if row.mode == mode]

    def to_dict(self) -> dict[str, Any]:
        """As numbers, lists and dictionaries; an infinite time becomes None."""
        rows = [asdict(row) for row in self.rows]
        for row in rows:
            row["seconds"] = row["seconds"] if math.isfinite(row["seconds"]) else None
        return {
            "shape": list(self.shape),
            "n": math.prod(self.shape),
            "rtol": self.rtol,
            "omega": self.omega,
            "rows": rows,
            "machine": self.machine.to_dict(),
        }

    def plot(self, path: str | Path) -> None:
        """Draw speedup over workers.

        Parameters
        ----------
        path : str or Path
            A page (``.html``) that needs no network, or a picture (``.png``), for which Chromium
            has to be installed.

        Raises
        ------
        ValueError
            Another ending.
        RuntimeError
            Chromium is asked for and missing.
        """
        # Bokeh takes long to import, and few plans are drawn.
        from dasksor.planning.picture import draw

        draw(self.rows, self.problem, Path(path))

    def __str__(self) -> str:
        n = math.prod(self.shape)
        lines = [
            f"{self.problem}, n = {n:.4g}, {self.machine.cores} cores to a node",
            f"{'mode':8}{'workers':>9}{'blocks':>9}{'sweeps':>13}{'ms a sweep':>13}"
            f"{'seconds':>12}{'speedup':>10}",
        ]
        for row in self.rows:
            pace = 1e3 * row.seconds_per_sweep
            lines.append(
                f"{row.mode:8}{row.workers:>9}{row.blocks:>9}{row.sweeps:>13}{pace:>13.4g}"
                f"{row.seconds:>12.4g}{row.speedup:>10.3g}"
                + ("" if row.hosts == row.workers else f"  {row.hosts} of them at work")
                + ("" if math.isfinite(row.seconds) else "  stagnates: give omega")
            )
        return "\n".join(lines)


def plan(
    shape: Sequence[int],
    workers: Sequence[int] = (1, 2, 4, 16, 64, 256, 1024, 4096),
    *,
    machine: Machine,
    modes: Sequence[str] = tuple(MODES),
    rtol: float = 1e-8,
    omega: str = "auto",
) -> Plan:
    """Predict sweeps and seconds of Poisson's equation on a grid, without solving anything.

    Parameters
    ----------
    shape : sequence of int
        Of the grid, 2 or 3 axes: the matrices of `dasksor.problems.poisson`, of any size.
    workers : sequence of int
        Numbers of single-threaded workers.
    machine : Machine
        Costs, from `dasksor.calibrate` or a file.
    modes : sequence of str
        ``"sync"``, ``"exact"`` (``mode="async", staleness=0``), ``"free"``
        (``staleness=None, accelerate=None``), ``"cg"`` (``staleness=None, accelerate="cg"``).
    rtol : float
        Relative tolerance, in (0, 1).
    omega : {"auto", "best"}
        For exact sweeps: sought while they run, or given as Young's best.

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        An argument is none of the above.
    """
    stencil = Stencil.of(shape)
    numbers = [int(number) for number in workers]
    if not numbers or min(numbers) < 1:
        raise ValueError(f"workers must be numbers of at least 1, got {list(workers)}")
    unknown = [mode for mode in modes if mode not in MODES]
    if unknown or not modes:
        raise ValueError(f"modes must be some of {', '.join(MODES)}, got {list(modes)}")
    if not 0.0 < rtol < 1.0:
        raise ValueError(f"rtol must lie in (0, 1), got {rtol}")
    if omega not in OMEGAS:
        raise ValueError(f"omega must be 'auto' or 'best', got {omega!r}")
    rows = []
    for mode in modes:
        alone = math.nan
        for number in sorted({1, *numbers}):
            layout = layout_of(stencil, machine, mode, number)
            count = count_of(layout, mode, rtol, omega)
            seconds = seconds_of(layout, mode, count, omega)
            alone = seconds if number == 1 else alone
            if number in numbers:
                speedup = alone / seconds if math.isfinite(seconds) else math.nan
                rows.append(
                    Forecast(
                        mode, number, layout.hosts, layout.blocks, count.sweeps, seconds, speedup
                    )
                )
    return Plan(stencil.shape, rtol, omega, machine, tuple(rows))


def layout_of(stencil: Stencil, machine: Machine, mode: str, workers: int) -> Layout:
    """Blocks and hosts as `dasksor.solve` chooses them."""
    kind = {"sync": "sync", "exact": "async"}.get(mode, "free")
    per_worker = int(config.get(f"blocks-per-thread.{kind}"))
    return Layout.of(stencil, machine, workers, per_worker, accelerated=mode == "cg")


def count_of(layout: Layout, mode: str, rtol: float, omega: str) -> sweeps.Count:
    """How many sweeps a mode takes."""
    if mode == "free":
        age = asynchronous.message_age(layout) if layout.hosts > 1 else 0.0
        return sweeps.free(layout.stencil, rtol, layout.thickness, age)
    if mode == "cg":
        return sweeps.accelerated(layout.stencil, rtol, layout.thickness)
    return sweeps.exact(layout.stencil, rtol, omega)


def seconds_of(layout: Layout, mode: str, count: sweeps.Count, omega: str) -> float:
    """How long so many sweeps take."""
    if not count.converges:
        return math.inf
    if mode == "free":
        return asynchronous.free_seconds(layout, count)
    if mode == "cg":
        return asynchronous.accelerated_seconds(layout, count)
    sought = omega == "auto"
    if mode == "sync":
        return synchronous.seconds(layout, count.sweeps, count.legs, settled=not sought)
    return asynchronous.exact_seconds(layout, count, settled=not sought)
