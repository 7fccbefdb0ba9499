"""What does a slow worker cost?

    python examples/benchmarks/stragglers.py

Two worker processes of one thread, one of them slowed down in its sweeps: by 100 ms in each sweep
of its rows (the published test of asynchronous iterations on a task framework), and permanently by
a factor of five. The ideal under a factor is the sum of the speeds of the two workers, each
measured alone.
"""

from __future__ import annotations

import os
import platform
import statistics
from importlib.metadata import version

import numpy as np
from distributed import Client, LocalCluster

import dasksor
from dasksor import problems
from dasksor.study.straggler import Slowness, slow_down

BLOCKS = 12
FIVE_TIMES = Slowness(pause=0.0, factor=5.0)


def timed(A, b, client, repeats=1, **options):
    """Result and median seconds of the sweeps, without set-up."""
    seconds = []
    for _ in range(repeats):
        result = dasksor.solve(A, b, client=client, **options)
        seconds.append(result.history[-1].time)
    return result, statistics.median(seconds)


def delayed(client):
    A, b = problems.poisson((100, 100)), np.ones(10_000)
    print("\none worker loses 100 ms in each sweep of its rows, Poisson 100 x 100, rtol 1e-6")
    print(f"{'':28}{'sweeps':>8}{'moves':>7}{'undisturbed s':>15}{'disturbed s':>13}")
    found = {}
    for name, options in (
        ("sync", {"mode": "sync", "blocks": 4}),
        ("async, exact", {"mode": "async", "staleness": 0, "blocks": 8}),
        ("async, free, cg", {"mode": "async", "staleness": None, "blocks": 4}),
    ):
        # The pause of a sweep is spread over the blocks that the slow worker has.
        pause = 0.1 * 2 / options["blocks"]
        _, before = timed(A, b, client, rtol=1e-6, **options)
        with slow_down(client, Slowness(pause, 1.0)):
            result, found[name] = timed(A, b, client, rtol=1e-6, **options)
        print(f"{name:28}{result.sweeps:>8}{result.moves:>7}{before:>15.2f}{found[name]:>13.2f}")
    for name in list(found)[1:]:
        print(f"{name}: {found['sync'] / found[name]:.1f} times faster than sync")


def slower(client, alone):
    A, b = problems.poisson((700, 700)), np.ones(490_000)
    count = {"mode": "async", "staleness": 0, "omega": 1.9, "rtol": 0.0, "blocks": BLOCKS}
    print("\none worker five times slower, Poisson 700 x 700, exact sweeps")
    timed(A, b, alone, maxiter=50, **count)
    _, fast = timed(A, b, alone, maxiter=300, **count)
    with slow_down(alone, FIVE_TIMES):
        _, slow = timed(A, b, alone, maxiter=60, **count)
    fast, slow = fast / 300, slow / 60
    ideal = 1.0 / (1.0 / fast + 1.0 / slow)
    with slow_down(client, FIVE_TIMES):
        result, seconds = timed(A, b, client, maxiter=1500, **count)
    each = seconds / 1500
    print(
        f"ms a sweep: fast worker alone {fast * 1e3:.2f}, slow one alone {slow * 1e3:.2f}, ", end=""
    )
    print(f"ideal of both {ideal * 1e3:.2f}")
    print(f"both, {result.moves} moves: {each * 1e3:.2f}, {each / ideal:.2f} times the ideal")


def main() -> None:
    print(platform.platform(), f"{os.cpu_count()} cores, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in ("distributed", "numpy", "numba")))
    options = {"threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(n_workers=2, **options) as two, Client(two, set_as_default=False) as client:
        delayed(client)
        with (
            LocalCluster(n_workers=1, **options) as one,
            Client(one, set_as_default=False) as alone,
        ):
            slower(client, alone)


if __name__ == "__main__":
    main()
