"""One slice of the ocean of examples/ocean.py: dasksor, PyAMG and xinvert, residuals recomputed.

    python examples/benchmarks/ocean.py POINTS_A_DEGREE [--loops 5000] [--rounds 1] [--skip NAME]...

Everybody starts from ``A, b`` or from the vorticity in memory; ``--loops`` limits xinvert.
"""

import argparse
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pyamg
import xinvert

sys.path.insert(0, str(Path(__file__).parents[1]))
import ocean

import dasksor


def by_xinvert(zeta, wet, loops, **options):
    options |= {"BCs": ["fixed", "periodic"], "mxLoop": loops, "printInfo": False}
    options["diag_interval"] = loops if loops < 100 else 100
    psi, diagnostics = xinvert.invert_Poisson(zeta, dims=["lat", "lon"], iParams=options)
    return psi.values[wet].astype(np.float64), int(diagnostics.iterations)


def main(points, loops, rounds, skip):
    zeta = ocean.vorticity(points)
    zeta[[0, -1]] = np.nan  # xinvert keeps the first and the last latitude at zero
    wet = zeta.notnull().values
    began = time.perf_counter()
    A, b = ocean.equations(zeta)
    print(f"{zeta.shape[0]} x {zeta.shape[1]} points, {b.size} at sea")
    print(f"A and b: {time.perf_counter() - began:.2f} s", flush=True)

    def ours(rtol):
        result = dasksor.solve(A, b, mode="threads", rtol=rtol)
        return result.x, result.sweeps

    def amg(rtol):
        residuals = []
        levels = pyamg.ruge_stuben_solver(A)
        x = levels.solve(b, tol=rtol, accel="cg", residuals=residuals)
        return x, len(residuals) - 1

    rivals = {
        "dasksor 1e-8": lambda: ours(1e-8),
        "dasksor 1e-5": lambda: ours(1e-5),
        "PyAMG RS + CG 1e-8": lambda: amg(1e-8),
        "xinvert": lambda: by_xinvert(zeta, wet, loops),
        "xinvert, float64": lambda: by_xinvert(zeta, wet, loops, dtype=np.float64, tolerance=1e-9),
        "xinvert, float64, cpu-mc": lambda: by_xinvert(
            zeta, wet, loops, dtype=np.float64, tolerance=1e-9, architect="cpu-mc"
        ),
    }
    rivals = {name: run for name, run in rivals.items() if name not in skip}
    taken = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, run in rivals.items():
            began = time.perf_counter()
            x, steps = run()
            taken[name].append(time.perf_counter() - began)
            residual = np.linalg.norm(b - A @ x) / np.linalg.norm(b)
            ratio = statistics.median(taken[name]) / statistics.median(taken["dasksor 1e-8"])
            print(
                f"{name}: {taken[name][-1]:.2f} s, {steps} steps, residual {residual:.1e}, "
                f"{ratio:.1f} times dasksor",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("points", type=int)
    parser.add_argument("--loops", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--skip", action="append", default=[], metavar="NAME")
    words = parser.parse_args()
    warnings.simplefilter("ignore")
    ocean_small = ocean.vorticity(1)
    for options in ({}, {"architect": "cpu-mc"}):  # compile
        for kind in (np.float32, np.float64):
            by_xinvert(ocean_small, ocean_small.notnull().values, 4, dtype=kind, **options)
    main(words.points, words.loops, words.rounds, words.skip)
