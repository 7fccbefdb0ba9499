"""A study as one page that opens without a network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dasksor import charts
from dasksor.charts.page import Page
from dasksor.study.cells import Measured, by_workers, cells_of, series_of
from dasksor.study.findings import findings
from dasksor.study.record import Study

COLUMNS = (
    "problem", "series", "workers", "runs", "median s", "min s", "max s", "sweeps", "residual",
    "messages", "MB", "predicted s",
)  # fmt: skip


def write(study: Study, path: str | Path, theme: str = "light") -> Path:
    """Write the report of ``study``.

    Parameters
    ----------
    study : Study
    path : str or Path
    theme : str
        ``"light"`` or ``"dark"``.

    Returns
    -------
    Path
        Of the page.
    """
    page = Page(f"Study {study.meta.get('name', '')}".strip(), theme)
    cells = cells_of(study.records)
    _say_where(page, study.meta)
    for problem in _problems(study):
        here = [cell for cell in cells if cell.problem == problem]
        page.heading(problem)
        page.points(findings(here))
        if here:
            _draw(page, here)
    _compare_with_prediction(page, cells)
    page.heading("All cells")
    page.table(COLUMNS, [_row(cell) for cell in cells])
    _list_failures(page, study)
    _count_lines(page, study.meta.get("loc") or {})
    page.heading("Grid")
    page.table(["", "value"], _flat(study.meta.get("grid") or {}))
    return page.write(path)


def _problems(study: Study) -> list[str]:
    """From small to large."""
    sizes = {record.problem: (record.n, record.problem) for record in study.records}
    return sorted(sizes, key=sizes.__getitem__)


def _say_where(page: Page, meta: Mapping[str, Any]) -> None:
    facts = [*_flat(meta.get("machine") or {}), *_flat(meta.get("versions") or {})]
    facts += [(name, str(meta[name])) for name in ("began", "commit") if meta.get(name)]
    page.table(["where and when", ""], facts)


def _draw(page: Page, cells: Sequence[Measured]) -> None:
    series = by_workers(cells)
    seconds = {label: _each(points, "seconds") for label, points in series.items()}
    scaling = {label: points for label, points in seconds.items() if len(points) > 1}
    # A series looks alike in all charts.
    numbers = {label: number for number, label in enumerate(series)}
    made, missing = [charts.seconds(seconds, numbers=numbers)], []
    if scaling:
        made += [
            charts.speedup(scaling, numbers=numbers),
            charts.efficiency(scaling, numbers=numbers),
        ]
    else:
        missing.append("speedup (each series has one number of workers)")
    modes = {label: points for label, points in seconds.items() if _has_both(series, label)}
    if modes:
        made.append(charts.versus(modes, numbers=numbers))
    else:
        missing.append("async against sync (no system has both)")
    rows = {
        (label, str(workers)): cell.split
        for label, points in series.items()
        for workers, cell in points.items()
    }
    made.append(
        charts.split(
            rows, title="Total time by phase", x="seconds of a worker, mean; workers on the left"
        )
    )
    largest = {label: points[max(points)].typical for label, points in series.items()}
    histories = {
        f"{label}, {run.workers}": run.history for label, run in largest.items() if run.history
    }
    numbers |= {f"{label}, {run.workers}": numbers[label] for label, run in largest.items()}
    made += [charts.residuals(histories, numbers=numbers)] if histories else []
    missing += [] if histories else ["residual against time (no history kept)"]
    swept = {
        f"{label}, {run.workers}": run.sweeps_per_block
        for label, run in largest.items()
        if len(run.sweeps_per_block) > 1
    }
    made += [charts.sweeps(swept, numbers=numbers)] if swept else []
    missing += [] if swept else ["sweeps of blocks (not counted)"]
    messages = {label: _typical(points, "messages") for label, points in series.items()}
    if any(count for points in messages.values() for count in points.values()):
        sent = {label: _typical(points, "bytes") for label, points in series.items()}
        made += charts.traffic(messages, sent, numbers=numbers)
    else:
        missing.append("messages (none counted)")
    page.charts(made)
    if missing:
        page.say(f"Not drawn: {'; '.join(missing)}.")


def _has_both(series: Mapping[str, Mapping[int, Measured]], label: str) -> bool:
    """Whether the series is one of a system that was run both ways."""

    def system_and_mode(points: Mapping[int, Measured]) -> tuple[str, str]:
        record = next(iter(points.values())).typical
        return record.system, record.mode.removesuffix("hronous")

    both = {"sync", "async"}
    system, mode = system_and_mode(series[label])
    found = map(system_and_mode, series.values())
    return mode in both and {other for name, other in found if name == system} >= both


def _each(points: Mapping[int, Measured], name: str) -> dict[int, float]:
    return {workers: getattr(cell, name) for workers, cell in points.items()}


def _typical(points: Mapping[int, Measured], name: str) -> dict[int, float]:
    return {workers: getattr(cell.typical, name) for workers, cell in points.items()}


def _compare_with_prediction(page: Page, cells: Sequence[Measured]) -> None:
    page.heading("Measured against predicted")
    points: dict[str, list[tuple[float, float]]] = {}
    for cell in cells:
        if cell.predicted is not None and cell.predicted > 0.0:
            points.setdefault(cell.series, []).append((cell.seconds, cell.predicted))
    if not points:
        page.say("Nothing was predicted.")
        return
    off = [p / m for pairs in points.values() for m, p in pairs]
    typical = math.exp(sum(abs(math.log(ratio)) for ratio in off) / len(off))
    page.say(
        f"{len(off)} cells; a prediction is off by a factor of {typical:.3g} in the geometric "
        f"mean, from {min(off):.3g} to {max(off):.3g} times what was measured."
    )
    page.charts([charts.predicted(points)])


def _row(cell: Measured) -> tuple[Any, ...]:
    seconds, run = [r.seconds for r in cell.runs], cell.typical
    return (
        cell.problem, cell.series, cell.workers, len(seconds), cell.seconds, min(seconds),
        max(seconds), float(run.sweeps), float(run.residual), run.messages, run.bytes / 1e6,
        cell.predicted,
    )  # fmt: skip


def _list_failures(page: Page, study: Study) -> None:
    failed = [
        (r.problem, series_of(r), r.workers, r.skipped or "did not converge")
        for r in study.records
        if r.skipped is not None or not r.success
    ]
    if failed:
        page.heading("Skipped or failed")
        page.table(["problem", "series", "workers", "why"], list(dict.fromkeys(failed)))


def _count_lines(page: Page, loc: Mapping[str, int]) -> None:
    if loc:
        page.heading("Lines of code")
        page.table(["program", "lines"], sorted(loc.items(), key=lambda item: item[1]))


def _flat(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in facts.items()
    ]
