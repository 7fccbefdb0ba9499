"""Adds the page to a scheduler: before it starts, or while it runs."""

from __future__ import annotations

import logging
from typing import Any

from distributed import Client, Scheduler
from tornado.ioloop import IOLoop

from dasksor import config
from dasksor.dashboard.events import Wire
from dasksor.dashboard.history import history_of

logger = logging.getLogger("dasksor")

PATHS = ("/dasksor", "/individual-dasksor")
# A note in the scheduler's metadata: its page's path.
NOTE = "dasksor-dashboard"


def add_page(dask_scheduler: Scheduler) -> str:
    """Add history and page to a running scheduler, unless they are there; returns the note.

    The note is empty where the scheduler was started without a dashboard.

    Runs on the scheduler. The page is an application beside Dask's own, in the same server.
    """
    scheduler = dask_scheduler
    if "dashboard" not in scheduler.services or not _has_pages(scheduler):
        return ""
    from distributed.dashboard.scheduler import template_variables

    extra = template_variables(scheduler)
    _list(extra)
    history_of(scheduler)
    if not any(PATHS[0] in _paths(app) for app in scheduler.http_application.applications):
        from distributed.dashboard.core import BokehApplication

        from dasksor.dashboard.page import DOCUMENTS

        prefix = next(app.prefix for app in scheduler.http_application.applications if _paths(app))
        application = BokehApplication(
            DOCUMENTS, scheduler, prefix=prefix, template_variables=extra
        )
        scheduler.http_application.add_application(application)
        application.initialize(IOLoop.current())
        application.start()
    scheduler.task_metadata[NOTE] = PATHS[0]
    return PATHS[0]


def _list(variables: dict[str, Any]) -> None:
    """Add the page to the bar on top of Dask's own pages, from their template's ``variables``."""
    name = PATHS[0].strip("/")
    if name not in variables["pages"]:
        variables["pages"].append(name)


def _paths(application: Any) -> set[str]:
    return getattr(application, "app_paths", set())


def _has_pages(scheduler: Scheduler) -> bool:
    return any(_paths(app) for app in scheduler.http_application.applications)


class NoPageError(RuntimeError):
    """The page cannot be had; the message says why."""


def wire_to(client: Client) -> Wire | None:
    """A wire to the scheduler of ``client``, which is given the page if it has none yet.

    None where the scheduler was started without a dashboard: nobody expects a page there.

    Raises
    ------
    NoPageError
        The scheduler has a dashboard and does not let the page be added.
    """
    try:
        note = client.sync(client.scheduler.get_metadata, keys=[NOTE], default="")  # type: ignore[union-attr]
        if not note:
            note = client.run_on_scheduler(add_page)
    except Exception as error:
        raise NoPageError(
            f"the scheduler does not let it be added ({type(error).__name__}: {error}): start it "
            "with distributed.scheduler.preload: dasksor.dashboard.preload"
        ) from error
    return Wire(client) if note else None


def link_of(client: Client) -> str:
    """Where the page is, seen from this process."""
    return client.dashboard_link.removesuffix("status") + PATHS[0].strip("/")


def listener(client: Client, *, ours: bool) -> Wire | None:
    """Who hears of a solve on ``client``: nobody on a cluster of its own, or if not wanted."""
    if ours or not config.get("dashboard"):
        return None
    try:
        return wire_to(client)
    except NoPageError as reason:
        said = _reasons.setdefault(client.id, set())
        if str(reason) not in said:
            said.add(str(reason))
            logger.warning("no dashboard page of this solve: %s", reason)
        return None


# What has been said already, by client.
_reasons: dict[str, set[str]] = {}
