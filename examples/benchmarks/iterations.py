"""Do the iterations of conjugate gradients depend on the size, on the blocks, or on omega?

    python examples/benchmarks/iterations.py [sizes | blocks | omega | chebyshev | order ...]

Poisson's equation and others to a relative residual of 1e-8, in this process. ``sizes``: seconds
per million unknowns, set-up included, for about 1e5, 1e6 and 1e7 unknowns, as chosen by itself and
with a coarse space throughout. ``blocks``: iterations with 1 to 32 blocks. ``omega``: iterations at
the omega chosen, beside the fewest of a scan with a coarse space, and without one where that was
the choice. ``chebyshev``: beside conjugate gradients, on one core and on two, both with a coarse
space. ``order``: scattered and other numberings, as they are and in the order that a solve takes.
Of seconds the fewest of three turns, in which the rivals alternate.
"""

import os
import platform
import sys
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import scipy.sparse as sp
from scipy.spatial import Delaunay

import dasksor
import dasksor.prepared
from dasksor import problems
from dasksor.accelerate.gradients import Gradients
from dasksor.accelerate.grids import forecast
from dasksor.accelerate.splitting import prepare_splitting
from dasksor.accelerate.team import Team
from dasksor.prepared import OMEGA

RTOL = 1e-8
SIZES = [(316, 316), (1000, 1000), (3162, 3162), (46, 46, 46), (100, 100, 100), (215, 215, 215)]
BLOCKS = (1, 2, 4, 8, 16, 32)
SCAN = (0.8, 1.0, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 1.95, 1.98, 1.99)
HERE = {"mode": "sequential", "accelerate": "cg", "rtol": RTOL}


def solved(A, b=None, **options):
    b = np.ones(A.shape[0]) if b is None else b
    result = dasksor.solve(A, b, **HERE | options)
    assert result.residual(A, b) <= RTOL * np.linalg.norm(b)
    return result


def without_coarse_space(A, omega):
    """Iterations, more than any that count where there are too many."""
    b = np.ones(A.shape[0])
    splitting = prepare_splitting(A, omega, Team(1), 1, deflated=False)
    gradients = Gradients(splitting, b, np.zeros_like(b))
    gradients.measured()
    gradients.run(RTOL * np.linalg.norm(b), 1000, np.inf)
    return gradients.iterations


def fewest(counts):
    omega = min(counts, key=counts.get)
    return f"{counts[omega]:>8} at {omega:<5}"


def sizes():
    print(f"{'grid':>18}{'unknowns':>12}{'iterations':>12}{'s per 1e6':>11}", end="")
    print(f" | with a coarse space: {'iterations':>10}{'s per 1e6':>11}")
    solved(problems.poisson((20, 20)))
    solved(problems.poisson((2000,)))
    for shape in SIZES:
        A = problems.poisson(shape)
        line = f"{' x '.join(map(str, shape)):>18}{A.shape[0]:>12}"
        for options in ({}, {"omega": OMEGA}):
            result = solved(A, **options)
            pace = result.timings["wall"] / A.shape[0] * 1e6
            line += f"{result.sweeps:>12}{pace:>11.3f}" + ("" if options else f" |{'':>20}")
        print(line, flush=True)


def blocks():
    print(f"{'':>24}" + "".join(f"{count:>8}" for count in BLOCKS) + "  blocks")
    grids = {
        "poisson 500^2": problems.poisson((500, 500)),
        "poisson 80^3": problems.poisson((80, 80, 80)),
        "anisotropic 500^2": problems.anisotropic((500, 500)),
    }
    for name, A in grids.items():
        counts = [solved(A, mode="threads", omega=OMEGA, blocks=p).sweeps for p in BLOCKS]
        print(f"{name:>24}" + "".join(f"{count:>8}" for count in counts), flush=True)


