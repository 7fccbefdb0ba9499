"""One look for all charts: colours, sizes, themes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bokeh.models import Legend, LegendItem
from bokeh.plotting import figure
from bokeh.themes import Theme

# Okabe and Ito's colours, which people tell apart however they see colours; no yellow nor black,
# so that they stand out on white and on black.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
DASHES = ("solid", "dashed", "dotted", "dotdash")
MARKERS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "hex", "plus", "x")
PHASES = {
    "compute": "#0072b2",
    "communication": "#e69f00",
    "tests": "#009e73",
    "waiting": "#b4b4b4",
    "setup": "#cc79a7",
    "other": "#7a7a7a",
}
NEUTRAL, LIMIT = "#8a8a8a", "#d55e00"
HEIGHT, LEAST_WIDTH, BAR = 400, 460, 22
TOOLS = "pan,wheel_zoom,box_zoom,reset,save"
TEXT = "13px"
# Pixels of a letter, and of a legend's line beside its text.
LETTER, GLYPH = 7, 40


def _theme(ink: str, paper: str, faint: str) -> Theme:
    text = {"text_color": ink, "text_font_size": TEXT, "text_font_style": "normal"}
    return Theme(
        json={
            "attrs": {
                "Plot": {
                    "background_fill_color": paper,
                    "border_fill_color": paper,
                    "outline_line_color": faint,
                },
                "Grid": {"grid_line_color": faint},
                "Axis": {
                    "axis_line_color": ink,
                    "major_tick_line_color": ink,
                    "minor_tick_line_color": None,
                    "major_label_text_color": ink,
                    "major_label_text_font_size": "12px",
                    **{f"axis_label_{name}": value for name, value in text.items()},
                },
                "CategoricalAxis": {
                    "group_text_color": ink,
                    "group_text_font_size": "12px",
                    "group_text_font_style": "normal",
                    "separator_line_color": faint,
                },
                "Title": {**text, "text_font_size": "15px", "text_font_style": "bold"},
                "Legend": {
                    "label_text_color": ink,
                    "label_text_font_size": "12px",
                    "background_fill_alpha": 0.0,
                    "border_line_color": None,
                    "inactive_fill_color": paper,
                },
            }
        }
    )


THEMES = {
    "light": _theme(ink="#22262b", paper="#ffffff", faint="#e3e5e8"),
    "dark": _theme(ink="#e4e6e9", paper="#1c1f24", faint="#373c44"),
}


def check_theme(name: str) -> str:
    """``name``, if there is such a theme."""
    if name not in THEMES:
        raise ValueError(f"theme must be one of {', '.join(THEMES)}, got {name!r}")
    return name


def chart(title: str, x: str, y: str, *, height: int = HEIGHT, **more: Any) -> Any:
    """An empty figure; ``x`` and ``y`` are what its axes say."""
    made = figure(
        title=title,
        x_axis_label=x,
        y_axis_label=y,
        height=height,
        min_width=LEAST_WIDTH,
        sizing_mode="stretch_width",
        tools=TOOLS,
        **more,
    )
    made.toolbar.logo = None
    made.toolbar.autohide = True
    return made


def line_of(number: int) -> dict[str, Any]:
    """Colour and dashes of a chart's line ``number``; 24 lines differ."""
    kinds = len(COLOURS)
    return {
        "line_color": COLOURS[number % kinds],
        "line_dash": DASHES[number // kinds % len(DASHES)],
    }


def marker_of(number: int) -> dict[str, Any]:
    """Shape and colour of the points on it."""
    colour = COLOURS[number % len(COLOURS)]
    return {"marker": MARKERS[number % len(MARKERS)], "color": colour, "size": 7}


def add_legend(made: Any, items: Iterable[tuple[str, Sequence[Any]]]) -> None:
    """Name what is drawn, below the data; a click on a name hides it."""
    listed = list(items)
    longest = max((len(label) for label, _ in listed), default=0)
    columns = max(1, LEAST_WIDTH // (LETTER * longest + GLYPH))
    legend = Legend(
        items=[LegendItem(label=label, renderers=list(drawn)) for label, drawn in listed],
        ncols=min(columns, max(1, len(listed))),
        click_policy="hide",
        margin=0,
        padding=4,
    )
    made.add_layout(legend, "below")
    made.height += 20 * -(-len(listed) // columns)
