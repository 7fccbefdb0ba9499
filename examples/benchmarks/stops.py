"""How long does a solve go on after Ctrl-C, its timeout, or a callback that has had enough?

    python examples/benchmarks/stops.py

Seconds from the signal, the end of the time, or the callback's return to the return of `solve`, on
two single-thread worker processes; also the longest time between two calls of the callback.
"""

from __future__ import annotations

import os
import platform
import signal
import threading
import time
from importlib.metadata import version
from typing import Any

import numpy as np
from distributed import Client, LocalCluster

import dasksor
from dasksor import problems

MODES = {
    "sequential": {"mode": "sequential"},
    "sync": {"mode": "sync"},
    "exact": {"mode": "async", "staleness": 0},
    "free": {"mode": "async", "staleness": None, "accelerate": None},
    "cg": {"mode": "async", "accelerate": "cg"},
}
WAYS = ("Ctrl-C", "timeout", "callback")


class Ending:
    """A callback that brings about the end of its solve in one of the `WAYS`.

    ``due`` is when that was.
    """

    def __init__(self, way: str, after: float) -> None:
        self.due = np.inf
        self.longest = 0.0
        self._way, self._after = way, after
        self._called: float | None = None

    def __call__(self, progress: Any) -> bool:
        now = time.monotonic()
        if self._called is None:
            self._begin(now, progress.time)
        else:
            self.longest = max(self.longest, now - self._called)
        self._called = now
        if self._way == "callback" and now > self._begun + self._after and np.isinf(self.due):
            self.due = now
        return self._way == "callback" and self.due == now

    def _begin(self, now: float, spent: float) -> None:
        self._begun = now
        if self._way == "timeout":
            self.due = now - spent + self._after
        if self._way == "Ctrl-C":
            threading.Timer(self._after, self._press).start()

    def _press(self) -> None:
        self.due = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)


def main() -> None:
    print(platform.platform(), f"{os.cpu_count()} cores, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in ("distributed", "numpy", "numba")))
    cases = {
        "poisson 1000^2": (problems.poisson((1000, 1000)), {"omega": 1.5}, 2.0),
        # A tiny omega, so that it does not converge at once.
        "dense 5000": (problems.dense_spd(5000), {"omega": 0.05}, 0.5),
    }
    print(f"{'':15}{'mode':11}" + "".join(f"{way:>10}" for way in WAYS) + f"{'between calls':>15}")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        for name, (A, options, after) in cases.items():
            for mode, how in MODES.items():
                print(f"{name:15}{mode:11}", end="")
                longest = 0.0
                where = {} if mode == "sequential" else {"client": client}
                for way in WAYS:
                    ending = Ending(way, after)
                    result = dasksor.solve(
                        A, np.ones(A.shape[0]), rtol=1e-15, callback=ending,
                        timeout=after if way == "timeout" else None,
                        **how, **where, **(options if mode != "free" else {"omega": 1.0}),
                    )  # fmt: skip
                    seconds = time.monotonic() - ending.due
                    stopped = result.status.name in ("STOPPED", "TIMEOUT")
                    print(f"{seconds:>10.2f}" if stopped else f"{'-':>10}", end="", flush=True)
                    longest = max(longest, ending.longest)
                print(f"{longest:>15.2f}", flush=True)


if __name__ == "__main__":
    main()
