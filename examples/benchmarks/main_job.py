"""How many sweeps, how long and how much memory does each mode take on the reference problems?

    python examples/benchmarks/main_job.py [PROBLEM | MODE ...]

Runs every mode on a LocalCluster of single-thread worker processes and prints one table. Each
residual is recomputed by `Result.residual`. Problems: those of `PROBLEMS` below; bcsstk16 is read
from the folder that DASKSOR_DATA names.
"""

import gc
import os
import platform
import resource
import sys
import time
from pathlib import Path

import dask.array as da
import numpy as np
import scipy
from distributed import Client, LocalCluster

import dasksor
from dasksor import problems

WORKERS = int(os.environ.get("WORKERS", "2"))
RTOL = 1e-8
# Free: asynchronous, nobody waits; accelerated where the matrix allows it.
FREE = {"mode": "async", "staleness": None}
MODES = {name: {"mode": name} for name in ("sequential", "sync", "async")} | {"free": FREE}
ALL = tuple(MODES)


def dense5000():
    A = problems.dense_spd(5000)
    return A, problems.seed_rhs(A)[0], ALL, {}


def dense20000():
    """3.2 GB, built on the workers; the client holds no row of it."""
    n, step = 20_000, 2_500
    factory = problems.dense_spd(n, nblocks=n // step)
    rows = da.map_blocks(
        lambda block_info: factory.function(*block_info[None]["array-location"][0]),
        chunks=((step,) * (n // step), (n,)),
        dtype=float,
        meta=np.empty((0, 0)),
    )
    return rows, np.ones(n), ("async", "sync", "free"), {}


def poisson1000():
    A = problems.poisson((1000, 1000))
    return A, np.ones(A.shape[0]), ALL, {}


def poisson100_3d():
    A = problems.poisson((100, 100, 100))
    return A, np.ones(A.shape[0]), ALL, {}


def synthetic_usa():
    A = problems.power_grid("case_SyntheticUSA")
    return A, np.ones(A.shape[0]), ALL, {"timeout": 40}


def synthetic_usa_absolute():
    """The same network with positive susceptances: an M-matrix."""
    A = problems.power_grid("case_SyntheticUSA", absolute=True)
    return A, np.ones(A.shape[0]), ALL, {"timeout": 40}


def bcsstk16():
    A = dasksor.read(Path(os.environ["DASKSOR_DATA"]) / "bcsstk16.mtx.gz")
    return A, np.ones(A.shape[0]), ALL, {}


def pagerank():
    A, b = problems.pagerank(problems.random_graph(1_000_000, 8.0))
    return A, b, ALL, {}


PROBLEMS = (
    dense5000,
    dense20000,
    poisson1000,
    poisson100_3d,
    synthetic_usa,
    synthetic_usa_absolute,
    bcsstk16,
    pagerank,
)


def peak_of_worker():
    """Most resident memory of a worker process so far, in MB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def main(names):
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, "
        f"dasksor {dasksor.__version__}; {WORKERS} single-thread worker processes; rtol {RTOL:g}, "
        "omega auto"
    )
    print(
        f"{'problem':24}{'mode':12}{'staleness':>10}{'sweeps':>8}{'omega':>9}{'seconds':>9}"
        f"{'setup':>8}{'rel. res.':>11}{'slices':>8}{'MB sent':>9}{'client MB':>10}"
        f"{'worker MB':>10}  status"
    )
    for problem in PROBLEMS:
        if set(names) - set(MODES) and problem.__name__ not in names:
            continue
        A, b, modes, options = problem()
        for mode in modes:
            if set(names) & set(MODES) and mode not in names:
                continue
            run(problem.__name__, A, b, mode, options)
            gc.collect()


def run(name, A, b, mode, options):
    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        where = {} if mode == "sequential" else {"client": client}
        began = time.perf_counter()
        result = dasksor.solve(A, b, rtol=RTOL, **MODES[mode], **options, **where)
        seconds = time.perf_counter() - began
        workers = max(client.run(peak_of_worker).values())
        audit = result.residual(A, b) / np.linalg.norm(b)
        mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{name:24}{mode:12}{result.staleness!s:>10}{result.sweeps:>8}{result.omega:>9.5f}"
            f"{seconds:>9.2f}{result.timings['total']['setup']:>8.2f}{audit:>11.2e}"
            f"{result.messages:>8}{result.bytes_sent / 1e6:>9.1f}{mine:>10.0f}{workers:>10.0f}"
            f"  {result.status.name.lower()}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
