"""What the page in Dask's dashboard costs: paired solves with and without it, and its own count.

python examples/benchmarks/dashboard.py [PAIRS]
"""

import sys

import dask
import numpy as np
from distributed import Client, LocalCluster

import dasksor


def main(pairs: int) -> None:
    A = dasksor.problems.poisson((200, 200))
    b = np.ones(A.shape[0])
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        for staleness in (0, 0, None):
            walls: dict[bool, list[float]] = {True: [], False: []}
            for pair in range(pairs):
                for shown in (True, False) if pair % 2 else (False, True):
                    with dask.config.set({"dasksor.dashboard": shown}):
                        result = dasksor.solve(
                            A, b, mode="async", staleness=staleness, accelerate=None, omega=1.0,
                            maxiter=4000, rtol=0.0, client=client,
                        )  # fmt: skip
                    walls[shown].append(result.timings["wall"])
            ratios = np.array(walls[True]) / np.array(walls[False])
            said = [event for _, event in client.get_events("dasksor") if event["what"] == "end"]
            spent = 100.0 * sum(event["spent"] for event in said[-pairs:]) / sum(walls[True])
            print(
                f"staleness {staleness}: with the page over without it {np.median(ratios):.3f} "
                f"(from {ratios.min():.3f} to {ratios.max():.3f}); the client speaks {spent:.2f} %"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
