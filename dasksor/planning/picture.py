"""A plan as a picture: speedup, and seconds, over the number of workers."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bokeh.embed import file_html
from bokeh.layouts import gridplot
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Range1d
from bokeh.plotting import figure
from bokeh.resources import INLINE

from dasksor.planning.forecast import MODES, Forecast

# Apart in brightness as well as in hue.
LOOKS = {
    "sync": ("#7f7f7f", "square"),
    "exact": ("#0055aa", "circle"),
    "free": ("#d98200", "triangle"),
    "cg": ("#b0136b", "diamond"),
}
WIDTH, HEIGHT = 620, 500
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SUFFIXES = (".html", ".png")


def draw(rows: Sequence[Forecast], problem: str, path: Path) -> None:
    """Write the picture of a plan's ``rows`` for ``problem``; see `Plan.plot`."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"a plot is {' or '.join(SUFFIXES)}, got {path.name}: rename it")
    if path.suffix == ".html":
        path.write_text(page(rows, problem), "utf-8")
        return
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise RuntimeError(
            f"a picture needs Chromium to draw {path.name}: install it, or use .html"
        )
    with tempfile.TemporaryDirectory() as folder:
        source, taken = Path(folder, "plan.html"), Path(folder, "plan.png")
        source.write_text(page(rows, problem), "utf-8")
        command = [
            browser, "--headless", "--disable-gpu", "--hide-scrollbars",
            "--virtual-time-budget=3000", f"--window-size={2 * WIDTH + 20},{HEIGHT + 20}",
            f"--user-data-dir={folder}/profile", f"--screenshot={taken}", source.as_uri(),
        ]  # fmt: skip
        if os.geteuid() == 0:
            # The browser's sandbox refuses the superuser.
            command.insert(1, "--no-sandbox")
        subprocess.run(command, check=False, capture_output=True, timeout=60)
        if not taken.exists():
            raise RuntimeError(f"{browser} did not draw {path.name}: use .html")
        shutil.copyfile(taken, path)


def page(rows: Sequence[Forecast], problem: str) -> str:
    """A page of its own, scripts included."""
    shown = [row for row in rows if math.isfinite(row.seconds)]
    if not shown:
        raise ValueError("no mode of this plan converges: plan with omega='best'")
    workers = sorted({row.workers for row in shown})
    low = max(1e-2, min(1.0, *(row.speedup for row in shown)))
    left = _figure(
        f"Speedup: {problem}", "seconds of one worker / seconds", workers,
        (low / 1.5, 1.5 * max(2, workers[-1])),
    )  # fmt: skip
    left.line(
        workers, workers, color="black", line_dash="dashed", line_width=1.5, legend_label="ideal"
    )
    seconds = [row.seconds for row in shown]
    right = _figure(
        f"Seconds: {problem}", "seconds of the iteration", workers,
        (min(seconds) / 2, 2 * max(seconds)),
    )  # fmt: skip
    for mode in MODES:
        of_mode = [row for row in shown if row.mode == mode]
        if of_mode:
            _add(left, of_mode, "speedup", mode)
            _add(right, of_mode, "seconds", mode)
    # One legend for both, where no speedup can be.
    right.legend.visible = False
    left.legend.location = "top_left"
    left.legend.click_policy = "hide"
    left.legend.background_fill_alpha = 0.85
    left.legend.label_text_font_size = "10pt"
    return file_html(gridplot([[left, right]], toolbar_location=None), INLINE, f"Plan: {problem}")


def _figure(title: str, label: str, workers: list[int], limits: tuple[float, float]) -> Any:
    # Bokeh's models know less about their types than they do.
    shape: Any = figure(
        width=WIDTH, height=HEIGHT, title=title, x_axis_type="log", y_axis_type="log",
        x_range=Range1d(start=workers[0] / 1.3, end=1.3 * workers[-1]),
        y_range=Range1d(start=limits[0], end=limits[1]),
        x_axis_label="workers, one thread each", y_axis_label=label, tools="",
    )  # fmt: skip
    shape.xaxis.ticker = FixedTicker(ticks=workers)
    shape.xaxis.major_label_overrides = {number: f"{number:,}" for number in workers}
    shape.title.text_font_size = "11pt"
    shape.axis.axis_label_text_font_style = "normal"
    shape.grid.grid_line_alpha = 0.5
    return shape


def _add(shape: Any, rows: list[Forecast], what: str, mode: str) -> None:
    color, marker = LOOKS[mode]
    source = ColumnDataSource(
        {
            "workers": [row.workers for row in rows],
            "value": [getattr(row, what) for row in rows],
            "seconds": [row.seconds for row in rows],
            "sweeps": [row.sweeps for row in rows],
        }
    )
    label = f"{mode}: {MODES[mode]}" if mode != "sync" else "sync: task graph"
    style: dict[str, Any] = {"source": source, "color": color, "legend_label": label}
    shape.line("workers", "value", line_width=2.5, **style)
    points = shape.scatter("workers", "value", size=9, marker=marker, **style)
    told = [("workers", "@workers"), ("sweeps", "@sweeps"), ("seconds", "@seconds{0.000 a}")]
    shape.add_tools(HoverTool(renderers=[points], tooltips=[("mode", mode), *told]))
