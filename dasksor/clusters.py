"""Which cluster a solve runs on: the given one, the current one, or one of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from distributed import Client, LocalCluster, get_client, get_worker, worker_client

from dasksor.choices import available_cores


def current_client() -> Client | None:
    try:
        client = get_client()
    except ValueError:
        return None
    return client if client.status == "running" and not client.asynchronous else None


def _inside_a_task() -> bool:
    try:
        get_worker()
    except ValueError:
        return False
    return True


@contextlib.contextmanager
def cluster_for(client: Client | None) -> Iterator[tuple[Client, bool]]:
    """The given client, the current one, or threads of this process for the time of the call.

    Also says whether the cluster is ours and ends with the call.
    """
    with contextlib.ExitStack() as stack:
        ours = False
        if client is None and _inside_a_task():
            # This task must leave its thread, or the solve would wait for a place behind it.
            client = stack.enter_context(worker_client())
        elif client is None:
            client = current_client()
        if client is None:
            ours = True
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=available_cores(),
                    threads_per_worker=1,
                    processes=False,
                    dashboard_address=":0",
                )
            )
            client = stack.enter_context(Client(cluster, set_as_default=False))
        yield client, ours
