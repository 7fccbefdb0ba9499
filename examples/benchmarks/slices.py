"""What does a published slice cost in each mailbox?

    python examples/benchmarks/slices.py [LINES [SWEEPS]]

Exact dataflow on a square grid: each sweep waits twice for a slice of one grid line to cross
between two worker processes, so the time of a sweep beyond its arithmetic is messages.
"""

import platform
import sys

import numpy as np
from distributed import Client, LocalCluster

import dasksor
from dasksor import problems


def main(lines=300, sweeps=300):
    A, b = problems.poisson((lines, lines)), np.ones(lines**2)
    count = {"rtol": 0.0, "maxiter": sweeps, "omega": 1.9}
    print(
        f"{platform.machine()}, dasksor {dasksor.__version__}, grid {lines} x {lines}, "
        f"{sweeps} sweeps, omega 1.9, two worker processes"
    )
    print(f"{'mailbox':12}{'blocks':>8}{'ms a sweep':>12}{'slices':>8}{'MB':>8}")
    alone = dasksor.solve(A, b, mode="sequential", **count)
    print(f"{'one core':12}{1:>8}{alone.history[-1].time / sweeps * 1e3:>12.2f}{0:>8}{0:>8}")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        for mailbox in ("shared", "direct", "variables"):
            for blocks in (4, 8, 16):
                result = dasksor.solve(
                    A, b, mode="async", mailbox=mailbox, blocks=blocks, client=client, **count
                )
                assert np.array_equal(result.x, alone.x)
                print(
                    f"{mailbox:12}{blocks:>8}{result.history[-1].time / sweeps * 1e3:>12.2f}"
                    f"{result.messages:>8}{result.bytes_sent / 1e6:>8.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
