"""Measures a machine: real kernels, real mailboxes, real tasks, on two worker processes."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
from distributed import Client, LocalCluster, Queue
from distributed.protocol import to_serialize

from dasksor import problems
from dasksor.choices import available_cores
from dasksor.planning import synchronous
from dasksor.planning.layout import Layout
from dasksor.planning.machine import Link, Machine
from dasksor.planning.pace import sweep_seconds
from dasksor.planning.rates import REPEATS, cycle_rates, kernel_rates
from dasksor.planning.stencil import Stencil
from dasksor.solve import solve

# A grid of a few points: sweeps of its blocks are nothing but messages and the loop around them.
TINY, WIDE = (16, 8), (2, 60_000)
LEAST = 1e-6


def calibrate(client: Client | None = None) -> Machine:
    """Measure what sweeps, messages and tasks cost, in about half a minute.

    Parameters
    ----------
    client : distributed.Client, optional
        Of a cluster with two workers or more on this machine. By default two single-threaded
        worker processes are started for the time of the call.

    Returns
    -------
    Machine
        With the cores of this machine. What lies between nodes is taken as dear as the mailbox
        ``"direct"`` is between two processes here: give ``machine.replace(far=...)`` what your
        network adds.

    Raises
    ------
    ValueError
        The cluster has fewer than two workers.
    """
    with _two_workers(client) as client:
        sweep, product = kernel_rates(client)
        vectors, coarse = cycle_rates(client)
        free = Link(0.0, 1e30)
        machine = Machine(
            cores=available_cores(), sweep=sweep, product=product, vectors=vectors,
            work=0.0, post=0.0, near=free, far=free, line=free, report=0.0, coarse=coarse,
            hop=0.0, task=0.0,
        )  # fmt: skip
        work, post = _work_and_post(client)
        machine = machine.replace(work=work, post=post)
        machine = machine.replace(near=_link(client, machine, "auto"))
        machine = machine.replace(far=_link(client, machine, "direct"))
        report, line = _line(client)
        machine = machine.replace(report=report, line=line)
        return machine.replace(task=_task(client), hop=_hop(client))


@contextlib.contextmanager
def _two_workers(client: Client | None) -> Iterator[Client]:
    if client is not None:
        if len(client.nthreads()) < 2:
            raise ValueError(
                f"calibrate needs two workers, the cluster has {len(client.nthreads())}: "
                "scale it up, or leave client out"
            )
        yield client
        return
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster, set_as_default=False) as made,
    ):
        yield made


# Messages: what real runs on a tiny grid take beyond what the model knows already.


def _pace(client: Client, shape: tuple[int, ...], sweeps: int, **options: Any) -> float:
    """Seconds per sweep in the later half of what a run measured, the fastest of some runs."""
    matrix = problems.poisson(shape)
    b = np.sin(np.arange(1.0, matrix.shape[0] + 1.0))
    found = []
    for _ in range(REPEATS):
        result = solve(matrix, b, mode="async", rtol=0.0, maxiter=sweeps, client=client, **options)
        # The last snapshot of free sweeps waits for word that all blocks are through, which comes
        # a tenth of a second after the last sweep.
        late = result.history[len(result.history) // 2 : -1]
        found.append((late[-1].time - late[0].time) / (late[-1].sweeps - late[0].sweeps))
    return min(found)


def _work_and_post(client: Client) -> tuple[float, float]:
    """From hosts that always have something to do.

    Of four blocks, exact sweeps leave some to do while one waits; of two, free sweeps both. Each
    host posts one message for each sweep.
    """
    four = _pace(client, TINY, 3000, staleness=0, omega=1.5, blocks=8)
    two = _pace(client, TINY, 3000, staleness=None, accelerate=None, omega=1.0, blocks=4)
    # Where noise is larger than the difference, a message costs nothing.
    work = min(max(0.5 * (four - two), LEAST), 0.25 * four)
    return work, max(0.0, two - 2 * work)


def _link(client: Client, machine: Machine, mailbox: str) -> Link:
    """One block to a host: each sweep waits for two messages."""
    options = {"staleness": 0, "omega": 1.5, "blocks": 2, "mailbox": mailbox}
    seconds = []
    for shape in ((2, 8), WIDE):
        layout = Layout.of(Stencil.of(shape), machine, 2, 1)
        rest = sweep_seconds(layout, exact=True)
        seconds.append(max(LEAST, (_pace(client, shape, 120, **options) - rest) / 2))
    short, long = seconds
    size = Stencil.of(WIDE).slice_bytes
    return Link(short, size / max(LEAST, long - short))


def _line(client: Client) -> tuple[float, Link]:
    """Seconds of the scheduler for each message through a queue, and its latency and bandwidth."""
    queue = Queue(f"dasksor-{uuid.uuid4().hex[:12]}", client=client)
    scheduler: Any = client.scheduler
    messages = 200

    def exchange(count: int, content: Any) -> float:
        began = time.perf_counter()
        for _ in range(count):
            client.sync(
                scheduler.queue_put,
                name=queue.name,
                data=to_serialize([content]),
                timeout=None,
            )
            client.sync(scheduler.queue_get, name=queue.name, timeout=None, batch=False)
        return (time.perf_counter() - began) / count

    try:
        exchange(20, None)
        short, size = exchange(messages, None), 4_000_000
        long = exchange(5, np.ones(size // 8))
    finally:
        queue.close()
    # A put and a get, each there and back: a message goes half of the way, and a quarter of it all
    # is the scheduler's own part.
    return short / 4, Link(short / 2, size / max(LEAST, long - short))


# Tasks


def _task(client: Client) -> float:
    count = 300
    seconds = []
    for _ in range(1 + REPEATS):
        began = time.perf_counter()
        client.gather(client.map(_nothing, range(count), pure=False))
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:]) / count


def _nothing(i: int) -> int:
    return i


def _hop(client: Client) -> float:
    """The run's time is hops and nothing else; the later half of it, where legs are long."""
    matrix = problems.poisson((40, 8))
    seconds = []
    for _ in range(REPEATS):
        history = solve(
            matrix, np.ones(matrix.shape[0]), mode="sync", rtol=0.0, maxiter=80, omega=1.5,
            blocks=4, client=client,
        ).history  # fmt: skip
        late = [m for m in history if m.sweeps >= 40]
        sweeps = late[-1].sweeps - late[0].sweeps
        hops = synchronous.hops(hosts=2, blocks=4, sweeps=sweeps, legs=len(late) - 1)
        seconds.append((late[-1].time - late[0].time) / hops)
    return min(seconds)
