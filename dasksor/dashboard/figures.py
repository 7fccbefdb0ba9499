"""The figures of the page, each with the source that its story fills."""

from __future__ import annotations

from typing import Any

from bokeh.models import (
    BasicTicker,
    BasicTickFormatter,
    ColumnDataSource,
    FactorRange,
    HoverTool,
    LinearColorMapper,
    NumeralTickFormatter,
    Range1d,
)
from bokeh.models.annotations import ColorBar
from bokeh.plotting import figure

from dasksor.charts import look as charts
from dasksor.charts.look import COLOURS, LIMIT
from dasksor.dashboard.history import Story
from dasksor.dashboard.theme import Look
from dasksor.engine.ticker import PHASES

SIZED = {"sizing_mode": "stretch_both", "min_height": 120, "min_width": 150}
TOOLS = "pan,xwheel_zoom,box_zoom,reset,save"
MOST_NAMES = 16
SNAPSHOTS = ("ordered", "measured", "safe")


def _figure(title: str, **options: Any) -> Any:
    return figure(title=title, tools=TOOLS, **{**SIZED, **options})


def _columns(points: list[Any], *names: str) -> dict[str, list[Any]]:
    return {name: [point[k] for point in points] for k, name in enumerate(names)}


class Residuals:
    """The measured residual against time, and the tolerance; omega against time."""

    def __init__(self) -> None:
        names = ("time", "sweeps", "residual", "omega")
        self.source = ColumnDataSource({name: [] for name in names}, name="residuals")
        self.target = ColumnDataSource({"time": [], "residual": []}, name="target")
        self.plot = plot = _figure("Residual", y_axis_type="log")
        line, limit = COLOURS[0], LIMIT
        curve = plot.line(
            "time", "residual", source=self.source, color=line, line_width=2,
            legend_label="norm of b - A x",
        )  # fmt: skip
        plot.scatter("time", "residual", source=self.source, color=line, size=4)
        plot.line(
            "time", "residual", source=self.target, color=limit, line_width=1.5, line_dash="dashed",
            legend_label="tolerance",
        )  # fmt: skip
        tips = [
            ("residual", "@residual{0.00e+0}"),
            ("sweeps", "@sweeps"),
            ("after", "@time{0.00} s"),
        ]
        plot.add_tools(HoverTool(tooltips=tips, renderers=[curve], mode="vline"))
        plot.xaxis.axis_label = "seconds"
        plot.legend.location = "top_right"
        self.omega = _figure("Relaxation factor", y_range=Range1d(start=0.0, end=2.0))
        self.omega.step("time", "omega", source=self.source, mode="after", color=line, line_width=2)
        self.omega.xaxis.axis_label = "seconds"

    def show(self, story: Story) -> None:
        data = _columns(story.residuals.points, "time", "sweeps", "residual", "omega")
        # A logarithm has no place for zero, nor for what overflowed.
        data["residual"] = [r if 0.0 < r < 1e300 else None for r in data["residual"]]
        self.source.data = data
        target = story.now.get("target", 0.0)
        span = [0.0, story.now["time"]] if target > 0.0 else []
        self.target.data = {"time": span, "residual": [target] * len(span)}


class Ages:
    """How old the values were that blocks used, block by block."""

    def __init__(self, look: Look) -> None:
        self.source = ColumnDataSource({"reader": [], "read": [], "age": []}, name="ages")
        self._mapper = LinearColorMapper(palette=look.ages, low=-1, high=1)
        self.plot = plot = _figure(
            "Staleness of the values used", x_range=Range1d(start=-0.5, end=0.5)
        )
        plot.y_range = Range1d(start=0.5, end=-0.5)
        cells = plot.rect(
            "read", "reader", 0.94, 0.94, source=self.source, line_color=None,
            fill_color={"field": "age", "transform": self._mapper},
        )  # fmt: skip
        tips = [("block", "@reader"), ("read block", "@read"), ("passes old", "@age")]
        plot.add_tools(HoverTool(tooltips=tips, renderers=[cells]))
        plot.grid.visible = False
        plot.xaxis.axis_label, plot.yaxis.axis_label = "read block", "block"
        for axis in (plot.xaxis, plot.yaxis):
            axis.ticker = BasicTicker(min_interval=1)
        ticker = BasicTicker(desired_num_ticks=5, min_interval=1)
        bar = ColorBar(color_mapper=self._mapper, width=8, title=None, ticker=ticker, padding=2)
        bar.formatter = BasicTickFormatter(use_scientific=False)
        plot.add_layout(bar, "right")

    def show(self, story: Story) -> None:
        grid = story.now.get("ages") or []
        cells = [
            (i, j, age)
            for i, row in enumerate(grid)
            for j, age in enumerate(row)
            if age is not None
        ]
        self.source.data = _columns(cells, "reader", "read", "age")
        count = max(len(grid), 1)
        self.plot.x_range.end, self.plot.y_range.start = count - 0.5, count - 0.5
        most = max([1, *(abs(age) for _, _, age in cells)])
        self._mapper.update(low=-most, high=most)
        self.plot.title.text = "Staleness of the values used" if cells else self._why(story)

    def _why(self, story: Story) -> str:
        if story.head.get("accelerate"):
            return "Staleness: none, cycles are exact"
        if story.head.get("mode") == "sync":
            return "Staleness: none, sweeps are exact"
        return "Staleness of the values used"


