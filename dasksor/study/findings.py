"""What a study shows, in sentences made from its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from dasksor.charts.curves import speedups
from dasksor.study.cells import Measured, by_workers

# Less of a difference is no finding on a machine that does other things as well.
WORTH = 1.05


def findings(cells: Sequence[Measured]) -> list[str]:
    """Who is fastest, and where the speedup of each series ends."""
    if not cells:
        return ["No run succeeded."]
    best = min(cells, key=lambda cell: cell.seconds)
    said = [f"Fastest is {best.series} on {_workers(best.workers)}, {_time(best)}."]
    others = [cell for cell in cells if cell.series != best.series]
    if others:
        second = min(others, key=lambda cell: cell.seconds)
        ratio = second.seconds / best.seconds
        if ratio >= WORTH:
            said.append(f"Next is {second.series}, which took {ratio:.3g} times as long.")
        else:
            said.append(f"{second.series} is as fast within {WORTH - 1:.0%}.")
    for series, points in by_workers(cells).items():
        if len(points) > 1:
            said.append(_speedup(series, points))
    return said


def _speedup(series: str, points: dict[int, Measured]) -> str:
    ratios = speedups({workers: cell.seconds for workers, cell in points.items()})
    top = max(ratios, key=lambda workers: ratios[workers])
    last = max(points)
    if ratios[top] / min(ratios) < WORTH:
        return f"{series} gains nothing from more than {_workers(min(points))}."
    said = f"{series}: speedup {ratios[top]:.3g} at {_workers(top)}"
    if last == top:
        return f"{said}, the most that were tried."
    return f"{said}, {ratios[last]:.3g} at {last}."


def _workers(count: int) -> str:
    return "one worker" if count == 1 else f"{count} workers"


def _time(cell: Measured) -> str:
    seconds = [run.seconds for run in cell.runs]
    if len(seconds) == 1:
        return f"{cell.seconds:.3g} s in one run"
    return f"median {cell.seconds:.3g} s ({min(seconds):.3g} to {max(seconds):.3g})"
