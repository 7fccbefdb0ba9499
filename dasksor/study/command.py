"""``dasksor study``: measure a grid of problems, systems and workers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from dasksor.planning.calibrate import calibrate
from dasksor.planning.machine import Machine
from dasksor.study.grid import Grid, Product
from dasksor.study.machine import machine as measured_machine
from dasksor.study.peers import peers
from dasksor.study.presets import PRESETS, Preset
from dasksor.study.problems import known
from dasksor.study.record import Study
from dasksor.study.run import MACHINE, check
from dasksor.study.run import run as run_study
from dasksor.study.tables import REPORT, summary
from dasksor.terminal import FILE, one_line_errors

INTERRUPTED = 130


class _List(click.ParamType):
    """Values with commas between them; numbers become numbers."""

    name = "list"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple:
        if not isinstance(value, str):
            return value
        words = [word.strip() for word in value.split(",")]
        return tuple(int(word) if word.lstrip("-").isdigit() else word for word in words)


@click.group()
def study() -> None:
    """Measure problems x systems x workers, and show what was found.

    A study lives in a folder: a record of each run as soon as it ends, then tables and a report.
    Given again, the command goes on where it was interrupted.
    """


@study.command()
@click.option("--problem", "problems", multiple=True, help=f"For example {known()}.")
@click.option("--workers", type=_List(), help="Such as 1,2,4.  [default: 1,2]")
@click.option("--mode", "modes", type=_List(), help="Of dasksor.  [default: sync,async]")
@click.option("--staleness", type=_List(), help="Such as 0,2,none.  [default: 0,none]")
@click.option("--mailbox", "mailboxes", type=_List(), help="[default: auto]")
@click.option("--accelerate", type=_List(), help="Such as none,cg.  [default: auto]")
@click.option("--peer", "peers", type=_List(), help="Other systems, in all their modes.")
@click.option("--repeats", type=int, help="Runs of each cell.  [default: 3]")
@click.option("--rtol", type=float, help="Of all systems.  [default: 1e-6]")
@click.option("--timeout", type=float, help="Seconds for a run.  [default: 60]")
@click.option("--toml", type=FILE, help="The grid as a file, in place of the options above.")
@click.option("--machine", type=FILE, help="Costs from dasksor plan --calibrate: predicts seconds.")
@click.option("-o", "folder", type=FILE, required=True, help="The folder of the study.")
def run(toml: Path | None, machine: Path | None, folder: Path, **options: Any) -> None:
    """Measure a grid that flags or a TOML file describe."""
    given = {k: v for k, v in options.items() if v not in (None, ())}
    if toml is not None and given:
        raise click.UsageError("--toml describes all of the grid: leave the other options out")
    if toml is None and "problems" not in given:
        raise click.UsageError(f"nothing to solve: give --problem, such as {known()}, or --toml")
    with one_line_errors():
        grid = Grid.read(toml) if toml is not None else _grid(given)
        costs = None if machine is None else Machine.load(machine)
        _run(grid, folder, costs)


@study.command()
@click.argument("folder", type=FILE)
def report(folder: Path) -> None:
    """Write the report of a study again."""
    with one_line_errors():
        click.echo(f"report: {Study.load(folder).report(folder / REPORT)}")


def _preset(name: str, preset: Preset) -> click.Command:
    @click.option("--quick", is_flag=True, help="Under a minute, to see that it works.")
    @click.option("-o", "folder", type=FILE, help=f"[default: study-{name}]")
    def command(quick: bool, folder: Path | None) -> None:
        folder = folder or Path(f"study-{name}-quick" if quick else f"study-{name}")
        with one_line_errors():
            grid = preset.grid(quick)
            check(grid, folder)
            _run(grid, folder, _costs(folder) if preset.predicts and not quick else None)

    return click.command(name, help=f"Measure {preset.title}.")(command)


study.add_command(measured_machine)
for _name, _what in PRESETS.items():
    study.add_command(_preset(_name, _what))


# Helpers


def _grid(given: dict[str, Any]) -> Grid:
    beside = given.pop("peers", ())
    how = {name: given.pop(name) for name in ("repeats", "rtol", "timeout") if name in given}
    ours = Product(**given)
    return Grid.of(
        ours, *(replace(ours, system=name, modes=_modes(name)) for name in beside), **how
    )


def _modes(name: str) -> tuple[str, ...]:
    modes = {peer.name: peer.modes for peer in peers()}
    if name not in modes:
        raise ValueError(f"unknown peer {name!r}: give some of {', '.join(modes)}")
    return modes[name]


def _costs(folder: Path) -> Machine:
    """As measured when the study began: one that goes on is predicted with the same."""
    path = folder / MACHINE
    if path.exists():
        return Machine.load(path)
    click.echo("measuring what sweeps and messages cost here, half a minute")
    return calibrate()


def _run(grid: Grid, folder: Path, machine: Machine | None) -> None:
    console = Console()
    try:
        found = run_study(grid, folder, machine=machine, console=console)
    except KeyboardInterrupt:
        total = len(grid.cells()) * grid.repeats
        there = len(Study.load(folder).records) if (folder / "study.json").exists() else 0
        click.echo(f"\ninterrupted: {there} of {total} runs are in {folder}; call again to go on")
        raise SystemExit(INTERRUPTED) from None
    console.print(summary(found))
    click.echo(f"report: {found.report(folder / REPORT)}")
