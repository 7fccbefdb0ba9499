"""Colours and lines of the page, on a light ground and on a dark one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bokeh.themes import Theme

LIGHT, DARK = "light", "dark"


@dataclass(frozen=True)
class Look:
    """The colours of one ground.

    Attributes
    ----------
    phases : tuple of str
        Compute, communication, tests, waiting.
    lines : tuple of str
        For curves, in order.
    ages : tuple of str
        From values newer than exact, by exact, to old ones.
    """

    name: str
    ground: str
    panel: str
    text: str
    faint: str
    grid: str
    limit: str
    phases: tuple[str, ...]
    lines: tuple[str, ...]
    ages: tuple[str, ...]

    @property
    def theme(self) -> Theme:
        """For a Bokeh document."""
        axis = {
            "axis_label_text_color": self.faint,
            "axis_label_text_font_style": "normal",
            "axis_label_text_font_size": "12px",
            "axis_line_color": self.grid,
            "major_label_text_color": self.faint,
            "major_label_text_font_size": "11px",
            "major_tick_line_color": self.grid,
            "minor_tick_line_color": None,
        }
        attrs: dict[str, dict[str, Any]] = {
            "Plot": {
                "background_fill_color": self.panel,
                "border_fill_color": self.panel,
                "outline_line_color": None,
                "min_border_left": 10,
                "min_border_right": 14,
                "min_border_top": 8,
                "min_border_bottom": 8,
            },
            "Toolbar": {"logo": None, "autohide": True},
            "Title": {
                "text_color": self.text,
                "text_font_size": "13px",
                "text_font_style": "bold",
            },
            "Axis": axis,
            "Grid": {"grid_line_color": self.grid, "grid_line_alpha": 0.6},
            "Legend": {
                "label_text_color": self.text,
                "label_text_font_size": "11px",
                "background_fill_color": self.panel,
                "background_fill_alpha": 0.7,
                "border_line_color": None,
                "padding": 2,
                "spacing": 0,
                "margin": 4,
                "glyph_height": 14,
                "label_height": 14,
            },
            "BaseColorBar": {
                "background_fill_color": None,
                "major_label_text_color": self.faint,
                "major_label_text_font_size": "11px",
            },
        }
        return Theme(json={"attrs": attrs})


LOOKS = {
    LIGHT: Look(
        LIGHT,
        ground="#f4f5f7",
        panel="#ffffff",
        text="#1f2933",
        faint="#5b6673",
        grid="#dde2e8",
        limit="#c0392b",
        phases=("#2f6db5", "#e08a2e", "#8a5fb3", "#c3cad3"),
        lines=("#2f6db5", "#e08a2e", "#2e9e83"),
        ages=("#2f6db5", "#7fa6d6", "#c3d4ea", "#eceff3", "#f4d3ad", "#e9a45a", "#c8641b"),
    ),
    DARK: Look(
        DARK,
        ground="#14171c",
        panel="#1d2229",
        text="#e6e9ed",
        faint="#a3adb9",
        grid="#363d47",
        limit="#ff7b6b",
        phases=("#5b9be0", "#f0a24e", "#b48ce0", "#4b5562"),
        lines=("#5b9be0", "#f0a24e", "#49c2a4"),
        ages=("#5b9be0", "#41719f", "#2f4a66", "#2a3038", "#6b4a2a", "#b06f2f", "#f0a24e"),
    ),
}
