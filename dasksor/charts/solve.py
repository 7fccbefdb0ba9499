"""The pictures of one solve, from the plain form of its result."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.layouts import gridplot

from dasksor.charts.bars import split, sweeps
from dasksor.charts.curves import residuals
from dasksor.charts.page import Page, table

WIDTH, HEIGHT = 220, 48
CORNER = (
    "position:fixed;right:1em;bottom:1em;z-index:9;padding:0.6em 1em;background:#fff;color:#222;"
    "border:1px solid #bbb;font:14px sans-serif"
)


def figures(plain: dict[str, Any]) -> list[Any]:
    """Residual against time, seconds by phase, and by block; sweeps of each block."""
    history = [(m["time"], m["sweeps"], m["residual_norm"]) for m in plain["history"]]
    tolerance = float(np.linalg.norm(plain["target"]))
    made = [
        residuals({plain["mode"]: history}, tolerance, y="residual norm"),
        split({"all threads": plain["timings"]["total"]}, x="thread seconds"),
    ]
    if len(plain["sweeps_per_block"]) > 1:
        made.append(sweeps({plain["mode"]: plain["sweeps_per_block"]}))
    blocks = plain["timings"]["blocks"]
    if len(blocks) > 1:
        named = {f"block {p}": seconds for p, seconds in enumerate(blocks)}
        made.append(split(named, title="Where the blocks' time went"))
    return made


def layout(plain: dict[str, Any]) -> Any:
    """The figures in two columns, for a notebook or an application."""
    return gridplot(figures(plain), ncols=2, sizing_mode="stretch_width", merge_tools=False)


def write(plain: dict[str, Any], text: str, path: str | Path, theme: str = "light") -> Path:
    """One page: ``text``, the charts, what was chosen, and the history."""
    page = Page("A solve by dasksor", theme)
    page.lines(text)
    page.charts(figures(plain))
    page.heading("Facts and choices")
    page.table(["", "value"], facts(plain))
    page.heading("Measured residuals")
    rows = [
        (float(m["time"]), m["sweeps"], float(m["residual_norm"]), float(m["omega"]))
        for m in plain["history"]
    ]
    page.table(["seconds", "sweeps", "residual norm", "omega"], rows, fold=f"{len(rows)} of them")
    return page.write(path)


def facts(plain: dict[str, Any]) -> list[tuple[str, str]]:
    """What a result says of itself, in rows of a table."""
    worst = float(np.max(plain["residual_norm"]))
    found = {
        "outcome": plain["message"],
        "residual norm": f"{worst:.3e}, to be at most {float(np.max(plain['target'])):.3e}",
        "sweeps": plain["sweeps"],
        "method": plain["accelerate"] or "relaxation",
        "omega": f"{plain['omega']:.6g}, {plain['omega_origin']}",
        "mode": f"{plain['mode']}: {plain['reason']}",
        "staleness": "none is bounded" if plain["staleness"] is None else plain["staleness"],
        "blocks, threads": f"{plain['blocks']}, {plain['workers']}",
        "mailbox": plain["mailbox"],
        "slices": f"{plain['messages']:,}, {plain['bytes_sent'] / 1e6:.1f} MB",
        "seconds": f"{plain['timings']['wall']:.3f}",
    }
    return [(name, str(value)) for name, value in found.items() if value is not None]


def summary(plain: dict[str, Any]) -> str:
    """HTML for a notebook: the facts and a small picture of the residual; no script."""
    return f"<div>{table(['dasksor', ''], facts(plain))}{_spark(plain['history'])}</div>"


def add_phases(plain: dict[str, Any], page: Path) -> None:
    """Put where the threads' time went in a corner of a page that knows nothing of it.

    Long tasks are one bar each in Dask's own report.
    """
    total = plain["timings"]["total"]
    whole = sum(total.values()) or 1.0
    rows = [(phase, seconds, f"{seconds / whole:.0%}") for phase, seconds in total.items()]
    told = table(["phase", "thread seconds", "share"], rows)
    corner = f"<details open style='{CORNER}'><summary>Tasks of dasksor</summary>{told}</details>"
    text = page.read_text("utf-8")
    # Scripts before it mention the tag as well.
    at = text.rindex("</body>")
    page.write_text(text[:at] + corner + text[at:], "utf-8")


def _spark(history: list[dict[str, Any]]) -> str:
    points = [
        (m["time"], math.log10(m["residual_norm"]))
        for m in history
        if m["residual_norm"] > 0.0 and math.isfinite(m["residual_norm"])
    ]
    if len(points) < 2:
        return ""
    x, y = np.array(points).T
    x = 2 + (WIDTH - 4) * (x - x[0]) / (np.ptp(x) or 1.0)
    y = 2 + (HEIGHT - 4) * (y.max() - y) / (np.ptp(y) or 1.0)
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    told = escape("logarithm of the residual norm against time")
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img"><title>{told}</title>'
        f'<polyline points="{path}" fill="none" stroke="#0072b2" stroke-width="2"/></svg>'
    )
