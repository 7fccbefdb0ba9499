"""Linear programs: how long, how exact, and beside HiGHS.

    python examples/benchmarks/linear_programs.py [small | large | sor | blocks ...]

``small``: afiro and adlittle, where DASKSOR_DATA has them, and generated programs with up to 2,000
rows, each beside HiGHS: its simplex method, up to 1,000 rows, and its interior-point method.
``large``: 10,000 x 40,000, 1.4 million entries, beside the latter. HiGHS has LIMIT seconds.
``sor``: SOR alone on small ones. ``blocks``: SOR alone for a minute, in this process and in blocks
on two worker processes. Seconds are of one run each.
"""

import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import scipy.optimize
from distributed import Client, LocalCluster

import dasksor
from dasksor import problems

LIMIT = 600.0
TOL = 1e-6


def programs():
    if "DASKSOR_DATA" in os.environ:
        for name in ("afiro", "adlittle"):
            yield name, dasksor.read_lp(Path(os.environ["DASKSOR_DATA"]) / f"{name}.mps")
    for m, n, per_row in ((500, 2000, 35), (1000, 4000, 140), (2000, 8000, 140)):
        yield f"{m} x {n}, {m * per_row} entries", generated(m, n, per_row)


def generated(m, n, per_row):
    c, A, b, _ = problems.lp(m, n, per_row)
    return {"c": c, "A_ub": A, "b_ub": b}


def ours(program, **options):
    begin = time.perf_counter()
    result = dasksor.linprog(**program, **{"tol": TOL} | options)
    seconds = time.perf_counter() - begin
    worst = max(result.gap, result.infeasibility, result.dual_infeasibility)
    print(
        f"{seconds:>9.2f} s {result.nit:>4} steps {result.sweeps:>6} sweeps "
        f"{result.newton_steps:>4} Newton {result.factorizations:>3} factors, worst {worst:.1e}, "
        f"status {result.status}",
        flush=True,
    )
    return result


def highs(program, method, known):
    begin = time.perf_counter()
    result = scipy.optimize.linprog(**program, method=method, options={"time_limit": LIMIT})
    seconds = time.perf_counter() - begin
    if result.fun is None:
        return f"{method} {seconds:.2f} s, not done"
    return f"{method} {seconds:.2f} s, differs by {abs(result.fun - known) / (1 + abs(known)):.1e}"


def beside(name, program):
    print(f"{name:>34}", end="")
    found = ours(program)
    methods = ("highs-ds", "highs-ipm") if len(program["b_ub"]) <= 1000 else ("highs-ipm",)
    print(f"{'':>36}" + "; ".join(highs(program, method, found.fun) for method in methods))


def small():
    dasksor.linprog([1.0])  # compiles
    for name, program in programs():
        beside(name, program)


def large():
    beside("10000 x 40000, 1400000 entries", generated(10_000, 40_000, 140))


def sor():
    for name, program in programs():
        for tol in (1e-2, 1e-4):
            print(f"{name:>34} {tol:>7.0e}", end="")
            ours(program, tol=tol, accelerate=None, timeout=60.0)


def blocks():
    program = generated(2000, 8000, 140)
    options = {"accelerate": None, "tol": 1e-3, "timeout": 60.0}
    print(f"{'in this process':>34}", end="")
    ours(program, **options)
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
        print(f"{'two blocks on two workers':>34}", end="")
        ours(program, **options, client=client)


STUDIES = {"small": small, "large": large, "sor": sor, "blocks": blocks}

if __name__ == "__main__":
    print(f"{platform.machine()}, {os.cpu_count()} cores, dasksor {dasksor.__version__}, ", end="")
    print(f"scipy {scipy.__version__}, NumPy {np.__version__}, tol {TOL:g}", flush=True)
    for name in sys.argv[1:] or STUDIES:
        STUDIES[name]()
