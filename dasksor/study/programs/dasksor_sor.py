"""SOR on a dense matrix with dasksor: the job of sor.c and dispy_sor.py.

    python dasksor_sor.py A.npy B.npy X [--workers N] [--omega W] [--synchronous]
                          [--rtol R] [--timeout SECONDS]

Worker processes of one thread each, started here. Prints JSON.
"""

import argparse
import json

import numpy as np
from distributed import Client, LocalCluster

import dasksor


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("A", "b", "x"):
        parser.add_argument(name)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--omega", type=float, default=1.0)
    parser.add_argument("--synchronous", action="store_true")
    parser.add_argument("--rtol", type=float, default=1e-8)
    parser.add_argument("--timeout", type=float, default=60.0)
    given = parser.parse_args()
    A, b = np.load(given.A), np.load(given.b)
    with (
        LocalCluster(
            n_workers=given.workers, threads_per_worker=1, dashboard_address=":0"
        ) as cluster,
        Client(cluster),
    ):
        result = dasksor.solve(
            A,
            b,
            mode="async",
            staleness=0 if given.synchronous else None,
            accelerate=None,
            omega=given.omega,
            rtol=given.rtol,
            timeout=given.timeout,
        )
    result.x.tofile(given.x)
    print(json.dumps(result.to_dict()))


if __name__ == "__main__":
    main()
