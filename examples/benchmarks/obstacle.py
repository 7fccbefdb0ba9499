"""What does an obstacle cost, beside a linear system of the same size, and what do others take?

    python examples/benchmarks/obstacle.py [SIDE ...] [--gpcg] [--sweeps] [--lbfgs]

A membrane over an obstacle on (-1, 1)^2: the 5-point matrix of SIDE^2 points, b = -2 h^2, x at
least max(0.6 - 2 (x^2 + y^2), -10), from max(obstacle, 0) to a natural residual of 1e-8. By itself
the solve and the linear one without the obstacle take five turns each, one after the other, on one
thread and on all: seconds, and those that processors were busy, the fewest of the five turns, and
the medians of the five ratios. The options add, once each: ``--gpcg`` TAO
of PETSc, where /usr/bin/python3 has petsc4py; ``--sweeps`` projected SOR, omega 2 / (1 + 4 / SIDE);
``--lbfgs`` L-BFGS-B of scipy, which takes minutes. All natural residuals are computed here, anew.
"""

import os
import subprocess
import sys
import tempfile
import time
from glob import glob
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

import dasksor

TOLERANCE, TURNS = 1e-8, 5
GPCG = Path(__file__).with_name("rivals") / "gpcg.py"
PETSC_PATH = ":".join(glob("/usr/lib/petscdir/*/*-real/lib/python3/dist-packages"))


def problem(side):
    t = np.linspace(-1.0, 1.0, side + 2)[1:-1]
    lower = np.maximum(0.6 - 2.0 * (t[:, None] ** 2 + t**2), -10.0).ravel()
    b = np.full(side**2, -2.0 * (t[1] - t[0]) ** 2)
    return dasksor.problems.poisson((side, side)), b, lower, np.maximum(lower, 0.0)


def natural(A, b, lower, x):
    D = A.diagonal()
    return np.linalg.norm(D * (np.maximum(x + (b - A @ x) / D, lower) - x))


def solved(A, b, lower=None, x0=None, **options):
    """Seconds, those of processors, and result."""
    bounds = None if lower is None else (lower, np.inf)
    began, busy = time.perf_counter(), time.process_time()
    result = dasksor.solve(A, b, x0, bounds=bounds, rtol=0.0, atol=TOLERANCE, **options)
    return time.perf_counter() - began, time.process_time() - busy, result


def beside_linear(A, b, lower, x0, mode):
    options = {"mode": mode, "accelerate": "cg"}
    bounded, linear = [], []
    for _ in range(TURNS):
        bounded.append(solved(A, b, lower, x0, **options))
        linear.append(solved(A, b, **options))
    for name, turns, bound in (("obstacle", bounded, lower), ("linear", linear, -np.inf)):
        seconds, busy = (min(turn[k] for turn in turns) for k in (0, 1))
        result = turns[0][2]
        note = f"{result.sweeps} iterations"
        told(f"{name}, {mode}", seconds, busy, natural(A, b, bound, result.x), note)
    ratios = [
        np.median([one[k] / other[k] for one, other in zip(bounded, linear, strict=True)])
        for k in (0, 1)
    ]
    print("{:>24}{:>10.2f}  {:>10.2f}    times the linear one".format("", *ratios), flush=True)


def sweeps(A, b, lower, x0):
    omega = 2.0 / (1.0 + 4.0 / np.sqrt(b.size))
    options = {"mode": "sequential", "accelerate": None, "omega": omega, "maxiter": 100_000}
    seconds, busy, result = solved(A, b, lower, x0, **options)
    told("projected SOR", seconds, busy, natural(A, b, lower, result.x), f"{result.sweeps} sweeps")


def gpcg(A, b, lower, x0):
    with tempfile.TemporaryDirectory() as folder:
        arrays = {"indptr": A.indptr, "indices": A.indices, "data": A.data}
        np.savez(Path(folder) / "problem.npz", b=b, lower=lower, x0=x0, **arrays)
        command = ["/usr/bin/python3", str(GPCG), folder, str(TOLERANCE)]
        environment = {**os.environ, "PYTHONPATH": PETSC_PATH}
        child = subprocess.run(command, capture_output=True, text=True, env=environment)
        if child.returncode:
            print(f"{'TAO gpcg':>24}: not here: {child.stderr.strip().splitlines()[-1]}")
            return
        seconds, busy, note = child.stdout.split(maxsplit=2)
        x = np.load(Path(folder) / "x.npy")
    told("TAO gpcg", float(seconds), float(busy), natural(A, b, lower, x), note.strip())


def lbfgs(A, b, lower, x0):
    def value_and_gradient(x):
        g = A @ x
        return 0.5 * (x @ g) - b @ x, g - b

    options = {"maxiter": 100_000, "maxfun": 1_000_000, "ftol": 0.0, "gtol": 1e-11, "maxcor": 20}
    bounds = np.column_stack([lower, np.full(b.size, np.inf)])
    began, busy = time.perf_counter(), time.process_time()
    found = minimize(
        value_and_gradient, x0, jac=True, method="L-BFGS-B", bounds=bounds, options=options
    )
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    told("L-BFGS-B", seconds, busy, natural(A, b, lower, found.x), f"{found.nit} iterations")


def told(name, seconds, busy, residual, note):
    print(f"{name:>24}{seconds:>10.2f} s{busy:>10.2f} s{residual:>11.1e}  {note}", flush=True)


def main():
    words = sys.argv[1:]
    sides = [int(word) for word in words if word.isdigit()] or [500, 1000]
    for side in (40, *sides):
        case = problem(side)
        if side == 40:  # compiles what the others take
            for mode in ("sequential", "threads"):
                solved(*case, mode=mode, accelerate="cg")
            solved(*case, mode="sequential", accelerate=None)
            continue
        print(f"{side} x {side}, natural residual {TOLERANCE:g}")
        for mode in ("sequential", "threads"):
            beside_linear(*case, mode)
        for name, rival in (("--sweeps", sweeps), ("--gpcg", gpcg), ("--lbfgs", lbfgs)):
            if name in words:
                rival(*case)


if __name__ == "__main__":
    main()
