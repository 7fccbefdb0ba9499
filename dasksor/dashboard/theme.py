"""The page on a light ground and on a dark one; the colours of what is drawn are the charts'."""

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
    ages : tuple of str
        From values newer than exact, by exact, to old ones.
    """

    name: str
    ground: str
    panel: str
    text: str
    faint: str
    grid: str
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
        ages=("#0072b2", "#6aa9d0", "#bcd7e8", "#eceff3", "#f6d9a4", "#e69f00", "#d55e00"),
    ),
    DARK: Look(
        DARK,
        ground="#14171c",
        panel="#1d2229",
        text="#e6e9ed",
        faint="#a3adb9",
        grid="#363d47",
        ages=("#56b4e9", "#3a7ba3", "#2b4d66", "#2a3038", "#6b4f1e", "#b57f10", "#f0ad1e"),
    ),
}
