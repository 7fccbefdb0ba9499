"""Clusters for the tests, and a watch over what a solve leaves behind."""

import threading
import time

import hypothesis
import pytest
from distributed import Client, LocalCluster

# Examples compile kernels and share cores with clusters: their time says nothing.
hypothesis.settings.register_profile("dasksor", deadline=None)
hypothesis.settings.load_profile("dasksor")


def _client(**options):
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", **options) as made,
        Client(made, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def processes():
    """A client of two worker processes."""
    yield from _client(processes=True)


@pytest.fixture(scope="session")
def threads():
    """A client of two workers that are threads of this process."""
    yield from _client(processes=False)


def belongings(client):
    """What of ours is on the cluster, on the scheduler and on the workers."""

    def on_scheduler(dask_scheduler):
        extensions = dask_scheduler.extensions
        return (
            sorted(str(key) for key in dask_scheduler.tasks),
            sorted(extensions["queues"].queues),
            sorted(extensions["variables"].variables),
            sorted(name for name in dask_scheduler.plugins if "dasksor" in name.lower()),
        )

    def on_worker(dask_worker):
        from dasksor.engine import graph
        from dasksor.mailbox import registry

        return (
            sorted(registry._inboxes),
            sorted(graph._ledgers),
            sorted(
                name
                for name in (*dask_worker.plugins, *dask_worker.handlers)
                if "dasksor" in name.lower()
            ),
        )

    return client.run_on_scheduler(on_scheduler), client.run(on_worker)


def assert_nothing_left(client, seconds=5.0):
    """The cluster forgets keys a moment after their last future is gone, so wait for it."""
    deadline = time.monotonic() + seconds
    while True:
        scheduler, workers = belongings(client)
        if not any(scheduler) and not any(any(kept) for kept in workers.values()):
            return
        assert time.monotonic() < deadline, (scheduler, workers)
        time.sleep(0.02)


@pytest.fixture
def tidy(request):
    """Fail when the test leaves keys, queues, variables, plugins or threads behind."""
    before = {thread.name for thread in threading.enumerate()}
    yield
    for name in ("processes", "threads"):
        if name in request.fixturenames:
            assert_nothing_left(request.getfixturevalue(name))
    new = {thread.name for thread in threading.enumerate()} - before
    assert not {name for name in new if "dasksor" in name}
