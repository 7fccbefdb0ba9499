"""A page of text, tables and charts that opens without a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from bokeh.embed import components
from bokeh.resources import Resources

from dasksor.charts.look import THEMES, check_theme

# No widgets and no mathematics: a third of all that Bokeh has.
INLINE = Resources(mode="inline", components=["bokeh"])

STYLE = """
:root { --ink: #22262b; --paper: #ffffff; --faint: #e3e5e8; --soft: #5c636b; }
:root.dark { --ink: #e4e6e9; --paper: #1c1f24; --faint: #373c44; --soft: #a3aab3; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       margin: 0 auto; padding: 24px 32px; max-width: 1840px; }
h1 { font-size: 26px; margin: 0 0 12px; } h2 { font-size: 19px; margin: 32px 0 8px; }
p, pre { max-width: 1000px; margin: 6px 0; } pre { white-space: pre-wrap; line-height: 1.4; }
ul { margin: 6px 0 14px; padding-left: 20px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(520px, 1fr)); gap: 24px; }
.charts > div { min-width: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 12px 3px 0; border-bottom: 1px solid var(--faint); text-align: left;
         white-space: nowrap; }
td.number, th.number { text-align: right; }
.soft { color: var(--soft); }
details > summary { cursor: pointer; }
"""


class Page:
    """Parts of a page, from top to bottom; text is escaped."""

    def __init__(self, title: str, theme: str = "light") -> None:
        self._title, self._theme = title, check_theme(theme)
        self._parts: list[str] = [f"<h1>{escape(title)}</h1>"]
        self._figures: list[Any] = []

    def heading(self, text: str) -> None:
        self._parts.append(f"<h2>{escape(text)}</h2>")

    def say(self, text: str) -> None:
        self._parts.append(f"<p>{escape(text)}</p>")

    def points(self, texts: Iterable[str]) -> None:
        """A list."""
        self._parts.append(f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>")

    def lines(self, text: str) -> None:
        """Text whose line ends stay."""
        self._parts.append(f"<pre>{escape(text)}</pre>")

    def charts(self, figures: Iterable[Any]) -> None:
        """Side by side as far as there is room."""
        cells = []
        for figure in figures:
            cells.append(f"<div>{{{len(self._figures)}}}</div>")
            self._figures.append(figure)
        # Numbers in braces are replaced once all figures are known.
        self._parts.append(f'<div class="charts">{"".join(cells)}</div>')

    def table(self, names: Sequence[str], rows: Iterable[Sequence[Any]], fold: str = "") -> None:
        """A table; ``fold`` is what to click on to unfold it."""
        made = f'<div class="wide">{table(names, rows)}</div>'
        if fold:
            made = f"<details><summary>{escape(fold)}</summary>{made}</details>"
        self._parts.append(made)

    def html(self) -> str:
        """The page."""
        named = {str(number): figure for number, figure in enumerate(self._figures)}
        script, divs = components(named, theme=THEMES[self._theme]) if named else ("", {})
        body = "\n".join(self._parts)
        for number, div in divs.items():
            body = body.replace(f"<div>{{{number}}}</div>", f"<div>{div}</div>", 1)
        resources = INLINE.render() if named else ""
        return (
            f'<!DOCTYPE html>\n<html lang="en" class="{self._theme}"><head><meta charset="utf-8">'
            f"<title>{escape(self._title)}</title><style>{STYLE}</style>{resources}</head>"
            f"<body>\n{body}\n{script}</body></html>\n"
        )

    def write(self, path: str | Path) -> Path:
        """Write it as one file."""
        path = Path(path)
        path.write_text(self.html(), "utf-8")
        return path


def table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """An HTML table, numbers to the right; everything is escaped."""
    listed = [list(row) for row in rows]
    aligned = [
        ' class="number"' if all(isinstance(row[i], int | float | None) for row in listed) else ""
        for i in range(len(names))
    ]
    head = "".join(f"<th{a}>{escape(n)}</th>" for n, a in zip(names, aligned, strict=True))
    body = "".join(
        "<tr>"
        + "".join(f"<td{a}>{escape(shown(v))}</td>" for v, a in zip(row, aligned, strict=True))
        + "</tr>"
        for row in listed
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def shown(value: Any) -> str:
    """A number as people read it, to four digits."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
