"""Many workers on few cores: how long do 2, 10 and 20 single-thread processes take?

    python examples/benchmarks/crowd.py

Medians of three solves each, after one that does not count, cluster start-up not included.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from importlib.metadata import version

import numpy as np
from distributed import Client, LocalCluster

import dasksor
from dasksor import problems


def main() -> None:
    print(platform.platform(), f"{os.cpu_count()} cores, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in ("distributed", "numpy", "numba")))
    grid = problems.poisson((500, 500)), np.ones(250_000)
    dense = problems.dense_spd(5000), np.ones(5000)
    exact = {"mode": "async", "staleness": 0}
    count = {"omega": 1.9, "rtol": 0.0, "maxiter": 300, **exact}
    cg = {"mode": "async", "accelerate": "cg", "rtol": 1e-8}
    cases = {
        "poisson 500^2, exact, 300 sweeps": (*grid, count),
        "poisson 500^2, cg, rtol 1e-8": (*grid, cg),
        "dense 5000, exact, rtol 1e-8": (*dense, {"rtol": 1e-8, **exact}),
    }
    print(f"{'':36}{'workers':>8}{'blocks':>8}{'sweeps':>8}{'seconds':>9}{'of two':>8}")
    reference: dict[str, float] = {}
    for workers in (2, 10, 20):
        with (
            LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=None
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            client.wait_for_workers(workers)
            for name, (A, b, options) in cases.items():
                seconds = []
                for _ in range(4):
                    began = time.perf_counter()
                    result = dasksor.solve(A, b, client=client, **options)
                    seconds.append(time.perf_counter() - began)
                median = statistics.median(seconds[1:])
                ratio = median / reference.setdefault(name, median)
                print(f"{name:36}{workers:>8}{result.blocks:>8}{result.sweeps:>8}", end="")
                print(f"{median:>9.2f}{ratio:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
