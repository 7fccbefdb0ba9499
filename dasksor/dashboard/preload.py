"""Gives a scheduler the page from its start: ``distributed.scheduler.preload``.

For example ``dask scheduler --preload dasksor.dashboard.preload``. The page is then listed among
Dask's own, also where clients may not run code on the scheduler.
"""

from __future__ import annotations

from distributed import Scheduler

from dasksor.dashboard.live import add_page

try:
    from distributed.dashboard import scheduler as dask_pages
except ImportError:
    # Dask itself says that the dashboard needs bokeh.
    pass
else:
    from dasksor.dashboard.page import DOCUMENTS

    # The scheduler reads this after it has loaded its preloads.
    dask_pages.applications.update(DOCUMENTS)


def dask_setup(dask_scheduler: Scheduler) -> None:
    """Keep a history of solves from now on."""
    add_page(dask_scheduler)
