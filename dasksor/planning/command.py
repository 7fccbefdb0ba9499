"""``dasksor plan``: predict seconds on more workers than there are."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dasksor.planning.calibrate import calibrate
from dasksor.planning.forecast import MODES
from dasksor.planning.machine import Machine
from dasksor.planning.plan import OMEGAS
from dasksor.planning.plan import plan as planned
from dasksor.terminal import FILE, one_line_errors


class _Numbers(click.ParamType):
    name = "numbers"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list:
        try:
            return [int(part) for part in str(value).split(",")]
        except ValueError:
            self.fail(f"{value!r} is no list of numbers like 2,16,64", param, ctx)


class _Grid(click.Command):
    """Lets ``--shape`` take as many lengths as follow it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        after_shape = False
        for arg in args:
            if after_shape and spread[-1] != "--shape" and arg.isdigit():
                spread.append("--shape")
            spread.append(arg)
            after_shape = arg == "--shape" or (after_shape and arg.isdigit())
        return super().parse_args(ctx, spread)


@click.command("plan", cls=_Grid)
@click.option("--shape", type=int, multiple=True, help="Of the grid: two or three lengths.")
@click.option("--workers", type=_Numbers(), default="1,2,4,16,64,256,1024,4096", show_default=True)
@click.option(
    "--mode", "modes", type=click.Choice(list(MODES)), multiple=True, help="By default all."
)
@click.option("--rtol", type=float, default=1e-8, show_default=True)
@click.option("--omega", type=click.Choice(OMEGAS), default="auto", show_default=True)
@click.option("--machine", type=FILE, help="Costs as --calibrate wrote them; else measured now.")
@click.option("--cores", type=int, help="Workers on a node, if not as many as cores here.")
@click.option("--calibrate", "measure", type=FILE, help="Measure this machine and write it here.")
@click.option("--plot", type=FILE, help="Draw speedup over workers: .html, or .png with Chromium.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(
    shape: tuple[int, ...],
    workers: list[int],
    modes: tuple[str, ...],
    rtol: float,
    omega: str,
    machine: Path | None,
    cores: int | None,
    measure: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Predict how long Poisson's equation takes on up to thousands of workers.

    Give --shape, or --calibrate alone, or both. Without --machine this machine is measured first,
    for about half a minute.
    """
    if not shape and measure is None:
        raise click.UsageError("nothing to do: give --shape, or --calibrate FILE")
    if machine is not None and measure is not None:
        raise click.UsageError("--machine and --calibrate contradict each other: give one")
    with one_line_errors():
        costs = calibrate() if machine is None else Machine.load(machine)
        if cores is not None:
            costs = costs.replace(cores=cores)
        if measure is not None:
            costs.save(measure)
        if not shape:
            return
        found = planned(
            shape, workers, machine=costs, modes=modes or tuple(MODES), rtol=rtol, omega=omega
        )
        if plot is not None:
            found.plot(plot)
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else str(found))
