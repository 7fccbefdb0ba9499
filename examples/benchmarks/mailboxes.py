"""How fast is each mailbox, and how does it bear many workers?

    python examples/benchmarks/mailboxes.py [WORKERS ...]

Workers of one thread each, in pairs, all pairs at once. Latency is half the median round trip of
one message. Throughput is what arrives, all pairs together, when one of each pair posts without
waiting for more than its last 8 messages to be seen; what is overtaken does not count.
About two minutes.
"""

import contextlib
import logging
import os
import platform
import statistics
import sys
import time
import uuid

import distributed
import numpy as np
from distributed import Client, LocalCluster, Queue, Variable, get_worker

import dasksor
from dasksor.mailbox.inbox import Inbox
from dasksor.mailbox.line import Line
from dasksor.mailbox.routes import Mail
from dasksor.mailbox.variables import Ring, VariablesMailbox
from dasksor.messages import Slice

SIZES = (8_000, 800_000)
SECONDS = 0.8
WARMUP = 0.2
AHEAD = 8


class Player:
    """One host at a worker: posts to its partner and takes what comes."""

    def __init__(self, run, host, kind, addresses, queues):
        worker = get_worker()
        loop = worker.loop.asyncio_loop
        self.host, self.partner = host, host ^ 1
        self.queue, self.inbox = queues[host], Inbox()
        routes = (kind,) * len(addresses)
        self.mail = Mail(
            worker, loop, run, host, self.inbox,
            routes=routes, addresses=addresses, queues=queues,
        )  # fmt: skip
        self.line = Line(worker.scheduler, loop, self.queue, self.hear)

    def hear(self, messages):
        self.mail.answer([message for message in messages if isinstance(message, Ring)])

    def post(self, version, values):
        self.mail.post(self.partner, [Slice(self.host, self.partner, version, values)])

    def newest(self, timeout=0.0):
        """The version that has come last; None after ``timeout`` seconds without one."""
        return max((message.version for message in self.inbox.take(timeout)), default=None)

    def play(self, size):
        """Times of round trips, as the even host of each pair sees them."""
        values, began, trips = np.ones(size // 8), time.perf_counter(), []
        version, sent = 0, began
        if self.host % 2 == 0:
            self.post(version, values)
        while (now := time.perf_counter()) - began < WARMUP + SECONDS:
            heard = self.newest(0.1)
            if heard is None or heard < version:
                continue
            now = time.perf_counter()
            if self.host % 2 == 0:
                if sent - began > WARMUP:
                    trips.append(now - sent)
                version, sent = heard + 1, now
            else:
                version = heard
            self.post(version, values)
        return trips

    def stream(self, size):
        """Bytes that arrived in a second, as the odd host of each pair sees them."""
        values, seen = np.ones(size // 8), np.ones(1)
        began, version, known, arrived = time.perf_counter(), 0, 0, 0
        while (now := time.perf_counter()) - began < WARMUP + SECONDS:
            if self.host % 2 == 0:
                if version - known < AHEAD:
                    version += 1
                    self.post(version, values)
                known = max(known, self.newest(0.1 * (version - known == AHEAD)) or 0)
            elif (heard := self.newest(0.1)) is not None:
                arrived += size * (now - began > WARMUP)
                self.post(heard, seen)
        return arrived / SECONDS

    def close(self):
        self.line.end(self.queue)
        self.line.close()
        self.mail.close()


def enter(*about):
    get_worker().player = Player(*about)


def act(what, *args):
    return getattr(get_worker().player, what)(*args)


def match(client, kind, size, count):
    """Median half round trip in seconds and bytes a second of all pairs, ``count`` workers."""
    addresses = sorted(client.nthreads())[:count]
    run = f"dasksor-{uuid.uuid4().hex[:12]}"
    names = [f"{run}-orders-{host}" for host in range(count)]
    queues = [Queue(name, client=client) for name in names]

    def everywhere(function, *args):
        futures = [client.submit(function, *args, workers=[a], pure=False) for a in addresses]
        return client.gather(futures)

    client.gather(
        [
            client.submit(enter, run, host, kind, addresses, names, workers=[a], pure=False)
            for host, a in enumerate(addresses)
        ]
    )
    trips = [trip for trips in everywhere(act, "play", size) for trip in trips]
    rate = sum(everywhere(act, "stream", size))
    everywhere(act, "close")
    for queue in queues:
        queue.close()
    if kind == "variables":
        for host in range(count):
            name = VariablesMailbox.name(run, host, host ^ 1)
            Variable(name, client=client).delete()
    return statistics.median(trips) / 2 if trips else float("nan"), rate


def processor():
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.machine()


def main(counts):
    print(
        f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, distributed {distributed.__version__}, "
        f"dasksor {dasksor.__version__}"
    )
    heads = "".join(f"{f'{size // 1000} kB: us':>14}{'MB/s':>8}" for size in SIZES)
    print(f"{'mailbox':12}{'workers':>8}{heads}", flush=True)
    for processes, kinds in ((False, ["memory"]), (True, ["shared", "direct", "variables"])):
        with (
            LocalCluster(
                n_workers=max(counts),
                threads_per_worker=1,
                processes=processes,
                # Sixteen processes on two cores take longer to end than nannies like.
                silence_logs=logging.ERROR,
                dashboard_address=":0",
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            for kind in kinds:
                for count in counts:
                    cells = ""
                    for size in SIZES:
                        latency, rate = match(client, kind, size, count)
                        cells += f"{latency * 1e6:>14.0f}{rate / 1e6:>8.0f}"
                    print(f"{kind:12}{count:>8}{cells}", flush=True)


if __name__ == "__main__":
    main([int(count) for count in sys.argv[1:]] or [2, 4, 8, 16])
