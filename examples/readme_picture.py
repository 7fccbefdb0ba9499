"""The picture of the README: the residual of six ways to solve one system, against time."""

import sys

import matplotlib.pyplot as plt
import numpy as np
from distributed import Client, LocalCluster

import dasksor

SIDE = 500
WAYS = {
    "SOR, one process": {"mode": "sequential", "accelerate": None},
    "SOR, exact on 2 workers": {"mode": "async", "staleness": 0, "accelerate": None},
    "SOR, nobody waits": {"mode": "async", "staleness": None, "accelerate": None},
    "free sweeps made conjugate": {"mode": "async", "staleness": None},
    "SSOR and conjugate gradients, one core": {"mode": "sequential", "accelerate": "cg"},
    "the same, two cores": {"mode": "threads"},
}
LIMIT = 20.0


def main(path: str) -> None:
    A = dasksor.problems.poisson((SIDE, SIDE))
    b = np.ones(A.shape[0])
    figure, axes = plt.subplots(figsize=(7.5, 4.8), layout="constrained")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        for name, options in WAYS.items():
            where = {"client": client} if options["mode"] == "async" else {}
            dasksor.solve(A, b, maxiter=20, **options, **where)  # compiles
            result = dasksor.solve(A, b, rtol=1e-8, timeout=LIMIT, **options, **where)
            setup = result.timings["total"]["setup"]
            times = [setup + m.time for m in result.history]
            norms = [m.residual_norm / np.linalg.norm(b) for m in result.history]
            axes.loglog(times, norms, label=f"{name}: {result.sweeps} sweeps", linewidth=1.8)
            print(f"{name:<40} {times[-1]:6.2f} s  {result.sweeps:6} sweeps  {norms[-1]:.1e}")
    axes.axhline(1e-8, color="gray", linewidth=0.8, linestyle="--")
    axes.set_title(f"2-D Poisson, {SIDE} x {SIDE} unknowns, to 1e-8 (dashed)", fontsize=11)
    axes.set_xlabel("seconds, set-up included")
    axes.set_ylabel("relative residual")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:] or ["docs/images/residuals.svg"])