def omega():
    cases = {
        "poisson 300^2": problems.poisson((300, 300)),
        "poisson 1000^2": problems.poisson((1000, 1000)),
        "poisson 60^3": problems.poisson((60, 60, 60)),
        "27 points 40^3": problems.poisson((40, 40, 40), 27),
        "anisotropic 300^2": problems.anisotropic((300, 300)),
        "power grid": problems.power_grid("case_SyntheticUSA", absolute=True),
        "dense 3000": problems.dense_spd(3000),
    }
    if "DASKSOR_DATA" in os.environ:
        cases["bcsstk16"] = dasksor.read(Path(os.environ["DASKSOR_DATA"]) / "bcsstk16.mtx.gz")
    print(f"{'':>20}{'chosen':>10}{'iterations':>12} | fewest with a coarse space, without")
    for name, A in cases.items():
        chosen = solved(A)
        line = f"{name:>20}{chosen.omega:>10.3f}{chosen.sweeps:>12} |"
        line += fewest({w: solved(A, omega=w).sweeps for w in SCAN})
        if forecast(A, 1) is not None:
            line += fewest({w: without_coarse_space(A, w) for w in SCAN})
        print(line, flush=True)


def alternating(first, second):
    """Results of either, and the fewest seconds that it took."""
    solvers, seconds, results = (first, second), [np.inf, np.inf], [None, None]
    for turn in range(6):
        k = turn % 2
        results[k] = solvers[k]()
        seconds[k] = min(seconds[k], results[k].timings["wall"])
    return [f"{r.sweeps:>8}{t:>9.3f} s" for r, t in zip(results, seconds, strict=True)], results


def chebyshev():
    cases = {
        "poisson 300^2": problems.poisson((300, 300)),
        "poisson 1000^2": problems.poisson((1000, 1000)),
        "poisson 60^3": problems.poisson((60, 60, 60)),
    }
    if "DASKSOR_DATA" in os.environ:
        cases["bcsstk16"] = dasksor.read(Path(os.environ["DASKSOR_DATA"]) / "bcsstk16.mtx.gz")
    print(f"{'':>20}{'':>12}{'cg':>19}{'chebyshev':>19}")
    for name, A in cases.items():
        for mode in ("sequential", "threads"):
            found, _ = alternating(
                partial(solved, A, omega=OMEGA, mode=mode),
                partial(solved, A, omega=OMEGA, mode=mode, accelerate="chebyshev"),
            )
            print(f"{name:>20}{mode:>12}{''.join(found)}", flush=True)


def scattered(A, seed=0):
    order = np.random.default_rng(seed).permutation(A.shape[0])
    return sp.csr_array(A[order][:, order])


def mesh(n):
    """The Laplacian of a triangulation of random points, in random order."""
    corners = Delaunay(np.random.default_rng(0).random((n, 2))).simplices
    edges = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]).T
    pattern = sp.csr_array((np.ones(edges.shape[1]), tuple(edges)), shape=(n, n))
    return problems.graph_laplacian(pattern, 1e-3)


def order():
    cases = {
        "poisson 1000^2": problems.poisson((1000, 1000)),
        "poisson 1000^2, scattered": scattered(problems.poisson((1000, 1000))),
        "poisson 100^3, scattered": scattered(problems.poisson((100, 100, 100))),
        "mesh of 500,000, random": mesh(500_000),
        "mesh of 100,000, random": mesh(100_000),
        "power grid": problems.power_grid("case_SyntheticUSA", absolute=True),
    }
    print(f"{'':>28}{'as it is':>19}{'as solved':>19}")
    for name, A in cases.items():
        b = np.random.default_rng(0).standard_normal(A.shape[0])

        def as_it_is(A=A, b=b):
            with mock.patch.object(dasksor.prepared, "better_order", return_value=None):
                return solved(A, b, omega=OMEGA)

        found, (_, result) = alternating(as_it_is, partial(solved, A, b, omega=OMEGA))
        moved = "reordered" if "Cuthill" in result.reason else ""
        print(f"{name:>28}{''.join(found)}  {moved}", flush=True)


STUDIES = {
    "sizes": sizes, "blocks": blocks, "omega": omega, "chebyshev": chebyshev, "order": order,
}  # fmt: skip

if __name__ == "__main__":
    print(f"{platform.machine()}, {os.cpu_count()} cores, dasksor {dasksor.__version__}")
    for name in sys.argv[1:] or STUDIES:
        STUDIES[name]()
