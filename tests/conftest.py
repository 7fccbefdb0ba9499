"""Clusters for the tests, and a watch over what a solve leaves behind."""

import os
import threading
import time
from pathlib import Path

import hypothesis
import pytest
from distributed import Client, LocalCluster

from dasksor.mailbox import shared

# What "auto" picks between worker processes on this machine.
BETWEEN_PROCESSES = "shared" if shared.ground() else "direct"

needs_shared_memory = pytest.mark.skipif(
    not shared.ground(), reason="processes cannot share memory here"
)


def without_shared_memory():
    """Run on a worker: from now on it says that it cannot share memory."""
    shared.ground = str


# Examples compile kernels and share cores with clusters: their time says nothing.
hypothesis.settings.register_profile("dasksor", deadline=None)
hypothesis.settings.load_profile("dasksor")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Give each test process its own cache of kernels.

    Of two processes that add signatures of one kernel at once, numba's index may name the code of
    the other: it writes the two files one after the other and takes no lock.
    """
    folder = str(node.config.cache.mkdir(f"numba-{node.gateway.id}"))
    node.gateway.remote_exec(f"import os; os.environ['NUMBA_CACHE_DIR'] = {folder!r}").waitclose()


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


def memory_and_sockets():
    """What of ours this process maps, holds open or listens to, and named shared memory."""
    if not shared.ground():
        return []
    links = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:
            continue
    maps = Path("/proc/self/maps").read_text().splitlines()
    # Several test runs may share a machine: only sockets that this process holds are its own.
    sockets = [
        line.split()[-1]
        for line in Path("/proc/net/unix").read_text().splitlines()
        if "@dasksor-" in line and f"socket:[{line.split()[6]}]" in links
    ]
    return sorted(
        [name for name in links if "dasksor-" in name]
        + [line.split()[-2] for line in maps if "memfd:dasksor" in line]
        + sockets
        + [name for name in os.listdir("/dev/shm") if "dasksor" in name]
    )


def belongings(client):
    """What of ours is on the cluster, on the scheduler and on the workers."""

    def on_scheduler(dask_scheduler):
        extensions = dask_scheduler.extensions
        return (
            sorted(str(key) for key in dask_scheduler.tasks),
            sorted(extensions["queues"].queues),
            sorted(extensions["variables"].variables),
            # The history of the dashboard's page stays: one, however many solves there were.
            sorted(
                name
                for name in dask_scheduler.plugins
                if "dasksor" in name.lower() and name != "dasksor-dashboard"
            ),
        )

    def on_worker(dask_worker):
        from dasksor.engine import graph
        from dasksor.mailbox import registry

        return (
            sorted(registry._inboxes),
            sorted(graph._ledgers),
            sorted(name for name in dask_worker.plugins if "dasksor" in name.lower()),
            sorted(t.name for t in threading.enumerate() if t.name.startswith("dasksor-")),
            memory_and_sockets(),
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
    """Fail when the test leaves keys, queues, variables, plugins, memory or threads behind."""
    before = {thread.name for thread in threading.enumerate()}
    yield
    for name in ("processes", "threads"):
        if name in request.fixturenames:
            assert_nothing_left(request.getfixturevalue(name))
    new = {thread.name for thread in threading.enumerate()} - before
    assert not {name for name in new if "dasksor" in name}
