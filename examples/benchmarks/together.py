"""Two solves at once on one cluster: does each get its share?

    python examples/benchmarks/together.py

Two single-thread worker processes. A solve alone; two equal ones at once, each with a client of
its own; a small one again and again beside a large one. Medians of three. Who shares fairly takes
2.0 times as long beside an equal one.
"""

from __future__ import annotations

import os
import platform
import statistics
import threading
import time
from importlib.metadata import version
from typing import Any

import numpy as np
from distributed import Client, LocalCluster

import dasksor
from dasksor import problems

REPEATS = 3
EXACT = {"mode": "async", "staleness": 0}


class Case:
    """A system, and how to solve it."""

    def __init__(self, name: str, A: Any, **options: Any) -> None:
        self.name = name
        self._A, self._b, self._options = A, np.ones(A.shape[0]), options

    def seconds(self, address: str) -> float:
        """How long a solve takes, for a client of its own."""
        with Client(address, set_as_default=False) as client:
            began = time.perf_counter()
            dasksor.solve(self._A, self._b, client=client, **self._options)
            return time.perf_counter() - began


def grid(lines: int, name: str, **options: Any) -> Case:
    return Case(f"poisson {lines}^2, {name}", problems.poisson((lines, lines)), **options)


def alone(case: Case, address: str) -> float:
    return statistics.median([case.seconds(address) for _ in range(1 + REPEATS)][1:])


def at_once(cases: list[Case], address: str) -> list[float]:
    """The seconds of each of ``cases``, begun together."""
    seconds = [0.0] * len(cases)

    def run(place: int) -> None:
        seconds[place] = cases[place].seconds(address)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(cases))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seconds


def beside(small: Case, large: Case, address: str) -> tuple[float, float]:
    """The median of ``small`` while ``large`` lasts, and the seconds of ``large``."""
    seconds: list[float] = []
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            seconds.append(small.seconds(address))

    thread = threading.Thread(target=run)
    thread.start()
    taken = large.seconds(address)
    over.set()
    thread.join()
    return statistics.median(seconds), taken


def main() -> None:
    print(platform.platform(), f"{os.cpu_count()} cores, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in ("distributed", "numpy", "numba")))
    count = {"omega": 1.9, "rtol": 0.0, "maxiter": 600, **EXACT}
    equal = [
        grid(500, "exact, 600 sweeps", **count),
        grid(500, "cg, rtol 1e-8", mode="async", accelerate="cg", rtol=1e-8),
        Case("dense 5000, exact, rtol 1e-8", problems.dense_spd(5000), rtol=1e-8, **EXACT),
    ]
    small = grid(150, "exact, 300 sweeps", **(count | {"maxiter": 300}))
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        print(f"{'':32}{'alone':>8}{'one':>8}{'other':>8}{'ratios':>14}")
        times = {}
        for case in equal:
            single = times[case] = alone(case, address)
            pairs = np.median([sorted(at_once([case, case], address)) for _ in range(REPEATS)], 0)
            print(f"{case.name:32}{single:>8.2f}{pairs[0]:>8.2f}{pairs[1]:>8.2f}", end="")
            print("".join(f"{seconds / single:>7.2f}" for seconds in pairs), flush=True)
        single = alone(small, address)
        for case in equal:
            short, long = beside(small, case, address)
            print(f"{small.name}, alone {single:.2f} s, beside {case.name} {short:.2f} s", end="")
            print(f" ({short / single:.2f}); that one {long:.2f} s ({long / times[case]:.2f})")


if __name__ == "__main__":
    main()
