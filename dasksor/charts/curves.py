"""Charts of one quantity against another: residuals, speedup, messages, predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bokeh.models import ColumnDataSource, CustomJSTickFormatter, FixedTicker, HoverTool
from bokeh.models.annotations import LegendItem, Span

from dasksor.charts.look import LIMIT, NEUTRAL, add_legend, chart, line_of, marker_of

# 0.01, 3, 200, 5000: as people write them, where Bokeh's axis would write powers of ten.
PLAIN = (
    "return tick >= 1e6 || tick < 1e-4 ? tick.toExponential(0) "
    ": String(Number(tick.toPrecision(3)))"
)
MARKED = 40
TICKS = [m * 10.0**e for e in range(-7, 13) for m in (1, 2, 5)]

# By the number of workers.
Series = Mapping[str, Mapping[int, float]]
# Which colour and marker a series has in all charts of a page, instead of that of its place.
Numbers = Mapping[str, int]


def residuals(
    histories: Mapping[str, Sequence[Sequence[float]]],
    tolerance: float | None = None,
    *,
    title: str = "Residual against time",
    y: str = "residual norm, relative to b",
    numbers: Numbers = MappingProxyType({}),
) -> Any:
    """One curve for each history of ``(seconds, sweeps, residual norm)``.

    ``tolerance`` is drawn as a line. A residual that is not a positive number leaves a gap.
    """
    made = chart(title, "seconds", y, y_axis_type="log")
    drawn = []
    for place, (label, history) in enumerate(histories.items()):
        number = numbers.get(label, place)
        points = [list(point[:3]) for point in history]
        source = ColumnDataSource(
            {
                "seconds": [p[0] for p in points],
                "sweeps": [p[1] for p in points],
                "residual": [
                    p[2] if p[2] > 0 and math.isfinite(p[2]) else math.nan for p in points
                ],
                "series": [label] * len(points),
            }
        )
        line = made.line("seconds", "residual", source=source, line_width=2, **line_of(number))
        parts = [line]
        if len(points) <= MARKED:
            parts.append(made.scatter("seconds", "residual", source=source, **marker_of(number)))
        drawn.append((label, parts))
    _tell(
        made,
        [parts[-1] for _, parts in drawn],
        [("", "@series"), ("seconds", "@seconds{0.000}"), ("sweeps", "@sweeps{0.[0]}"),
         ("residual", "@residual{0.00e+0}")],
    )  # fmt: skip
    if tolerance is not None and tolerance > 0.0:
        span = Span(dimension="width", location=tolerance, line_color=LIMIT, line_dash="dashed")
        made.add_layout(span)
        # A line that is no data of its own has to be named by one that is.
        nothing = [math.nan]
        named = made.line(nothing, nothing, line_color=LIMIT, line_dash="dashed")
        drawn.append(("tolerance", [named]))
    add_legend(made, drawn)
    return made


def seconds(
    series: Series, *, title: str = "Time against workers", numbers: Numbers = MappingProxyType({})
) -> Any:
    """Seconds of a solve, both axes logarithmic."""
    made = _against_workers(series, title, "seconds", numbers, y_axis_type="log")
    _write_plainly(made.yaxis)
    return made


def speedup(
    series: Series, *, title: str = "Speedup", numbers: Numbers = MappingProxyType({})
) -> Any:
    """How many times faster than on one worker; ``series`` are seconds.

    A series without one worker is taken to be perfect up to the fewest that it has.
    """
    ratios = {label: speedups(points) for label, points in series.items()}
    made = _against_workers(
        ratios, title, "times faster than on one worker", numbers, y_axis_type="log"
    )
    _write_plainly(made.yaxis)
    made.line(
        _counts(series), _counts(series), line_color=NEUTRAL, line_dash="dashed", level="underlay"
    )
    _name_last(made, "ideal")
    return made


def efficiency(
    series: Series, *, title: str = "Efficiency", numbers: Numbers = MappingProxyType({})
) -> Any:
    """Speedup by worker; ``series`` are seconds."""
    shares = {
        label: {workers: ratio / workers for workers, ratio in speedups(points).items()}
        for label, points in series.items()
    }
    made = _against_workers(shares, title, "speedup / workers", numbers)
    made.y_range.start = 0.0
    counts = _counts(series)
    made.line(counts, [1.0] * len(counts), line_color=NEUTRAL, line_dash="dashed", level="underlay")
    _name_last(made, "ideal")
    return made


def traffic(
    messages: Series, sent: Series, *, numbers: Numbers = MappingProxyType({})
) -> tuple[Any, Any]:
    """Two charts: messages, and megabytes, against workers; ``sent`` are bytes."""
    megabytes = {
        label: {workers: count / 1e6 for workers, count in points.items()}
        for label, points in sent.items()
    }
    made = (
        _against_workers(_positive(messages), "Messages", "messages", numbers, y_axis_type="log"),
        _against_workers(_positive(megabytes), "Bytes", "megabytes", numbers, y_axis_type="log"),
    )
    for one in made:
        _write_plainly(one.yaxis)
    return made


def predicted(points: Mapping[str, Sequence[tuple[float, float]]]) -> Any:
    """Pairs ``(measured, predicted)`` seconds; on the diagonal the prediction is right."""
    made = chart(
        "Measured against predicted", "seconds measured", "seconds predicted",
        x_axis_type="log", y_axis_type="log",
    )  # fmt: skip
    drawn = []
    for number, (label, pairs) in enumerate(points.items()):
        source = ColumnDataSource(
            {
                "measured": [p[0] for p in pairs],
                "predicted": [p[1] for p in pairs],
                "series": [label] * len(pairs),
            }
        )
        parts = [made.scatter("measured", "predicted", source=source, **marker_of(number))]
        drawn.append((label, parts))
    _tell(
        made,
        [parts[0] for _, parts in drawn],
        [("", "@series"), ("measured", "@measured{0.000} s"), ("predicted", "@predicted{0.000} s")],
    )
    both = [value for pairs in points.values() for pair in pairs for value in pair if value > 0]
    if both:
        ends = [0.7 * min(both), 1.4 * max(both)]
        line = made.line(ends, ends, line_color=NEUTRAL, line_dash="dashed", level="underlay")
        drawn.append(("as predicted", [line]))
    for axis in (*made.xaxis, *made.yaxis):
        _write_plainly(axis)
    add_legend(made, drawn)
    return made


def speedups(points: Mapping[int, float]) -> dict[int, float]:
    """From seconds by workers; see `speedup`."""
    if not points:
        return {}
    fewest = min(points)
    return {w: fewest * points[fewest] / s for w, s in sorted(points.items()) if s > 0.0}


def _against_workers(series: Series, title: str, y: str, numbers: Numbers, **more: Any) -> Any:
    made = chart(title, "workers", y, x_axis_type="log", **more)
    drawn = []
    for place, (label, points) in enumerate(series.items()):
        number = numbers.get(label, place)
        counts = sorted(points)
        source = ColumnDataSource(
            {
                "workers": counts,
                "value": [points[w] for w in counts],
                "series": [label] * len(counts),
            }
        )
        line = made.line("workers", "value", source=source, line_width=2, **line_of(number))
        dots = made.scatter("workers", "value", source=source, **marker_of(number))
        drawn.append((label, [line, dots]))
    _tell(
        made,
        [parts[-1] for _, parts in drawn],
        [("", "@series"), ("workers", "@workers"), (y, "@value{0.[0000]}")],
    )
    made.xaxis.ticker = FixedTicker(ticks=_apart(_counts(series)))
    made.xaxis.formatter = CustomJSTickFormatter(code="return String(tick)")
    made.xgrid.ticker = made.xaxis.ticker
    add_legend(made, drawn)
    return made


def _write_plainly(axis: Any) -> None:
    axis.ticker = FixedTicker(ticks=TICKS)
    axis.formatter = CustomJSTickFormatter(code=PLAIN)


def _apart(counts: Sequence[int]) -> list[int]:
    """Those that can be written below a logarithmic axis without touching."""
    kept: list[int] = []
    for count in counts:
        if not kept or count >= 1.12 * kept[-1]:
            kept.append(count)
    return kept


def _counts(series: Series) -> list[int]:
    return sorted({workers for points in series.values() for workers in points})


def _positive(series: Series) -> Series:
    found = {
        label: {workers: value for workers, value in points.items() if value > 0}
        for label, points in series.items()
    }
    return {label: points for label, points in found.items() if points}


def _name_last(made: Any, label: str) -> None:
    made.legend[0].items.append(LegendItem(label=label, renderers=[made.renderers[-1]]))


def _tell(made: Any, renderers: Sequence[Any], what: list[tuple[str, str]]) -> None:
    made.add_tools(HoverTool(renderers=list(renderers), tooltips=what, visible=False))
