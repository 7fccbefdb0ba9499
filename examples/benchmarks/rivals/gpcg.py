"""Solves with PETSc's TAO gpcg what obstacle.py stored; run by the system's Python."""

import sys
import time
from pathlib import Path

import numpy as np
from petsc4py import PETSc


def vector(values):
    return PETSc.Vec().createWithArray(np.ascontiguousarray(values), comm=PETSc.COMM_SELF)


def solve(stored, tolerance):
    """From the arrays of CSR to ``x``; seconds, and those of processors."""
    began, busy = time.perf_counter(), time.process_time()
    n = stored["b"].size
    csr = stored["indptr"], stored["indices"], stored["data"]
    A = PETSc.Mat().createAIJ(size=(n, n), csr=csr, comm=PETSc.COMM_SELF)
    A.setOption(PETSc.Mat.Option.SYMMETRIC, True)
    b, x = vector(stored["b"]), vector(stored["x0"].copy())
    upper = vector(np.full(n, np.inf))

    def value_and_gradient(tao, x, g):
        A.mult(x, g)
        value = 0.5 * x.dot(g) - b.dot(x)
        g.axpy(-1.0, b)
        return value

    tao = PETSc.TAO().create(PETSc.COMM_SELF)
    tao.setType("gpcg")
    tao.setObjectiveGradient(value_and_gradient, b.duplicate())
    tao.setHessian(lambda tao, x, H, P: None, A)
    tao.setVariableBounds(vector(stored["lower"]), upper)
    tao.setTolerances(gatol=tolerance, grtol=0.0, gttol=0.0)
    tao.setMaximumIterations(10_000)
    tao.setFromOptions()
    tao.solve(x)
    spent = time.perf_counter() - began, time.process_time() - busy
    return x.getArray().copy(), spent, tao.getIterationNumber()


def main():
    folder = Path(sys.argv[1])
    with np.load(folder / "problem.npz") as file:
        stored = dict(file)
    x, (seconds, busy), steps = solve(stored, float(sys.argv[2]))
    np.save(folder / "x.npy", x)
    version = ".".join(map(str, PETSc.Sys.getVersion()))
    print(f"{seconds} {busy} {steps} steps, PETSc {version}")


main()
