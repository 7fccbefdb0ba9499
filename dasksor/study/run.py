"""Runs a study: every cell of a grid so many times, written down one by one."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from rich.console import Console

from dasksor.planning.machine import Machine
from dasksor.study import circumstances, problems, tables
from dasksor.study.crew import Crew
from dasksor.study.grid import Cell, Grid, Turn
from dasksor.study.outlook import Outlook
from dasksor.study.peer import Peer
from dasksor.study.peers import peers
from dasksor.study.probe import Pycos
from dasksor.study.problems import Problem
from dasksor.study.record import META, RECORDS, Record, Study, line_of
from dasksor.study.straggler import Slowness
from dasksor.study.system import Dasksor

MACHINE = "machine.json"
# The slow worker of system "dasksor-slow" takes so many times as long.
SLOW = Slowness(pause=0.0, factor=5.0)


def run(
    grid: Grid,
    folder: str | Path,
    *,
    machine: Machine | None = None,
    console: Console | None = None,
) -> Study:
    """Run what `folder` does not hold yet of a grid, and write tables and the report.

    For each number of workers in turn one cluster is started; on it every cell has its first run,
    in random order, then its second, and so on: what disturbs the machine for a while disturbs all
    alike. Each run is on the disk before the next one begins.

    Parameters
    ----------
    grid : Grid
    folder : str or Path
        Made if it is not there. One that holds this very study, interrupted, is gone on with.
    machine : Machine, optional
        Costs from `dasksor.calibrate`: predictions are made where the model applies.
    console : rich.console.Console, optional
        Shows progress if it is a terminal.

    Returns
    -------
    Study

    Raises
    ------
    ValueError, FileExistsError
        Before anything starts: unknown systems or modes, or a folder that holds something else.
    """
    folder = Path(folder)
    check(grid, folder)
    with Crew() as crew:
        systems = {system.name: system for system in _systems(crew, machine)}
        study = _opened(grid, folder)
        if machine is not None:
            machine.save(folder / MACHINE)
        turns = list(_order(grid, done={record.key for record in study.records}))
        with (
            open(folder / RECORDS, "a", encoding="utf-8") as file,
            Outlook(turns, console or Console()) as outlook,
        ):
            _run_all(turns, grid, systems, study, file, outlook)
    tables.write(study, folder)
    return study


def _systems(crew: Crew, machine: Machine | None) -> Iterator[Peer]:
    yield Dasksor(crew, machine)
    yield Dasksor(crew, machine, SLOW)
    yield from peers()
    yield Pycos()


def check(grid: Grid, folder: Path) -> None:
    """Refuse, before anything starts, what `run` could not do.

    Raises
    ------
    ValueError, FileExistsError
        As for `run`.
    """
    systems = {system.name: system for system in _systems(Crew(), None)}
    for one in grid.products:
        if one.system not in systems:
            known = ", ".join(systems)
            raise ValueError(f"unknown system {one.system!r}: give some of {known}")
        modes = systems[one.system].modes
        for mode in one.modes:
            if mode not in modes:
                raise ValueError(
                    f"{one.system} has no mode {mode!r}: give some of {', '.join(modes)}"
                )
    if (folder / META).exists():
        if Study.load(folder).meta["grid"] != grid.to_dict():
            raise FileExistsError(
                f"{folder} holds a study of another grid: give another folder, or remove it"
            )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} holds something else than a study: give another folder")


def _opened(grid: Grid, folder: Path) -> Study:
    """The study in a folder, or a new one there."""
    if (folder / META).exists():
        study = Study.load(folder)
    else:
        study = Study(circumstances.here(grid.name, grid.to_dict()))
    # Also cuts off a line that an interruption left half written.
    study.save(folder)
    return study


def _order(grid: Grid, done: set[str]) -> Iterator[Turn]:
    """What is to be run; by workers, then by repeats, then shuffled."""
    cells = grid.cells()
    for workers in sorted({cell.workers for cell in cells}):
        for repeat in range(grid.repeats):
            turns = [Turn(cell, repeat) for cell in cells if cell.workers == workers]
            random.Random(f"{grid.seed} {workers} {repeat}").shuffle(turns)
            yield from (turn for turn in turns if turn.key not in done)


def _run_all(
    turns: list[Turn],
    grid: Grid,
    systems: Mapping[str, Peer],
    study: Study,
    file: IO[str],
    outlook: Outlook,
) -> None:
    reasons = {name: systems[name].available() for name in grid.systems}
    # A cell that has been given up, or has no run here, is not tried again.
    hopeless = {
        record.key.rpartition("|")[0]: record.skipped for record in study.records if record.skipped
    }
    built: dict[str, Problem] = {}
    for turn in turns:
        cell, row = turn.cell, turn.key.rpartition("|")[0]
        reason = reasons[cell.system] or hopeless.get(row)
        with outlook.turn(turn):
            if cell.problem not in built:
                built[cell.problem] = problems.build(cell.problem)
            problem = built[cell.problem]
            fields = (
                {"skipped": reason} if reason else _one(systems[cell.system], problem, cell, grid)
            )
        record = _record(turn, problem, fields)
        if record.skipped:
            hopeless[row] = record.skipped
        elif not record.success and record.seconds >= grid.timeout:
            hopeless[row] = f"no end within {grid.timeout:g} s before"
        study.records.append(record)
        file.write(line_of(record))
        file.flush()


def _one(system: Peer, problem: Problem, cell: Cell, grid: Grid) -> dict[str, Any]:
    try:
        return system.run(
            problem, cell.workers, cell.mode, rtol=grid.rtol, timeout=grid.timeout, **cell.options
        )
    except Exception as error:  # what one system cannot do is no reason to end the study
        return {"skipped": f"{type(error).__name__}: {' '.join(str(error).split())}"}


def _record(turn: Turn, problem: Problem, fields: dict[str, Any]) -> Record:
    cell = turn.cell
    about = {
        "key": turn.key,
        "problem": cell.problem,
        "n": problem.n,
        "nnz": problem.nnz,
        "system": cell.system,
        "mode": cell.mode,
        "staleness": cell.staleness,
        "mailbox": cell.mailbox,
        "accelerate": cell.accelerate,
        "workers": cell.workers,
        "repeat": turn.repeat,
    }
    return Record.of(about | fields)
