"""Charts of bars: where time went, sweeps of blocks, modes side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bokeh.models import ColumnDataSource, FactorRange, HoverTool
from bokeh.transform import dodge

from dasksor.charts.look import BAR, COLOURS, PHASES, add_legend, chart

# A string, or several that are grouped by the first.
Row = Any


def split(
    rows: Mapping[Row, Mapping[str, float]],
    *,
    title: str = "Where time went",
    x: str = "seconds",
) -> Any:
    """Seconds by phase, stacked, a bar for each row.

    ``rows`` are named by a string, or by up to three that are grouped by the first.
    """
    names = list(rows)
    factors = names[::-1]
    height = BAR * len(names) + 110
    made = chart(
        title, x, "", height=height, y_range=FactorRange(factors=factors, range_padding=0.05)
    )
    phases = [p for p in PHASES if any(row.get(p, 0.0) > 0.0 for row in rows.values())]
    data: dict[str, Any] = {phase: [rows[f].get(phase, 0.0) for f in factors] for phase in phases}
    data["row"] = factors
    data["name"] = [f if isinstance(f, str) else ", ".join(f) for f in factors]
    drawn = made.hbar_stack(
        phases, y="row", height=0.75, color=[PHASES[p] for p in phases], line_color=None,
        source=ColumnDataSource(data),
    )  # fmt: skip
    told = [("", "@name"), *((phase, f"@{phase}{{0.0000}} s") for phase in phases)]
    made.add_tools(HoverTool(renderers=drawn, tooltips=told, visible=False))
    made.x_range.start = 0.0
    made.ygrid.grid_line_color = None
    made.yaxis.group_label_orientation = "horizontal"
    made.yaxis.major_tick_line_color = None
    add_legend(made, [(phase, [bars]) for phase, bars in zip(phases, drawn, strict=True)])
    return made


def sweeps(
    blocks: Mapping[str, Sequence[float]],
    *,
    title: str = "Sweeps of each block",
    numbers: Mapping[str, int] = MappingProxyType({}),
) -> Any:
    """A bar for each block; side by side where there are several series."""
    longest = max((len(values) for values in blocks.values()), default=0)
    groups = [str(p) for p in range(longest)]
    series = {label: dict(zip(groups, values, strict=False)) for label, values in blocks.items()}
    return _grouped(series, groups, title, "block", "sweeps", numbers)


def versus(
    series: Mapping[str, Mapping[int, float]],
    *,
    title: str = "Asynchronous against synchronous",
    numbers: Mapping[str, int] = MappingProxyType({}),
) -> Any:
    """Seconds by workers, a bar for each series."""
    counts = sorted({workers for points in series.values() for workers in points})
    named = {
        label: {str(workers): value for workers, value in points.items()}
        for label, points in series.items()
    }
    return _grouped(named, [str(w) for w in counts], title, "workers", "seconds", numbers)


def _grouped(
    series: Mapping[str, Mapping[str, float]],
    groups: Sequence[str],
    title: str,
    x: str,
    y: str,
    numbers: Mapping[str, int],
) -> Any:
    made = chart(title, x, y, x_range=FactorRange(factors=list(groups)))
    width = 0.8 / max(1, len(series))
    drawn = []
    for place, (label, values) in enumerate(series.items()):
        number = numbers.get(label, place)
        present = [group for group in groups if group in values]
        source = ColumnDataSource(
            {
                "group": present,
                "value": [values[group] for group in present],
                "series": [label] * len(present),
            }
        )
        at = dodge("group", (place + 0.5) * width - 0.4, range=made.x_range)
        bars = made.vbar(
            at, top="value", width=0.92 * width, source=source, line_color=None,
            color=COLOURS[number % len(COLOURS)],
            fill_alpha=1.0 if number < len(COLOURS) else 0.5,
        )  # fmt: skip
        drawn.append((label, [bars]))
    told = [("", "@series"), (x, "@group"), (y, "@value{0.[0000]}")]
    made.add_tools(
        HoverTool(renderers=[bars for _, (bars,) in drawn], tooltips=told, visible=False)
    )
    made.y_range.start = 0
    made.xgrid.grid_line_color = None
    made.xaxis.major_label_orientation = 0.0 if len(groups) <= 24 else 1.2
    if len(drawn) > 1:
        add_legend(made, drawn)
    return made
