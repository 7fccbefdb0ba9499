"""Does the planning tool predict what two workers take?

    python examples/benchmarks/planning.py [MACHINE.json]

Calibrates (or reads the costs), then solves Poisson's equation on two single-thread worker
processes and sets the measured seconds against the predicted ones: for the number of sweeps that
was measured, and for the predicted one. Times are of the iteration, without set-up, and the
fastest of three runs where a run is short, as in the calibration. Everything else on
the machine counts, so look at the load first. About five minutes.
"""

import os
import platform
import sys
import time

import numpy as np
from distributed import Client, LocalCluster

import dasksor
from dasksor import problems
from dasksor.planning.plan import count_of, layout_of, seconds_of
from dasksor.planning.stencil import Stencil

OPTIONS = {
    "sync": {"mode": "sync"},
    "exact": {"mode": "async", "staleness": 0},
    "free": {"mode": "async", "staleness": None, "accelerate": None},
    "cg": {"mode": "async", "staleness": None, "accelerate": "cg"},
}
RTOL = 1e-8
# Plain total asynchrony would take hours: so many sweeps of it, for their pace.
FEW = 2000
CASES = [
    ("exact", 300), ("exact", 500), ("cg", 300), ("cg", 500), ("cg", 1000),
    ("free", 300), ("free", 500), ("free", 1000), ("exact", 1000), ("sync", 300),
]  # fmt: skip
LONG = 15.0


def measured(client, mode, lines):
    """Sweeps and seconds of the iteration."""
    matrix = problems.poisson((lines, lines))
    b = np.ones(lines**2)
    limits = {"rtol": 0.0, "maxiter": FEW} if mode == "free" else {"rtol": RTOL}
    seconds = []
    while len(seconds) < 3:
        history = dasksor.solve(matrix, b, client=client, **OPTIONS[mode], **limits).history
        # Word that all blocks are through their last free sweep comes late.
        last = history[-2 if mode == "free" else -1]
        seconds.append((last.time - history[0].time) / last.sweeps)
        if seconds[-1] * last.sweeps > LONG:
            break
    return last.sweeps, min(seconds) * last.sweeps


def near(ratio):
    return 0.75 <= ratio <= 1.25


def main(path=None):
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"dasksor {dasksor.__version__}, two worker processes, rtol {RTOL:g}"
    )
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        began = time.perf_counter()
        machine = dasksor.Machine.load(path) if path else dasksor.calibrate(client)
        print(f"calibrated in {time.perf_counter() - began:.0f} s: {machine}", flush=True)
        print(
            f"{'mode':6}{'grid':>6}{'sweeps':>8}{'seconds':>9}{'ms/sweep':>10} | for these sweeps:"
            f"{'ms/sweep':>9}{'ratio':>7} | in all: {'sweeps':>7}{'seconds':>9}{'ratio':>7}"
        )
        paces, totals = [], []
        for mode, lines in CASES:
            sweeps, seconds = measured(client, mode, lines)
            layout = layout_of(Stencil.of((lines, lines)), machine, mode, 2)
            count = count_of(layout, mode, RTOL, "auto")
            same = count._replace(sweeps=sweeps)
            pace = seconds_of(layout, mode, same, "auto")
            paces.append(pace / seconds)
            line = (
                f"{mode:6}{lines:>6}{sweeps:>8}{seconds:>9.2f}{seconds / sweeps * 1e3:>10.2f} |"
                f"{pace / sweeps * 1e3:>27.2f}{paces[-1]:>7.2f} |"
            )
            if mode != "free":
                total = seconds_of(layout, mode, count, "auto")
                totals.append(total / seconds)
                line += f"{count.sweeps:>16}{total:>9.2f}{totals[-1]:>7.2f}"
            print(line, flush=True)
    for name, ratios in (("seconds per sweep", paces), ("seconds in all", totals)):
        print(f"{name}: {sum(map(near, ratios))} of {len(ratios)} within 25 %")
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
