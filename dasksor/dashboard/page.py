"""The page of solves, as a Bokeh document of Dask's dashboard."""

from __future__ import annotations

import time
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from bokeh.document import Document
from bokeh.layouts import column, row
from bokeh.models.widgets import Div, Select
from distributed import Scheduler
from distributed.dashboard.components import DashboardComponent, add_periodic_callback
from distributed.dashboard.components.scheduler import env

from dasksor.dashboard.figures import Ages, Residuals, Snapshots, Split, Sweeps, Traffic
from dasksor.dashboard.history import Story, history_of
from dasksor.dashboard.theme import DARK, LIGHT, LOOKS, Look

MILLISECONDS = 250
NEWEST = "newest"
TEMPLATE = Path(__file__).with_name("page.html")
NOTHING = "No solve yet. This page fills while <code>dasksor.solve</code> runs on this cluster."


class SolvesPage(DashboardComponent):
    """Figures of one solve, the newest or the one that is selected."""

    def __init__(self, scheduler: Scheduler, look: Look) -> None:
        self._history = history_of(scheduler)
        residuals, traffic = Residuals(), Traffic()
        ages, split, sweeps, snapshots = Ages(look), Split(), Sweeps(), Snapshots()
        self._figures = (residuals, traffic, ages, split, sweeps, snapshots)
        options: list[Any] = [(NEWEST, "the newest solve")]
        self._select = Select(value=NEWEST, options=options, width=260)
        self._select.stylesheets = [
            f".bk-input {{ background: {look.panel}; color: {look.text} }}",
            f".bk-input {{ border-color: {look.grid} }}",
        ]
        self._facts = Div(text=NOTHING, sizing_mode="stretch_width", styles={"color": look.text})
        self._shown: tuple[str, int] | None = None
        self._look = look
        wide: Any = {"sizing_mode": "stretch_both"}
        rates = column(traffic.messages, traffic.megabytes, spacing=0, **wide)
        self.root: Any = column(
            row(self._select, self._facts, sizing_mode="stretch_width", spacing=12),
            row(
                row(residuals.plot, **wide),
                row(ages.plot, split.plot, spacing=8, **wide),
                spacing=8,
                **wide,
            ),
            row(
                row(sweeps.plot, rates, spacing=8, **wide),
                row(residuals.omega, snapshots.plot, spacing=8, **wide),
                spacing=8,
                **wide,
            ),
            spacing=8,
            name="dasksor",
            **wide,
        )
        self.source = residuals.source

    def update(self, messages: Any = None) -> None:
        """Show what is new of the solve that is selected."""
        stories = self._history.stories
        if not stories:
            return
        options: list[Any] = [(NEWEST, "the newest solve")]
        options += [(name, _title(story)) for name, story in reversed(stories.items())]
        if options != self._select.options:
            self._select.options = options
        name = self._select.value if self._select.value in stories else next(reversed(stories))
        story = stories[name]
        if story.now and self._shown != (name, story.edition):
            self._shown = name, story.edition
            for shown in self._figures:
                shown.show(story)
            self._facts.text = _facts(story, self._look)


def _title(story: Story) -> str:
    head = story.head
    began = time.strftime("%H:%M:%S", time.localtime(head["at"]))
    state = "running" if story.status is None else story.status.split(":")[0]
    return f"{began}  {head['mode']}, n = {head['n']}, {state}"


def _facts(story: Story, look: Look) -> str:
    head, now = story.head, story.now
    measured = story.residuals.points[-1] if story.residuals.points else (0.0, 0, 0.0, 0.0)
    staleness = "exact" if head["staleness"] == 0 else f"staleness {head['staleness']}"
    how = f"{head['mode']}, {head['accelerate'] or staleness}"
    facts = {
        "": story.status or "running",
        "unknowns": f"{head['n']:,}",
        "mode": how,
        "blocks": f"{head['blocks']} on {len(now['split'])} threads",
        "sweeps": f"{measured[1]:,.0f}",
        "residual": f"{measured[2]:.2e}",
        "omega": f"{now['omega']:.4g}",
        "sent": f"{now['messages']:,} messages, {now['bytes'] / 1e6:.1f} MB",
        "time": f"{now['time']:.1f} s",
    }
    return "".join(
        f'<span style="display:inline-block;margin:2px 13px 2px 0">'
        f'<span style="color:{look.faint};font-size:11px">{escape(name)}</span> '
        f'<b style="font-size:13px;font-weight:600">{escape(fact)}</b></span>'
        for name, fact in facts.items()
    )


def _document(scheduler: Scheduler, extra: dict[str, Any], doc: Document, *, has_bar: bool) -> None:
    context: Any = doc.session_context
    arguments = context.request.arguments
    asked = b"".join(arguments.get("theme", [])).decode("ascii", "replace")
    look = LOOKS.get(asked, LOOKS[LIGHT])
    page = SolvesPage(scheduler, look)
    page.update()
    add_periodic_callback(doc, page, MILLISECONDS)
    doc.add_root(page.root)
    doc.theme = look.theme
    doc.title = "Dask: dasksor"
    if has_bar:
        doc.template = env.from_string(TEMPLATE.read_text())
        other = LIGHT if look.name == DARK else DARK
        doc.template_variables.update(extra, look=look, other=other, chosen=bool(asked))


# By path: what Dask's dashboard calls with its scheduler, its template's variables and a document.
DOCUMENTS = {
    "/dasksor": partial(_document, has_bar=True),
    "/individual-dasksor": partial(_document, has_bar=False),
}