class Sweeps:
    """Sweeps done by each block."""

    def __init__(self) -> None:
        self.source = ColumnDataSource({"block": [], "sweeps": []}, name="sweeps")
        self.plot = plot = _figure("Sweeps of each block")
        bars = plot.vbar("block", 0.85, "sweeps", source=self.source, color=COLOURS[0])
        tips = [("block", "@block"), ("sweeps", "@sweeps{0,0.[0]}")]
        plot.add_tools(HoverTool(tooltips=tips, renderers=[bars]))
        plot.y_range.start = 0
        plot.xaxis.axis_label = "block"
        plot.xaxis.ticker = BasicTicker(min_interval=1)
        plot.xgrid.visible = False

    def show(self, story: Story) -> None:
        sweeps = story.now["sweeps"]
        self.source.data = {"block": list(range(len(sweeps))), "sweeps": sweeps}


class Traffic:
    """Messages and megabytes a second."""

    def __init__(self) -> None:
        names = ("time", "messages", "megabytes")
        self.source = ColumnDataSource({name: [] for name in names}, name="traffic")
        self.messages = _figure("Messages a second")
        self.megabytes = _figure("Megabytes a second", x_range=self.messages.x_range)
        for plot, name, color in zip(
            (self.messages, self.megabytes), names[1:], COLOURS, strict=False
        ):
            plot.line("time", name, source=self.source, color=color, line_width=2)
            plot.varea("time", 0, name, source=self.source, color=color, alpha=0.15)
            plot.y_range.start = 0
            plot.yaxis.ticker = BasicTicker(desired_num_ticks=3)
        self.messages.yaxis.formatter = NumeralTickFormatter(format="0.[0]a")
        self.messages.xaxis.visible = False
        self.megabytes.xaxis.axis_label = "seconds"

    def show(self, story: Story) -> None:
        self.source.data = _columns(story.rates.points, "time", "messages", "megabytes")


class Split:
    """What each worker thread spent its time on."""

    def __init__(self) -> None:
        names = ("thread", *PHASES)
        self.source = ColumnDataSource({name: [] for name in names}, name="split")
        self.plot = plot = _figure("Seconds of each worker thread", y_range=FactorRange())
        bars = plot.hbar_stack(
            PHASES, y="thread", height=0.8, source=self.source, legend_label=list(PHASES),
            color=[charts.PHASES[phase] for phase in PHASES], line_color=None,
        )  # fmt: skip
        tips = [("thread", "@thread"), ("$name", "@$name{0.00} s")]
        plot.add_tools(HoverTool(tooltips=tips, renderers=bars))
        plot.x_range.start = 0
        plot.ygrid.visible = False
        legend = plot.legend[0]
        legend.orientation, legend.spacing, legend.glyph_width = "horizontal", 6, 10
        plot.add_layout(legend, "below")
        plot.xaxis.axis_label = "seconds"

    def show(self, story: Story) -> None:
        split = story.now["split"]
        labels = list(split)
        if self.plot.y_range.factors != labels[::-1]:
            self.plot.y_range.factors = labels[::-1]
            self.plot.yaxis.visible = len(labels) <= MOST_NAMES
        columns = dict(zip(PHASES, zip(*split.values(), strict=True), strict=True))
        self.source.data = {"thread": labels, **{k: list(v) for k, v in columns.items()}}


class Snapshots:
    """The numbers of the snapshots that were ordered, measured and safe, against time."""

    def __init__(self) -> None:
        self.source = ColumnDataSource(
            {name: [] for name in ("time", *SNAPSHOTS)}, name="snapshots"
        )
        self.plot = plot = _figure("Snapshots")
        # Mostly they are equal: the later ones are drawn narrower, over those before.
        for name, color, width in zip(SNAPSHOTS, COLOURS, (7, 4, 1.5), strict=False):
            plot.step(
                "time", name, source=self.source, mode="after", color=color, line_width=width,
                legend_label=name,
            )  # fmt: skip
        plot.legend.location = "top_left"
        plot.xaxis.axis_label = "seconds"

    def show(self, story: Story) -> None:
        self.source.data = _columns(story.snapshots.points, "time", *SNAPSHOTS)
