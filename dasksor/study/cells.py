"""The runs of a cell together: medians and spread."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, median

from dasksor.charts.look import PHASES
from dasksor.study.record import Record

STALENESS = {0: "exact", "none": "free"}


@dataclass(frozen=True)
class Measured:
    """One cell: its median run and what varied among its ``runs``, all of which succeeded."""

    runs: tuple[Record, ...]
    problem: str
    series: str
    workers: int

    @property
    def seconds(self) -> float:
        return median(r.seconds for r in self.runs)

    @property
    def typical(self) -> Record:
        """The run whose time is nearest to the median."""
        return min(self.runs, key=lambda r: abs(r.seconds - self.seconds))

    @property
    def split(self) -> dict[str, float]:
        """Seconds of a thread by phase, mean over threads and runs; with the rest of the wall.

        All wait for the set-up, which is not a thread's own.
        """
        found = {
            phase: fmean(getattr(r, phase) for r in self.runs)
            / (1 if phase == "setup" else self.workers)
            for phase in PHASES
            if phase != "other"
        }
        wall = fmean(r.seconds for r in self.runs)
        return found | {"other": max(0.0, wall - sum(found.values()))}

    @property
    def predicted(self) -> float | None:
        return self.runs[0].predicted_seconds


def series_of(record: Record) -> str:
    """Who solved, and how: the name of a line in a chart."""
    parts = [record.system]
    if record.mode and record.mode != record.system:
        parts.append(record.mode)
    if record.staleness is not None:
        parts.append(STALENESS.get(record.staleness, f"staleness {record.staleness}"))
    parts += [part for part in (record.accelerate, record.mailbox) if part]
    return " ".join(parts)


def cells_of(records: Iterable[Record]) -> list[Measured]:
    """Cells in the order in which they were run first, from runs that succeeded."""
    found: dict[tuple[str, str, int], list[Record]] = defaultdict(list)
    for record in records:
        if record.skipped is None and record.success:
            found[record.problem, series_of(record), record.workers].append(record)
    return [Measured(tuple(runs), *cell) for cell, runs in found.items()]


def by_workers(cells: Iterable[Measured]) -> dict[str, dict[int, Measured]]:
    """Series by name, each by workers in rising order."""
    found: dict[str, dict[int, Measured]] = defaultdict(dict)
    for cell in sorted(cells, key=lambda cell: (cell.series, cell.workers)):
        found[cell.series][cell.workers] = cell
    return dict(found)
