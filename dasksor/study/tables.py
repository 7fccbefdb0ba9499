"""A study's cells as rows: medians and spread over the runs of each."""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from dasksor.study.record import Record, Study

CSV, JSON, REPORT = "results.csv", "results.json", "report.html"
_CELL = (
    "problem", "n", "nnz", "system", "mode", "staleness", "mailbox", "accelerate", "workers",
)  # fmt: skip
_MEDIANS = (
    "sweeps", "omega", "setup", "compute", "communication", "tests", "waiting", "messages", "bytes",
    "predicted_seconds",
)  # fmt: skip


def rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """One row for each cell, in the order of their first runs.

    ``seconds`` is the median over the runs, ``fastest`` and ``slowest`` are its spread; the others
    are medians too, but `residual`, which is the largest.
    """
    cells: dict[str, list[Record]] = {}
    for record in records:
        cells.setdefault(record.key.rpartition("|")[0], []).append(record)
    return [_row(runs) for runs in cells.values()]


def write(study: Study, folder: Path) -> None:
    """Tables of a study, beside its records."""
    table = rows(study.records)
    with open(folder / CSV, "w", newline="", encoding="utf-8") as file:
        if table:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
    content = json.dumps(study.meta | {"cells": [_finite(row) for row in table]}, indent=1)
    (folder / JSON).write_text(content + "\n", "utf-8")


def summary(study: Study) -> Table:
    """The cells on a terminal, fastest first within each problem."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("problem, and by what", no_wrap=True)
    for name in ("workers", "sweeps", "seconds", "spread", "planned", "residual"):
        table.add_column(name, justify="right", no_wrap=True)
    found = rows(study.records)
    last = ""
    order = {row["problem"]: place for place, row in enumerate(found)}
    for row in sorted(found, key=lambda row: (order[row["problem"]], row["seconds"] or math.inf)):
        if row["problem"] != last:
            table.add_section()
            table.add_row(f"{row['problem']}, n = {row['n']}")
            last = row["problem"]
        words = [f"  {_how(row)}", str(row["workers"])]
        if row["runs"]:
            spread = (row["slowest"] - row["fastest"]) / row["seconds"] if row["seconds"] else 0.0
            planned = row["predicted_seconds"]
            words += [f"{row['sweeps']:.0f}", f"{row['seconds']:.3g}", f"{spread:.0%}"]
            words += ["-" if planned is None else f"{planned:.3g}"]
            shown = "-" if math.isnan(row["residual"]) else f"{row['residual']:.0e}"
            words += [shown + ("!" if row["successes"] < row["runs"] else "")]
        else:
            words += ["-"]
        table.add_row(*words)
    return table


def _how(row: dict[str, Any]) -> str:
    words = [row["system"], row["mode"]]
    words += [f"s={row['staleness']}"] if row["staleness"] is not None else []
    words += [row[name] for name in ("mailbox", "accelerate") if row[name] not in (None, "auto")]
    return " ".join(words)


def _row(runs: list[Record]) -> dict[str, Any]:
    ran = [run for run in runs if not run.skipped]
    seconds = [run.seconds for run in ran]
    # What was asked for names the cell; a run knows which method served it.
    about = ran[0] if ran else runs[0]
    row = {name: getattr(about, name) for name in _CELL}
    row |= {
        "runs": len(ran),
        "successes": sum(run.success for run in ran),
        "seconds": statistics.median(seconds) if ran else None,
        "fastest": min(seconds, default=None),
        "slowest": max(seconds, default=None),
        "residual": max((run.residual for run in ran), default=None),
    }
    for name in _MEDIANS:
        known = [value for run in ran if (value := getattr(run, name)) is not None]
        row[name] = statistics.median(known) if known else None
    return row | {"skipped": next((run.skipped for run in runs if run.skipped), None)}


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no word for what is not finite."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
